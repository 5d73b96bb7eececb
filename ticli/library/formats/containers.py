"""What a container holds before anybody knows what it means: tensors and plain values."""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.errors import BadContent, NotFound
from ticli.library.formats.tensor_file import ITEM_BYTES, as_float32

if TYPE_CHECKING:
    from ticli.concept import Vectors


MOST_VECTORS = 1024
WORD_HINT = "give the embedding file of a concept"


@dataclass(frozen=True)
class Tensor:
    """A described tensor; `read` fetches its bytes, little-endian and contiguous.

    `dtype` is a name of safetensors (F32, I64 …), or another text for what has none.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], bytes]

    @property
    def bytes(self) -> int:
        """How many bytes `read` gives."""
        return math.prod(self.shape) * ITEM_BYTES.get(self.dtype, 0)


@dataclass(frozen=True)
class Content:
    """The root value of a container, usually a mapping, and its metadata.

    `container` is "safetensors", "torch zip", "torch legacy", "png chunk" or "png pixels". The
    tensors of the first lie in the file in the order of `root`.
    """

    origin: str
    container: str
    root: Any
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> Mapping[str, str]:
        """What the container says in words: its metadata, or else the texts beside its tensors."""
        if self.metadata or not isinstance(self.root, Mapping):
            return self.metadata
        return {
            key: text
            for key, text in self.root.items()
            if isinstance(key, str) and isinstance(text, str)
        }


def load_rows(tensor: Tensor, key: str, origin: str) -> Vectors:
    """Read a tensor as float32 of shape (vectors, width); one dimension becomes one row.

    Raises BadContent if it is no table of vectors.
    """
    shape = tensor.shape if len(tensor.shape) != 1 else (1, *tensor.shape)
    if len(shape) != 2 or not all(shape):
        sizes = ", ".join(map(str, tensor.shape[:4])) + (", …" if len(tensor.shape) > 4 else "")
        raise BadContent(
            f"{origin}: tensor {key!r} has the shape ({sizes}), not (vectors, width)", WORD_HINT
        )
    if shape[0] > MOST_VECTORS:
        raise BadContent(
            f"{origin}: tensor {key!r} has {shape[0]:,} vectors; a concept has at most "
            f"{MOST_VECTORS:,}",
            "this looks like a vocabulary; " + WORD_HINT,
        )
    if tensor.dtype not in ITEM_BYTES:
        raise BadContent(
            f"{origin}: tensor {key!r} has numbers of type {tensor.dtype!r}, and vectors are "
            f"{', '.join(ITEM_BYTES)}",
            WORD_HINT,
        )
    return as_float32(tensor.read(), tensor.dtype).reshape(shape)


# A larger file is not read whole, but in the parts that are asked for.
LARGEST_FILE = 64 << 20


@dataclass(frozen=True)
class Opened:
    """A file to read: `read(start, length)` gives exactly so many bytes, `origin` names it."""

    origin: str
    size: int
    read: Callable[[int, int], bytes]

    @property
    def is_small(self) -> bool:
        """Whether all of it may be held in memory."""
        return self.size <= LARGEST_FILE


def in_memory(data: bytes, origin: str) -> Opened:
    """A file whose bytes are in memory."""

    def read(start: int, length: int) -> bytes:
        if start < 0 or length < 0 or start + length > len(data):
            raise cut_off(origin)
        return data[start : start + length]

    return Opened(origin, len(data), read)


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Opened]:
    """Open a regular file, following links.

    A small file is read at once, a large one in parts. Raises NotFound, and BadContent if the file
    changes meanwhile.
    """
    origin = str(path)
    with reported(path):
        # Without O_NONBLOCK a pipe waits for its writer forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise BadContent(f"{origin} is not a file", "give the embedding file of a concept")
        if before.st_size <= LARGEST_FILE:
            with reported(path):
                data = _read(descriptor, 0, before.st_size, origin)
            _check_unchanged(descriptor, before, origin)
            yield in_memory(data, origin)
            return

        def read(start: int, length: int) -> bytes:
            with reported(path):
                return _read(descriptor, start, length, origin)

        yield Opened(origin, before.st_size, read)
        _check_unchanged(descriptor, before, origin)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reported(path: Path) -> Iterator[None]:
    """Say why a path cannot be read. Raises NotFound and BadContent in place of OSError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"no such file: {path}", "check the spelling") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadContent(f"{path} cannot be read: {reason}") from error


def cut_off(origin: str) -> BadContent:
    """The refusal of a file that ends too early."""
    return BadContent(f"{origin} is damaged: it is cut off", "fetch or copy the file again")


def _read(descriptor: int, start: int, length: int, origin: str) -> bytes:
    if start < 0 or length < 0 or length > LARGEST_FILE:
        raise cut_off(origin)
    pieces = []
    while length > 0:
        piece = os.pread(descriptor, length, start)
        if not piece:
            raise cut_off(origin)
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check_unchanged(descriptor: int, before: os.stat_result, origin: str) -> None:
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise BadContent(
            f"{origin} changed while it was read", "wait until it is complete, then try again"
        )


# kohya's extended textual inversion has one entry for each cross-attention of a U-Net.
PER_LAYER = {"IN01", "IN02", "MID", "OUT03", "OUT11"}
WHOLE_MODEL = re.compile(
    r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner\.embedders"
    r"|text_model\.(encoder|embeddings)|down_blocks|up_blocks|mid_block|double_blocks"
    r"|single_blocks|joint_blocks|transformer_blocks|encoder\.down|decoder\.up"
    r"|unet\.|vae\.|text_encoders?\.)"
)
ADAPTER = re.compile(
    r"(^lora_|\.lora_(A|B|up|down|mid)\b|\.lora\.(up|down)|\.hada_w1|\.lokr_w|\.oft_|\.dora_scale)"
)
LAYER_SIZES = {320, 640, 768, 1024, 1280}
# Marks of these kinds in pickles that are refused.
IN_PICKLES: tuple[tuple[bytes, str], ...] = (
    (b"model.diffusion_model", "a full model"),
    (b"first_stage_model", "a full model"),
    (b"cond_stage_model", "a full model"),
    (b"text_model.encoder", "a full text encoder"),
    (b"pytorch_lightning", "a full training checkpoint"),
    (b"optimizer_states", "a full training checkpoint"),
    (b"optimizer_state_dict", "the state of an optimiser"),
    (b"lora_unet_", "a LoRA"),
)
PROGRAM_HINT = (
    "a pickle can be a program; do not open it with another tool, and ask for a safetensors file"
)


def refuse_other_kind(root: Any, origin: str) -> None:
    """Raise BadContent, naming the kind, for a file of the field that is no plain embedding."""
    if kind := _kind(root):
        raise BadContent(f"{origin} is {kind}, not a plain embedding", WORD_HINT)


def refuse_pickle(data: bytes, origin: str, reason: str, hint: str = "") -> BadContent:
    """The refusal of a pickle that is more than data, naming a known kind."""
    for mark, kind in IN_PICKLES:
        if mark in data:
            return BadContent(f"{origin} is {kind}, not an embedding", WORD_HINT)
    return BadContent(f"{origin} is refused: its pickle {reason}", hint or PROGRAM_HINT)


def unknown_layout(root: Any, origin: str) -> BadContent:
    """The refusal of a container in which no known layout was found."""
    held = f"a {type(root).__name__}"
    if isinstance(root, Mapping):
        keys = ", ".join(repr(key)[:60] for key in list(root)[:4])
        held = f"{len(root):,} entries: {keys}" if root else "nothing"
    return BadContent(f"{origin} holds no embedding, but {held}", WORD_HINT)


def _kind(root: Any) -> str:
    if not isinstance(root, Mapping):
        return ""
    keys = set(root)
    if keys >= PER_LAYER:
        return "a per-layer (XTI) embedding"
    if "optimizer_state_dict" in keys and "hash" in keys:
        return "the state of an optimiser"
    if "layer_structure" in keys or LAYER_SIZES & {key for key in keys if type(key) is int}:
        return "a hypernetwork"
    if isinstance(root.get("state_dict"), Mapping):
        return _kind(root["state_dict"]) or "a full model"
    names = [key for key in keys if isinstance(key, str)]
    if any(map(ADAPTER.search, names)):
        return "a LoRA"
    return "a full model" if any(map(WHOLE_MODEL.search, names)) else ""
