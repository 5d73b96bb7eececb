"""What a file of weights holds: keys, shapes and metadata, read without its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ticli.errors import BadContent, ModelUnavailable
from ticli.library.formats.tensor_file import Entry, read_header

CONVERT = (
    "pickled weights can run any program when they are read: look for the same model as "
    ".safetensors, or have it converted by somebody you trust"
)
# How files begin that are no safetensors: zip and plain pickles, and llama.cpp's format.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
GGUF = b"GGUF"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Contents:
    """A file's tensors by key, and its string metadata."""

    path: Path
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]

    def under(self, prefix: str) -> dict[str, Shape]:
        """The shapes of the tensors whose keys begin so, by the rest of their keys."""
        return {
            key.removeprefix(prefix): entry.shape
            for key, entry in self.entries.items()
            if key.startswith(prefix)
        }


def read_contents(path: Path, name: str) -> Contents:
    """Read the header of a safetensors file. Raises ModelUnavailable saying what it is instead."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            _refuse_others(stream.read(8), name)

            def read(start: int, length: int) -> bytes:
                stream.seek(start)
                return stream.read(length)

            header = read_header(read, size, name)
    except BadContent as error:
        raise ModelUnavailable(error.message, "download the file again") from error
    except OSError as error:
        raise ModelUnavailable(
            f"{name} cannot be read: {error.strerror or error}", "check its permissions"
        ) from error
    return Contents(path, {entry.key: entry for entry in header.entries}, header.metadata)


def _refuse_others(start: bytes, name: str) -> None:
    if start.startswith(PICKLES):
        raise ModelUnavailable(f"{name} is a pickle, which is never read", CONVERT)
    if start.startswith(GGUF):
        raise ModelUnavailable(
            f"{name} is a quantised GGUF file, which ti cannot read",
            "look for the same model as .safetensors",
        )
