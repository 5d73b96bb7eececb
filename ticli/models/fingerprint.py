"""The fingerprint of a model: what a concept is tied to besides the width of its vectors."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.durable import make_folder, write_file
from ticli.errors import ModelUnavailable, TiError
from ticli.families.family import KINDS, EncoderPart
from ticli.library.formats.tensor_file import as_float32
from ticli.models.folder import AGAIN, ModelSource, encoder_parts, token_ids, weights
from ticli.models.single_files.recognising import read_contents
from ticli.paths import places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


FINGERPRINT = re.compile("[0-9a-f]{64}")


def fingerprint(source: ModelSource) -> str:
    """Hash the token tables in float16: a model and its half-precision copy have the same hash.

    For the starter the whole text encoder is hashed, since its versions share the table. Large
    tables take seconds, so the hash is kept until their files change. Raises ModelUnavailable if
    the weights cannot be read.
    """
    if source.is_starter:
        return _computed(source)
    note = places().cache / "fingerprints" / f"{_state_of_files(source)}.txt"
    with contextlib.suppress(OSError, ValueError):
        known = note.read_text("ascii")
        if FINGERPRINT.fullmatch(known):
            return known
    found = _computed(source)
    # In a read-only library nothing is kept; the next call computes it again.
    with contextlib.suppress(TiError):
        make_folder(note.parent)
        write_file(note, found.encode(), replace=True)
    return found


def _computed(source: ModelSource) -> str:
    digest = hashlib.sha256()
    for part in encoder_parts(source):
        for values in _tensors(source, part):
            digest.update(values.tobytes())
    return digest.hexdigest()


def _state_of_files(source: ModelSource) -> str:
    """A name for the current files of a model's encoders, which changes with their content."""
    digest = hashlib.sha256()
    for part in encoder_parts(source):
        files, _ = _weights(source, part)
        for file in (*files, *sorted(source.place(part.tokenizer).glob("*"))):
            known = file.stat()
            facts = (str(file.resolve()), known.st_size, known.st_mtime_ns, known.st_ctime_ns)
            digest.update(repr(facts).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _tensors(source: ModelSource, part: EncoderPart) -> Iterator[NDArray[np.float16]]:
    """An encoder's table without added rows, or all tensors of the starter's, as flat float16."""
    files, prefix = _weights(source, part)
    tables = KINDS[part.kind].tables
    found = False
    for file in files:
        for name, values, width in _read(file, prefix, () if source.is_starter else tables):
            is_table = name.endswith(tables)
            if is_table and found and not source.is_starter:
                continue
            found = found or is_table
            words = len(token_ids(source, part)) if is_table and part.kind == "clip" else 0
            yield values[: words * width] if words else values
    if not found:
        raise ModelUnavailable(f"{files[0]} has no token table", AGAIN)


def _weights(source: ModelSource, part: EncoderPart) -> tuple[list[Path], str]:
    """The files of an encoder's weights, and the prefix of their keys."""
    if source.single and source.single.holds(part.folder):
        return [source.single.path], source.single.prefixes[part.folder]
    return weights(source.place(part.folder), source.id)[0], ""


def _read(
    file: Path, prefix: str, endings: tuple[str, ...]
) -> Iterator[tuple[str, NDArray[np.float16], int]]:
    """Tensors whose keys have the prefix and one of the endings: name, values, length of a row.

    Without endings, all with the prefix.
    """
    entries = read_contents(file, str(file)).entries
    try:
        with file.open("rb") as stream:
            for key, entry in sorted(entries.items()):
                if key.startswith(prefix) and (not endings or key.endswith(endings)):
                    stream.seek(entry.start)
                    values = _numbers(stream.read(entry.end - entry.start), entry.dtype)
                    yield key, values.astype("<f2"), (entry.shape or (1,))[-1]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{file} cannot be read: {error}", AGAIN) from error


def _numbers(data: bytes, dtype: str) -> NDArray[np.float32]:
    """The numbers of a tensor; large encoders also come in eight bits (2209.05433)."""
    if not dtype.startswith("F8_"):
        return as_float32(data, dtype)
    import torch

    kinds = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
    return torch.frombuffer(bytearray(data), dtype=kinds[dtype]).float().numpy()
