"""Changes to a library, each in a process of its own that a test can trace and kill."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ticli.concept import BaseModel, Concept, Embedding, PhotoRecord
from ticli.library.describe import bare_concept
from ticli.library.library import Library
from ticli.library.merging import merge, merged_concept
from ticli.names import parse_token

BASE = BaseModel("sd1", "starter", "0.1", "f0")


def word(name: str, scale: float = 1.0) -> tuple[Concept, Embedding]:
    """A concept of one vector, the same in every process."""
    rows = np.linspace(-0.02, 0.03, 256, dtype=np.float32).reshape(1, 256) * np.float32(scale)
    embedding = Embedding({"clip_l": rows})
    concept = replace(
        bare_concept(parse_token(name), embedding, BASE),
        photos=(PhotoRecord("a.jpg", "ab" * 32),),
        created="2026-01-01T00:00:00Z",
    )
    return concept, embedding


def prepare() -> None:
    library = Library.open(write=True)
    for number, name in enumerate(("mug", "cup", "vase"), start=1):
        library.add(*word(name, number))


def first() -> None:
    """The change that also makes the library."""
    Library.open(write=True).add(*word("first", 9))


def add() -> None:
    Library.open(write=True).add(*word("new", 9))


def overwrite() -> None:
    Library.open(write=True).add(*word("mug", 9), replace=True)


def combine() -> None:
    library = Library.open()
    parts = [(library.get(name), None) for name in ("mug", "cup")]
    merged = merge([(library.embedding(concept), weight) for concept, weight in parts], "slerp")
    concept = merged_concept(parse_token("both"), parts, merged, "slerp")
    library.add(concept, merged)


def rename() -> None:
    library = Library.open()
    if library.find("mug"):
        library.rename("mug", parse_token("<Tasse>"))


def remove() -> None:
    library = Library.open()
    if left := [name for name in ("mug", "vase") if library.find(name)]:
        library.remove(left)


CHANGES: dict[str, Callable[[], None]] = {
    change.__name__: change for change in (first, add, overwrite, combine, rename, remove)
}

PR_SET_PTRACER, ANY_PROCESS = 0x59616D61, -1


def serve() -> None:
    """For each line NAME: fork, print the child's number, run NAME at the next byte, print how it
    ended. What costs time, the imports, is done once, before the first fork.
    """
    import sqlite_utils  # noqa: F401

    while name := read_line():
        child = os.fork()
        if not child:
            # Where only parents may trace, this lets in the tracer the test starts.
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY_PROCESS, 0, 0, 0)
            print(os.getpid(), flush=True)
            os.read(0, 1)
            CHANGES[name]()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def read_line() -> str:
    """One line, and no byte more: the next is for a child."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


if __name__ == "__main__":
    serve()
