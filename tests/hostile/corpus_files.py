"""Items 50 to 55: files that are no files, targets that are links, manifests, hashes, polyglots."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from corpus_pickles import touching
from crafted import Case, file_case, png, tensor_zip, text_chunk, torch_zip, word, zipped
from crafted import a1111_json as document

Calls = Sequence[Sequence[str]]
GIVEN = [["import", "--", "given.pt"]]
# A folder of Linux that not even root may put a file into.
SEALED = Path("/sys/kernel")


def made(make: Callable[[Path], object]) -> Callable[[Path], Calls]:
    """Import what `make` puts at a path."""

    def build(folder: Path) -> Calls:
        make(folder / "given.pt")
        return GIVEN

    return build


def linked(target: str) -> Callable[[Path], Calls]:
    return made(lambda path: path.symlink_to(target))


def listening(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def sparse(path: Path) -> None:
    """A file of 1 TB that takes no room, or as much as the file system lets a file have."""
    for size in (1 << 40, 1 << 35, 1 << 31):
        try:
            with path.open("wb") as file:
                file.truncate(size)
            return
        except OSError:
            path.unlink(missing_ok=True)
    raise OSError("no sparse files here")


def exporting(*options: str, prepare: Callable[[Path], object]) -> Callable[[Path], Calls]:
    """Export a concept after `prepare` put something in the way."""

    def build(folder: Path) -> Calls:
        (folder / "mug.safetensors").write_bytes(word())
        (folder / "precious").write_bytes(b"precious")
        (folder / "elsewhere").mkdir()
        prepare(folder)
        return [["import", "mug.safetensors"], ["export", "mug", *options]]

    return build


def configured(text: str) -> Callable[[Path], Calls]:
    """A recipe from a stranger."""

    def build(folder: Path) -> Calls:
        (folder / "recipe.yaml").write_text(text)
        (folder / "photos").mkdir()
        (folder / "photos" / "a.png").write_bytes(png())
        return [["invert", "photos", "-t", "mug", "--dry-run", "--recipe", "recipe.yaml"]]

    return build


def manifest(text: str, *others: tuple[str, bytes]) -> bytes:
    return zipped([("manifest.json", text.encode()), ("mug.safetensors", word()), *others])


def listed(*entries: dict[str, object], version: object = 1) -> str:
    return json.dumps({"ti": version, "concepts": list(entries)})


MUG = {"name": "mug", "file": "mug.safetensors"}


def tampered(folder: Path) -> Calls:
    """A stored file whose bytes are no longer those of its name."""
    (folder / "mug.safetensors").write_bytes(word())
    return [
        ["import", "mug.safetensors"],
        ["!tamper"],
        ["export", "mug", "-o", "out.safetensors"],
    ]


def picture_and_zip(folder: Path) -> bytes:
    """A picture that carries a word, with an evil torch file in one of its chunks."""
    from crafted import chunk

    rows = document([[0.01] * 768], name="picture")
    return png(text_chunk(rows), chunk(b"zIPp", torch_zip(touching(folder))))


def claims(digest: str) -> bytes:
    return word("<mug>", {"modelspec.hash_sha256": digest})


ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
CASES: list[Case] = [
    Case(50, "link to a file of the system", "R", linked("/etc/passwd"), "not an embedding file"),
    Case(50, "link to itself", "R", linked("given.pt"), "cannot be read"),
    Case(50, "dangling link", "R", linked("nowhere"), "no such file"),
    Case(50, "pipe", "R", made(os.mkfifo), "not a file"),
    Case(50, "socket", "R", made(listening), "cannot be read|not a file"),
    Case(50, "device", "R", lambda f: [["import", "/dev/zero"]], "not a file"),
    Case(50, "folder", "R", made(Path.mkdir), "is a folder"),
    Case(50, "sparse file of 1 TB", "R", made(sparse), "not an embedding file"),
    Case(50, "name of 300 letters", "R", lambda f: [["import", "n" * 300]], "cannot be read"),
    file_case(51, "web page", "R", b"<!DOCTYPE html><title>404</title>", "web page"),
    file_case(51, "git-lfs", "R", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
              "git-lfs pointer"),
    file_case(51, "cut off download", "R", lambda f: word()[:1000], "damaged",
              "x.safetensors.crdownload"),
    file_case(51, "begun download", "R", bytes(100), "unfinished", "x.pt.crdownload"),
    file_case(51, "zip of embeddings", "A", lambda f: zipped([("mug.safetensors", word())])),
    file_case(51, "zip of pictures", "R", lambda f: zipped([("a.jpg", bytes(9))]),
              "unpack it first"),
    file_case(51, "RAR", "R", b"Rar!\x1a\x07\x01\x00" + bytes(50), "RAR"),
    file_case(51, "Windows shortcut", "R", b"L\0\0\0\1\x14\2\0" + bytes(50), "shortcut"),
    Case(52, "link to a file", "R",
         exporting("-o", "x.safetensors", prepare=lambda f: (f / "x.safetensors").symlink_to(
             "precious")), "exists"),
    Case(52, "link to a file, forced", "A",
         exporting("-o", "x.safetensors", "--force", prepare=lambda f: (
             f / "x.safetensors").symlink_to("precious"))),
    Case(52, "link to a folder", "R",
         exporting("-o", "out/", prepare=lambda f: ((f / "out").mkdir(), (
             f / "out" / "mug.safetensors").symlink_to(f / "elsewhere"))), "exists"),
    Case(52, "the library's words", "R",
         exporting("-o", "../home/ti/blobs/x.safetensors", "--force", prepare=lambda f: None),
         "lies inside the library"),
    Case(52, "the library's database", "R", exporting("-o", "../home/ti/library.db", "--force",
         prepare=lambda f: None), "lies inside the library|suffix|ends in"),
    Case(52, "a link into the library", "R",
         exporting("-o", "out/", "--force", prepare=lambda f: (f / "out").symlink_to(
             "../home/ti/blobs")), "lies inside the library"),
    Case(52, "existing file", "R",
         exporting("-o", "x.safetensors", prepare=lambda f: (f / "x.safetensors").write_bytes(
             b"x")), "exists"),
    Case(52, "a device", "R", exporting("-o", "/dev/full", prepare=lambda f: None), "exists"),
    *(
        Case(52, name, "R", exporting("-o", f"{SEALED}/mug.safetensors", *force,
             prepare=lambda f: None), "cannot be written")
        for name, force in (("read-only", ()), ("read-only, forced", ("--force",)))
        if SEALED.is_dir()
    ),
    Case(53, "object in YAML", "R", configured("steps: !!python/object/apply:os.system [true]\n")),
    Case(53, "aliases in YAML", "R", configured(ALIASES)),
    Case(53, "no as a name", "R", configured("no: 5\n")),
    Case(53, "huge number in YAML", "R", configured(f"steps: {'9' * 5000}\n")),
    Case(53, "a key twice in YAML", "R", configured("steps: 5\nsteps: 6\n")),
    file_case(53, "a key twice in a manifest", "R",
              lambda f: manifest('{"ti":1,"ti":1,"concepts":[]}'), "twice", "x.zip"),
    file_case(53, "huge number in a manifest", "R",
              lambda f: manifest('{"ti":' + "9" * 5000 + ',"concepts":[]}'), "manifest", "x.zip"),
    file_case(53, "a million concepts", "R",
              lambda f: manifest('{"ti":1,"concepts":[' + "{}," * 10**6 + "{}]}"),
              "manifest", "x.zip"),
    file_case(53, "a file outside", "R", lambda f: manifest(listed({"name": "a",
              "file": "../../etc/passwd"})), "has no file", "x.zip"),
    file_case(53, "a zip in the zip", "R",
              lambda f: manifest(listed({"name": "a", "file": "b"}), ("b", manifest(listed(MUG)))),
              "zip archive in a zip", "x.zip"),
    file_case(53, "another version", "R", lambda f: manifest(listed(MUG, version=2)), "version",
              "x.zip"),
    file_case(53, "true as version", "R", lambda f: manifest(listed(MUG, version=[])), "version",
              "x.zip"),
    file_case(53, "our manifest", "A", lambda f: manifest(listed(MUG)), "", "x.zip"),
    file_case(54, "another hash", "R", lambda f: claims("0x" + "ab" * 32), "SHA-256",
              "x.safetensors"),
    Case(54, "exchanged file of the library", "R", tampered, "damaged"),
    file_case(55, "picture and zip", "A", picture_and_zip, "", "x.pt"),
    file_case(55, "zip behind a picture", "R", lambda f: png() + torch_zip(touching(f)),
              "PNG picture.*after its end", "x.png"),
    file_case(55, "picture behind a zip", "R", lambda f: tensor_zip() + png(), "damaged", "x.pt"),
]  # fmt: skip
