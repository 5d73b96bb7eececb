"""Which model a prompt is drawn with, and whether its concepts fit it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ticli.concept import BaseModel, Parent
from ticli.errors import Conflict, ModelUnavailable
from ticli.generation import ModelRequest, choose_model, relearn
from ticli.models.fingerprint import fingerprint
from ticli.models.locate import locate, starter
from ticli.settings import load_settings


@pytest.fixture
def mug(library_with):
    """A concept learned on this very starter."""
    concept = library_with("mug").get("mug")
    return replace(concept, base=base_of(starter()))


def base_of(source):
    return BaseModel(source.family, source.id, source.revision, fingerprint(source))


def choose(*concepts, **request):
    return choose_model(concepts, ModelRequest(**request), load_settings())


def test_without_concepts_and_settings_the_starter_is_taken_and_said():
    choice = choose()
    assert choice.source.is_starter
    assert choice.fingerprint == fingerprint(starter())
    (note,) = choice.notes
    assert "starter" in note
    assert "-m MODEL" in note


def test_the_flag_wins_over_everything(mug, model_folder, monkeypatch):
    monkeypatch.setenv("TI_MODEL", str(model_folder("configured")))
    choice = choose(mug, model="starter")
    assert choice.source.is_starter
    assert choice.notes == ()


def test_the_configured_model_is_taken_where_it_fits_and_its_origin_said(
    mug, model_folder, monkeypatch
):
    folder = model_folder("configured")
    monkeypatch.setenv("TI_MODEL", str(folder))
    choice = choose(mug)
    assert choice.source.folder == folder
    assert "env TI_MODEL" in choice.notes[0]


def test_the_config_file_names_the_model_too(model_folder, isolated):
    folder = model_folder("configured")
    isolated.mkdir(parents=True)
    (isolated / "config.yaml").write_text(f"model: {folder}\n")
    choice = choose()
    assert choice.source.folder == folder
    assert "config.yaml" in choice.notes[0]


def test_the_concepts_own_model_steps_in_for_one_that_does_not_fit(mug, model_folder, monkeypatch):
    wide = model_folder("wide", 768)
    monkeypatch.setenv("TI_MODEL", str(wide))
    choice = choose(mug)
    assert choice.source.is_starter
    (note,) = choice.notes
    assert "<mug> was learned on" in note
    assert f"{wide} does not fit <mug>" in note


def test_the_concepts_own_model_is_taken_without_settings(mug, model_folder):
    folder = model_folder("own", 768)
    learned = replace(mug, widths={"clip_l": 768}, base=base_of(locate(str(folder))))
    choice = choose(learned)
    assert choice.source.folder == folder
    (note,) = choice.notes
    assert "which <mug> was learned on" in note


def test_a_concept_of_no_known_model_is_drawn_on_the_starter_where_it_fits(mug):
    choice = choose(replace(mug, base=BaseModel("", "", "", "")))
    assert choice.source.is_starter
    assert "does not say which model" in choice.notes[1]


def test_another_width_is_a_conflict_naming_both(mug):
    wide = replace(mug, widths={"clip_l": 768}, base=BaseModel("sd1", "maker/sd", "abc", "f"))
    with pytest.raises(Conflict) as caught:
        choose(wide, model="starter")
    for part in ("<mug>", "maker/sd (Stable Diffusion 1 with 768-wide", "starter is", "256-wide"):
        assert part in caught.value.message
    assert "-m maker/sd" in caught.value.hint


def test_a_concept_of_no_named_model_says_what_would_fit(mug):
    art = replace(mug, token="<art>", widths={"clip_l": 768}, base=BaseModel("sd1", "", "", ""))
    with pytest.raises(Conflict) as caught:
        choose(art, model="starter")
    assert caught.value.message == (
        "<art> is for Stable Diffusion 1 with 768-wide vectors, and the starter is a small model "
        "of its own with 256-wide vectors"
    )
    assert caught.value.hint == (
        "give a Stable Diffusion 1 model with -m MODEL or TI_MODEL; ti models lists those you have"
    )


def test_another_family_is_a_conflict_at_equal_widths(mug):
    alien = replace(mug, base=replace(mug.base, family="sdxl", id="maker/xl"))
    assert starter().misfit(alien)
    with pytest.raises(Conflict, match=r"Stable Diffusion XL.*small model"):
        choose(alien, model="starter")


def test_a_model_with_more_encoders_does_not_fit(mug):
    assert starter().misfit(replace(mug, widths={"clip_l": 256, "clip_g": 1280}))
    assert starter().misfit(mug) == ""


def test_concepts_of_two_models_cannot_stand_together(mug, model_folder):
    folder = model_folder("wide", 768)
    base = base_of(locate(str(folder)))
    cat = replace(mug, name="cat", token="<cat>", widths={"clip_l": 768}, base=base)
    with pytest.raises(Conflict, match=r"<cat> was learned on") as caught:
        choose(mug, cat)
    assert "two models" in caught.value.hint


def test_the_own_model_that_is_gone_is_named(mug):
    gone = replace(mug, base=replace(mug.base, id="maker/gone"))
    with pytest.raises(ModelUnavailable, match="<mug> was learned on") as caught:
        choose(gone)
    assert "maker/gone" in caught.value.message


def test_a_configured_model_that_is_gone_is_not_passed_over(mug, monkeypatch):
    monkeypatch.setenv("TI_MODEL", "/no/such/model")
    with pytest.raises(ModelUnavailable, match="/no/such/model"):
        choose(mug)


def test_a_fine_tune_is_noted_and_refused_on_request(mug, model_folder):
    # The folder's table is hashed alone, the starter's whole encoder: two fingerprints.
    folder = model_folder("tuned")
    choice = choose(mug, model=str(folder))
    (note,) = choice.notes
    assert "<mug> was learned on starter, not on" in note
    with pytest.raises(Conflict, match="not on"):
        choose(mug, model=str(folder), strict_base=True)


def test_an_unknown_fingerprint_is_refused_on_request(mug):
    unsure = replace(mug, base=replace(mug.base, id="", fingerprint=""))
    with pytest.raises(Conflict, match="does not say"):
        choose(unsure, model="starter", strict_base=True)


def test_the_very_model_passes_the_strict_check_in_silence(mug):
    assert choose(mug, model="starter", strict_base=True).notes == ()


def test_another_starter_version_names_the_command_that_learns_again(mug):
    old = replace(mug, base=replace(mug.base, revision="0.0", fingerprint="0" * 64))
    note = choose(old).notes[-1]
    assert "starter 0.0" in note
    assert 'ti invert PHOTOS --token "<mug>" --init cup --replace' in note


def test_relearning_says_what_was_not_the_default(mug):
    styled = replace(mug, init="two words", vectors=3, kind="style")
    command = "ti invert PHOTOS --token \"<mug>\" --init 'two words' --vectors 3 --kind style"
    assert f"{command} --replace" in relearn(styled)


def test_relearning_a_merge_names_its_parents(mug):
    merged = replace(mug, parents=(Parent("a", 1.0, ""), Parent("b", None, "")))
    assert "(a, b)" in relearn(merged)


def test_two_builds_of_one_model_are_told_apart(mug, model_folder):
    folder = model_folder("own")
    source = locate(str(folder))
    drifted = replace(mug, base=replace(base_of(source), fingerprint="0" * 64))
    assert f"another version of {Path(folder)}" in choose(drifted).notes[-1]
