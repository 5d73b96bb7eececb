"""Every family's demand is known, and every rung of the ladder leaves its gradients right."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from recording import Running
from tiny_families import BUILDERS

from ticli.inversion import (
    Examples,
    Latents,
    Replayer,
    Start,
    gradients,
    make_learner,
    new_state,
    start_vectors,
)
from ticli.models import Savings, measure_demand
from ticli.recipe import Recipe

pytestmark = pytest.mark.slow

RECIPE = Recipe(steps=2, lr=0.05, batch=2, norm="free", timestep_low=0)
CPU = torch.device("cpu")


def learned_gradient(model, steps: int = 1) -> torch.Tensor:
    """The gradient of one step on the rows of every encoder, end to end, taken some times."""
    generator = torch.Generator().manual_seed(3)
    side = model.source.size // model.source.grain * model.family.patch
    shape = (2, 2, model.channels, side, side)
    latents = Latents(torch.randn(shape, generator=generator), torch.full(shape, 0.1))
    sentences = [[model.tokenise("a photo of a <mug> on the moon", {"mug": 1})]] * 2
    state = new_state(start_vectors(model, Start("mug", 1, "free", 0)), RECIPE)
    learner = make_learner(model, Examples("mug", latents, sentences), state, RECIPE, 0)
    for _ in range(steps):
        gradients(model, [learner])
    rows = state.vectors.rows
    assert all(row.grad.abs().max() > 0 for row in rows.values())
    return torch.cat([rows[key].grad.flatten() for key in sorted(rows)])


@pytest.mark.parametrize("name", BUILDERS)
def test_the_demand_is_that_of_the_loaded_model(models, name):
    model = models[name]
    demand = measure_demand(model.source, torch.float32, model.source.size, CPU)
    assert demand.denoiser == sum(
        tensor.nbytes for tensor in (*model.denoiser.parameters(), *model.denoiser.buffers())
    )
    encoders = sum(p.nbytes for e in model.encoders for p in e.module.parameters())
    assert demand.encoders == encoders
    assert 0 < demand.largest_block <= demand.blocks <= demand.denoiser
    assert 0 < demand.largest_kept <= demand.kept and demand.encoding > 0


@pytest.mark.parametrize("name", BUILDERS)
def test_every_rung_keeps_the_gradient(fresh_model, name):
    model = fresh_model(name)
    expected = learned_gradient(model)
    for rung in ("cut", "checkpoint", "offload"):
        # From one to the next: what was given up before stays so.
        model.spare(replace(model.savings, **{rung: True}), "asked for")
        assert torch.equal(learned_gradient(model), expected), rung
    model.spare(Savings(1, cut=True, checkpoint=True, offload=True), "asked for")
    assert torch.allclose(learned_gradient(model), expected, rtol=1e-3, atol=1e-7)
    model.spare(Savings(1, True, True, True, True, True), "asked for")
    cosine = torch.nn.functional.cosine_similarity(learned_gradient(model), expected, dim=0)
    assert cosine > 0.99


@pytest.mark.parametrize("name", BUILDERS)
def test_steps_are_recorded_where_nothing_is_asked_of_the_host(fresh_model, name):
    model = fresh_model(name)
    expected = learned_gradient(model)
    record = Running()
    model.replayer = Replayer(record)
    assert torch.equal(learned_gradient(model, steps=3), expected)
    if name == "pixart":
        # transformers looks into the mask of padding, to leave it out where nothing is masked.
        assert "__bool__" in model.replayer.broken and not record.replays
    else:
        assert record.replays == 2 and not model.replayer.broken
