"""Sampler, steps, guidance, size and seeds."""

from __future__ import annotations

import math

import pytest

from ticli.errors import Usage
from ticli.generation import LARGEST_SEED, Drawing, DrawingRequest, first_seed, parse_size, settle
from ticli.models.locate import locate, starter


def test_the_starter_has_the_defaults_of_its_card():
    assert settle(DrawingRequest(), starter()) == Drawing("ddim", 25, 4.0, 128, 128)


def test_another_model_has_the_defaults_of_stable_diffusion(model_folder):
    source = locate(str(model_folder("other")))
    assert settle(DrawingRequest(), source) == Drawing("dpm++", 30, 7.5, 128, 128)


def test_what_the_user_gave_holds():
    wanted = DrawingRequest(steps=3, guidance=0.0, size="192x64", sampler="euler")
    assert settle(wanted, starter()) == Drawing("euler", 3, 0.0, 192, 64)


@pytest.mark.parametrize(
    ("text", "size"), [("64", (64, 64)), ("768x512", (768, 512)), (" 64X128 ", (64, 128))]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0",
        "56",
        "65",
        "4104",
        "128x",
        "x128",
        "-128",
        "128x130",
        "1e3",
        "128x128x3",
        "12८",
    ],
)
def test_bad_sizes_are_refused(text):
    with pytest.raises(Usage, match="--size"):
        parse_size(text)


def test_a_size_off_the_grain_names_the_next_one():
    with pytest.raises(Usage) as caught:
        parse_size("130")
    assert caught.value.hint == "use 128"


@pytest.mark.parametrize(
    "wanted",
    [
        DrawingRequest(steps=0),
        DrawingRequest(steps=1001),
        DrawingRequest(guidance=-1),
        DrawingRequest(guidance=math.nan),
        DrawingRequest(guidance=math.inf),
        DrawingRequest(sampler="ddimm"),
        DrawingRequest(size="7"),
    ],
)
def test_knobs_out_of_range_are_refused(wanted):
    with pytest.raises(Usage):
        wanted.check()


def test_a_fresh_seed_differs_from_call_to_call():
    assert len({first_seed(None, 1) for _ in range(20)}) > 15


def test_a_given_seed_holds_up_to_the_last_that_torch_takes():
    assert first_seed(7, 3) == 7
    assert first_seed(LARGEST_SEED - 2, 2) == LARGEST_SEED - 2


@pytest.mark.parametrize(("seed", "pictures"), [(-1, 1), (LARGEST_SEED, 1), (0, 0), (0, 10_001)])
def test_seeds_and_counts_out_of_range_are_refused(seed, pictures):
    with pytest.raises(Usage):
        first_seed(seed, pictures)
