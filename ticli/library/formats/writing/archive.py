"""Several concepts in one zip, with a list of what lies in it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from ticli.errors import Conflict
from ticli.library.formats.reading.archive import MOST_MEMBERS
from ticli.library.formats.reading.opened import LARGEST_FILE
from ticli.library.formats.writing.pickled import add_stored

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


def zip_file(concepts: Sequence[tuple[str, Mapping[str, bytes]]]) -> bytes:
    """A zip of the files of each concept, by its name; all stored as they are.

    The manifest names for each concept its file, and all its files where it has several. Equal
    content gives equal bytes. Raises Conflict where `ti import` would not take so much.
    """
    members = 1 + sum(len(files) for _, files in concepts)
    size = sum(len(content) for _, files in concepts for content in files.values())
    if members > MOST_MEMBERS or size > LARGEST_FILE:
        raise Conflict(
            f"{len(concepts):,} concepts are {members:,} files of {size >> 20:,} MiB, and a zip "
            f"of words holds at most {MOST_MEMBERS:,} and {LARGEST_FILE >> 20} MiB",
            "give a folder with -o; ti backup FILE takes the whole library",
        )
    listed: list[dict[str, Any]] = []
    for name, files in concepts:
        entry: dict[str, Any] = {"name": name, "file": next(iter(files))}
        if len(files) > 1:
            entry["files"] = list(files)
        listed.append(entry)
    manifest = json.dumps({"ti": MANIFEST_VERSION, "concepts": listed}, indent=1) + "\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        add_stored(archive, MANIFEST, manifest.encode())
        for _, files in concepts:
            for path, content in files.items():
                add_stored(archive, path, content)
    return file.getvalue()
