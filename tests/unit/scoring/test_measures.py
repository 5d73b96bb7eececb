"""Figures against sums written out with plain numbers."""

from __future__ import annotations

import pytest
import torch

from ticli.scoring import (
    PictureFeatures,
    SentenceFeatures,
    image_figures,
    obedience,
    photos_among_themselves,
    text_figures,
)


def unit(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


PHOTOS = unit((1, 0, 0), (1, 1, 0), (1, 0, 1))
WORD = PictureFeatures(unit((1, 0, 0), (0, 1, 0)), (unit((1, 0, 2), (0, 0, 1)), unit((2, 1, 0))))
TEXTS = SentenceFeatures(unit((0, 0, 1), (1, 1, 0)), unit((0, 1, 1), (1, 0, 0)))
HALF = 2**-0.5


def test_image_similarity_is_the_mean_of_all_pairs() -> None:
    figures = image_figures(WORD, PHOTOS)
    assert figures["image"] == pytest.approx((1 + HALF + HALF + 0 + HALF + 0) / 6)
    # Nearest among photos: 1/√2 for each. The first picture is nearer (1), the second not.
    assert figures["copied"] == pytest.approx(0.5)
    scenes = [(1 / 5**0.5, 0, 2 / 5**0.5), (0, 0, 1), (2 / 5**0.5, 1 / 5**0.5, 0)]
    photos = [(1, 0, 0), (HALF, HALF, 0), (HALF, 0, HALF)]
    pairs = [sum(a * b for a, b in zip(s, p, strict=True)) for s in scenes for p in photos]
    assert figures["image_in_scenes"] == pytest.approx(sum(pairs) / 9, abs=1e-6)


def test_photos_among_themselves_leave_self_pairs_out() -> None:
    mean, copied = photos_among_themselves(PHOTOS)
    assert mean == pytest.approx((HALF + HALF + 0.5) / 3)
    assert copied == pytest.approx(0.0, abs=1e-6)
    uneven = unit((1, 0, 0), (1, 0.1, 0), (0, 0, 1))
    assert photos_among_themselves(uneven)[1] == pytest.approx(2 / 3)


def test_one_photo_has_no_neighbours() -> None:
    assert photos_among_themselves(PHOTOS[:1]) == (None, None)
    assert image_figures(WORD, PHOTOS[:1])["copied"] is None


def test_text_figures_take_each_scene_with_its_own_sentence() -> None:
    figures = text_figures(WORD, TEXTS)
    own = [2 / 5**0.5, 1.0, 3 / 10**0.5]
    assert figures["text"] == pytest.approx(sum(own) / 3)
    assert figures["text_plain"] == pytest.approx((0 + HALF + 0 + HALF) / 4)
    assert figures["text_bare"] == pytest.approx((2 / 10**0.5 + HALF + 2 / 5**0.5) / 3)
    assert figures["scene_accuracy"] == 1.0


def test_accuracy_counts_scenes_that_are_taken_for_others() -> None:
    swapped = PictureFeatures(WORD.plain, (WORD.scenes[1], WORD.scenes[0]))
    assert text_figures(swapped, TEXTS)["scene_accuracy"] == 0.0
    lone = SentenceFeatures(TEXTS.sentences[:1], TEXTS.bare[:1])
    assert (
        text_figures(PictureFeatures(WORD.plain, WORD.scenes[:1]), lone)["scene_accuracy"] is None
    )


def test_obedience_is_the_way_from_t0_to_the_class_word() -> None:
    word = text_figures(WORD, TEXTS)
    assert obedience(word, word)["obedience"] == pytest.approx(1.0)
    goal = text_figures(PictureFeatures(WORD.plain, (unit((0, 0, 1)), unit((1, 1, 0)))), TEXTS)
    expected = (word["text"] - word["text_plain"]) / (1.0 - word["text_plain"])
    assert obedience(word, goal)["obedience"] == pytest.approx(expected)
    blind = text_figures(PictureFeatures(WORD.plain, (unit((0, -1, 0)), unit((0, 0, 1)))), TEXTS)
    assert obedience(word, blind)["obedience"] is None
