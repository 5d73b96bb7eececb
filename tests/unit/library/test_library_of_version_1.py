"""The library under tests/data/v1 was made by ti 0.1.0 and stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ticli.concept import BaseModel, Curves, Losses, Outcome, PhotoRecord
from ticli.library import Library, Query, read_embedding
from ticli.names import parse_token

KEPT = Path(__file__).parents[2] / "data" / "v1"


@pytest.fixture
def old(library: Library) -> Library:
    shutil.copytree(KEPT, library.places.home)
    return library


def test_it_lists_in_every_order(old: Library) -> None:
    assert old.names() == ["both", "ink", "red-mug"]
    created = old.concepts(Query(sort="created"))
    assert [concept.name for concept in created] == ["red-mug", "ink", "both"]
    assert [concept.name for concept in old.search("grandma")] == ["red-mug"]
    assert [concept.name for concept in old.concepts(Query(tags=("draft",)))] == ["both"]


def test_its_fields_are_what_they_were(old: Library) -> None:
    mug = old.get("<red-mug>")
    assert (mug.token, mug.noun, mug.vectors, mug.seed, mug.steps) == (
        "<Red-Mug>",
        "mug",
        2,
        7,
        160,
    )
    assert mug.base == BaseModel("sd1", "starter", "0.1", "0123456789abcdef" * 4)
    assert mug.losses == Losses(0.21, 0.18, 0.17)
    assert mug.photos[1] == PhotoRecord("Seite äöü.png", "b2" * 32)
    assert mug.notes == "Grandma's café mug\nsecond line"
    assert (mug.recipe["vectors"], mug.recipe["lr"], mug.seconds) == (2, 0.001, 81.25)
    assert mug.created == "2026-01-02T03:04:05Z"
    both = old.get("both")
    assert [(parent.name, parent.weight) for parent in both.parents] == [
        ("red-mug", 0.7),
        ("ink", None),
    ]
    assert both.parents[0].sha256 == mug.sha256


def test_its_vectors_are_what_they_were(old: Library) -> None:
    expected = np.linspace(-0.03, 0.03, 512, dtype=np.float32).reshape(2, 256)
    np.testing.assert_array_equal(old.embedding(old.get("red-mug")).rows["clip_l"], expected)
    for concept in old.concepts():
        embedding = old.embedding(concept)
        assert (embedding.widths, embedding.vectors) == ({"clip_l": 256}, 2)


def test_it_can_be_changed(old: Library, make) -> None:
    old.add(*make("new"))
    old.rename("ink", parse_token("tusche"))
    old.remove(["both"])
    assert old.names() == ["new", "red-mug", "tusche"]


def test_its_files_can_be_imported_alone(old: Library) -> None:
    path = Path(old.get("red-mug").path)
    found = read_embedding(path.read_bytes(), path.name)
    assert found.layout == "ti" and found.concept is not None
    assert found.concept.photos == old.get("red-mug").photos


def test_it_knows_nothing_of_how_its_runs_went(old: Library) -> None:
    mug = old.get("red-mug")
    assert (mug.outcome, mug.curves, mug.warnings) == (Outcome(), Curves(), ())
