"""Plans carried out on the starter: files that can be made again from what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticli.errors import Usage
from ticli.generation import DrawingRequest, ModelRequest, draw_pictures, write_pictures

QUICK = DrawingRequest(steps=2, size="64")
pytestmark = [
    pytest.mark.usefixtures("here", "one_thread"),
    # diffusers makes numpy arrays of tensors in a way that numpy 2 will not take for ever.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def made(plan):
    return list(write_pictures(plan, draw_pictures(plan)))


def test_a_picture_is_made_again_from_what_it_says(plan, library_with):
    library = library_with("mug", noun="cup", vectors=2)
    drawing = DrawingRequest(steps=3, size="72x64", guidance=2.5, sampler="euler-a")
    first = plan(library, "a <mug> here", count=2, negative="blue", drawing=drawing)
    said = json.loads(Image.open(made(first)[1].path).text["ti"])
    again = plan(
        library,
        said["prompt"],
        negative=said["negative"],
        seed=said["seed"],
        drawing=DrawingRequest(
            said["steps"], said["guidance"], f"{said['width']}x{said['height']}", said["sampler"]
        ),
        model=ModelRequest(model=said["model"]["id"]),
        output="again.png",
    )
    made(again)
    assert Path("again.png").read_bytes() == Path("a-mug-here-8.png").read_bytes()
    assert said["prompt_used"] == "a <mug> cup here"


def test_pictures_and_the_sheet_are_yielded_as_they_are_written(plan, library_with, here):
    library = library_with("mug")
    planned = plan(library, "a <mug>", count=2, grid=True, drawing=QUICK, output="new/er")
    making = write_pictures(planned, draw_pictures(planned))
    assert next(making).path == "new/er/a-mug-7.png"
    assert [path.name for path in here.rglob("*.png")] == ["a-mug-7.png"]
    second, sheet = making
    assert (second.path, second.sheet) == ("new/er/a-mug-8.png", False)
    assert (sheet.path, sheet.sheet) == ("new/er/a-mug-7-grid.png", True)
    left, right = np.hsplit(np.asarray(Image.open(sheet.path)), 2)
    assert np.array_equal(left, np.asarray(Image.open("new/er/a-mug-7.png")))
    assert np.array_equal(right, np.asarray(Image.open(second.path)))


def test_a_concept_is_seen_in_the_picture(plan, library_with):
    library = library_with("mug", "cat")
    pictures = made(plan(library, "a <mug>", drawing=QUICK, output="mug.png"))
    pictures += made(plan(library, "a <cat>", drawing=QUICK, output="cat.png"))
    mug, cat = (np.asarray(Image.open(picture.path)) for picture in pictures)
    assert not np.array_equal(mug, cat)


def test_stdout_gets_the_bytes_and_the_folder_nothing(plan, library_with, here):
    (picture,) = made(plan(library_with(), "a tree", drawing=QUICK, output="-"))
    assert picture.png().startswith(b"\x89PNG")
    assert picture.path == "-"
    assert list(here.iterdir()) == []


def test_a_local_folder_draws_and_is_named_without_its_path(plan, library_with, model_folder):
    folder = model_folder("my-model")
    (picture,) = made(
        plan(library_with(), "a tree", drawing=QUICK, model=ModelRequest(str(folder)))
    )
    raw = Path(picture.path).read_bytes()
    assert b"my-model" in raw
    assert str(folder.parent).encode() not in raw


def test_words_that_are_cut_off_are_said_once(plan, library_with):
    warnings = []
    planned = plan(library_with(), "a tree " * 23 + "sunset", count=2, drawing=QUICK)
    next(draw_pictures(planned, warn=warnings.append))
    (text,) = warnings
    assert text.endswith("does not read: sunset")


def test_encoders_leave_before_the_denoiser_comes(plan, library_with, monkeypatch):
    from ticli.models import Model

    load, encoders = Model.load_denoiser, []

    def listen(model):
        encoders.append(model.encoders)
        load(model)

    monkeypatch.setattr(Model, "load_denoiser", listen)
    made(plan(library_with(), "a tree", drawing=QUICK))
    assert encoders == [()]


def test_a_picture_for_the_caller_is_written_where_it_is_saved(plan, library_with, here):
    planned = plan(library_with(), "a tree", drawing=QUICK, output=None)
    (picture,) = draw_pictures(planned)
    assert list(here.iterdir()) == []
    with pytest.raises(Usage, match=r"tree\.jpg"):
        picture.save("tree.jpg")
    picture.save("tree.png")
    picture.save(here / "tree.png")
    assert json.loads(Image.open("tree.png").text["ti"])["seed"] == picture.seed == 7
    assert np.array_equal(np.asarray(Image.open("tree.png")), np.asarray(picture.image))
