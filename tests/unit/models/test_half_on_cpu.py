"""bfloat16 on a CPU: chosen where it pays, and as good a gradient as float32's."""

from __future__ import annotations

import pytest
import torch

from ticli.errors import Usage
from ticli.models import hardware, load_model, pick_hardware
from ticli.models.locate import locate


@pytest.mark.parametrize(
    ("features", "allowed", "expected"),
    [
        ({"avx512_bf16": True}, True, "cpu (bf16)"),
        ({"amx_bf16": True, "avx512_bf16": False}, True, "cpu (bf16)"),
        ({"avx512_bf16": False, "avx2": True}, True, "cpu (fp32)"),
        ({"avx512_bf16": True}, False, "cpu (fp32)"),
    ],
)
def test_auto_takes_it_on_processors_that_have_it(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], allowed: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert pick_hardware("cpu", half_on_cpu=allowed).describe() == expected


def test_what_is_asked_for_counts_for_more() -> None:
    assert pick_hardware("cpu", "bf16").describe() == "cpu (bf16)"
    assert pick_hardware("cpu", "fp32", half_on_cpu=True).describe() == "cpu (fp32)"
    with pytest.raises(Usage):
        pick_hardware("cpu", "fp16")


@pytest.mark.parametrize("dtype", ["auto", "bf16"])
def test_cuda_does_without_cudnns_attention(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    for name, answer in (("is_available", True), ("device_count", 1), ("is_bf16_supported", True)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        assert pick_hardware("cuda:0", dtype).describe() == "cuda:0 (bf16)"
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_every_device_has_float32() -> None:
    assert all("fp32" in known for known in hardware.PRECISIONS.values())


def test_the_gradient_points_where_float32s_does() -> None:
    source = locate("starter")
    assert source.has_small_maps
    gradients = []
    for dtype in ("fp32", "bf16"):
        model = load_model(source, pick_hardware("cpu", dtype))
        draw = torch.Generator().manual_seed(0)
        noisy = torch.randn(2, model.channels, 16, 16, generator=draw)
        prompts = [model.tokenise(text, {"mug": 1}) for text in ("a photo of a <mug>", "<mug>")]
        row = model.encoders[0].table[500].detach().clone()[None].requires_grad_()
        hidden = model.condition(prompts, {"mug": {"clip_l": row}})
        predicted = model.denoise(noisy, torch.tensor([600, 900]), hidden)
        predicted.square().mean().backward()
        gradients.append(row.grad.flatten())
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99
