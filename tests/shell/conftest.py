"""Real processes and real shells: `ti` as the PATH has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
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
