"""How much memory a training step will need, estimated without computing anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ticli.families import FAMILIES
from ticli.families.family import KINDS, Conditioning, EncoderPart, Encoding
from ticli.models.folder import ModelSource, configuration, encoder_parts
from ticli.models.memory_blocks import possible_savings, units_of
from ticli.models.memory_ladder import Savings
from ticli.models.model import load_scheduler, quiet_libraries, suit_attention

META = torch.device("meta")
# How much more than its graph a step of Stable Diffusion 1.5 in bfloat16 takes at most: workspaces
# and intermediate gradients (H100, batches of 1, 4 and 8).
WORKSPACE, FIXED = 1.15, 300 << 20
# How many numbers a text encoder's layer keeps for each token and channel.
KEPT_BY_ENCODER = 18
# The next block is fetched while the current one is still on the device.
FETCHED = 2


@dataclass(frozen=True)
class Demand:
    """Bytes of a model and of one sample's step; `possible` are the rungs that would help.

    Weights: the `encoders`, the `denoiser`, its `blocks`, its `largest_block`, and what 8 bits
    would save (`narrowed`). Activations in one sample's graph: of the encoders (`encoding`), of the
    denoiser (`kept`), outside of its blocks (`outside`), the inputs of blocks (`inputs`), and the
    most that one block keeps (`largest_kept`).
    """

    encoders: int
    denoiser: int
    blocks: int
    largest_block: int
    narrowed: int
    encoding: int
    kept: int
    outside: int
    inputs: int
    largest_kept: int
    possible: frozenset[str]

    def need(self, savings: Savings, batch: int) -> int:
        """Bytes that a step needs at a stage of the ladder, for a batch of samples."""
        samples = min(savings.samples or batch, batch)
        weights, narrow = self.denoiser, 1.0
        if savings.eight_bit:
            weights -= self.narrowed
            narrow = weights / self.denoiser
        if savings.offload:
            block = FETCHED * self.largest_block
            weights = self.denoiser - self.blocks + math.ceil(narrow * block)
        graph = self.kept
        if savings.checkpoint or savings.offload:
            graph = self.outside + self.inputs + self.largest_kept
        denoising = weights + math.ceil(WORKSPACE * graph * samples)
        encoding = self.encoders + math.ceil(WORKSPACE * self.encoding * samples)
        # When the graph is cut, encoders and activations are never on the device together.
        together = max(denoising, weights + encoding) if savings.cut else denoising + encoding
        return together + FIXED


def measure_demand(source: ModelSource, dtype: torch.dtype, size: int, device: Any) -> Demand:
    """Estimate a model's demand for pictures of `size` pixels a side from its settings alone.

    The denoiser is built on the meta device, without weights. Raises ModelUnavailable if settings
    are missing.
    """
    family = FAMILIES[source.family]
    folder, name = family.denoiser
    with quiet_libraries():
        import diffusers

        with META:
            denoiser = getattr(diffusers, name).from_config(configuration(source, folder))
        denoiser = denoiser.to(dtype).requires_grad_(False).eval()
    suit_attention(denoiser, source, dtype, device)
    details = family.details(denoiser.config)
    side = size * details.side // source.size
    conditioning = _conditioning(source, denoiser, dtype)
    kept = _Kept(denoiser)
    hooks = torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor)
    with META, _Fused(), torch.enable_grad(), hooks:
        noisy = torch.empty(1, details.channels, side, side, dtype=dtype)
        times = torch.zeros(1, dtype=torch.long)
        times = family.law.times(load_scheduler(source), times, tuple(noisy.shape))
        family.denoise(denoiser, noisy, times, conditioning)
    units = list(units_of(denoiser))
    blocks = [_bytes(unit) for unit in units]
    linear = [m.weight for unit in units for m in unit.modules() if type(m) is torch.nn.Linear]
    encoders = [_encoder_sizes(source, part, dtype) for part in encoder_parts(source)]
    return Demand(
        encoders=sum(weights for weights, _ in encoders),
        denoiser=_bytes(denoiser),
        blocks=sum(blocks),
        largest_block=max(blocks, default=0),
        narrowed=sum(weight.nbytes - weight.numel() for weight in linear),
        encoding=sum(graph for _, graph in encoders),
        kept=kept.total,
        outside=kept.total - sum(kept.blocks),
        inputs=kept.inputs,
        largest_kept=max(kept.blocks, default=0),
        possible=possible_savings(denoiser, device),
    )


class _Kept:
    """Counts what a graph keeps besides weights, each storage once: in all, by block, as inputs."""

    def __init__(self, denoiser: torch.nn.Module) -> None:
        own = [*denoiser.parameters(), *denoiser.buffers()]
        self.weights = {tensor.untyped_storage()._cdata for tensor in own}
        # Held here, since the address of a freed storage is used again.
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.total, self.inputs, self.before = 0, 0, 0
        self.blocks: list[int] = []
        for unit in units_of(denoiser):
            unit.register_forward_pre_hook(self._enter, with_kwargs=True)
            unit.register_forward_hook(self._leave)

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.weights and storage._cdata not in self.storages:
            self.storages[storage._cdata] = storage
            self.total += storage.nbytes()
        return tensor

    def _enter(self, _unit: Any, args: Any, kwargs: Any) -> None:
        given = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        # The conditioning is shared; only the first input is the block's own.
        self.inputs += given[0].nbytes if given else 0
        self.before = self.total

    def _leave(self, _unit: Any, _args: Any, _output: Any) -> None:
        self.blocks.append(self.total - self.before)


class _FusedAttention(torch.autograd.Function):
    """What fused attention keeps: its inputs, its output and one number for each row."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any) -> Any:
        output = query.new_empty((*query.shape[:-1], value.shape[-1]))
        rows = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, rows)
        return output


class _Fused(TorchFunctionMode):
    """Count attention as fused: on the meta device the plain form would be counted."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch.nn.functional.scaled_dot_product_attention:
            named = kwargs or {}
            rest = [named[name] for name in ("query", "key", "value") if name in named]
            return _FusedAttention.apply(*[*args, *rest][:3])  # type: ignore[no-untyped-call]
        return function(*args, **(kwargs or {}))


def _conditioning(source: ModelSource, denoiser: Any, dtype: torch.dtype) -> Conditioning:
    """The conditioning of one prompt on the meta device."""
    encodings = {}
    for part in encoder_parts(source):
        text, window = configuration(source, part.folder), source.windows[part.key]
        width = source.widths[part.key]
        pooled = int(text.get("projection_dim") or width) if part.projected else width
        with META:
            encodings[part.key] = Encoding(
                torch.empty(1, window, width, dtype=dtype, requires_grad=True),
                torch.empty(1, pooled, dtype=dtype, requires_grad=True) if part.pooled else None,
                torch.ones(1, window, dtype=torch.long),
            )
    return FAMILIES[source.family].condition(encodings, denoiser.config)


def _encoder_sizes(source: ModelSource, part: EncoderPart, dtype: torch.dtype) -> tuple[int, int]:
    """Bytes of an encoder's weights, and of one sample's graph through it."""
    import transformers

    text = configuration(source, part.folder)
    names = KINDS[part.kind]
    kind = getattr(transformers, names.projected if part.projected else names.model)
    with quiet_libraries(), META:
        module = kind(kind.config_class(**text))
    # CLIP stays in float32, whatever the model's precision.
    size = 4 if part.kind == "clip" else dtype.itemsize
    layers = int(text.get("num_hidden_layers") or text.get("num_layers") or 0)
    kept = KEPT_BY_ENCODER * layers * source.windows[part.key] * source.widths[part.key] * size
    return size * sum(tensor.numel() for tensor in module.parameters()), kept


def _bytes(module: torch.nn.Module) -> int:
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
