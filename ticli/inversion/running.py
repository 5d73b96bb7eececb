"""How a plan is carried out: where, in which precision, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """What is known of a run's surroundings before torch is imported.

    `device` and `dtype` are as asked; `result` says where the word will be.
    """

    device: str
    device_origin: str
    dtype: str
    recipe_name: str
    model_named: bool
    result: str

    @property
    def device_and_why(self) -> str:
        """The device as asked, or how "auto" will choose."""
        if self.device == "auto":
            return "auto: CUDA, else MPS, else the CPU"
        return f"{self.device} ({self.device_origin})"

    @property
    def precision_and_why(self) -> str:
        """The precision as asked, or how "auto" will choose; the vectors are always float32."""
        if self.dtype != "auto":
            return f"{self.dtype}, vectors fp32"
        chosen = {
            "cpu": "bf16 where it pays, else fp32",
            "mps": "fp32",
            "cuda": "bf16 where the card has it, else fp16",
        }.get(self.device.split(":")[0], "auto: half where it pays, else fp32")
        return f"{chosen}, vectors fp32"
