"""The fingerprint of a model: what a learned word is tied to besides the vectors' width."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from ticli.errors import ModelUnavailable
from ticli.library.formats.tensor_file import as_float32
from ticli.models.source import ModelSource, weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TABLE = "token_embedding.weight"
LARGEST_HEADER = 100_000_000  # the safetensors format's own limit, bytes


def fingerprint(source: ModelSource) -> str:
    """Hash the token table rounded to float16: equal for a model and its half-precision copy.

    The starter's whole text encoder is hashed, since its versions share nothing else to tell them
    apart. Raises ModelUnavailable where the weights cannot be read.
    """
    digest = hashlib.sha256()
    for name, values in _tensors(source):
        if source.is_starter or name.endswith(TABLE):
            digest.update(values.tobytes())
    return digest.hexdigest()


def _tensors(source: ModelSource) -> list[tuple[str, NDArray[np.float16]]]:
    """The text encoder's tensors in order of name, each as flat float16."""
    file, _ = weights(source.folder / "text_encoder", source.id)
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > LARGEST_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            found = []
            for name in sorted(header):
                if not (source.is_starter or name.endswith(TABLE)):
                    continue
                begin, end = header[name]["data_offsets"]
                stream.seek(8 + length + begin)
                values = as_float32(stream.read(end - begin), header[name]["dtype"])
                found.append((name, values.astype("<f2")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            f"{file} cannot be read: {error}", "download the model again"
        ) from error
    if not any(name.endswith(TABLE) for name, _ in found):
        raise ModelUnavailable(f"{file} has no token table", "download the model again")
    return found
