"""MPS: the self-test finds wrong kernels, a run takes the device or falls to the CPU aloud."""

from __future__ import annotations

import pytest
import torch
from mps_stand_in import mps_played_by_the_cpu
from stepping import train
from test_frozen import begin
from torch.utils._python_dispatch import TorchDispatchMode

from ticli.models import disagreement, fault_of, load_model, pick_hardware, training_step
from ticli.models.locate import locate
from ticli.recipe import Recipe

CPU = torch.device("cpu")


class WrongKernel(TorchDispatchMode):
    """One operation gives numbers that are a hundredth too large."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.met = name, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if function.overloadpacket.__name__ != self.name:
            return found
        self.met += 1
        return (
            found.mul_(1.01) if isinstance(found, torch.Tensor) else (found[0] * 1.01, *found[1:])
        )


def test_the_cpu_agrees_with_itself():
    assert fault_of(CPU) is None
    first, again = training_step(CPU), training_step(CPU)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["gradient"].abs().max() > 0


@pytest.mark.parametrize(
    "kernel", ["addcdiv_", "convolution", "native_layer_norm", "native_group_norm", "index_put"]
)
def test_a_wrong_kernel_is_noticed(kernel):
    with WrongKernel(kernel) as wrong:
        found = training_step(CPU)
    assert wrong.met, "the step no longer goes through this kernel"
    assert "off by" in disagreement(found, training_step(CPU))


def test_what_is_not_a_number_is_noticed():
    step = training_step(CPU)
    assert disagreement({**step, "gradient": step["gradient"] * float("nan")}, step)


def test_a_device_that_cannot_is_named():
    assert "cannot take a training step" in fault_of(torch.device("mps"))


@pytest.mark.parametrize("device", ["auto", "mps"])
def test_a_device_that_fails_gives_way_to_the_cpu(device, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    hardware = pick_hardware(device)
    assert hardware.device == CPU and hardware.dtype == torch.float32
    assert hardware.why.startswith("not MPS, since it cannot take a training step")


def test_a_word_is_learned_on_a_stand_in_for_mps(tiny_folder, tiny, monkeypatch):
    recipe = Recipe(steps=3, batch=3, lr=0.05)
    examples, state = begin(tiny, recipe)
    list(train(tiny, examples, state, recipe, seed=0))
    with mps_played_by_the_cpu(monkeypatch) as stand_in:
        hardware = pick_hardware("auto")
        assert hardware.describe() == "mps (fp32)" and hardware.why == "MPS found"
        model = load_model(locate(str(tiny_folder)), hardware)
        others, there = begin(model, recipe)
        list(train(model, others, there, recipe, seed=0))
    assert stand_in.moved > 20
    assert torch.equal(state.vectors.rows["clip_l"], there.vectors.rows["clip_l"])
    assert state.vectors.rows["clip_l"].is_contiguous()


def test_a_picture_is_drawn_on_a_stand_in_for_mps(tiny_folder, tiny, monkeypatch):
    from ticli.generation import draw_preview

    rows = {"mug": {"clip_l": torch.randn(1, 32, generator=torch.Generator().manual_seed(1))}}
    expected = draw_preview(tiny, "a <mug> on the moon", rows, 5)
    with mps_played_by_the_cpu(monkeypatch) as stand_in:
        monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
        model = load_model(locate(str(tiny_folder)), pick_hardware("mps"))
        found = draw_preview(model, "a <mug> on the moon", rows, 5)
    assert stand_in.moved > 10 and found.tobytes() == expected.tobytes()


def test_the_stand_in_refuses_what_mps_lacks(monkeypatch):
    with mps_played_by_the_cpu(monkeypatch), pytest.raises(TypeError, match="float64"):
        torch.zeros(2, dtype=torch.float64).to("mps")
