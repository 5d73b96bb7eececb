"""Where pictures go and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticli.errors import Conflict, Usage
from ticli.generation import find_place, free_file, plan_files, plan_grid, prompt_slug

pytestmark = pytest.mark.usefixtures("here")


def shown(place, pictures, force=False):
    return [file.shown for file in plan_files(place, pictures, force=force)]


def test_the_prompt_and_the_seed_name_a_picture_in_the_current_folder():
    place = find_place("", "", several=True)
    pictures = [("<mug> on the moon", 7), ("<mug> on the moon", 8)]
    assert shown(place, pictures) == ["mug-on-the-moon-7.png", "mug-on-the-moon-8.png"]


def test_a_name_that_is_taken_gets_the_next_number():
    place = find_place("", "", several=False)
    Path("mug-7.png").touch()
    assert shown(place, [("mug", 7)]) == ["mug-7-2.png"]
    Path("mug-7-2.png").symlink_to("nowhere")
    assert shown(place, [("mug", 7)]) == ["mug-7-3.png"]
    assert shown(place, [("mug", 7)], force=True) == ["mug-7.png"]
    assert free_file(place, "mug-7", {"mug-7-3.png"}).shown == "mug-7-4.png"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("shots", "shots/mug-7.png"),
        ("shots/", "shots/mug-7.png"),
        ("./shots", "./shots/mug-7.png"),
        ("../shots//", "../shots//mug-7.png"),
        ("new/er", "new/er/mug-7.png"),
        ("v1.5", "v1.5/mug-7.png"),
        ("moon.png", "moon.png"),
        ("./moon.PNG", "./moon.PNG"),
        ("new/moon.png", "new/moon.png"),
        ("moon.png/", "moon.png/mug-7.png"),
    ],
)
def test_a_folder_or_a_file_is_told_apart_and_shown_as_typed(output, expected):
    place = find_place(output, "", several=False)
    (file,) = plan_files(place, [("mug", 7)], force=False)
    assert file.shown == expected
    assert file.path == Path(expected)
    assert not Path("new").exists()


def test_a_folder_named_like_a_picture_is_a_folder():
    Path("moon.png").mkdir()
    assert shown(find_place("moon.png", "", several=False), [("mug", 7)]) == ["moon.png/mug-7.png"]


def test_the_configured_folder_is_used_without_an_output(tmp_path):
    place = find_place("", str(tmp_path / "art"), several=False)
    assert shown(place, [("mug", 7)]) == [f"{tmp_path}/art/mug-7.png"]
    assert shown(find_place("x", str(tmp_path), several=False), [("mug", 7)]) == ["x/mug-7.png"]


def test_several_pictures_to_one_file_take_their_seeds():
    place = find_place("a/moon.png", "", several=True)
    assert shown(place, [("mug", 7), ("cat", 8)]) == ["a/moon-7.png", "a/moon-8.png"]
    assert plan_grid(place, "mug", 7, force=False).shown == "a/moon-grid.png"


def test_a_file_that_the_user_named_is_never_replaced_unasked():
    Path("moon.png").touch()
    with pytest.raises(Conflict, match=r"moon\.png exists"):
        shown(find_place("moon.png", "", several=False), [("mug", 7)])
    assert shown(find_place("moon.png", "", several=False), [("mug", 7)], force=True)
    Path("moon-8.png").touch()
    with pytest.raises(Conflict, match=r"moon-8\.png exists"):
        shown(find_place("moon.png", "", several=True), [("mug", 7), ("mug", 8)])
    Path("moon-grid.png").touch()
    with pytest.raises(Conflict, match=r"moon-grid\.png exists"):
        plan_grid(find_place("moon.png", "", several=True), "mug", 7, force=False)


def test_a_folder_in_the_way_of_a_named_picture_is_not_overwritten():
    Path("moon-8.png").mkdir()
    with pytest.raises(Conflict, match="folder"):
        shown(find_place("moon.png", "", several=True), [("mug", 8)], force=True)


def test_a_file_in_the_way_of_a_folder_is_named():
    Path("shots").touch()
    with pytest.raises(Conflict, match="shots is a file"):
        find_place("shots", "", several=False)


@pytest.mark.parametrize("name", ["moon.jpg", "a/moon.WEBP", "moon.tif"])
def test_only_png_is_written(name):
    with pytest.raises(Usage) as caught:
        find_place(name, "", several=False)
    assert Path(name).stem + ".png" in caught.value.hint


def test_the_grid_is_named_after_the_first_picture():
    place = find_place("", "", several=True)
    assert plan_grid(place, "<mug>", 7, force=False).shown == "mug-7-grid.png"
    Path("mug-7-grid.png").touch()
    assert plan_grid(place, "<mug>", 7, force=False).shown == "mug-7-grid-2.png"
    assert plan_grid(place, "<mug>", 7, force=True).shown == "mug-7-grid.png"


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("月の上のマグ", "picture"),
        ("-rf *", "rf"),
        ("con", "my-con"),
        ("x" * 300, "x" * 64),
        ("\x1b[2J \n", "2j"),
    ],
)
def test_a_prompt_never_steers_the_path(prompt, slug):
    assert prompt_slug(prompt) == slug
