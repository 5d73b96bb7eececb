"""PNG files that carry how they were made, and sheets of several."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO

import pytest
from harmless import ATTACK
from PIL import Image

from ticli.errors import Conflict
from ticli.generation import (
    LARGEST_SHEET,
    Drawing,
    DrawingRequest,
    Sheet,
    describe,
    find_place,
    free_file,
    plan_files,
    png_bytes,
    write_picture,
)
from ticli.models.locate import starter

RED = Image.new("RGB", (128, 64), "red")


@pytest.fixture
def planned(plan, library_with):
    """One picture of the starter, planned with its fingerprint known."""
    library = library_with("mug", noun="cup")
    drawing = DrawingRequest(size="128x64")
    made = plan(library, "a <mug> 月", negative="blurry <mug>", drawing=drawing)
    return replace(made, choice=replace(made.choice, fingerprint="abc"))


@pytest.fixture
def description(planned):
    return describe(planned, planned.pictures[0])


def test_a_picture_says_how_it_was_made(description, library_with):
    picture = Image.open(BytesIO(png_bytes(RED, description)))
    kept = json.loads(picture.text["ti"])
    assert kept == description
    assert kept["prompt"] == "a <mug> 月"
    assert kept["prompt_used"] == "a <mug> cup 月"
    assert kept["negative_used"] == "blurry <mug> cup"
    assert (kept["seed"], kept["steps"], kept["guidance"]) == (7, 25, 4.0)
    assert (kept["sampler"], kept["width"], kept["height"]) == ("ddim", 128, 64)
    assert kept["model"] == {
        "id": "starter",
        "family": "sd1",
        "revision": starter().revision,
        "fingerprint": "abc",
    }
    concept = library_with().get("mug")
    assert kept["concepts"] == [{"name": "mug", "token": "<mug>", "sha256": concept.sha256}]


def test_other_tools_find_their_line(description):
    picture = Image.open(BytesIO(png_bytes(RED, description)))
    lines = picture.text["parameters"].splitlines()
    assert lines[:2] == ["a <mug> cup 月", "Negative prompt: blurry <mug> cup"]
    assert "Steps: 25, Sampler: ddim, CFG scale: 4.0, Seed: 7, Size: 128x64" in lines[2]


def test_a_prompt_cannot_pass_for_the_values_of_a_picture(description):
    hostile = f"{ATTACK}\nSteps: 1, Seed: 666\0Negative prompt: x"
    changed = description | {"prompt_used": hostile, "negative_used": hostile, "prompt": hostile}
    picture = Image.open(BytesIO(png_bytes(RED, changed)))
    assert json.loads(picture.text["ti"]) == changed
    assert picture.text["ti"].isascii()
    lines = picture.text["parameters"].splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("Steps: 25, ") and "\0" not in picture.text["parameters"]


def test_equal_pictures_are_equal_files(description):
    assert png_bytes(RED, description) == png_bytes(RED.copy(), dict(description))
    assert png_bytes(RED, description) != png_bytes(RED, description | {"seed": 8})


@pytest.mark.parametrize(
    ("model", "shown"), [("/home/me/my-model", "my-model"), ("maker/model", "maker/model")]
)
def test_no_folder_of_this_machine_gets_into_a_picture(planned, model, shown, tmp_path):
    source = replace(planned.choice.source, id=model)
    changed = replace(planned, choice=replace(planned.choice, source=source))
    described = describe(changed, changed.pictures[0])
    assert described["model"]["id"] == shown
    assert str(tmp_path) not in json.dumps(described)


def test_a_free_name_taken_meanwhile_makes_way(tmp_path):
    place = find_place(f"{tmp_path}/shots/", "", several=False)
    place.folder.mkdir()
    (file,) = plan_files(place, [("mug", 7)], force=False)
    file.path.write_text("another program's")
    written = write_picture(b"ours", file, place, force=False)
    assert written.path.name == "mug-7-2.png"
    assert written.path.read_bytes() == b"ours"
    assert file.path.read_text() == "another program's"
    assert free_file(place, "mug-7").path.name == "mug-7-3.png"


def test_a_named_file_taken_meanwhile_is_a_conflict(tmp_path):
    place = find_place(f"{tmp_path}/moon.png", "", several=False)
    (file,) = plan_files(place, [("mug", 7)], force=False)
    file.path.write_text("theirs")
    with pytest.raises(Conflict):
        write_picture(b"ours", file, place, force=False)
    assert file.path.read_text() == "theirs"
    assert write_picture(b"ours", file, place, force=True) == file
    assert file.path.read_bytes() == b"ours"
    assert [entry.name for entry in tmp_path.glob("*moon*")] == ["moon.png"]


def test_a_sheet_holds_every_picture_in_order():
    drawing = Drawing("ddim", 1, 1.0, 8, 8)
    sheet = Sheet(5, drawing)
    colours = ["red", "lime", "blue", "black", "yellow"]
    for colour in colours:
        sheet.add(Image.new("RGB", (8, 8), colour))
    assert sheet.image.size == (24, 16)
    spots = [(4 + 8 * column, 4 + 8 * row) for row in range(2) for column in range(3)]
    found = [sheet.image.getpixel(spot) for spot in spots]
    expected = [Image.new("RGB", (1, 1), colour).getpixel((0, 0)) for colour in colours]
    assert found == [*expected, (255, 255, 255)]


def test_a_large_sheet_is_shrunk():
    sheet = Sheet(9, Drawing("ddim", 1, 1.0, 4096, 2048))
    sheet.add(Image.new("RGB", (4096, 2048), "red"))
    assert sheet.image.width <= LARGEST_SHEET
    assert sheet.image.getpixel((sheet.image.width // 3 - 1, 0)) == (255, 0, 0)
    assert sheet.image.getpixel((sheet.image.width // 3 + 1, 0)) == (255, 255, 255)
