"""What a container holds before anybody knows what it means: tensors and plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ticli.errors import BadContent
from ticli.library.formats.tensor_file import ITEM_BYTES, as_float32

if TYPE_CHECKING:
    from ticli.concept import Vectors

MOST_VECTORS = 1024
WORD_HINT = "give the file of a learned word"


@dataclass(frozen=True)
class Tensor:
    """A tensor that is described; `read` fetches its bytes, little-endian and contiguous.

    `dtype` is a name of safetensors (F32, I64 …), or any other text for what has none.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Content:
    """The root value of a container, a mapping as a rule, and its metadata.

    `container` says which kind it was: "safetensors", "torch zip", "torch legacy", "png chunk" or
    "png pixels". `sha256` gives the hash of the tensors' bytes where the container has one.
    """

    origin: str
    container: str
    root: Any
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: Callable[[], str] | None = None

    @property
    def said(self) -> Mapping[str, str]:
        """What the container says in words: its metadata, else the texts beside its tensors."""
        if self.metadata or not isinstance(self.root, Mapping):
            return self.metadata
        return {
            key: text
            for key, text in self.root.items()
            if isinstance(key, str) and isinstance(text, str)
        }


def load_rows(tensor: Tensor, key: str, origin: str) -> Vectors:
    """Read a tensor as float32 of shape (vectors, width); one dimension becomes one row.

    Raises BadContent where it is no table of vectors.
    """
    shape = tensor.shape if len(tensor.shape) != 1 else (1, *tensor.shape)
    if len(shape) != 2 or not all(shape):
        raise BadContent(
            f"{origin}: tensor {key!r} has the shape {shown_shape(tensor)}, not (vectors, width)",
            WORD_HINT,
        )
    if shape[0] > MOST_VECTORS:
        raise BadContent(
            f"{origin}: tensor {key!r} has {shape[0]:,} vectors; a word has at most "
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


def shown_shape(tensor: Tensor) -> str:
    """A shape in few words."""
    sizes = ", ".join(map(str, tensor.shape[:4]))
    return f"({sizes}{', …' if len(tensor.shape) > 4 else ''})"


def shown_keys(keys: Any) -> str:
    """The first few keys of a mapping, in quotes."""
    names = [repr(key)[:60] for _, key in zip(range(4), keys, strict=False)]
    return ", ".join(names)
