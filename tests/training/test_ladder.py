"""Every rung of the memory ladder, forced on the CPU: the same gradient with less memory."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from stepping import train
from test_frozen import begin, examples_for
from tiny import WIDTH

from ticli.errors import DeviceFailed
from ticli.inversion import Start, gradients, make_learner, start_vectors
from ticli.models import (
    LOW,
    NONE,
    RUNGS,
    EightBitLinear,
    Savings,
    below,
    compute_twice,
    keep_in_eight_bits,
    ladder,
    load_model,
    memory_explained,
    pick_hardware,
    said,
    units_of,
    with_less,
)
from ticli.models.locate import locate
from ticli.recipe import Recipe

RECIPE = Recipe(steps=4, lr=0.05, batch=5, norm="free", flip=False)


def learned(model, recipe: Recipe = RECIPE) -> torch.Tensor:
    examples, state = begin(model, recipe)
    list(train(model, examples, state, recipe, seed=0))
    return state.vectors.rows["clip_l"].detach()


def gradient(model) -> torch.Tensor:
    examples, state = begin(model, RECIPE)
    gradients(model, [make_learner(model, examples, state, RECIPE, 0)])
    return state.vectors.rows["clip_l"].grad


@pytest.mark.parametrize("name", ["cut", "checkpoint", "offload"])
def test_a_rung_that_splits_no_sum_gives_the_same_bits(tiny, name):
    expected = learned(tiny)
    tiny.spare(Savings(**{name: True}), "asked for")
    assert torch.equal(learned(tiny), expected)


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_smaller_batches_have_the_same_gradient(tiny, samples):
    expected = gradient(tiny)
    tiny.spare(Savings(samples=samples), "asked for")
    assert torch.allclose(gradient(tiny), expected, rtol=1e-4, atol=1e-8)
    sizes = []
    tiny.denoiser.register_forward_hook(lambda _m, args, _o: sizes.append(len(args[0])))
    gradient(tiny)
    assert sum(sizes) == 5 and max(sizes) == samples


def test_a_batch_that_does_not_divide_weighs_its_parts(tiny):
    """Masks and accumulation keep their means too."""
    recipe = Recipe(steps=2, lr=0.05, batch=3, accumulate=2, norm="free", min_snr=5.0)
    expected = learned(tiny, recipe)
    tiny.spare(Savings(samples=2, cut=True, checkpoint=True), "asked for")
    assert torch.allclose(learned(tiny, recipe), expected, atol=1e-5)


def test_attention_in_slices_is_attention(tiny, monkeypatch):
    from diffusers.models.attention_processor import AttnProcessor2_0

    expected = gradient(tiny)
    monkeypatch.setattr("ticli.models.memory_blocks.SLICE", 100)
    tiny.spare(Savings(slices=True), "asked for")
    kinds = {type(one).__name__ for one in tiny.denoiser.attn_processors.values()}
    assert kinds == {"SlicedAttention"}
    assert torch.allclose(gradient(tiny), expected, rtol=1e-4, atol=1e-8)
    noisy, text = torch.randn(2, 4, 8, 8), torch.randn(2, 48, WIDTH)
    with torch.no_grad():
        found = tiny.denoiser(noisy, 500, text).sample
        tiny.denoiser.set_attn_processor(AttnProcessor2_0())
        assert torch.allclose(found, tiny.denoiser(noisy, 500, text).sample, atol=1e-5)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_8_bit_weights_keep_the_gradients_direction(tiny_folder, dtype):
    model = load_model(locate(str(tiny_folder)), pick_hardware("cpu", dtype))
    expected = gradient(model)
    before = sum(p.nbytes for unit in units_of(model.denoiser) for p in unit.parameters())
    model.spare(Savings(eight_bit=True), "asked for")
    found = gradient(model)
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.99
    assert not torch.equal(found, expected)
    assert keep_in_eight_bits(model.denoiser) == 0
    after = sum(t.nbytes for unit in units_of(model.denoiser) for t in unit.state_dict().values())
    assert after < before


def test_8_bit_weights_are_off_by_half_a_step_at_most():
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 24).requires_grad_(False)
    narrow = EightBitLinear(linear)
    assert narrow.weight.dtype == torch.int8 and narrow.weight.nbytes * 4 == linear.weight.nbytes
    step = linear.weight.abs().amax(1, keepdim=True) / 127
    off = (narrow.weight * narrow.scale - linear.weight).abs()
    assert (off <= step / 2 + 1e-7).all()
    x = torch.randn(3, 5, 48, requires_grad=True)
    narrow(x).square().sum().backward()
    mine = x.grad.clone()
    x.grad = None
    widened = torch.nn.functional.linear(x, narrow.weight * narrow.scale, narrow.bias)
    widened.square().sum().backward()
    assert torch.allclose(mine, x.grad, rtol=1e-4, atol=1e-5)


def test_fetched_weights_are_gone_when_their_block_is_done(tiny):
    """Never more than two blocks' fetched weights are there, in neither of the passes."""
    sizes = [sum(p.nbytes for p in unit.parameters()) for unit in units_of(tiny.denoiser)]
    living: dict[int, int] = {}
    most = 0

    def fetch(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal most
        copy = tensor.clone()
        living[id(copy)] = copy.nbytes
        weakref.finalize(copy, living.pop, id(copy), None)
        most = max(most, sum(living.values()))
        return copy

    expected = gradient(tiny)
    compute_twice(tiny.denoiser, fetch)
    assert torch.equal(gradient(tiny), expected)
    gc.collect()
    assert max(sizes) <= most <= 2 * max(sizes) < sum(sizes) and not living


def test_a_cut_graph_frees_the_denoisers_before_the_encoder_is_back(tiny):
    """While rows get their gradient nothing of the denoiser's graph is left."""
    tiny.spare(Savings(cut=True), "asked for")
    kept: list[weakref.ref] = []
    tiny.denoiser.conv_in.register_forward_hook(
        lambda _m, _a, output: kept.append(weakref.ref(output))
    )
    living = []
    examples, state = begin(tiny, RECIPE)
    row = state.vectors.rows["clip_l"]
    row.register_hook(lambda _g: living.append(sum(one() is not None for one in kept)))
    gradients(tiny, [make_learner(tiny, examples, state, RECIPE, 0)])
    assert kept and living and not any(living)


@pytest.mark.parametrize("family", ["out of memory", "CPU", "MPS"])
def test_a_full_device_goes_down_the_ladder_aloud(tiny, family):
    error, text = {
        "out of memory": (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2 GiB"),
        "CPU": (RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        "MPS": (RuntimeError, "MPS backend out of memory (MPS allocated: 8 GB)"),
    }[family]
    expected = learned(tiny)
    heard: list[str] = []
    tiny.tell = heard.append

    def full_at(_module, args, _output):
        if len(args[0]) > 2:
            raise error(text)

    tiny.denoiser.register_forward_hook(full_at)
    assert torch.allclose(learned(tiny), expected, atol=1e-5)
    assert tiny.savings == Savings(samples=2)
    assert (
        heard
        == tiny.given_up
        == [
            "cpu is out of memory: 3 pictures at a time, the same batch in all",
            "cpu is out of memory: 2 pictures at a time, the same batch in all",
        ]
    )


def test_the_end_of_the_ladder_is_an_answer_in_words(tiny):
    def always(_module, _args, _output):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    tiny.denoiser.register_forward_hook(always)
    with pytest.raises(DeviceFailed, match="no room"), memory_explained("no room", "buy some"):
        learned(tiny)
    assert tiny.savings == Savings(1, True, True, True, False, True)
    assert len(tiny.given_up) == 7


def test_other_errors_are_not_taken_for_a_full_memory(tiny):
    def wrong(_module, _args, _output):
        raise RuntimeError("shapes do not match")

    tiny.denoiser.register_forward_hook(wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        learned(tiny)
    assert tiny.savings == NONE and not tiny.given_up


def test_what_failed_is_let_go_before_the_next_try(tiny):
    held = []

    def work() -> int:
        living = [one for one in held if one() is not None]
        if len(held) < 3:
            large = torch.zeros(1000)
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return len(living)

    assert with_less(tiny, 8, work) == 0 and tiny.savings.samples == 1


def test_the_ladder_goes_down_one_thing_at_a_time():
    stages = list(ladder(4))
    assert stages[0] == NONE and [s.samples for s in stages[:3]] == [0, 2, 1]
    assert stages[-1] == Savings(1, *[True] * len(RUNGS))
    walked = [NONE]
    while (stage := below(walked[-1], 4)) is not None:
        walked.append(stage)
    assert walked == stages
    assert below(Savings(samples=8), 4) == Savings(samples=2)
    assert list(ladder(1, {"cut"})) == [NONE, Savings(1, cut=True)]
    assert said(LOW) == (
        "one picture at a time, the same batch in all; text encoders leave the device while the "
        "denoiser works; activations are computed twice instead of kept; attention in slices"
    )


def test_evaluations_go_down_the_ladder_too(tiny):
    from ticli.inversion import evaluation_draw, held_out_loss

    examples = examples_for(tiny)
    vectors = start_vectors(tiny, Start("mug", 1, "free", 0))
    drawn = evaluation_draw(tiny, examples, RECIPE, 0)
    expected = held_out_loss(tiny, examples, vectors, drawn, 4)

    def full_at(_module, args, _output):
        if len(args[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    tiny.denoiser.register_forward_hook(full_at)
    assert held_out_loss(tiny, examples, vectors, drawn, 4) == pytest.approx(expected, rel=1e-5)
    assert tiny.savings.samples == 1
