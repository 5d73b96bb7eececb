"""The matrix of layouts and families: every cell, in all three directions."""

from __future__ import annotations

import pytest
from cells import CELLS, DIRECTIONS, REFUSED, read, same_bits, try_cell, write, write_foreign
from foreign_files import WRITERS

from ticli.errors import Conflict
from ticli.library import LAYOUTS


def test_every_layout_has_a_foreign_file() -> None:
    assert WRITERS.keys() == LAYOUTS.keys()


@pytest.mark.parametrize(("layout", "family"), CELLS)
def test_a_cell_works_out_in_and_both_ways(tmp_path, layout, family) -> None:
    (tmp_path / "cell").mkdir()
    assert try_cell(tmp_path / "cell", layout, family) == dict.fromkeys(DIRECTIONS, True)


@pytest.mark.parametrize(("layout", "family"), CELLS)
def test_one_vector_from_another_program(tmp_path, layout, family) -> None:
    place, wanted = write_foreign(tmp_path / "in", layout, family, 1)
    name, embedding = read(place)
    assert same_bits(embedding, wanted)
    assert name in ("mug", "lora") or layout == "bundle"


@pytest.mark.parametrize(("layout", "family"), REFUSED)
def test_a_cell_that_is_none_is_refused(tmp_path, layout, family) -> None:
    with pytest.raises(Conflict):
        write(tmp_path, layout, family, 1)


def test_a_difference_of_one_bit_is_seen(tmp_path) -> None:
    place, embedding = write(tmp_path, "emb_params", "sd1", 1)
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    from ticli.errors import BadContent

    with pytest.raises(BadContent, match="SHA-256"):
        read(place)
    assert not same_bits(embedding, type(embedding)({}))
