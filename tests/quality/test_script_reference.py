"""The reference loop does what it is described to do, on a tiny model."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import torch
from tiny import build_tiny_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import script_reference
    finally:
        sys.path.pop(0)
    return script_reference


@pytest.fixture
def trained(script, tmp_path):
    """Train some steps: trained("--steps", "2") → model, table, losses, options."""
    from ticli.models import load_model, pick_hardware
    from ticli.models.locate import locate

    folder = str(build_tiny_model(tmp_path / "model"))
    torch.set_num_threads(1)

    def call(*arguments: str):
        photos = str(ROOT / "examples" / "mug")
        options = script.read_options(
            [photos, "--token", "mug", "--init", "mug", "-m", folder, *arguments]
        )
        torch.manual_seed(options.seed)
        random.seed(options.seed)
        model = load_model(locate(folder), pick_hardware("cpu", "fp32"))
        table = script.add_token(model, "<mug>", "mug")
        return model, table, script.train(model, table, options), options

    return call


def test_every_other_row_is_put_back(trained) -> None:
    _, table, losses, _ = trained("--steps", "2", "--accumulate", "1")
    assert len(losses) == 2
    others = torch.arange(len(table.weight)) != table.number
    assert table.weight[others].equal(table.before[others])
    assert not table.weight[table.number].equal(table.before[table.number])


def test_the_rate_is_scaled_and_weights_decay(trained) -> None:
    """AdamW's first step: the rate in each number, less its share of the vector itself."""
    flags = ("--steps", "1", "--batch", "2", "--accumulate", "2", "--lr", "1e-3")
    _, table, _, _ = trained(*flags, "--weight-decay", "0.5")
    start = table.before[table.number]
    moved = table.weight[table.number].detach() - start * (1 - 4e-3 * 0.5)
    assert moved.abs().tolist() == pytest.approx([4e-3] * len(start), rel=0.02)


def test_the_same_seed_gives_the_same_word(trained) -> None:
    flags = ("--steps", "2", "--accumulate", "1")
    one, other, third = (trained(*flags, "--seed", seed)[1] for seed in ("0", "0", "1"))
    assert one.weight.equal(other.weight)
    assert not one.weight.equal(third.weight)


def test_time_ends_the_run(trained) -> None:
    _, _, losses, _ = trained("--steps", "50", "--accumulate", "1", "--seconds", "0.001")
    assert len(losses) == 1


def test_the_word_becomes_an_ordinary_concept(script, trained) -> None:
    from ticli.library import Library

    model, table, losses, options = trained("--steps", "1", "--accumulate", "1")
    concept, embedding = script.concept_of(model, table, losses, options)
    added = Library.open(write=True).add(concept, embedding)
    row = torch.from_numpy(Library.open().embedding(added).rows["clip_l"][0])
    assert row.equal(table.weight[table.number].detach())
    assert (added.noun, added.init, added.steps) == ("", "mug", 1)
    assert added.recipe["loop"] == "script"
    assert len(added.photos) == 5


def test_the_defaults_are_the_documented_ones(script) -> None:
    options = script.read_options(["photos", "--token", "mug", "--init", "mug"])
    told = (options.lr, options.steps, options.batch, options.accumulate, options.weight_decay)
    assert told == (5e-4, 3000, 1, 4, 1e-2)


def test_a_word_of_several_tokens_is_refused(script, trained) -> None:
    model, *_ = trained("--steps", "1", "--accumulate", "1")
    with pytest.raises(SystemExit, match="takes one token"):
        script.add_token(model, "<cup>", "a mug on the moon")
