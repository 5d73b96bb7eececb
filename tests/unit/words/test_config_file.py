"""The config file changes one line at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticli.errors import BadContent, Usage
from ticli.plain_text import read_mapping
from ticli.settings import set_value, unset_value

WRITTEN = """\
# my settings
model: some/model   # the big one

device : cpu
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "config.yaml"


def test_a_missing_file_is_made_for_its_owner_alone(path: Path) -> None:
    set_value(path, "device", "cpu")
    assert path.read_text() == "device: cpu\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_comments_and_order_stay(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(WRITTEN)
    set_value(path, "device", "cuda:1")
    set_value(path, "dtype", "bf16")
    assert path.read_text() == WRITTEN.replace("device : cpu", "device: cuda:1") + "dtype: bf16\n"
    assert unset_value(path, "model")
    assert path.read_text() == "# my settings\n\ndevice: cuda:1\ndtype: bf16\n"


def test_a_last_line_without_its_end(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("device: cpu")
    set_value(path, "dtype", "fp16")
    assert path.read_text() == "device: cpu\ndtype: fp16\n"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "no",
        "010",
        "1e3",
        "~/models/a b",
        "x: y",
        "x:",
        "- x",
        "# x",
        "'",
        '"',
        "\\",
        "a\tb",
        "{}",
        "[x]",
        "&a",
        "*a",
        "!!int 3",
        "café",
        "\u202e",
        "C:\\models",
        "%s",
        "null",
        "@x",
        "`x`",
        "|",
        ">",
        " x ",
    ],
)
def test_every_value_reads_back_as_it_was_given(path: Path, value: str) -> None:
    set_value(path, "model", value)
    set_value(path, "device", "cpu")
    assert read_mapping(path) == {"model": value, "device": "cpu"}


def test_unset_of_what_is_not_there(path: Path) -> None:
    assert not unset_value(path, "model")
    assert not path.parent.exists()


def test_a_link_is_followed_so_that_it_stays_one(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.yaml"
    real.write_text("device: cpu\n")
    path.parent.mkdir()
    path.symlink_to(real)
    set_value(path, "device", "cuda")
    assert path.is_symlink()
    assert real.read_text() == "device: cuda\n"


@pytest.mark.parametrize(
    "text", ["{model: a, device: cpu}\n", "model:\n  a\n", "? model\n: a\n", '"model": a\n']
)
def test_what_cannot_be_changed_by_lines_is_left_alone(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(BadContent):
        set_value(path, "model", "b")
    assert path.read_text() == text


def test_unknown_keys_and_values_write_nothing(path: Path) -> None:
    for key, value in (("colour", "red"), ("device", "toaster"), ("model", "a\nb")):
        with pytest.raises(Usage):
            set_value(path, key, value)
    assert not path.parent.exists()
