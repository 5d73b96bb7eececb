"""A file that is exchanged after it was opened is not the file that is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticli.library import LARGEST_FILE, open_file


@pytest.mark.parametrize("size", [100, LARGEST_FILE + 1], ids=["small", "large"])
def test_an_exchanged_file_is_read_as_it_was_checked(tmp_path: Path, size: int) -> None:
    path, other = tmp_path / "word.safetensors", tmp_path / "other"
    for file, first in ((path, b"checked"), (other, b"EXCHANGED")):
        with file.open("wb") as stream:
            stream.write(first)
            stream.truncate(size)
    with open_file(path) as opened:
        other.replace(path)
        assert opened.read(0, 7) == b"checked"
    with open_file(path) as opened:
        assert opened.read(0, 9) == b"EXCHANGED"
