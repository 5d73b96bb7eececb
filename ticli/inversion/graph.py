"""Steps recorded once as a CUDA graph and replayed, so that no launch waits for Python."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from ticli.errors import first_line
from ticli.inversion import compiling
from ticli.inversion.batches import Share
from ticli.inversion.static_step import Batch, Buffers, Outputs, Shape, buffers_of, fill, lay_out
from ticli.models.memory import out_of_memory
from ticli.models.model import Model

# Steps before recording: libraries choose kernels and reserve workspaces in them.
WARM_UPS = 3
# Shapes of batches that are kept recorded: captions that name a word twice have one of their own.
# Where there are more, one that was not used in so many batches makes room.
MOST, UNUSED = 4, 20
# Savings under which a step does more than fill buffers and launch kernels.
EAGER = ("cut", "checkpoint", "slices", "offload")
# Replays that are timed before and after the denoiser is compiled.
TIMED = 10

# Records a function; gives back what runs it again, and the outputs that then change in place.
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
    """The recorded steps of a model, by shape; `record` makes them, `compiled` the faster ones.

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
        """Take a recorded step and add its gradients; None where this one must be taken plainly."""
        return self.take(model, lambda: lay_out(model, shares, scale), _steps_left(shares))

    def take(
        self, model: Model, make: Callable[[], Batch], steps_left: int = 0
    ) -> list[float] | None:
        """Replay what `make` lays out and add its gradients; None where it must be done plainly.

        A shape is recorded the second time it comes, so that rare ones never are. Nothing is
        compiled where no steps are left to repay it.
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
        """Whether another shape may be recorded, for which one that is no longer used is let go."""
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
        """The recorded step, or a compiled one where that is faster and there is time for it."""
        recorded.settled = True
        what = _name_of(model, batch)
        seconds = sorted(recorded.seconds)[len(recorded.seconds) // 2]
        cost = compiling.cost_of(what)
        if self.compiled is None or not compiling.repays(seconds, steps_left, cost):
            return recorded
        began = time.monotonic()
        try:
            with _denoiser(model, self.compiled(model.denoiser)):
                other = _record(model, batch, self.record)
        except Exception as error:
            # Compilers fail in types of their own, and a step that is not compiled is as good.
            if out_of_memory(error):
                raise
            model.note_given_up("the denoiser stays uncompiled", first_line(error))
            return recorded
        compiling.remember_cost(what, time.monotonic() - began)
        other.settled, other.used = True, recorded.used
        if min(_timed(batch, other)) >= min(_timed(batch, recorded)):
            return recorded
        self.kept[batch.shape] = other
        return other


def replayer_for(model: Model) -> Replayer | None:
    """What replays a model's steps: nothing but CUDA does."""
    if model.device.type != "cuda":
        return None
    from diffusers import UNet2DConditionModel

    if isinstance(model.denoiser, UNet2DConditionModel) and not model.savings.offload:
        # Tensor cores take channels last; cuDNN would else turn each input around and back.
        model.denoiser.to(memory_format=torch.channels_last)
    compiled = None if compiling.obstacle() else lambda d: torch.compile(d, dynamic=False)
    return Replayer(CudaGraphs(), compiled)


class CudaGraphs:
    """Records into CUDA graphs that share one pool of memory: one is replayed at a time."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Warm up beside the current stream, as capture demands, then capture."""
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
    if model.device.type == "cuda" and buffers["z_t"].dim() == 4:
        buffers["z_t"] = buffers["z_t"].contiguous(memory_format=torch.channels_last)
    with _current(model.device):
        replay, outputs = record(lambda: batch.step(model, batch.shape, buffers))
    return Recorded(buffers, replay, outputs)


def _current(device: torch.device) -> AbstractContextManager[None]:
    """Make a CUDA device the current one: its are the streams that are captured."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


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
    """Another denoiser in a model's place for a while."""
    own = model.denoiser
    model.denoiser = other
    try:
        yield
    finally:
        model.denoiser = own


@contextmanager
def _kernels_chosen_by_timing() -> Iterator[None]:
    """cuDNN tries its convolutions out, unless runs must give equal bits."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=not torch.are_deterministic_algorithms_enabled(),
        deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32,
    ):
        yield


def _steps_left(shares: Sequence[Share]) -> int:
    """The steps that this batch will be taken again, as far as can be seen."""
    learners = [share.task.learner for share in shares]
    left = min(learner.recipe.steps - learner.state.step for learner in learners)
    return left * learners[0].recipe.accumulate


def _name_of(model: Model, batch: Batch) -> str:
    """What was compiled: family, precision, shape of latents, machine and version."""
    where = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "cpu"
    shape = "x".join(map(str, batch.tensors["z_t"].shape))
    return f"{model.source.family} {model.hardware.dtype} {shape} {where} torch {torch.__version__}"
