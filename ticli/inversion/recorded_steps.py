"""Steps recorded once as a CUDA graph and replayed, so that no launch waits for Python."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch

from ticli.durable import make_folder, write_file
from ticli.errors import first_line
from ticli.families.family import Encoding
from ticli.inversion.context import mean_distance
from ticli.inversion.loss import Part, Share, joined, losses_of, part_of, summed, weights_of
from ticli.models.memory import out_of_memory
from ticli.models.model import Model, TextEncoder
from ticli.models.text_encoder import EncoderInput, Tokenised
from ticli.paths import places

if TYPE_CHECKING:
    from ticli.inversion.context import Context

COMPILERS = ("cc", "gcc", "clang")
FILE = "compiling.json"
# Seconds to compile a U-Net and its backward pass if nothing is known of this one.
UNKNOWN_COST = 90.0
# The share of a captured step that fused normalisation and activation save, guessed low.
SAVED = 0.15


def obstacle() -> str | None:
    """What this machine lacks for compiling, in words; None if it lacks nothing."""
    if importlib.util.find_spec("triton") is None:
        return "there is no Triton"
    if not any(shutil.which(name) for name in COMPILERS):
        return "there is no C compiler"
    return None


def repays(step_seconds: float, steps_left: int, cost: float) -> bool:
    """Whether the steps that are left save more time than compiling takes."""
    return SAVED * step_seconds * steps_left > cost


def cost_of(what: str) -> float:
    """Seconds that compiling this took the last time: compiled kernels are kept on disk."""
    seconds = _costs().get(what)
    return seconds if isinstance(seconds, int | float) and seconds >= 0 else UNKNOWN_COST


def remember_cost(what: str, seconds: float) -> None:
    """Note what compiling took."""
    costs = {**_costs(), what: round(seconds, 1)}
    make_folder(places().cache)
    write_file(places().cache / FILE, json.dumps(costs, indent=1).encode(), replace=True)


def _costs() -> dict[str, object]:
    """The costs by what was compiled; none if the file cannot be read."""
    try:
        found = json.loads((places().cache / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


# The vector of a slot: the number of its parameter in the batch, and its own in the parameter.
Slot = tuple[int, int]
Buffers = dict[str, torch.Tensor]
LAYOUT = fields(EncoderInput)
# Losses, and the gradients of the rows in their order.
Outputs = tuple[torch.Tensor, list[torch.Tensor | None]]


@dataclass(frozen=True)
class Shape:
    """What recorded steps must have in common to be replayed for each other.

    `slots` are the trainable vectors in the order of the batch's slots, by encoder.
    """

    parts: tuple[Part, ...]
    slots: tuple[tuple[str, tuple[Slot, ...]], ...]
    buffers: tuple[tuple[str, tuple[int, ...]], ...]
    scale: float


@dataclass(frozen=True)
class Batch:
    """A batch: its shape, the tensors that change from step to step, and the step itself.

    `rows` are the trainable parameters of its slots, in their order. They are among the tensors
    too, so that another concept may take the same replay.
    """

    shape: Shape
    tensors: Buffers
    rows: tuple[torch.Tensor, ...]
    step: Callable[[Model, Shape, Buffers], Outputs]

    @property
    def can_be_replayed(self) -> bool:
        """Whether all its rows stay where they are: photos' own words are slices."""
        return all(row.is_leaf for row in self.rows)


def lay_out(model: Model, shares: Sequence[Share], scale: float) -> Batch:
    """All that a step of these shares reads, on the device."""
    given = joined([share.given for share in shares])
    tensors: Buffers = {"z_t": given.z_t, "t": given.t}
    slots: list[tuple[str, tuple[Slot, ...]]] = []
    rows: list[torch.Tensor] = []
    for encoder in model.encoders:
        prompts = [prompt[encoder.key] for prompt in given.prompts]
        tensors |= named(encoder.key, encoder.lay_out(prompts))
        slots.append((encoder.key, slots_of(encoder, prompts, given.words, rows)))
    tensors |= {f"row.{number}": row.detach() for number, row in enumerate(rows)}
    for place, share in enumerate(shares):
        masks, weights = weights_of(model, share.examples, share.samples, share.part)
        tensors[f"target.{place}"] = share.given.target
        tensors |= {f"masks.{place}": masks} if masks is not None else {}
        tensors |= {f"weights.{place}": weights} if weights is not None else {}
    parts = tuple(part_of(share) for share in shares)
    shape = Shape(parts, tuple(slots), shapes_of(tensors), scale)
    return Batch(shape, tensors, tuple(rows), step)


def shapes_of(tensors: Buffers) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The shape of every tensor by its name."""
    return tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())


def buffers_of(batch: Batch) -> Buffers:
    """Copies of a batch's tensors to take steps over; the rows take gradients."""
    buffers = {name: tensor.clone() for name, tensor in batch.tensors.items()}
    for number in range(len(batch.rows)):
        buffers[f"row.{number}"].requires_grad_()
    return buffers


def fill(buffers: Buffers, batch: Batch) -> None:
    """Copy the tensors of a batch of the same shape into buffers."""
    with torch.no_grad():
        for name, tensor in batch.tensors.items():
            buffers[name].copy_(tensor, non_blocking=True)


def step(model: Model, shape: Shape, buffers: Buffers) -> Outputs:
    """Losses of the parts, (parts,), and the gradients of the rows in their order.

    Only buffers are read, and nothing passes to or from the host, so that it can be captured.
    """
    encodings = {e.key: encoded(e, shape, buffers) for e in model.encoders}
    answers = model.denoise(buffers["z_t"], buffers["t"], model.join(encodings))
    numbers = range(len(shape.parts))
    targets = [buffers[f"target.{number}"] for number in numbers]
    weights = [(buffers.get(f"masks.{n}"), buffers.get(f"weights.{n}")) for n in numbers]
    losses = losses_of(answers, shape.parts, targets, weights)
    total = summed(losses, shape.scale)
    gradients = torch.autograd.grad(total, rows_of(buffers), allow_unused=True)
    return torch.stack([loss.detach() for loss in losses]), list(gradients)


def rows_of(buffers: Buffers) -> list[torch.Tensor]:
    """The trainable rows among buffers, in their order."""
    return [tensor for name, tensor in buffers.items() if name.startswith("row.")]


def encoded(encoder: TextEncoder, shape: Shape, buffers: Buffers) -> Encoding:
    """An encoder's outputs for the prompts in buffers, with the rows' vectors in their slots."""
    own, rows = dict(shape.slots)[encoder.key], rows_of(buffers)
    vectors = torch.stack([rows[row][number] for row, number in own]) if own else None
    parts: dict[str, Any] = {f.name: buffers.get(f"{encoder.key}.{f.name}") for f in LAYOUT}
    return encoder.read(EncoderInput(**parts), vectors)


def named(key: str, layout: EncoderInput) -> Buffers:
    """The tensors of an encoder's layout by names of their own."""
    found = {f"{key}.{field.name}": getattr(layout, field.name) for field in LAYOUT}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def slots_of(
    encoder: TextEncoder,
    prompts: Sequence[Tokenised],
    words: Mapping[str, Mapping[str, torch.Tensor]],
    rows: list[torch.Tensor],
) -> tuple[Slot, ...]:
    """The vectors in a batch's slots; parameters that are not among `rows` yet join them."""
    slots = []
    for prompt in prompts:
        for slot in prompt.slots:
            row = words[slot.concept][encoder.key]
            numbers = [number for number, known in enumerate(rows) if known is row]
            if not numbers:
                rows.append(row)
            slots.append((numbers[0] if numbers else len(rows) - 1, slot.vector))
    return tuple(slots)


# Steps before recording: libraries choose kernels and reserve workspaces in them.
WARM_UPS = 3
# Shapes that stay recorded: captions that name a concept twice have one of their own. When there
# are more, one that was not used in so many batches makes room.
MOST, UNUSED = 4, 20
# With these savings a step does more than fill buffers and launch kernels.
EAGER = ("cut", "checkpoint", "slices", "offload")
# Replays that are timed before and after the denoiser is compiled.
TIMED = 10

# Records a function; returns what runs it again, and the outputs that then change in place.
Record = Callable[[Callable[[], Outputs]], tuple[Callable[[], None], Outputs]]


@dataclass
class Recorded:
    """A step that can be replayed: buffers to fill before, outputs to read after."""

    buffers: Buffers
    replay: Callable[[], None]
    outputs: Outputs
    seconds: list[float] = field(default_factory=list)
    settled: bool = False
    used: int = 0


@dataclass
class Replayer:
    """The recorded steps of a model by shape; `record` makes them, `compiled` compiles a denoiser.

    `broken` says why nothing is recorded any more.
    """

    record: Record
    compiled: Callable[[Any], Any] | None = None
    kept: dict[Shape, Recorded] = field(default_factory=dict)
    seen: Counter[Shape] = field(default_factory=Counter)
    batches: int = 0
    broken: str = ""

    def add_gradients(
        self, model: Model, shares: Sequence[Share], scale: float
    ) -> list[float] | None:
        """Take a recorded step and add its gradients; None if it must be taken plainly."""
        # How often this batch will be taken again, as far as can be seen.
        learners = [share.learner for share in shares]
        left = min(learner.recipe.steps - learner.state.step for learner in learners)
        again = left * learners[0].recipe.accumulate
        return self.take(model, lambda: lay_out(model, shares, scale), again)

    def add_context_gradient(
        self,
        model: Model,
        context: Context,
        rows: Mapping[str, torch.Tensor],
        numbers: Sequence[int],
        weight: float,
    ) -> bool:
        """Add the gradient of weight · distance by a recorded step; False if there is none."""
        found = self.take(model, lambda: _lay_out(model, context, rows, numbers, weight))
        return found is not None

    def take(
        self, model: Model, make: Callable[[], Batch], steps_left: int = 0
    ) -> list[float] | None:
        """Replay what `make` lays out and add its gradients; None if it must be done plainly.

        A shape is recorded the second time it comes, so that rare ones never are.
        """
        if self.broken or any(getattr(model.savings, rung) for rung in EAGER):
            return None
        batch = make()
        self.batches += 1
        self.seen[batch.shape] += 1
        recorded = self.kept.get(batch.shape)
        if recorded is None:
            if self.seen[batch.shape] == 1 or not (batch.can_be_replayed and self._room()):
                return None
            recorded = self._recorded(model, batch)
            if recorded is None:
                return None
        elif not recorded.settled and len(recorded.seconds) >= TIMED:
            recorded = self._settled(model, batch, recorded, steps_left)
        recorded.used = self.batches
        return _replayed(batch, recorded)

    def _room(self) -> bool:
        """Whether another shape may be recorded; one that is no longer used makes room."""
        if len(self.kept) < MOST:
            return True
        oldest = min(self.kept, key=lambda shape: self.kept[shape].used)
        if self.batches - self.kept[oldest].used < UNUSED:
            return False
        del self.kept[oldest]
        return True

    def _recorded(self, model: Model, batch: Batch) -> Recorded | None:
        try:
            recorded = _record(model, batch, self.record)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            self.broken = first_line(error)
            said = "steps cannot be recorded as a CUDA graph and stay eager"
            model.note_given_up(said, self.broken)
            return None
        self.kept[batch.shape] = recorded
        return recorded

    def _settled(self, model: Model, batch: Batch, recorded: Recorded, steps_left: int) -> Recorded:
        """The recorded step, or a compiled one if that is faster and repays compiling."""
        recorded.settled = True
        if self.compiled is None or not steps_left:
            return recorded
        what = _name_of(model, batch)
        seconds = sorted(recorded.seconds)[len(recorded.seconds) // 2]
        cost = cost_of(what)
        if not repays(seconds, steps_left, cost):
            return recorded
        began = time.monotonic()
        try:
            with _denoiser(model, self.compiled(model.denoiser)):
                other = _record(model, batch, self.record)
        except Exception as error:
            # Compilers raise types of their own, and the step works without them.
            if out_of_memory(error):
                raise
            model.note_given_up("the denoiser stays uncompiled", first_line(error))
            return recorded
        remember_cost(what, time.monotonic() - began)
        other.settled, other.used = True, recorded.used
        if min(_timed(batch, other)) >= min(_timed(batch, recorded)):
            return recorded
        self.kept[batch.shape] = other
        return other


def replayer_for(model: Model) -> Replayer | None:
    """What replays a model's steps on CUDA; None on other devices."""
    if model.device.type != "cuda":
        return None
    from diffusers import UNet2DConditionModel

    if isinstance(model.denoiser, UNet2DConditionModel) and not model.savings.offload:
        # Tensor cores take channels last; otherwise cuDNN turns each input around and back.
        model.denoiser.to(memory_format=torch.channels_last)
    compiled = None if obstacle() else lambda d: torch.compile(d, dynamic=False)
    return Replayer(CudaGraphs(), compiled)


class CudaGraphs:
    """Records CUDA graphs that share one pool of memory, because one is replayed at a time."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Warm up on another stream, as capture demands, then capture."""
        with _kernels_chosen_by_timing():
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    function()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                outputs = function()
        return graph.replay, outputs


def _record(model: Model, batch: Batch, record: Record) -> Recorded:
    buffers = buffers_of(batch)
    on_cuda, z_t = model.device.type == "cuda", buffers.get("z_t")
    if on_cuda and z_t is not None and z_t.dim() == 4:
        buffers["z_t"] = z_t.contiguous(memory_format=torch.channels_last)
    # The streams of the current device are captured.
    with torch.cuda.device(model.device) if on_cuda else nullcontext():
        replay, outputs = record(lambda: batch.step(model, batch.shape, buffers))
    return Recorded(buffers, replay, outputs)


def _replayed(batch: Batch, recorded: Recorded) -> list[float]:
    began = time.monotonic()
    fill(recorded.buffers, batch)
    recorded.replay()
    losses, gradients = recorded.outputs
    for row, gradient in zip(batch.rows, gradients, strict=True):
        if gradient is not None:
            # Copied: the next replay writes over it.
            row.grad = gradient.clone() if row.grad is None else row.grad + gradient
    # Waits for the device.
    found: list[float] = losses.tolist()
    recorded.seconds.append(time.monotonic() - began)
    return found


def _timed(batch: Batch, recorded: Recorded) -> list[float]:
    """Seconds of some replays, whose gradients go nowhere."""
    seconds = []
    for _ in range(TIMED):
        began = time.monotonic()
        recorded.replay()
        recorded.outputs[0].tolist()
        seconds.append(time.monotonic() - began)
    return seconds


@contextmanager
def _denoiser(model: Model, other: Any) -> Iterator[None]:
    """Put another denoiser into a model for a while."""
    own = model.denoiser
    model.denoiser = other
    try:
        yield
    finally:
        model.denoiser = own


@contextmanager
def _kernels_chosen_by_timing() -> Iterator[None]:
    """Let cuDNN time its convolutions, unless runs must give equal bits."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=not torch.are_deterministic_algorithms_enabled(),
        deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32,
    ):
        yield


def _name_of(model: Model, batch: Batch) -> str:
    """What was compiled: family, precision, shape of latents, machine and version."""
    where = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "cpu"
    shape = "x".join(map(str, batch.tensors["z_t"].shape))
    return f"{model.source.family} {model.hardware.dtype} {shape} {where} torch {torch.__version__}"


def _lay_out(
    model: Model,
    context: Context,
    rows: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
    weight: float,
) -> Batch:
    tensors: Buffers = {}
    slots: list[tuple[str, tuple[Slot, ...]]] = []
    trained: list[torch.Tensor] = []
    for encoder in model.encoders:
        key = encoder.key
        prompts = [context.prompts[number][key] for number in numbers]
        tensors |= named(key, encoder.lay_out(prompts))
        slots.append((key, slots_of(encoder, prompts, {context.concept: rows}, trained)))
        tensors[f"{key}.wanted"] = context.wanted[key][numbers]
        tensors[f"{key}.shares"] = context.shares[key][numbers]
    tensors |= {f"row.{number}": row.detach() for number, row in enumerate(trained)}
    shape = Shape((), tuple(slots), shapes_of(tensors), weight)
    return Batch(shape, tensors, tuple(trained), _step)


def _step(model: Model, shape: Shape, buffers: Buffers) -> Outputs:
    """The distance, (1,), and the gradients of the rows from its weighted value."""
    distance = mean_distance(
        (
            encoded(encoder, shape, buffers).hidden.float(),
            buffers[f"{encoder.key}.wanted"],
            buffers[f"{encoder.key}.shares"],
        )
        for encoder in model.encoders
    )
    gradients = torch.autograd.grad(shape.scale * distance, rows_of(buffers), allow_unused=True)
    return distance.detach()[None], list(gradients)
