"""Show that two checkouts compute the same bits.

    python benchmarks/same_bits.py OLD NEW             compare two checkouts
    python benchmarks/same_bits.py OLD --save FILE     keep the hashes of one
    python benchmarks/same_bits.py NEW --against FILE  compare with hashes kept earlier

Each checkout learns a dozen concepts by the command line, then draws, scores, merges and exports
them, in a library of its own. What is compared are hashes: of vectors, of the pixels of pictures,
of exported files, and of JSON without times, paths and versions. Exits with 1 on any difference.
Equal bits can only be expected on one machine with one version of the libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "examples" / "mug"
FEW = ("--steps", "6", "--batch", "2")
# They differ from call to call, and are no part of what is computed.
VOLATILE = {"seconds", "created", "used", "versions", "path", "paths", "file", "elapsed", "bytes"}
# The hash of a blob covers the metadata, which has the time and the versions.
VOLATILE |= {"sha256", "vectors_sha256", "plots", "sheet"}
SHIPPED = ("quick", "default", "thorough", "paper", "cross", "directional", "fairer")
# name → what `ti invert` is told besides the token, the photos and FEW.
LEARNED: Mapping[str, tuple[str, ...]] = {
    **{name: ("--recipe", name, "--init", "mug") for name in SHIPPED},
    "style": ("--kind", "style"),
    "stopping": ("--steps", "24", "--evaluate-every", "3", "--stop-window", "2"),
    "restarts": ("--restarts", "2", "--hold-out", "auto"),
    "masks": ("--masks", "--mask-background", "0.2"),
    "captions": ("--captions", "--vectors", "2"),
    "twin": ("--negative-vectors", "2", "--negative-guidance", "3"),
    "auto": ("--init", "auto", "--init-candidates", "3"),
    "pulled": ("--norm", "pull", "--context", "0.1", "--extend-every", "2", "--vectors", "2"),
}
EXPORTS = ("a1111", "comfyui", "invokeai", "kohya", "onetrainer", "diffusers", "png")
LAYOUTS = ("a1111-pt", "original-pt", "diffusers-bin", "emb_params", "concept-repo", "bundle")

# Files of these hold the time they were made: their vectors are compared by importing them.
TIMED = ("png", "a1111-pt")


class Checkout:
    """A checkout at work: its code, and a library and a folder of its own."""

    def __init__(self, code: Path, work: Path) -> None:
        self.code, self.work = code.resolve(), work
        self.photos = work / "photos"
        self.photos.mkdir(parents=True)
        for number, photo in enumerate(sorted(PHOTOS.glob("*.jpg"))):
            copy = self.photos / photo.name
            copy.write_bytes(photo.read_bytes())
            copy.with_suffix(".txt").write_text(f"a picture of a {{}} seen {number} times\n")
            with Image.open(photo) as image:
                width, height = ImageOps.exif_transpose(image).size
                mask = Image.new("L", (width, height), 0)
                mask.paste(255, (width // 5, height // 5, width * 4 // 5, height * 4 // 5))
            mask.save(self.photos / f"{photo.stem}.mask.png")
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.code),
            "TI_HOME": str(work / "home"),
            "TI_OFFLINE": "1",
            "OMP_NUM_THREADS": "2",
            "MKL_NUM_THREADS": "2",
        }

    def ti(self, *arguments: str, code: int = 0) -> str:
        """Run `ti` to its end and return its stdout."""
        done = self.start(*arguments)
        out, err = done.communicate(timeout=900)
        if done.returncode != code:
            sys.exit(f"{self.code}: ti {' '.join(arguments)} ended with {done.returncode}\n{err}")
        return out

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ticli", *arguments],
            cwd=self.work,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def invert(self, name: str, *arguments: str) -> tuple[str, ...]:
        """The arguments that learn a concept in few steps."""
        few = FEW if "--steps" not in arguments else FEW[2:]
        return ("invert", str(self.photos), "--token", name, "-q", *few, *arguments)

    def concept(self, name: str) -> dict[str, str]:
        """Hashes of a concept's vectors and of what the library says of it."""
        shown = json.loads(self.ti("show", name, "--json"))
        return {"vectors": tensors(Path(shown["path"])), "json": text_of(shown)}


def tensors(path: Path) -> str:
    """The hash of a safetensors file's tensors, its metadata apart."""
    digest = hashlib.sha256()
    for key, array in sorted(load_file(path).items()):
        digest.update(f"{key} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def pixels(path: Path) -> str:
    """The hash of a picture's pixels, its texts apart."""
    with Image.open(path) as image:
        return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def text_of(value: Any) -> str:
    """The hash of a JSON value without what differs from call to call."""

    def steady(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: steady(item) for key, item in value.items() if key not in VOLATILE}
        return [steady(item) for item in value] if isinstance(value, list) else value

    return hashlib.sha256(json.dumps(steady(value), sort_keys=True).encode()).hexdigest()


def learned(checkout: Checkout) -> Iterator[tuple[str, str]]:
    for name, arguments in LEARNED.items():
        checkout.ti(*checkout.invert(name, *arguments))
        for part, digest in checkout.concept(name).items():
            yield f"{name}: {part}", digest
    yield "twin-neg: vectors", checkout.concept("twin-neg")["vectors"]


def side_by_side(checkout: Checkout) -> Iterator[tuple[str, str]]:
    names = ("one", "two", "three")
    pairs = [part for name in names for part in ("--token", f"{name}={checkout.photos}")]
    checkout.ti("invert", *pairs, "-q", *FEW, "--evaluate-every", "2")
    for name in names:
        for part, digest in checkout.concept(name).items():
            yield f"side by side, {name}: {part}", digest


def resumed(checkout: Checkout) -> Iterator[tuple[str, str]]:
    """A run that Ctrl-C stops on its way, continued, against the same run undisturbed."""
    options = ("--steps", "40", "--evaluate-every", "5", "--stop", "never")
    run = checkout.start(*checkout.invert("broken", *options))
    checkpoints = checkout.work / "home" / "runs"
    while run.poll() is None and not list(checkpoints.rglob("checkpoint*")):
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        run.send_signal(signal.SIGINT)
    run.communicate(timeout=600)
    if run.returncode not in (0, 130):
        sys.exit(f"{checkout.code}: an interrupted run ended with {run.returncode}")
    if run.returncode:
        checkout.ti(*checkout.invert("broken", *options))
    checkout.ti(*checkout.invert("whole", *options))
    broken, whole = (checkout.concept(name)["vectors"] for name in ("broken", "whole"))
    yield "resumed: vectors", broken
    yield "resumed equals undisturbed", str(broken == whole)


def drawn(checkout: Checkout) -> Iterator[tuple[str, str]]:
    calls = {
        "plain": ("<default> on the moon", "--count", "2"),
        "euler": ("a <style> painting of a <default>", "--sampler", "euler"),
        "negative": ("a photo of a <masks>", "--negative", "<twin-neg>, blurry"),
        "no noun": ("a photo of a <captions>", "--no-noun", "--size", "96x128"),
    }
    for name, (prompt, *arguments) in calls.items():
        out = checkout.ti("generate", prompt, "--seed", "7", "--steps", "6", "-q", *arguments)
        for number, line in enumerate(out.splitlines(), 1):
            yield f"drawn, {name} {number}: pixels", pixels(checkout.work / line)
    checkout.ti(*checkout.invert("seen", "--preview-every", "3"))
    previews = sorted((checkout.work / "home").rglob("*.png")) + sorted(
        checkout.work.glob("*3*.png")
    )
    for number, path in enumerate(previews, 1):
        yield f"preview {number}: pixels", pixels(path)


def scored(checkout: Checkout) -> Iterator[tuple[str, str]]:
    arguments = ("--samples", "2", "--scene-samples", "1", "--steps", "4", "--json")
    out = checkout.ti("score", "default", "masks", "--photos", str(PHOTOS), *arguments)
    yield "scored: json", text_of(json.loads(out))


def exported(checkout: Checkout) -> Iterator[tuple[str, str]]:
    checkout.ti("merge", "one", "two", "--token", "mixed", "-q")
    checkout.ti("merge", "one", "two", "--token", "joined", "--method", "concat", "-q")
    for name in ("mixed", "joined"):
        yield f"merged, {name}: vectors", checkout.concept(name)["vectors"]
    wanted = [("--for", program) for program in EXPORTS]
    for option, program in [*wanted, *(("--format", layout) for layout in LAYOUTS)]:
        folder = checkout.work / "out" / program
        folder.mkdir(parents=True)
        checkout.ti("export", "captions", option, program, "-o", f"{folder}/", "-q")
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = f"exported, {program}: {path.relative_to(folder)}"
            if path.suffix == ".safetensors":
                yield name, tensors(path)
            elif program not in TIMED:
                yield name, hashlib.sha256(path.read_bytes()).hexdigest()
            if program in ("a1111", "diffusers", *TIMED):
                checkout.ti("import", str(path), "--token", f"back-{program}", "-q")
                yield f"{name}, back", checkout.concept(f"back-{program}")["vectors"]


PARTS: tuple[Callable[[Checkout], Iterator[tuple[str, str]]], ...] = (
    learned,
    side_by_side,
    resumed,
    drawn,
    scored,
    exported,
)


def hashes(code: Path) -> dict[str, str]:
    """Every hash of one checkout, by what it is of."""
    found = {}
    with tempfile.TemporaryDirectory() as work:
        checkout = Checkout(code, Path(work))
        for part in PARTS:
            start = time.monotonic()
            found.update(part(checkout))
            print(f"{code}: {part.__name__}, {time.monotonic() - start:.0f} s", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", type=Path, nargs="+")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    if len(options.checkouts) + bool(options.save or options.against) != 2:
        parser.error("give two checkouts, or one with --save or --against")
    new = hashes(options.checkouts[-1])
    if options.save:
        options.save.write_text(json.dumps(new, indent=1))
        return
    kept = options.against
    old = json.loads(kept.read_text()) if kept else hashes(options.checkouts[0])
    names = list(dict.fromkeys([*old, *new]))
    for name in names:
        same = old.get(name) == new.get(name)
        print(f"{'equal    ' if same else 'DIFFERENT'} {name}")
    different = sum(old.get(name) != new.get(name) for name in names)
    print(f"{len(names)} compared, {different} different")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
