"""Every test has its own library and home, and no network."""

from __future__ import annotations

import functools
import gc
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from concepts import make_concept, make_embedding

CLEARED = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", "CLICOLOR", "PYTHONIOENCODING")
CLEARED_PREFIXES = ("TI_", "XDG_", "HF_", "_TYPER", "TYPER_")
# Threads that wait by spinning make a busy machine ten times slower, and where several workers
# share the tests each has a thread of its own. torch is not imported yet.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What nohup and a shell's & ignore would be ignored by the commands that the tests stop.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-sweep",
        action="store_true",
        help="Try every moment of every fault; by default some of each.",
    )


frozen = 0


def pytest_runtest_setup() -> None:
    """Take newly imported libraries out of garbage collection.

    Commands collect garbage when they let go of a model. Walking through all of torch each time
    took a quarter of the suite.
    """
    global frozen
    if len(sys.modules) > frozen + 100:
        gc.collect()
        gc.freeze()
        frozen = len(sys.modules)


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
        import typer.main

        from ticli.__main__ import main

        # Typer evaluates a command's annotations at every call: half the time of a short one.
        if not hasattr(typer.main.get_params_from_function, "cache_info"):
            cached = functools.cache(typer.main.get_params_from_function)
            typer.main.get_params_from_function = cached

        content = stdin.encode() if isinstance(stdin, str) else stdin
        streams = Stream(content, tty), Stream(b"", tty), Stream(b"", tty)
        with monkeypatch.context() as patch:
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            code = main(list(arguments))
        return Result(code, streams[1].written(), streams[2].written().decode())

    return call


@pytest.fixture
def library_with() -> Callable[..., Any]:
    """Fill the test's library: library_with("mug", "cat", tags=("a",)) → Library.

    Keyword arguments are fields of every concept; `vectors` and `width` shape the embedding.
    """

    def fill(*names: str, width: int = 256, **changes: Any) -> Any:
        from ticli.library import Library

        library = Library.open(write=True)
        for name in names:
            vectors = changes.get("vectors", 1)
            concept = make_concept(name, widths={"clip_l": width}, **changes)
            library.add(concept, make_embedding(name, vectors, width))
        return library

    return fill
