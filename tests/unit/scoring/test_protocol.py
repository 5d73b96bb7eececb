"""A protocol names all that moves a figure, and equal ones have equal ids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ticli.concept import Concept
from ticli.errors import Usage
from ticli.generation import Drawing
from ticli.scoring import (
    OBJECTS,
    STYLES,
    Counts,
    Protocol,
    counts_of,
    prompts_for,
    prompts_of,
    sentences,
    without_subject,
)

PROTOCOL = Protocol(
    "starter 0.1", "f" * 64, "clip", "e" * 64, OBJECTS, Counts(), Drawing("ddim", 20, 4.0, 128, 128)
)


def test_the_id_follows_every_value() -> None:
    first = PROTOCOL.as_json()
    assert first["id"] == replace(PROTOCOL).as_json()["id"]
    others = [
        replace(PROTOCOL, model="starter 0.2"),
        replace(PROTOCOL, encoder_sha256="d" * 64),
        replace(PROTOCOL, counts=Counts(32, 8)),
        replace(PROTOCOL, drawn=replace(PROTOCOL.drawn, guidance=5.0)),
        replace(PROTOCOL, prompts=STYLES),
        replace(PROTOCOL, placeholder="left out"),
    ]
    ids = {first["id"], *(other.as_json()["id"] for other in others)}
    assert len(ids) == 1 + len(others)


def test_the_line_for_people_names_what_matters() -> None:
    line = PROTOCOL.describe()
    for part in ("clip", "16 of", "2 of each of 7 scenes", "seeds 5, 6", "20 steps of ddim",
                 "guidance 4", "128x128", "class word in place of {}"):  # fmt: skip
        assert part in line


def test_seeds_are_one_a_prompt() -> None:
    assert [PROTOCOL.seed(number) for number in range(3)] == [5, 6, 7]


@pytest.mark.parametrize("prompts", [OBJECTS, STYLES], ids=["objects", "styles"])
def test_every_scene_has_its_place_and_its_bare_sentence(prompts) -> None:
    assert len(prompts.scenes) == len(prompts.bare) == 7
    for text in (prompts.plain, *prompts.scenes):
        assert text.count("{}") == 1
    assert not any("{}" in text for text in prompts.bare)


def test_kinds_have_their_prompts() -> None:
    assert prompts_for("object") is prompts_for("person") is OBJECTS
    assert prompts_for("style") is STYLES
    assert sentences(OBJECTS, "mug")[-1] == "a photo of two mugs"


@pytest.mark.parametrize(
    ("scene", "bare"),
    [
        ("a {} in the snow", "in the snow"),
        ("a photo of the {} at night", "a photo of at night"),
        ("three {}s", ""),
        ("{} on a hill", "on a hill"),
    ],
)
def test_a_scene_without_its_subject(scene: str, bare: str) -> None:
    assert without_subject(scene) == bare
    assert prompts_of("object", [scene]).bare == (bare,)


def test_counts_follow_one_another() -> None:
    assert counts_of(None, None) == Counts(16, 2)
    assert counts_of(32, 8) == Counts(32, 8)
    assert counts_of(4, None) == Counts(4, 1)
    for wrong in ((0, None), (None, 0), (1001, 1)):
        with pytest.raises(Usage, match="must be 1 to 1000"):
            counts_of(*wrong)


def test_the_class_word_is_the_noun_else_the_init_word() -> None:
    from concepts import make_concept

    from ticli.scoring import class_word_of

    concept: Concept = make_concept(noun="mug", init="cup")
    assert class_word_of(concept, "") == "mug"
    assert class_word_of(concept, "bowl") == "bowl"
    assert class_word_of(replace(concept, noun=""), "") == "cup"
    for init in ("random", "mean", "", "<other>"):
        with pytest.raises(Usage, match="no class word"):
            class_word_of(replace(concept, noun="", init=init), "")
