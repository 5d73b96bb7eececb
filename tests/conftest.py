"""Every test has its own library and home, and no network."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

CLEARED = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", "CLICOLOR", "PYTHONIOENCODING")
CLEARED_PREFIXES = ("TI_", "XDG_", "HF_", "_TYPER", "TYPER_")


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home and a library of its own; return the library's folder."""
    for name in list(os.environ):
        if name in CLEARED or name.startswith(CLEARED_PREFIXES):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TI_HOME", str(home / "ti"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home / "ti"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves the machine."""
    plain = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX:
            return plain(self, address)
        raise AssertionError(f"a test tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@dataclass(frozen=True)
class Result:
    """What one call of `ti` answered."""

    code: int
    out_bytes: bytes
    err: str

    @property
    def out(self) -> str:
        return self.out_bytes.decode()

    @property
    def json(self) -> Any:
        """The one JSON document of stdout; fails where there is none, or more than one."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Stream(io.TextIOWrapper):
    """A text stream over bytes that says whether it is a terminal."""

    def __init__(self, content: bytes, terminal: bool) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call `ti` in this process: run("list", "--json", stdin="", tty=False) → Result."""

    def call(*arguments: str, stdin: str | bytes = b"", tty: bool = False) -> Result:
        from ticli.__main__ import main

        content = stdin.encode() if isinstance(stdin, str) else stdin
        streams = Stream(content, tty), Stream(b"", tty), Stream(b"", tty)
        with monkeypatch.context() as patch:
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            code = main(list(arguments))
        return Result(code, streams[1].written(), streams[2].written().decode())

    return call


def make_concept(name: str = "mug", **changes: Any) -> Any:
    """Build a small real concept, as learned on the starter."""
    from ticli.concept import BaseModel, Concept, Losses

    concept = Concept(
        name=name,
        token=f"<{name}>",
        noun="",
        kind="object",
        init="cup",
        vectors=1,
        widths={"clip_l": 256},
        base=BaseModel("sd1", "starter", "0.1", "f" * 64),
        recipe={"steps": 160, "lr": 0.001},
        seed=0,
        steps=160,
        losses=Losses(0.2, 0.1, 0.1),
        norms={"clip_l": [0.4]},
        photos=(),
        parents=(),
        tags=(),
        notes="",
        device="cpu",
        versions={"ti": "0.1.0"},
        seconds=80.0,
        created="2026-01-02T03:04:05+00:00",
        used="",
        path="",
        bytes=0,
        sha256="",
    )
    return replace(concept, **changes)


def make_embedding(name: str = "mug", vectors: int = 1, width: int = 256) -> Any:
    """Build reproducible float32 rows of shape (vectors, width); other names, other numbers."""
    import zlib

    import numpy as np

    from ticli.concept import Embedding

    draw = np.random.default_rng(zlib.crc32(name.encode()))
    return Embedding({"clip_l": draw.normal(0, 0.02, (vectors, width)).astype(np.float32)})


@pytest.fixture
def library_with() -> Callable[..., Any]:
    """Fill the test's library: library_with("mug", "cat", tags=("a",)) → Library.

    Keyword arguments are fields of every concept; `vectors` and `width` shape the embedding.
    """

    def fill(*names: str, width: int = 256, **changes: Any) -> Any:
        from ticli.library.library import Library

        library = Library.open(write=True)
        for name in names:
            vectors = changes.get("vectors", 1)
            concept = make_concept(name, widths={"clip_l": width}, **changes)
            library.add(concept, make_embedding(name, vectors, width))
        return library

    return fill
