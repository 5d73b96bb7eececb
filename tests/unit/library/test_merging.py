"""Merging follows the formulas, and refuses what has no meaning."""

from __future__ import annotations

import numpy as np
import pytest

from ticli.concept import BaseModel, Embedding
from ticli.errors import Conflict, Usage
from ticli.library import Library, merge, merge_base, merged_concept
from ticli.names import parse_token


def word(*rows: list[float], encoder: str = "clip_l") -> Embedding:
    return Embedding({encoder: np.array(rows, np.float32)})


def rows(embedding: Embedding) -> np.ndarray:
    return embedding.rows["clip_l"]


A, B = word([3, 0], [0, 1]), word([0, 1], [0, 3])


def test_the_raw_mean_is_the_mean() -> None:
    merged = merge([(A, None), (B, None)], "mean", raw=True)
    np.testing.assert_allclose(rows(merged), [[1.5, 0.5], [0, 2]])
    assert rows(merged).dtype == np.float32


def test_a_weight_below_0_subtracts() -> None:
    merged = merge([(A, 1.0), (B, -0.5)], "mean", raw=True)
    np.testing.assert_allclose(rows(merged), [[6, -1], [0, -1]])
    scaled = merge([(A, 1.0), (B, -0.5)], "mean")
    # The norms of A are 3 and 1, those of B 1 and 3.
    np.testing.assert_allclose(np.linalg.norm(rows(scaled), axis=1), [7 / 3, 5 / 3], rtol=1e-6)


def test_weights_are_divided_by_their_sum_and_a_missing_one_is_1() -> None:
    merged = merge([(A, 3.0), (B, None)], "mean", raw=True)
    np.testing.assert_allclose(rows(merged), [[2.25, 0.25], [0, 1.5]])


def test_a_mean_keeps_the_weighted_norm() -> None:
    merged = merge([(A, 0.75), (B, 0.25)], "mean")
    np.testing.assert_allclose(np.linalg.norm(rows(merged), axis=1), [2.5, 1.5], rtol=1e-6)
    raw = merge([(A, 0.75), (B, 0.25)], "mean", raw=True)
    directions = [
        found / np.linalg.norm(found, axis=1)[:, None] for found in map(rows, (merged, raw))
    ]
    np.testing.assert_allclose(*directions, rtol=1e-6)


def test_slerp_walks_the_arc_and_interpolates_norms() -> None:
    merged = merge([(word([2, 0]), 2.0), (word([0, 4]), 1.0)], "slerp")
    angle = np.pi / 2 / 3
    norm = 2 + (4 - 2) / 3
    np.testing.assert_allclose(
        rows(merged), [[norm * np.cos(angle), norm * np.sin(angle)]], rtol=1e-6
    )


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_slerp_ends_at_its_ends(share: float) -> None:
    merged = merge([(A, 1 - share), (B, share)], "slerp")
    np.testing.assert_allclose(rows(merged), rows(B if share else A), atol=1e-6)


def test_slerp_of_the_same_direction_is_a_straight_line() -> None:
    merged = merge([(word([1, 1]), None), (word([3, 3]), None)], "slerp")
    np.testing.assert_allclose(rows(merged), [[2, 2]], rtol=1e-6)


def test_concat_keeps_order_and_numbers() -> None:
    merged = merge([(B, None), (A, None), (word([7, 7]), None)], "concat")
    np.testing.assert_array_equal(rows(merged), [[0, 1], [0, 3], [3, 0], [0, 1], [7, 7]])


@pytest.mark.parametrize(
    ("parts", "method", "raw", "kind", "match"),
    [
        ([(A, None)], "mean", False, Usage, "at least two"),
        ([(A, None), (B, None)], "sum", False, Usage, "no method 'sum'"),
        ([(A, -1.0), (B, None)], "slerp", False, Usage, "at least 0, not -1"),
        ([(A, -1.0), (B, None)], "mean", False, Usage, "add up to 0"),
        ([(A, float("nan")), (B, None)], "mean", False, Usage, "not nan"),
        ([(A, 0.0), (B, 0.0)], "mean", False, Usage, "add up to 0"),
        ([(A, None), (B, None), (A, None)], "slerp", False, Usage, "exactly two"),
        ([(A, 0.5), (B, None)], "concat", False, Usage, "no weights"),
        ([(A, None), (B, None)], "concat", True, Usage, "--raw"),
        ([(A, None), (B, None)], "slerp", True, Usage, "--raw"),
        ([(A, None), (word([1, 1]), None)], "mean", False, Conflict, "2 and 1 vectors"),
        ([(A, None), (word([1, 1]), None)], "slerp", False, Conflict, "2 and 1 vectors"),
        ([(A, None), (word([1, 1, 1]), None)], "concat", False, Conflict, "clip_l 2.*clip_l 3"),
        (
            [(A, None), (word([1, 1], encoder="clip_h"), None)],
            "mean",
            False,
            Conflict,
            "clip_l 2, and clip_h 2",
        ),
        ([(word([1, 0]), None), (word([-1, 0]), None)], "mean", False, Conflict, "cancel out"),
        ([(word([1, 0]), None), (word([-1, 0]), None)], "slerp", False, Conflict, "opposite"),
        ([(word([1, 0]), None), (word([0, 0]), None)], "slerp", False, Conflict, "zero"),
    ],
)
def test_what_has_no_meaning_is_refused(parts, method, raw, kind, match) -> None:
    with pytest.raises(kind, match=match):
        merge(parts, method, raw)


def test_unequal_counts_name_the_way_out() -> None:
    with pytest.raises(Conflict) as caught:
        merge([(A, None), (word([1, 1]), None)], "mean")
    assert "--method concat" in caught.value.hint


def test_several_encoders_are_merged_each_in_its_own() -> None:
    both = Embedding({"clip_l": rows(A), "clip_g": rows(B)})
    merged = merge([(both, None), (both, None)], "mean")
    np.testing.assert_allclose(merged.rows["clip_g"], rows(B), rtol=1e-6)


def test_the_shared_base_keeps_what_all_agree_on(make) -> None:
    one, _ = make("one", base=BaseModel("sd1", "starter", "0.1", "f0"))
    two, _ = make("two", base=BaseModel("sd1", "starter", "0.2", "f1"))
    imported, _ = make("imported", base=BaseModel("", "", "", ""))
    assert merge_base([one, one]) == one.base
    assert merge_base([one, two]) == BaseModel("sd1", "starter", "", "")
    assert merge_base([imported, one]).family == "sd1"


def test_other_families_and_widths_are_refused_by_name(make) -> None:
    one, _ = make("one")
    other, _ = make("other", base=BaseModel("sd2", "x", "", ""))
    wide, _ = make("wide", width=768)
    for second in (other, wide):
        with pytest.raises(Conflict, match=f"'one' and '{second.name}'.*Stable Diffusion"):
            merge_base([one, second])


def test_the_result_knows_its_parents_and_lives_in_the_library(library: Library, make) -> None:
    mug = library.add(*make("mug", noun="cup", kind="style"))
    cup = library.add(*make("cup", noun="cup", kind="object"))
    parts = [(mug, 0.7), (cup, None)]
    merged = merge([(library.embedding(concept), weight) for concept, weight in parts], "mean")
    concept = merged_concept(parse_token("<Both>"), parts, merged, "mean")
    stored = library.add(concept, merged)
    assert [(p.name, p.weight, p.sha256) for p in stored.parents] == [
        ("mug", 0.7, mug.sha256),
        ("cup", None, cup.sha256),
    ]
    assert (stored.noun, stored.kind, stored.base) == ("cup", "object", mug.base)
    assert stored.recipe == {"method": "mean", "raw": False}
    assert library.get("both") == stored
