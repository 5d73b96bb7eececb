"""A word starts from another only where both are of one kind of model; both sides are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from concepts import make_concept

from ticli.concept import BaseModel
from ticli.errors import Conflict
from ticli.inversion import check_lineage, lineage_notes
from ticli.models.locate import starter

EXAMPLES = Path(__file__).parents[3] / "examples" / "mug"


@pytest.mark.parametrize(
    ("base", "widths", "said"),
    [
        (
            BaseModel("sd1", "maker/sd", "", ""),
            {"clip_l": 768},
            "was learned on maker/sd (Stable Diffusion 1 with 768-wide vectors)",
        ),
        (BaseModel("", "", "", ""), {"clip_l": 768}, "is for a model with 768-wide vectors"),
        (
            BaseModel("sd2", "maker/two", "", ""),
            {"clip_l": 256},
            "was learned on maker/two (Stable Diffusion 2 with 256-wide vectors)",
        ),
        (
            BaseModel("sdxl", "maker/xl", "", ""),
            {"clip_l": 256, "clip_g": 1280},
            "was learned on maker/xl (Stable Diffusion XL with 256- and 1280-wide vectors)",
        ),
    ],
)
def test_another_family_or_width_names_both_sides(base, widths, said) -> None:
    with pytest.raises(Conflict) as refusal:
        check_lineage(make_concept("cup", base=base, widths=widths), starter())
    assert said in refusal.value.message
    here = "and the starter is a small model of its own with 256-wide vectors"
    assert here in refusal.value.message
    assert "-m" in refusal.value.hint
    assert refusal.value.details == {"concept": "cup", "model": "starter"}


def test_a_word_of_no_known_family_fits_by_its_widths() -> None:
    check_lineage(make_concept("cup", base=BaseModel("", "", "", "")), starter())
    check_lineage(make_concept("cup"), starter())


def test_another_model_of_the_family_is_said() -> None:
    cup, source = make_concept("cup"), starter()
    assert lineage_notes(None, source, "f" * 64) == []
    assert lineage_notes(cup, source, cup.base.fingerprint) == []
    (note,) = lineage_notes(cup, source, "0" * 64)
    assert note == "<cup>, which to start from, was learned on another version of starter"
    other = replace(cup, base=replace(cup.base, id="maker/fine"))
    (note,) = lineage_notes(other, source, "0" * 64)
    assert note.endswith("was learned on maker/fine, not on starter")
    unknown = replace(cup, base=replace(cup.base, fingerprint=""))
    (note,) = lineage_notes(unknown, source, "0" * 64)
    assert "does not say which model" in note


def test_the_command_refuses_and_notes(run, library_with) -> None:
    library_with("wide", width=768)
    call = ("invert", str(EXAMPLES), "--token", "<new>", "--dry-run", "--init")
    refused = run(*call, "<wide>")
    assert refused.code == 4
    said = (
        "<wide> was learned on starter (Stable Diffusion 1 with 768-wide vectors), and the starter"
    )
    assert said in " ".join(refused.err.split())
    library_with("cup")
    taken = run(*call, "<cup>", "--json")
    assert taken.code == 0
    assert any("another version of starter" in note for note in taken.json["notes"])
