"""One broken file spoils one concept, and is never mistaken for another's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from safetensors.numpy import load

from ticli.errors import BadContent, Conflict
from ticli.library import Library, encode_blob


def test_a_file_is_named_after_its_bytes(library: Library, make) -> None:
    added = library.add(*make("<Mug>", 2))
    data = Path(added.path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == added.sha256 == Path(added.path).stem
    assert Path(added.path).parent.name == added.sha256[:2]


def test_other_programs_can_read_a_file(library: Library, make) -> None:
    concept, embedding = make("mug", 2)
    tensors = load(Path(library.add(concept, embedding).path).read_bytes())
    assert list(tensors) == ["clip_l"]
    assert (tensors["clip_l"] == embedding.rows["clip_l"]).all()


def test_equal_content_gives_equal_bytes(make) -> None:
    concept, embedding = make("mug", 2, recipe={"b": 1, "a": 2})
    other, _ = make("mug", 2, recipe={"a": 2, "b": 1})
    assert encode_blob(concept, embedding) == encode_blob(other, embedding)


def damage_by_a_bit(path: Path, other: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def damage_by_absence(path: Path, other: Path) -> None:
    path.unlink()


def damage_by_swapping(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def damage_by_a_link(path: Path, other: Path) -> None:
    copy = path.with_suffix(".copy")
    path.rename(copy)
    path.symlink_to(copy)


def damage_by_a_folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_a_bit,
        damage_by_absence,
        damage_by_swapping,
        damage_by_a_link,
        damage_by_a_folder,
    ],
)
def test_a_broken_file_is_one_concepts_trouble(library: Library, make, damage) -> None:
    mug, cup = library.add(*make("mug")), library.add(*make("cup"))
    damage(Path(mug.path), Path(cup.path))
    with pytest.raises(BadContent, match=r"the file of 'mug' is (missing|damaged)") as caught:
        library.embedding(mug)
    assert "other concepts are not affected" in caught.value.hint
    assert library.embedding(cup).vectors == 1
    assert library.names() == ["cup", "mug"]


@pytest.mark.parametrize("damage", [damage_by_a_bit, damage_by_absence, damage_by_a_link])
def test_a_broken_concept_can_be_replaced_by_itself_or_removed(
    library: Library, make, damage
) -> None:
    concept, embedding = make("mug", created="2026-01-01T00:00:00Z")
    added = library.add(concept, embedding)
    damage(Path(added.path), Path(added.path))
    assert library.add(concept, embedding, replace=True) == added
    assert library.embedding(added).vectors == 1
    damage(Path(added.path), Path(added.path))
    assert [gone.name for gone in library.remove(["mug"])] == ["mug"]
    assert library.names() == []
    assert not Path(added.path).exists()


def test_a_row_too_large_to_be_read_back_is_not_stored(library, make) -> None:
    """Files of more metadata than the reader takes would be lost the moment they are written."""
    concept, embedding = make("<mug>", notes="x" * (1 << 20))
    with pytest.raises(Conflict, match="what is known of 'mug'"):
        library.add(concept, embedding)
    assert library.names() == []
    added = library.add(*make("<mug>", notes="x" * (900 << 10)))
    assert library.embedding(added).vectors == 1
