"""Pictures as a user draws them: by the command itself, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from PIL import Image


def ti(*arguments: str) -> list[dict[str, str]]:
    """The objects that a command of `ti` answers with."""
    done = subprocess.run(
        [sys.executable, "-m", "ticli", *arguments, "--json", "-q"],
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


def draw(prompt: str, count: int, seed: int = 0) -> list[Image.Image]:
    """So many pictures of a prompt, with seeds from `seed`."""
    with tempfile.TemporaryDirectory(prefix="ti-drawn-") as folder:
        where = ("-n", str(count), "--seed", str(seed), "-o", f"{folder}/")
        return [Image.open(item["path"]).convert("RGB") for item in ti("generate", prompt, *where)]
