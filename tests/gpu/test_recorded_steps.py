"""On a CUDA device: recorded steps, the memory ladder where memory is really full, compiling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stepping import train

from ticli.inversion import Examples, Latents, Start, new_state, recorded_steps, start_vectors
from ticli.models import Savings, load_model, pick_hardware
from ticli.models.locate import locate
from ticli.recipe import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def learn(model, steps: int = 12, batch: int = 4, side: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (3, 2, 4, side, side)
    latents = Latents(torch.randn(shape, generator=generator), torch.full(shape, 0.1))
    sentences = [model.tokenise("a photo of a <mug> mug", {"mug": 1})]
    recipe = Recipe(steps=steps, lr=0.01, batch=batch, norm="free")
    state = new_state(start_vectors(model, Start("mug", 1, "free", 0)), recipe)
    list(train(model, Examples("mug", latents, [sentences] * 3), state, recipe, seed=0))
    assert not state.skipped
    return state.vectors.rows["clip_l"].detach().cpu()


def loaded(folder: Path, dtype: str = "fp32"):
    return load_model(locate(str(folder)), pick_hardware("cuda", dtype))


def test_steps_are_recorded_and_learn_what_the_cpu_learns(folder):
    model = loaded(folder)
    found = learn(model)
    assert model.replayer.kept and not model.replayer.broken
    expected = learn(load_model(locate(str(folder)), pick_hardware("cpu", "fp32")))
    assert torch.allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_is_recorded_too(folder, dtype):
    model = loaded(folder, dtype)
    found = learn(model)
    assert model.replayer.kept and found.isfinite().all()
    whole = learn(loaded(folder))
    assert torch.nn.functional.cosine_similarity(found, whole).min() > 0.95


def test_the_denoiser_can_be_compiled(folder, monkeypatch):
    lacking = recorded_steps.obstacle()
    if lacking:
        pytest.skip(lacking)
    model = loaded(folder)
    plain = learn(model, steps=30)
    monkeypatch.setattr(recorded_steps, "UNKNOWN_COST", 0.0)
    other, heard = loaded(folder), []
    other.tell = heard.append
    compiled = learn(other, steps=30)
    assert not heard and torch.allclose(plain, compiled, atol=5e-3)


def test_a_memory_that_is_really_full_goes_down_the_ladder(folder):
    """The share of the device that this process may have is set so low that a batch overflows."""
    whole = learn(loaded(folder), steps=3, batch=64, side=64)
    torch.cuda.empty_cache()
    model = loaded(folder)
    total = torch.cuda.get_device_properties(model.device).total_memory
    held = torch.cuda.memory_allocated(model.device)
    try:
        torch.cuda.set_per_process_memory_fraction((held + (300 << 20)) / total)
        found = learn(model, steps=3, batch=64, side=64)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert model.savings.samples and model.given_up
    assert torch.nn.functional.cosine_similarity(found, whole).min() > 0.99


@pytest.mark.parametrize(
    "savings",
    [
        Savings(cut=True),
        Savings(checkpoint=True),
        Savings(slices=True),
        Savings(offload=True),
        Savings(1, True, True, True, True),
    ],
    ids=["cut", "checkpoint", "slices", "offload", "all"],
)
def test_every_rung_learns_the_same(folder, savings):
    expected = learn(loaded(folder))
    model = loaded(folder)
    model.spare(savings, "asked for")
    assert torch.allclose(learn(model), expected, atol=2e-3)


def test_offloaded_blocks_leave_the_device(folder):
    model = loaded(folder)
    before = torch.cuda.memory_allocated(model.device)
    blocks = sum(p.nbytes for p in model.denoiser.parameters())
    model.spare(Savings(cut=True, offload=True), "asked for")
    freed = before - torch.cuda.memory_allocated(model.device)
    assert freed > 0.8 * blocks
    learn(model, steps=2)
