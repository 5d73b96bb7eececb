"""Prompts: every token a concept, every concept its noun."""

from __future__ import annotations

import pytest

from ticli.errors import NotFound, Usage
from ticli.generation import resolve, with_nouns


@pytest.mark.parametrize(
    ("typed", "used"),
    [
        ("a <mug> on the moon", "a <mug> mug on the moon"),
        ("a <mug> mug on the moon", "a <mug> mug on the moon"),
        ("a <mug>  Mug", "a <mug>  Mug"),
        ("two <mug> mugs", "two <mug> mugs"),
        ("two <mug>s", "two <mug> mugs"),
        ("a <mug> muggle", "a <mug> mug muggle"),
        ("the <mug>'s handle", "the <mug> mug's handle"),
        ("<mug>", "<mug> mug"),
        ("<MUG> and <mug> mug", "<MUG> mug and <mug> mug"),
        ("<mug><mug>", "<mug> mug <mug> mug"),
        ("a mug, <3 and <lora:mug:1>", "a mug, <3 and <lora:mug:1>"),
    ],
)
def test_the_noun_follows_the_token_once(typed, used):
    assert with_nouns(typed, {"mug": "mug"}) == used


def test_a_noun_of_two_words_is_recognised_over_any_space():
    nouns = {"mug": "coffee mug"}
    assert with_nouns("<mug> coffee  mugs", nouns) == "<mug> coffee  mugs"
    assert with_nouns("<mug> coffee", nouns) == "<mug> coffee mug coffee"


def test_a_noun_with_signs_is_plain_text():
    assert with_nouns("<mug> c+", {"mug": "c+"}) == "<mug> c+"
    assert with_nouns("<mug> cc", {"mug": "c+"}) == "<mug> c+ cc"


def test_a_concept_without_noun_stands_alone(library_with):
    library = library_with("mug")
    (resolved,) = resolve(["a <mug> here"], library)
    assert resolved.used == "a <mug> here"


def test_both_prompts_are_resolved_and_kept_as_typed(library_with):
    library = library_with("mug", noun="cup")
    library_with("cat", noun="cat")
    (resolved,) = resolve(["a <Mug>"], library, negative="no <cat>")
    assert (resolved.typed, resolved.used) == ("a <Mug>", "a <Mug> cup")
    assert (resolved.negative_typed, resolved.negative_used) == ("no <cat>", "no <cat> cat")
    assert [concept.name for concept in resolved.concepts] == ["mug", "cat"]


def test_no_noun_leaves_prompts_alone(library_with):
    library = library_with("mug", noun="cup")
    (resolved,) = resolve(["a <mug>"], library, nouns=False)
    assert resolved.used == "a <mug>"


def test_a_repeated_token_is_one_concept(library_with):
    (resolved,) = resolve(["<mug> and <MUG>"], library_with("mug"))
    assert [concept.name for concept in resolved.concepts] == ["mug"]


def test_a_bare_word_is_a_word(library_with):
    (resolved,) = resolve(["a mug"], library_with("mug"))
    assert resolved.concepts == ()
    assert resolved.bare == ("mug",)


@pytest.mark.parametrize(
    ("prompt", "negative", "bare"),
    [
        ("a photo of easyneg", "", ("easyneg",)),
        ("a tree", "EasyNeg, blurry", ("easyneg",)),
        ("a <mug> and easyneg, easyneg", "", ("easyneg",)),
        # The token is there, or the word is the noun of another's token: it is meant as a word.
        ("a <mug> mug", "mug", ()),
        ("a <blue> mug", "", ()),
        ("mugs, muggle, <lora:mug:1>", "", ()),
    ],
)
def test_a_concept_named_without_brackets_is_noticed(prompt, negative, bare, library_with):
    library = library_with("mug", "easyneg")
    library_with("blue", noun="mug")
    (resolved,) = resolve([prompt], library, negative=negative)
    assert resolved.bare == bare


def test_all_unknown_tokens_are_named_with_near_names(library_with):
    library = library_with("mug", "teapot")
    with pytest.raises(NotFound) as caught:
        resolve(["<mgu> beside <mug>", "x"], library, negative="<teapott> <zzz>")
    error = caught.value
    assert error.details["unknown"] == ["mgu", "teapott", "zzz"]
    assert error.details["nearest"] == {"mgu": ["mug"], "teapott": ["teapot"], "zzz": []}
    assert "<mgu>, <teapott>, <zzz>" in error.message
    assert "did you mean <mug> or <teapot>?" in error.hint


def test_an_empty_library_says_how_to_learn(isolated):
    from ticli.library import Library

    with pytest.raises(NotFound, match="<mug>") as caught:
        resolve(["a <mug>"], Library.open())
    assert 'ti invert PHOTOS --token "<mug>"' in caught.value.hint
    assert not isolated.exists()


@pytest.mark.parametrize("prompt", ["", "   ", "a \udcff", "a\0b"])
def test_what_is_no_text_is_refused(prompt, library_with):
    with pytest.raises(Usage):
        resolve([prompt], library_with())


def test_a_negative_prompt_that_is_no_text_is_refused(library_with):
    with pytest.raises(Usage, match="negative"):
        resolve(["a mug"], library_with(), negative="\udcff")
