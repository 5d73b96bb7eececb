"""On a CUDA device: the same draws as on the CPU, equal bits when asked, half precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stepping import train

from ticli.inversion import Examples, Latents, Start, new_state, start_vectors
from ticli.models import load_model, make_deterministic, pick_hardware
from ticli.models.locate import locate
from ticli.recipe import Recipe
from ticli.settings import prepare_determinism

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def learn(folder: Path, device: str, dtype: str) -> torch.Tensor:
    model = load_model(locate(str(folder)), pick_hardware(device, dtype))
    generator = torch.Generator().manual_seed(3)
    shape = (3, 2, 4, 8, 8)
    latents = Latents(torch.randn(shape, generator=generator), torch.full(shape, 0.1))
    sentences = [model.tokenise("a photo of a <mug> mug", {"mug": 1})]
    recipe = Recipe(steps=5, lr=0.01, batch=3)
    state = new_state(start_vectors(model, Start("mug", 1, recipe.norm, 0)), recipe)
    list(train(model, Examples("mug", latents, [sentences] * 3), state, recipe, seed=0))
    assert state.vectors.rows["clip_l"].dtype == torch.float32 and not state.skipped
    return state.vectors.rows["clip_l"].detach().cpu()


def test_cuda_learns_what_the_cpu_learns(folder):
    assert torch.allclose(learn(folder, "cuda", "fp32"), learn(folder, "cpu", "fp32"), atol=1e-3)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_learns_nearly_the_same(folder, dtype):
    whole, half = learn(folder, "cuda", "fp32"), learn(folder, "cuda", dtype)
    assert half.isfinite().all()
    assert torch.nn.functional.cosine_similarity(whole, half).min() > 0.95


def test_deterministic_gives_equal_bits(folder):
    prepare_determinism()
    make_deterministic()
    try:
        assert torch.equal(learn(folder, "cuda", "bf16"), learn(folder, "cuda", "bf16"))
    finally:
        torch.use_deterministic_algorithms(False)
