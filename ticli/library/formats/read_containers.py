"""Which container a file is, by its first bytes, and opening it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ticli.errors import BadContent
from ticli.library.formats.containers import LARGEST_FILE, Content, Opened, Tensor, in_memory
from ticli.library.formats.png import picture_kind, read_picture
from ticli.library.formats.tensor_file import (
    TensorEntry,
    looks_like_tensor_file,
    parse_json,
    read_header,
)
from ticli.library.formats.torch_read import LEGACY, PICKLE, read_torch_legacy, read_torch_zip
from ticli.library.formats.zip import Member, read_member, read_members, read_packed


def read_safetensors(file: Opened) -> Content:
    """Describe a safetensors file from its header. Raises BadContent."""
    header = read_header(file.read, file.size, file.origin)

    def fetch(entry: TensorEntry) -> Tensor:
        return Tensor(
            entry.shape, entry.dtype, lambda: file.read(entry.start, entry.end - entry.start)
        )

    return Content(
        origin=file.origin,
        container="safetensors",
        root={entry.key: fetch(entry) for entry in header.entries},
        metadata=header.metadata,
    )


# So many bytes tell what a file is.
HEAD = 512
PICKLE_HINT = "a bare pickle can be a program and is not read; ask for a safetensors file"
FETCH_HINT = "download the file itself"
WORD_HINT = "give the embedding file of a concept"
UNPACK_HINT = "unpack it first"
LOSSLESS = "only lossless PNG, WebP and AVIF pictures can carry a concept"
FULL_MODEL = "a full model, not an embedding"
# First bytes → what it is, and what to do instead.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer, not the file", FETCH_HINT),
    (b"\xff\xd8\xff", "a JPEG picture", LOSSLESS),
    (b"GIF8", "a GIF picture", LOSSLESS),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file: {FULL_MODEL}", WORD_HINT),
    (b"GGUF", f"a GGUF file: {FULL_MODEL}", WORD_HINT),
    (b"GGML", f"a GGML file: {FULL_MODEL}", WORD_HINT),
    (b"\x1f\x8b", "packed with gzip", UNPACK_HINT),
    (b"BZh", "packed with bzip2", UNPACK_HINT),
    (b"\xfd7zXZ\x00", "packed with xz", UNPACK_HINT),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK_HINT),
    (b"\x04\x22\x4d\x18", "packed with lz4", UNPACK_HINT),
    (b"\x78\x01", "packed with zlib", UNPACK_HINT),
    (b"\x78\x5e", "packed with zlib", UNPACK_HINT),
    (b"\x78\x9c", "packed with zlib", UNPACK_HINT),
    (b"\x78\xda", "packed with zlib", UNPACK_HINT),
    (b"ZF0x", "packed by joblib", WORD_HINT),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK_HINT),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK_HINT),
    (b"\x93NUMPY", "a NumPy array", WORD_HINT),
    (b"SQLite format 3\x00", "an SQLite database", WORD_HINT),
    (b"%PDF-", "a PDF", WORD_HINT),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut, not the file", "give the file itself"),
    (b"MZ", "a Windows program", WORD_HINT),
    (b"\x7fELF", "a program", WORD_HINT),
    (b"#!", "a script", WORD_HINT),
)
OLD_PICKLE = re.compile(rb"[(\])}]|c[\w.]+\n[\w.]+\n")
TAR_MARK = slice(257, 262)
UNFINISHED = (".crdownload", ".part", ".download", ".aria2", ".tmp")


def refuse_unreadable(head: bytes, file: Opened) -> BadContent:
    """The refusal of a file without readable vectors; `head` are its first bytes."""
    origin = file.origin
    if not head:
        return BadContent(f"{origin} is empty", "" if origin == "stdin" else FETCH_HINT)
    for signature, kind, hint in SIGNATURES:
        if head.startswith(signature):
            return BadContent(f"{origin} is {kind}", hint)
    # The tar files of 2016 begin with one of these members.
    if head.split(b"\0", 1)[0] in (b"storages", b"tensors", b"sys_info", b"pickle"):
        return BadContent(f"{origin} is a tar archive of the first torch: {FULL_MODEL}", WORD_HINT)
    if head[TAR_MARK] == b"ustar":
        return BadContent(f"{origin} is a tar archive", UNPACK_HINT)
    if _is_pickle(head, file):
        return BadContent(f"{origin} is a pickled file, but not one of torch.save", PICKLE_HINT)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        return BadContent(f"{origin} is a web page, not the file", FETCH_HINT)
    if origin.endswith(UNFINISHED):
        return BadContent(f"{origin} is an unfinished download", "wait until it is complete")
    return BadContent(f"{origin} is not an embedding file", WORD_HINT)


def _is_pickle(head: bytes, file: Opened) -> bool:
    """Protocols 2 to 5 say so at once; 0 and 1 begin with an opcode and end on STOP."""
    if head[0] == 0x80 and len(head) > 1 and head[1] in (2, 3, 4, 5):
        return True
    last = min(file.size, HEAD)
    tail = file.read(file.size - last, last)
    return bool(OLD_PICKLE.match(head)) and tail.rstrip(b"\n").endswith(b".")


ZIP = (b"PK\x03\x04", b"PK\x05\x06")
MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
LARGEST_MANIFEST = 4 << 20
MOST_CONCEPTS, MOST_FILES = 8192, 64
SAFETENSORS = ".safetensors"
# torch.export writes these two, torch.jit the other two.
EXPORTED = ("archive_format", "archive_version")
SCRIPTED = ("constants.pkl", "bytecode.pkl")
OF_PROGRAMS = (*EXPORTED, *SCRIPTED)
LARGEST_ZIPPED = 256 << 20


def zipped_files(file: Opened, suffixes: tuple[str, ...]) -> list[Opened] | None:
    """The files of a zip as people pack them, by their suffixes; None if it is no such zip.

    Raises BadContent if there are none, or if they are too large.
    """
    if not file.read(0, min(file.size, HEAD)).startswith(ZIP):
        return None
    members = read_members(file)
    if MANIFEST in members or any(name.endswith((PICKLE, *OF_PROGRAMS)) for name in members):
        return None
    wanted = [member for name, member in members.items() if name.lower().endswith(suffixes)]
    if not wanted or sum(member.size for member in wanted) > LARGEST_ZIPPED:
        raise BadContent(
            f"{file.origin} is a zip archive with {len(wanted)} files that end in "
            f"{', '.join(suffixes)}, of at most {LARGEST_ZIPPED >> 20} MiB in all",
            "unpack it first, then import the files",
        )
    return [
        in_memory(read_packed(file, member), f"{file.origin}:{member.name}") for member in wanted
    ]


def read_containers(file: Opened, listed: bool = False) -> Iterator[tuple[str, Content]]:
    """Open a file as what its bytes say it is: one container, or those that a manifest lists.

    Yields (name, content); the name is the manifest's, or "". A file that is `listed` may not list
    others. Raises BadContent.
    """
    head = file.read(0, min(file.size, HEAD))
    if looks_like_tensor_file(head):
        yield "", read_safetensors(file)
    elif head.startswith(ZIP):
        yield from _zipped(file, listed)
    elif head.startswith(LEGACY):
        yield "", read_torch_legacy(file)
    elif kind := picture_kind(head):
        yield "", read_picture(file, kind)
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
        f"{file.origin} is {kind}, not an embedding", "give the embedding file of a concept"
    )
