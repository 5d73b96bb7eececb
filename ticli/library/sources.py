"""From what a user names to files that are open: a file, a concept's folder, a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticli.errors import BadContent, NotFound
from ticli.library.formats.reading.opened import open_file, reported
from ticli.library.incoming import Source

# What diffusers calls its files; further encoders, as those of SDXL and SD3, have their own.
WORD_FILES = ("learned_embeds", "learned_embeds_2", "learned_embeds_3")
SUFFIXES = (".safetensors", ".bin")
TOKEN_FILE, KIND_FILE = "token_identifier.txt", "type_of_concept.txt"
LONGEST_NOTE = 4096


@contextlib.contextmanager
def open_sources(path: Path) -> Iterator[Sequence[Source]]:
    """Open the file of a word, or the files of a folder in the layout of concept repositories.

    Such a folder may say its token and kind in two small text files. Raises NotFound and
    BadContent.
    """
    with contextlib.ExitStack() as stack:
        with reported(path):
            is_folder = path.is_dir()
        if not is_folder:
            yield [Source(stack.enter_context(open_file(path)), path.stem)]
            return
        stem = _note(path / TOKEN_FILE) or path.resolve().name
        kind = _note(path / KIND_FILE).lower()
        yield [
            Source(
                stack.enter_context(open_file(file)),
                stem,
                kind if kind in ("object", "style") else "",
            )
            for file in _word_files(path)
        ]


def _word_files(folder: Path) -> list[Path]:
    """The files of a folder that hold its word; safetensors are preferred to pickles."""
    found = []
    for stem in WORD_FILES:
        for suffix in SUFFIXES:
            if (folder / f"{stem}{suffix}").is_file():
                found.append(folder / f"{stem}{suffix}")
                break
    if not found:
        raise BadContent(
            f"{folder} is a folder without {WORD_FILES[0]}{SUFFIXES[0]}",
            "name the files of learned words themselves",
        )
    return found


def _note(path: Path) -> str:
    """The first line of a small text file; "" where there is none."""
    try:
        with open_file(path) as file:
            data = file.read(0, min(file.size, LONGEST_NOTE))
    except NotFound:
        return ""
    lines = data.decode("utf-8-sig", "replace").strip().splitlines()
    return lines[0].strip() if lines else ""
