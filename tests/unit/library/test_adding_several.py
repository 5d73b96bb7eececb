"""Several words are added together or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from concepts import make_concept, make_embedding

from ticli.errors import Conflict
from ticli.library import Library


def words(*names: str) -> list:
    return [(make_concept(name), make_embedding(name)) for name in names]


def files(home: Path) -> list[str]:
    return sorted(path.name for path in home.glob("blobs/*/*"))


def test_all_are_there_in_their_order(isolated: Path) -> None:
    library = Library.open(write=True)
    added = library.add_all(words("mug", "cat", "ant"))
    assert [concept.name for concept in added] == ["mug", "cat", "ant"]
    assert library.names() == ["ant", "cat", "mug"]
    assert len(files(isolated)) == 3


def test_one_that_is_taken_keeps_all_out(isolated: Path) -> None:
    library = Library.open(write=True)
    library.add(make_concept("cat"), make_embedding("another"))
    before = files(isolated)
    with pytest.raises(Conflict, match="'cat' is in the library already"):
        library.add_all(words("mug", "cat", "ant"))
    assert library.names() == ["cat"]
    assert files(isolated) == before


def test_one_name_twice_keeps_all_out(isolated: Path) -> None:
    library = Library.open(write=True)
    with pytest.raises(Conflict, match="'mug' is given twice"):
        library.add_all(words("mug", "mug"))
    assert library.names() == [] and files(isolated) == []


def test_those_that_are_there_already_stay_as_they_are(isolated: Path) -> None:
    library = Library.open(write=True)
    old = library.add(*words("cat")[0])
    assert library.add_all(words("mug", "cat"))[1] == old
    assert library.names() == ["cat", "mug"]


def test_replacing_drops_the_old_files(isolated: Path) -> None:
    library = Library.open(write=True)
    library.add(make_concept("cat"), make_embedding("another"))
    library.add_all(words("mug", "cat"), replace=True)
    assert len(files(isolated)) == 2
    assert library.add_all([]) == []
