"""Options through whole runs: what they store, what they refuse, and that resuming keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from everyday import everyday
from test_runs import learn, request_for

from ticli.errors import Conflict, Stopped, Usage
from ticli.inversion import make_plan
from ticli.library import Library

OPTIONS = {
    "sphere": {"norm": "sphere", "prior": 1e-3, "lr": 0.05},
    "soft pull": {"norm": "pull", "pull": 0.1},
    "output": {"init_from": "output", "norm": "free"},
    "stages": {"vectors": 3, "extend_every": 2},
    "photo words": {"photo_words": 0.5},
    "context": {"context": 0.1},
    "timesteps": {"timestep_weighting": "cubic", "min_snr": 5.0},
    "twin": {"negative_vectors": 2},
    "stages with everything": {
        "vectors": 2, "extend_every": 3, "photo_words": 0.5, "context": 0.1, "negative_vectors": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", everyday(OPTIONS, "soft pull", "stages with everything"))
def test_resumed_equals_uninterrupted_with_every_option(photos, tiny_folder, name):
    options = OPTIONS[name]
    plan = make_plan(request_for(photos, tiny_folder, **options), Library.open())
    straight = learn(plan)
    assert straight.isfinite().all()
    for stop_at in (2, 4):
        with pytest.raises(Stopped):
            learn(plan, stop_at)
        assert torch.equal(straight, learn(plan)), stop_at
    plain = learn(make_plan(request_for(photos, tiny_folder), Library.open()))
    assert plain.shape != straight.shape or not torch.equal(plain, straight)


def test_a_sentence_in_which_a_photos_own_word_is_cut_off_is_refused(photos, tiny_folder):
    # The word itself fits, and so does the sentence without the addition.
    fits = "a photo of a {}" + " red" * 40
    sentences = {"sentences": (fits,), "noun": ""}
    learn(make_plan(request_for(photos, tiny_folder, **sentences), Library.open()))
    own = make_plan(request_for(photos, tiny_folder, photo_words=0.5, **sentences), Library.open())
    with pytest.raises(Usage, match="<mug-of-photo-0> would be cut off") as refused:
        learn(own)
    assert "--photo-words 0" in refused.value.hint


def test_one_photo_has_no_word_of_its_own_beside_the_concepts(photos, tiny_folder):
    both = make_plan(request_for(photos, tiny_folder, photo_words=0.5), Library.open())
    assert both.recipe.photo_words == 0.5 and not [n for n in both.notes if "one photo" in n]
    for photo in sorted(photos.iterdir())[1:]:
        photo.unlink()
    alone = make_plan(request_for(photos, tiny_folder, photo_words=0.5), Library.open())
    assert alone.recipe.photo_words == 0
    assert [n for n in alone.notes if "no word of its own" in n]
    plain = make_plan(request_for(photos, tiny_folder), Library.open())
    assert torch.equal(learn(alone), learn(plain))


def test_the_last_of_many_stages_is_checked_before_the_first_step(photos, tiny_folder):
    sentences = {"sentences": ("red " * 42 + "{}",), "noun": ""}
    fine = request_for(photos, tiny_folder, vectors=4, extend_every=1, **sentences)
    learn(make_plan(fine, Library.open()))
    request = request_for(photos, tiny_folder, vectors=5, extend_every=1, **sentences)
    with pytest.raises(Usage, match="cut off"):
        learn(make_plan(request, Library.open()))


def test_more_vectors_than_the_steps_allow_are_refused():
    from ticli.recipe import Recipe

    Recipe(vectors=3, extend_every=2, steps=5)
    with pytest.raises(Usage, match="do not come into 4 steps"):
        Recipe(vectors=3, extend_every=2, steps=4)


def invert(run, photos: Path, model: Path, *more: str):
    return run(
        "invert", str(photos), "--token", "<Mug>", "-m", str(model), "--steps", "2", "--batch", "2",
        "--progress", "none", *more,
    )  # fmt: skip


def test_a_negative_twin_is_stored_beside_its_word(photos, tiny_folder, run):
    result = invert(run, photos, tiny_folder, "--negative-vectors", "2", "--json")
    assert result.code == 0, result.err
    assert result.json["name"] == "mug" and result.json["recipe"]["negative_vectors"] == 2
    assert '--negative "<Mug-neg>"' in result.err
    library = Library.open()
    twin = library.get("mug-neg")
    assert (twin.token, twin.kind, twin.noun, twin.vectors) == ("<Mug-neg>", "negative", "", 2)
    assert library.embedding(twin).rows["clip_l"].shape == (2, 32)
    picture = run(
        "generate", "a <mug>", "--negative", "<mug-neg>", "-m", str(tiny_folder), "--steps", "1",
        "-o", str(photos / "drawn.png"), "--seed", "1",
    )  # fmt: skip
    assert picture.code == 0, picture.err
    again = invert(run, photos, tiny_folder, "--negative-vectors", "1", "--replace")
    assert again.code == 0, again.err
    assert Library.open().get("mug-neg").vectors == 1


def test_a_twins_name_that_is_taken_is_a_conflict(photos, tiny_folder, library_with):
    library = library_with("mug-neg", width=32)
    with pytest.raises(Conflict, match="mug-neg"):
        make_plan(request_for(photos, tiny_folder, negative_vectors=1), library)
    make_plan(request_for(photos, tiny_folder), library)


def test_the_plan_tells_the_options_that_are_not_as_they_come(photos, tiny_folder, run):
    arguments = ("invert", str(photos), "--token", "<mug>", "-m", str(tiny_folder), "-n")
    for kind in ("object", "style"):
        assert "options" not in run(*arguments, "--kind", kind).out
    low = run(*arguments, "--kind", "style", "--timestep-low", "500")
    assert "  options    timestep_low 500\n" in low.out
    result = run(*arguments, "--norm", "sphere", "--prior", "1e-4", "--no-flip")
    assert "  options    flip false, norm sphere, prior 0.0001\n" in result.out


def test_a_caption_in_which_the_word_is_cut_off_is_refused(photos, tiny_folder):
    """The tiny encoder reads 46 tokens; the trigger is two of them."""
    caption = photos / "photo-1.txt"
    caption.write_text("red " * 44 + "<mug>")
    learn(make_plan(request_for(photos, tiny_folder, captions=True), Library.open()))
    caption.write_text("red " * 46 + "<mug>")
    with pytest.raises(Usage, match="<mug> would be cut off"):
        learn(make_plan(request_for(photos, tiny_folder, captions=True), Library.open()))
    # In front of it nothing is cut off but the end of the caption.
    caption.write_text("<mug> " + "red " * 60)
    learn(make_plan(request_for(photos, tiny_folder, captions=True), Library.open()))
