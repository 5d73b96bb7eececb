"""Which container a file is, by its first bytes, and opening it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticli.errors import BadContent
from ticli.library.formats.bounded_json import parse_json
from ticli.library.formats.reading.archive import Member, read_member, read_members
from ticli.library.formats.reading.content import Content
from ticli.library.formats.reading.opened import LARGEST_FILE, Opened, in_memory
from ticli.library.formats.reading.png import SIGNATURE, read_png
from ticli.library.formats.reading.safetensors_file import read_safetensors
from ticli.library.formats.reading.torch_files import (
    LEGACY,
    PICKLE,
    read_torch_legacy,
    read_torch_zip,
)
from ticli.library.formats.recognise import HEAD, refuse_unreadable
from ticli.library.formats.tensor_file import looks_like_tensor_file

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
LARGEST_MANIFEST = 4 << 20
MOST_CONCEPTS, MOST_FILES = 8192, 64
SAFETENSORS = ".safetensors"
# torch.export writes these two, torch.jit the other two.
EXPORTED = ("archive_format", "archive_version")
SCRIPTED = ("constants.pkl", "bytecode.pkl")


def read_containers(file: Opened, listed: bool = False) -> Iterator[tuple[str, Content]]:
    """Open a file as what its bytes say it is: one container, or those a manifest lists.

    Yields (name, content); the name is the manifest's, or "". A file that is `listed` may not
    list others. Raises BadContent.
    """
    head = file.read(0, min(file.size, HEAD))
    if looks_like_tensor_file(head):
        yield "", read_safetensors(file)
    elif head.startswith(ZIP):
        yield from _zipped(file, listed)
    elif head.startswith(LEGACY):
        yield "", read_torch_legacy(file)
    elif head.startswith(SIGNATURE):
        yield "", read_png(file)
    else:
        raise refuse_unreadable(head, file)


def _zipped(file: Opened, listed: bool) -> Iterator[tuple[str, Content]]:
    members = read_members(file)
    if MANIFEST in members:
        if listed:
            raise BadContent(f"{file.origin} is a zip archive in a zip archive", "unpack it first")
        yield from _listed(file, members)
        return
    names = {name.rsplit("/", 1)[-1] for name in members}
    pickles = [name for name in members if name.endswith(f"/{PICKLE}") and name.count("/") == 1]
    if names & {*EXPORTED}:
        raise _other(file, "a program of torch.export (.pt2)")
    if names & {*SCRIPTED} or any("/code/" in name for name in members):
        raise _other(file, "a TorchScript program")
    if len(pickles) == 1:
        yield "", read_torch_zip(file, members, pickles[0])
        return
    raise BadContent(f"{file.origin} is a zip archive", "unpack it first, then import the files")


def _listed(file: Opened, members: Mapping[str, Member]) -> Iterator[tuple[str, Content]]:
    """The tensor files of a zip of ours, as its manifest lists them."""
    try:
        if members[MANIFEST].size > LARGEST_MANIFEST:
            raise ValueError("it is too long")
        manifest = parse_json(read_member(file, members[MANIFEST]), LARGEST_MANIFEST)
        listed = list(_entries(manifest))
    except ValueError as error:
        raise BadContent(
            f"{file.origin} is a zip archive whose {MANIFEST} cannot be read: {error}",
            "unpack it first, then import the files",
        ) from error
    for name, member_name in listed:
        member = members.get(member_name)
        if member is None or member.size > LARGEST_FILE:
            raise BadContent(
                f"{file.origin} has no file {member_name!r}, which its {MANIFEST} lists",
                "fetch or copy the file again",
            )
        inner = in_memory(read_member(file, member), f"{file.origin}:{member_name}")
        for _, content in read_containers(inner, listed=True):
            yield name, content


def _entries(manifest: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(manifest, dict) or manifest.get("ti") != MANIFEST_VERSION:
        raise ValueError(f"it is not of version {MANIFEST_VERSION}")
    concepts = manifest.get("concepts")
    if not isinstance(concepts, list) or not 0 < len(concepts) <= MOST_CONCEPTS:
        raise ValueError("it lists no concepts")
    for concept in concepts:
        if not isinstance(concept, dict):
            raise ValueError("a concept has no name and file")
        name, file = concept.get("name"), concept.get("file")
        # A word may have a file for each encoder, and others beside them.
        files = concept.get("files", [file])
        if not isinstance(name, str) or not isinstance(files, list) or len(files) > MOST_FILES:
            raise ValueError("a concept has no name and file")
        if not all(isinstance(path, str) for path in (file, *files)):
            raise ValueError("a concept has no name and file")
        vectors = [path for path in files if path.endswith(SAFETENSORS)]
        for path in vectors or [file]:
            yield name, path


def _other(file: Opened, kind: str) -> BadContent:
    return BadContent(
        f"{file.origin} is {kind}, not the embedding of a word", "give the file of a learned word"
    )
