"""Safetensors files as content: the header is read, a tensor only when it is asked for."""

from __future__ import annotations

import hashlib

from ticli.library.formats.reading.content import Content, Tensor
from ticli.library.formats.reading.opened import Opened
from ticli.library.formats.tensor_file import Entry, read_header


def read_safetensors(file: Opened) -> Content:
    """Describe a safetensors file. Raises BadContent."""
    header = read_header(file.read, file.size, file.origin)

    def fetch(entry: Entry) -> Tensor:
        return Tensor(
            entry.shape, entry.dtype, lambda: file.read(entry.start, entry.end - entry.start)
        )

    def sha256() -> str:
        return hashlib.sha256(file.read(header.start, file.size - header.start)).hexdigest()

    return Content(
        origin=file.origin,
        container="safetensors",
        root={entry.key: fetch(entry) for entry in header.entries},
        metadata=header.metadata,
        sha256=sha256 if file.is_small else None,
    )
