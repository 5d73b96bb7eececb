"""What text encoders give and what a denoiser reads, whatever the family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Encoding:
    """One encoder's answer to a batch: `hidden` is (batch, window, width).

    `pooled` (batch, width) is read at the end of each prompt, where the family wants it; `mask`
    (batch, window) is 1 for the prompt's own tokens and 0 for padding.
    """

    hidden: torch.Tensor
    pooled: torch.Tensor | None
    mask: torch.Tensor


@dataclass(frozen=True)
class Conditioning:
    """What the denoiser reads of a batch of prompts: `hidden` is (batch, tokens, width).

    `pooled` is (batch, width) and `mask` (batch, tokens), each None where a family has none.
    """

    hidden: torch.Tensor
    pooled: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    def part(self, rows: slice) -> Conditioning:
        """The conditioning of some of the prompts."""
        pooled = None if self.pooled is None else self.pooled[rows]
        mask = None if self.mask is None else self.mask[rows]
        return Conditioning(self.hidden[rows], pooled, mask)

    def repeated(self, times: int) -> Conditioning:
        """Each prompt as often as asked, before the next one."""
        pooled = None if self.pooled is None else self.pooled.repeat_interleave(times, 0)
        mask = None if self.mask is None else self.mask.repeat_interleave(times, 0)
        return Conditioning(self.hidden.repeat_interleave(times, 0), pooled, mask)

    def first_zeroed(self) -> Conditioning:
        """The same with zeros for the first prompt, the pooled vector too."""
        hidden, pooled = self.hidden.clone(), self.pooled
        hidden[0] = 0
        if pooled is not None:
            pooled = pooled.clone()
            pooled[0] = 0
        return Conditioning(hidden, pooled, self.mask)

    def halves(self) -> tuple[Conditioning, Conditioning]:
        """The first half of the prompts and the second: negative and positive ones."""
        middle = len(self.hidden) // 2
        return self.part(slice(middle)), self.part(slice(middle, None))
