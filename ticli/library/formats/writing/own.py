"""A concept for another library of `ti`: the file it has here, less what concerns its owner."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ticli.library.formats.writing.metadata import described, tensor_file
from ticli.library.formats.writing.package import Package, row_of
from ticli.library.store import ROW


def own_file(packages: Sequence[Package]) -> bytes:
    """One tensor an encoder, and the whole row as metadata. Raises Conflict (too large)."""
    package = packages[0]
    metadata = described(package)
    # The row stands in the place that a library reads it from, and once is enough.
    del metadata["ti.concept"]
    metadata[ROW] = json.dumps(row_of(package.concept), sort_keys=True)
    return tensor_file(packages, package.embedding.rows, metadata)
