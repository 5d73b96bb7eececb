"""Real processes and real shells: `ti` as the PATH has it."""

from __future__ import annotations

import errno
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SECONDS = 120
# `ti` as this interpreter has it, whether or not its script was installed.
LAUNCHER = '#!/bin/sh\nexec "{python}" -m ticli "$@"\n'


@pytest.fixture(autouse=True)
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `ti` of this interpreter first on the PATH, and work in an empty folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "ti"
    script.write_text(LAUNCHER.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return script


@dataclass(frozen=True)
class Done:
    """What a process left."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def shell() -> Callable[..., Done]:
    """Run a script in bash with pipefail: shell("ti list | head -1") → Done."""

    def call(script: str, name: str = "bash", environment: Mapping[str, str] | None = None) -> Done:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        options = ["--noprofile", "--norc", "-o", "pipefail"] if name == "bash" else []
        if name == "zsh":
            options = ["-f"]
        done = subprocess.run(
            [name, *options, "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            env={**os.environ, **(environment or {})},
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture
def ti() -> Callable[..., Done]:
    """Run `ti` in a process of its own: ti("list", "-q", stdin="") → Done."""

    def call(
        *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
    ) -> Done:
        done = subprocess.run(
            ["ti", *arguments],
            input=stdin.encode(),
            capture_output=True,
            timeout=SECONDS,
            env={**os.environ, **(environment or {})},
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


class Terminal:
    """A program on a pseudo-terminal: what it shows, and keys to send it."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            arguments,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=lambda: self._own(follower),
            env={**os.environ, **environment},
        )
        os.close(follower)
        self.shown = ""

    @staticmethod
    def _own(follower: int) -> None:
        # Keys such as Ctrl-C reach the program only on its own controlling terminal.
        import fcntl
        import termios

        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)

    def send(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def wait_for(self, text: str) -> str:
        """Read until `text` is shown; return all that was shown since the last wait."""
        start, deadline = len(self.shown), time.monotonic() + SECONDS
        while text not in self.shown[start:]:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.shown!r}"
            if not self._read():
                raise AssertionError(f"{text!r} never came: {self.shown!r}")
        return self.shown[start:]

    def finish(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        return self.process.wait(SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.leader)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.leader], [], [], SECONDS)
        assert ready, f"silence after {self.shown!r}"
        try:
            piece = os.read(self.leader, 65536)
        except OSError as error:
            # Linux says so where the last writer of a terminal has gone.
            if error.errno != errno.EIO:
                raise
            return False
        self.shown += piece.decode(errors="replace")
        return bool(piece)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Start a program on a terminal: terminal("ti", "rm", "mug", NO_COLOR="1") → Terminal."""
    started: list[Terminal] = []

    def start(*arguments: str, **environment: str) -> Terminal:
        started.append(Terminal(arguments, environment))
        return started[-1]

    yield start
    for one in started:
        one.close()
