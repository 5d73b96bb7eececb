"""A call thought through before a model is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest
from concepts import make_concept

from ticli.errors import BadContent, Conflict, TiError, Usage
from ticli.generation import DrawingRequest, ModelRequest

pytestmark = pytest.mark.usefixtures("here")


def test_pictures_of_a_call_count_their_seeds_through_all_prompts(plan, library_with):
    made = plan(library_with("mug", "cat"), "<mug>", "<cat> and <mug>", count=2)
    assert [item.seed for item in made.pictures] == [7, 8, 9, 10]
    assert [item.prompt.typed for item in made.pictures] == ["<mug>"] * 2 + ["<cat> and <mug>"] * 2
    assert [item.file.shown for item in made.pictures] == [
        "mug-7.png",
        "mug-8.png",
        "cat-and-mug-9.png",
        "cat-and-mug-10.png",
    ]
    assert [concept.name for concept in made.concepts] == ["mug", "cat"]
    assert set(made.embeddings) == {"mug", "cat"}
    assert made.grid is None


def test_the_plan_writes_nothing(plan, library_with, here):
    library = library_with("mug")
    before = library.get("mug")
    made = plan(library, "<mug>", output="new/", grid=True)
    assert made.grid.shown == "new/mug-7-grid.png"
    assert list(here.iterdir()) == []
    assert library.get("mug") == before


def test_stdout_takes_one_picture_and_no_grid(plan, library_with):
    library = library_with("mug")
    assert plan(library, "<mug>", output="-").pictures[0].file is None
    for changes in ({"count": 2}, {"grid": True}):
        with pytest.raises(Usage, match="one picture"):
            plan(library, "<mug>", output="-", **changes)
    with pytest.raises(Usage, match="one picture"):
        plan(library, "<mug>", "<mug>", output="-")


def test_device_and_precision_come_from_flags_before_settings(plan, library_with, monkeypatch):
    monkeypatch.setenv("TI_DEVICE", "cuda")
    library = library_with()
    assert plan(library, "a mug").device == "cuda"
    made = plan(library, "a mug", model=ModelRequest(device="cpu", dtype="fp32"))
    assert (made.device, made.dtype) == ("cpu", "fp32")
    with pytest.raises(Usage, match="gpu"):
        plan(library, "a mug", model=ModelRequest(device="gpu"))


def test_a_taken_name_is_found_before_the_model_is(plan, library_with, here):
    (here / "moon.png").touch()
    with pytest.raises(Conflict):
        plan(library_with(), "a mug", output="moon.png", model=ModelRequest(model="/no/such"))


def test_a_damaged_concept_is_found_before_the_model_is_loaded(plan, library_with):
    library = library_with("mug")
    blob = next(library.places.blobs.rglob("*.safetensors"))
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(BadContent, match="mug"):
        plan(library, "<mug>")


def test_bad_knobs_come_before_unknown_tokens(plan, library_with):
    with pytest.raises(TiError, match="--steps"):
        plan(library_with(), "<nothing>", drawing=DrawingRequest(steps=0))


def test_planning_imports_no_torch():
    code = "import sys, ticli.generation.picture_plan; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "ticli.generation.picture_plan" in loaded
    for module in ("torch", "diffusers", "transformers", "numpy", "PIL"):
        assert f"'{module}'" not in loaded


def test_a_word_with_a_vector_far_too_long_is_refused(plan, library_with):
    from ticli.concept import Embedding

    library = library_with("mug")
    import numpy as np

    rows = np.full((1, 256), 4e3 / 16, np.float32)
    library.add(make_concept("loud"), Embedding({"clip_l": rows}))
    with pytest.raises(BadContent, match="norm 4e") as caught:
        plan(library, "<mug> and <loud>")
    assert "--any-norm" in caught.value.hint
    assert plan(library, "<mug> and <loud>", any_norm=True).pictures
    assert plan(library, "<mug>").pictures
