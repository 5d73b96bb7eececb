"""Plans carried out on the starter: files that can be made again from what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticli.generation.draw import cut_texts, make, prepare
from ticli.generation.model_choice import Wish
from ticli.generation.picture_plan import Wanted
from ticli.models.hardware import pick_hardware

QUICK = Wanted(steps=2, size="64")
pytestmark = [
    pytest.mark.usefixtures("here", "one_thread"),
    # diffusers makes numpy arrays of tensors in a way that numpy 2 will not take for ever.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def made(plan):
    return list(make(prepare(plan, pick_hardware("cpu"))))


def test_a_picture_is_made_again_from_what_it_says(plan, library_with):
    library = library_with("mug", noun="cup", vectors=2)
    wanted = Wanted(steps=3, size="72x64", guidance=2.5, sampler="euler-a")
    first = plan(library, "a <mug> here", count=2, negative="blue", wanted=wanted)
    said = json.loads(Image.open(made(first)[1].shown).text["ti"])
    again = plan(
        library,
        said["prompt"],
        negative=said["negative"],
        seed=said["seed"],
        wanted=Wanted(
            said["steps"], said["guidance"], f"{said['width']}x{said['height']}", said["sampler"]
        ),
        wish=Wish(model=said["model"]["id"]),
        output="again.png",
    )
    made(again)
    assert Path("again.png").read_bytes() == Path("a-mug-here-8.png").read_bytes()
    assert said["prompt_used"] == "a <mug> cup here"


def test_pictures_and_the_sheet_are_yielded_as_they_are_written(plan, library_with, here):
    library = library_with("mug")
    studio = prepare(
        plan(library, "a <mug>", count=2, grid=True, wanted=QUICK, output="new/er"),
        pick_hardware("cpu"),
    )
    # Encoders are large: they leave before the denoiser comes.
    assert studio.model.encoders == () and studio.model.denoiser is not None
    making = make(studio)
    assert next(making).shown == "new/er/a-mug-7.png"
    assert [path.name for path in here.rglob("*.png")] == ["a-mug-7.png"]
    second, sheet = making
    assert (second.shown, second.sheet) == ("new/er/a-mug-8.png", False)
    assert (sheet.shown, sheet.sheet) == ("new/er/a-mug-7-grid.png", True)
    left, right = np.hsplit(np.asarray(Image.open(sheet.shown)), 2)
    assert np.array_equal(left, np.asarray(Image.open("new/er/a-mug-7.png")))
    assert np.array_equal(right, np.asarray(Image.open(second.shown)))


def test_a_concept_is_seen_in_the_picture(plan, library_with):
    library = library_with("mug", "cat")
    pictures = made(plan(library, "a <mug>", wanted=QUICK, output="mug.png"))
    pictures += made(plan(library, "a <cat>", wanted=QUICK, output="cat.png"))
    mug, cat = (np.asarray(Image.open(picture.shown)) for picture in pictures)
    assert not np.array_equal(mug, cat)


def test_stdout_gets_the_bytes_and_the_folder_nothing(plan, library_with, here):
    (picture,) = made(plan(library_with(), "a tree", wanted=QUICK, output="-"))
    assert picture.data.startswith(b"\x89PNG")
    assert picture.shown == "-"
    assert list(here.iterdir()) == []


def test_a_local_folder_draws_and_is_named_without_its_path(plan, library_with, model_folder):
    folder = model_folder("my-model")
    wish = Wish(model=str(folder))
    (picture,) = made(plan(library_with(), "a tree", wanted=QUICK, wish=wish))
    raw = Path(picture.shown).read_bytes()
    assert b"my-model" in raw
    assert str(folder.parent).encode() not in raw


def test_words_that_are_cut_off_are_said_once(plan, library_with):
    studio = prepare(
        plan(library_with(), "a tree " * 23 + "sunset", count=2, wanted=QUICK), pick_hardware("cpu")
    )
    assert cut_texts(studio) == ["sunset"]
