"""A large library of made-up concepts, built fast: real rows and files, nothing synced to disk.

python benchmarks/library_of.py FOLDER CONCEPTS
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from ticli.concept import BaseModel, Concept, Embedding, Losses, PhotoRecord
from ticli.library import record, store
from ticli.library.database import change, open_to_write
from ticli.library.record import bare_concept
from ticli.names import parse_token
from ticli.paths import Places
from ticli.recipe import Recipe

COLOURS = "red blue green amber ivory teal violet brass slate coral".split()  # noqa: SIM905
THINGS = "mug teapot bowl vase chair lamp robot owl cactus backpack clock boot".split()  # noqa: SIM905
TAGS = [f"set-{number}" for number in range(40)]
NOTES = (  # noqa: SIM905
    "bought chipped rim handle glaze morning light window shelf grandmother market second hand "
    "studio draft keep blurred sharp café Bücher naïve painted kiln autumn wool linen cold warm"
).split()
WIDTH = 256
BASES = (
    BaseModel("sd1", "starter", "0.1", "0" * 64),
    BaseModel("sd1", "stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe1" * 5, "1" * 64),
)
RECIPE = {knob.name: getattr(Recipe(), knob.name) for knob in fields(Recipe)} | {
    "sentences": [f"a photo of a {{}}, {word}" for word in NOTES[:12]]
}
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def made_up(number: int) -> tuple[Concept, Embedding]:
    """The concept of that number, the same every time, with as much to say as a learned one."""
    draw = random.Random(number)
    rows = np.random.default_rng(number).normal(0, 0.02, (1, WIDTH)).astype(np.float32)
    embedding = Embedding({"clip_l": rows})
    thing = draw.choice(THINGS)
    token = parse_token(f"{draw.choice(COLOURS)}-{thing}-{number:06d}x")
    concept = replace(
        bare_concept(token, embedding, draw.choice(BASES)),
        noun=thing,
        init=thing,
        recipe=RECIPE,
        seed=number,
        steps=300,
        losses=Losses(0.21, 0.18, 0.17),
        photos=tuple(
            PhotoRecord(f"IMG_{number}_{i}.jpg", hashlib.sha256(b"%d %d" % (number, i)).hexdigest())
            for i in range(5)
        ),
        tags=tuple(draw.sample(TAGS, draw.randrange(4))),
        notes=" ".join(draw.choices(NOTES, k=12)),
        device="cpu",
        versions={"ti": "0.1.0", "torch": "2.13.0", "diffusers": "0.42.1"},
        seconds=83.1,
        created=(FIRST_DAY + timedelta(minutes=number)).isoformat().replace("+00:00", "Z"),
    )
    return concept, embedding


def build(home: Path, count: int) -> None:
    """Fill the library at `home` with `count` concepts in one transaction."""
    places = Places(home, home / "config.yaml", home / "runs", home / "cache")
    connection = open_to_write(places.database, places.blobs)
    for number in range(256):
        (places.blobs / f"{number:02x}").mkdir(mode=0o700, parents=True, exist_ok=True)
    with change(connection):
        for concept in _stored(places.blobs, count):
            record.insert(connection, concept)
    connection.close()


def _stored(blobs: Path, count: int) -> Iterator[Concept]:
    """Write each file in one call, as no crash has to be survived here."""
    for number in range(count):
        concept, embedding = made_up(number)
        data = store.encode_blob(concept, embedding)
        sha256 = hashlib.sha256(data).hexdigest()
        path = store.blob_path(blobs, sha256)
        path.write_bytes(data)
        path.chmod(0o600)
        yield replace(concept, path=str(path), bytes=len(data), sha256=sha256)


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
