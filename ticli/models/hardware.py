"""The device and precision a model runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ticli.errors import DeviceFailed, Usage

if TYPE_CHECKING:
    import torch


# CPUs overflow in float16, and MPS has gone wrong in both half precisions.
PRECISIONS = {"cuda": ("fp32", "fp16", "bf16"), "cpu": ("fp32", "bf16"), "mps": ("fp32",)}
# With one of these, a denoiser's two passes take 0.6 to 0.75 of the time of float32.
NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Hardware:
    """Where the model runs, in which precision, and why.

    `low_memory` starts a run where a card of 4 to 6 GB would have to.
    """

    device: torch.device
    dtype: torch.dtype
    why: str
    low_memory: bool = False

    def describe(self) -> str:
        """Such as "cuda:0 (bf16)"."""
        import torch

        short = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
        return f"{self.device} ({short[self.dtype]})"


def pick_hardware(
    device: str = "auto", dtype: str = "auto", *, half_on_cpu: bool = False
) -> Hardware:
    """Choose the device and precision that were asked for, or the best available.

    "auto" takes CUDA, then MPS, then the CPU. CUDA runs in bfloat16 if the card supports it, else
    in float16. MPS and the CPU run in float32, since half precision is slower or wrong there;
    `half_on_cpu` allows bfloat16 on CPUs that multiply it natively. Raises DeviceFailed if there is
    no such device, and Usage if it cannot run in the precision.
    """
    import torch

    chosen, why = _device(device)
    if chosen.type == "cuda":
        # On Hopper cards cuDNN's attention gives gradients that are NaN (pytorch/pytorch 196678).
        torch.backends.cuda.enable_cudnn_sdp(False)
    if chosen.type == "mps":
        from ticli.models.selftest import fault_of

        if fault := fault_of(chosen):
            chosen, why = torch.device("cpu"), f"not MPS, since {fault}"
    if dtype != "auto":
        if dtype not in PRECISIONS[chosen.type]:
            known = " or ".join(PRECISIONS[chosen.type])
            raise Usage(f"{chosen.type} runs in {known}, not {dtype}", "leave --dtype out")
        wanted = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
        return Hardware(chosen, wanted[dtype], why)
    picked = torch.float32
    if chosen.type == "cuda":
        picked = torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    elif chosen.type == "cpu" and half_on_cpu:
        features = torch.cpu.get_capabilities()
        if any(features.get(name) is True for name in NATIVE_BFLOAT16):
            picked = torch.bfloat16
    return Hardware(chosen, picked, why)


def make_deterministic() -> None:
    """Make every kernel give the same bits in every run, or fail. Call it before CUDA starts."""
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def _device(name: str) -> tuple[torch.device, str]:
    import torch

    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        if has_cuda:
            return torch.device("cuda", torch.cuda.current_device()), "CUDA found"
        return (torch.device("mps"), "MPS found") if has_mps else (torch.device("cpu"), "no GPU")
    kind, _, number = name.partition(":")
    if kind == "cuda":
        index = int(number) if number.isdigit() else 0
        if number and not number.isdigit():
            raise Usage(f"device {name!r} is not cuda:N", "such as cuda:0")
        if not has_cuda or index >= torch.cuda.device_count():
            build = "" if torch.version.cuda else "; this torch is built without CUDA"
            raise DeviceFailed(f"there is no device {name}{build}", "use --device cpu or auto")
        return torch.device("cuda", index), "asked for"
    if kind == "mps" and not has_mps:
        raise DeviceFailed("there is no MPS device", "use --device cpu or auto")
    return torch.device(kind), "asked for"
