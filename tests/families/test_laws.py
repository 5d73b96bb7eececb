"""Noise, targets, latents and the denoiser's call in training are what each family's papers say."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_families import BUILDERS

from ticli.families.flux import pack, unpack
from ticli.families.stable_diffusion import size_conditioning
from ticli.generation import Drawing, paint, start_noise

FLOWS = ("sd3", "flux", "sana")


@pytest.mark.parametrize("name", BUILDERS)
def test_training_calls_the_denoiser_as_the_pipeline_does(models, name):
    """The pipeline's own first call is listened to, then made again the way training makes it."""
    model = models[name]
    tokens = [model.tokenise("", {}, negative=True), model.tokenise("a red mug", {})]
    drawing = Drawing("euler" if name in FLOWS else "ddim", 1, 1.0, 64, 64)
    heard = []

    def listen(_module, args, named, output) -> None:
        times = named.get("timestep", args[1] if len(args) > 1 else None)
        heard.append((times, output[0] if isinstance(output, tuple) else output.sample))

    with torch.no_grad():
        pair = model.condition(tokens, {})
        handle = model.denoiser.register_forward_hook(listen, with_kwargs=True)
        try:
            with model.pipeline(None) as pipeline:
                noise = start_noise(model, pipeline, drawing, torch.Generator().manual_seed(3))
                paint(model, pipeline, pair, noise, drawing)
        finally:
            handle.remove()
        times, theirs = heard[0]
        if name == "flux":
            theirs = unpack(theirs, *noise.shape[-2:])
        # Flow models begin at noise alone, which is the last timestep.
        step = model.noise_schedule.config.num_train_timesteps - 1
        step = step if name in FLOWS else int(times.reshape(-1)[0])
        ours = model.denoise(noise, torch.tensor([step]), pair.halves()[1])
    assert ours.shape == noise.shape
    assert torch.allclose(ours, theirs[:, : noise.shape[1]].float(), atol=1e-4)


@pytest.mark.parametrize("name", FLOWS)
def test_flow_noise_lies_on_a_straight_line(models, name):
    model = models[name]
    generator = torch.Generator().manual_seed(0)
    shape = (4, model.channels, 8, 8)
    z, eps = (torch.randn(shape, generator=generator) for _ in range(2))
    steps = torch.tensor([0, 250, 700, 999])
    noisy, velocity = model.add_noise(z, eps, steps), model.target(z, eps, steps)
    level = model.family.law.times(model.noise_schedule, steps, shape) / 1000
    assert level[-1] == 1 and (level.diff() > 0).all() and level[0] > 0
    assert torch.allclose(noisy - level.view(-1, 1, 1, 1) * velocity, z, atol=1e-5)
    assert torch.allclose(noisy + (1 - level).view(-1, 1, 1, 1) * velocity, eps, atol=1e-5)
    assert model.prediction == "flow"


@pytest.mark.parametrize(("side", "patches"), [(8, 16), (128, 4096)])
def test_flow_levels_are_those_of_the_models_sampler(models, side, patches):
    steps = torch.arange(1000)
    shape = (1, 16, side, side)
    still = models["sd3"]
    assert torch.allclose(
        still.family.law.times(still.noise_schedule, steps, shape),
        still.noise_schedule.timesteps.flip(0),
        atol=1e-2,
    )
    moving = models["flux"]
    mu = 0.5 + (1.15 - 0.5) * (patches - 256) / (4096 - 256)
    wanted = moving.noise_schedule.time_shift(mu, 1.0, (steps + 1) / 1000)
    levels = moving.family.law.times(moving.noise_schedule, steps, shape) / 1000
    assert torch.allclose(levels, wanted, atol=1e-5)
    middle = math.exp(mu) * 0.5 / (1 + (math.exp(mu) - 1) * 0.5)
    assert float(levels[499]) == pytest.approx(middle, abs=1e-5)


def test_velocity_and_noise_targets(models):
    z, eps = torch.ones(1, 4, 8, 8), torch.full((1, 4, 8, 8), 2.0)
    step = torch.tensor([400])
    assert models["sd1"].prediction == models["pixart"].prediction == "epsilon"
    assert torch.equal(models["sd1"].target(z, eps, step), eps)
    velocity = models["sd2"]
    assert velocity.prediction == "v_prediction"
    alpha = velocity.noise_schedule.alphas_cumprod[400]
    wanted = alpha.sqrt() * eps - (1 - alpha).sqrt() * z
    assert torch.allclose(velocity.target(z, eps, step), wanted)


def test_the_predicted_variance_is_left_out(models):
    """Half of what PixArt's transformer puts out is no part of the loss."""
    model = models["pixart"]
    assert model.denoiser.config.out_channels == 2 * model.channels
    cond = model.condition([model.tokenise("a mug", {})], {})
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    prediction = model.denoise(noisy, torch.tensor([500]), cond)
    assert prediction.shape == noisy.shape
    heard = []
    handle = model.denoiser.register_forward_hook(lambda _m, _a, output: heard.append(output))
    model.denoise(noisy, torch.tensor([500]), cond)
    handle.remove()
    assert torch.equal(heard[0].sample[:, :4], prediction)


def test_flux_packing_is_undone():
    latents = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).reshape(2, 3, 4, 6)
    packed = pack(latents)
    assert packed.shape == (2, 6, 12)
    assert torch.equal(unpack(packed, 4, 6), latents)
    assert torch.equal(packed[0, 0].reshape(3, 2, 2), latents[0, :, :2, :2])


def test_sdxl_is_told_the_size_in_pixels():
    assert size_conditioning(torch.zeros(2, 4, 8, 16)).tolist() == [[64, 128, 0, 0, 64, 128]] * 2


@pytest.mark.parametrize("name", BUILDERS)
def test_latents_are_scaled_and_back(models, name):
    """Decoding undoes the scaling of encoding, and scaled latents are not the VAE's own."""
    model = models[name]
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with model.vae() as vae, torch.no_grad():
        assert vae.dtype is torch.float32
        mean, spread = model.encode(vae, pixels)
        output = vae.encode(pixels)
        own = output.latent if name == "sana" else output.latent_dist.mean
        shift = vae.config.get("shift_factor") or 0.0
        assert torch.allclose(mean, (own - shift) * vae.config.scaling_factor)
        assert torch.allclose(model.decode(vae, mean), vae.decode(own).sample, atol=1e-5)
    assert (spread == 0).all() if name == "sana" else (spread > 0).all()
    grain = 64 // mean.shape[-1]
    assert mean.shape[1] == model.channels and model.source.grain % grain == 0


def test_latents_with_a_mean_and_spread_by_channel(models):
    """Some fine-tunes of Stable Diffusion XL whiten their latents."""
    model = models["sdxl"]
    with model.vae() as vae, torch.no_grad():
        plain = vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean
        vae.register_to_config(latents_mean=[1.0, 2.0, 3.0, 4.0], latents_std=[2.0] * 4)
        mean, _ = model.encode(vae, torch.zeros(1, 3, 64, 64))
        shift = torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
        assert torch.allclose(mean, (plain - shift) * vae.config.scaling_factor / 2)
        assert torch.allclose(model.decode(vae, mean), vae.decode(plain).sample, atol=1e-5)
