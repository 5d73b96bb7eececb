"""Changes to a library, each in a process of its own that a test can trace and kill."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ticli.concept import BaseModel, Concept, Embedding, PhotoRecord
from ticli.errors import TiError
from ticli.library import Library, bare_concept, save_blob
from ticli.names import parse_token
from ticli.paths import places

BASE = BaseModel("sd1", "starter", "0.1", "f0")
OLD = Path(__file__).parents[2] / "data" / "v1"
EXPORTED, SAVED, KEPT, PICTURE = "out.safetensors", "all.zip", "kept.zip", "picture.png"
INCOMING = "incoming.safetensors"
PHOTO = b"a photo, or near enough"


def word(name: str, scale: float = 1.0) -> tuple[Concept, Embedding]:
    """A concept of one vector, the same in every process."""
    rows = np.linspace(-0.02, 0.03, 256, dtype=np.float32).reshape(1, 256) * np.float32(scale)
    embedding = Embedding({"clip_l": rows})
    concept = replace(
        bare_concept(parse_token(name), embedding, BASE),
        photos=(PhotoRecord("a.jpg", "ab" * 32),),
        created="2026-01-01T00:00:00Z",
    )
    return concept, embedding


def ti(*arguments: str, again: int = 0) -> None:
    """Call a command; `again` is the exit code where it was done before. Any other ends here."""
    from ticli.__main__ import main

    code = main(list(arguments))
    if code not in (0, again):
        raise SystemExit(code)


def prepare() -> None:
    library = Library.open(write=True)
    for number, name in enumerate(("mug", "cup", "vase"), start=1):
        library.add(*word(name, number))


def prepare_file() -> None:
    """A library, and in the current folder a file of a word that is not in it."""
    from ticli.library import encode_blob

    prepare()
    Path(INCOMING).write_bytes(encode_blob(*word("new", 9)))


def prepare_old() -> None:
    shutil.copytree(OLD, places().home)
    places().home.chmod(0o700)


def prepare_damaged() -> None:
    prepare()
    places().database.write_bytes(places().database.read_bytes()[:6000])


def prepare_rubbish() -> None:
    prepare()
    for number in range(2):
        save_blob(places().blobs, *word(f"orphan-{number}", number + 20))
    rest = places().home / f".config.yaml.{'0' * 16}.tmp"
    rest.write_bytes(b"half")
    os.utime(rest, (0, 0))


def prepare_backup() -> None:
    """A backup of a library that has since been changed."""
    prepare()
    ti("backup", KEPT, "-q")
    library = Library.open()
    library.remove(["vase"])
    library.add(*word("later", 7))


def prepare_checkpoint() -> None:
    """A run with a checkpoint of its first step."""
    import checkpoints

    checkpoints.save(1)


def first() -> None:
    """The change that also makes the library."""
    Library.open(write=True).add(*word("first", 9))


def add() -> None:
    Library.open(write=True).add(*word("new", 9))


def overwrite() -> None:
    Library.open(write=True).add(*word("mug", 9), replace=True)


def bring() -> None:
    ti("import", INCOMING, "-q")


def combine() -> None:
    ti("merge", "mug", "cup", "--method", "slerp", "--token", "both", "-q", again=4)


def send() -> None:
    ti("export", "mug", "-o", EXPORTED, "-q", again=4)


def rename() -> None:
    ti("rename", "mug", "<Tasse>", "-q", again=3)


def remove() -> None:
    ti("rm", "-y", *[name for name in ("mug", "vase") if Library.open().find(name)] or ["mug"],
       "-q", again=3)  # fmt: skip


def note() -> None:
    ti("tag", "mug", "--add", "kitchen", "--note", "blue", "-q")


def keep() -> None:
    """A photo into the library."""
    import hashlib

    photo = Path("a.jpg")
    photo.write_bytes(PHOTO)
    Library.open().keep_photos([(hashlib.sha256(PHOTO).hexdigest(), photo)])


def upgrade() -> None:
    Library.open().names()


def rebuild() -> None:
    ti("doctor", "--rebuild", "--fast", "-q")


def prune() -> None:
    ti("prune", "--all", "-y", "-q")


def back_up() -> None:
    ti("backup", SAVED, "-q", again=4)


def restore() -> None:
    ti("restore", KEPT, "-y", "-q")


def draw() -> None:
    """What `ti generate` writes at its end."""
    from ticli.durable import write_file

    write_file(Path(PICTURE), b"\x89PNG" + bytes(9000), replace=True, mode=0o666)


def checkpoint() -> None:
    import checkpoints

    checkpoints.save(2)


Action = Callable[[], None]
CHANGES: dict[str, Action] = {
    change.__name__: change
    for change in (
        *(first, add, overwrite, bring, combine, send, rename, remove, note, keep, upgrade),
        *(rebuild, prune, back_up, restore, draw, checkpoint),
    )
}
# What has to be there before a change; three words by default.
PREPARED: dict[str, Action] = {
    "first": lambda: None,
    "bring": prepare_file,
    "upgrade": prepare_old,
    "rebuild": prepare_damaged,
    "prune": prepare_rubbish,
    "restore": prepare_backup,
    "checkpoint": prepare_checkpoint,
}


PR_SET_PTRACER, ANY_PROCESS = 0x59616D61, -1


def serve() -> None:
    """For each line NAME, HOME, FOLDER: fork, print the child's number, run NAME at the next byte,
    print how it ended. What costs time, the imports, is done once, before the first fork.
    """
    import huggingface_hub  # noqa: F401
    import sqlite_utils  # noqa: F401

    from ticli.app import build

    build()
    while line := read_line():
        name, home, folder = line.split("\t")
        if name == "checkpoint":
            import checkpoints

            # The first step of an optimiser loads half of torch.
            checkpoints.state_at(1)
        child = os.fork()
        if not child:
            # Where only parents may trace, this lets in the tracer the test starts.
            os.environ |= {"TI_HOME": home, "HOME": folder}
            os.chdir(folder)
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY_PROCESS, 0, 0, 0)
            tell(os.getpid())
            os.read(0, 1)
            os._exit(outcome(CHANGES[name]))
        tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def outcome(change: Action) -> int:
    """Run a change and return its exit code, its output thrown away and its errors kept."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    try:
        change()
    except SystemExit as ended:
        return int(ended.code or 0)
    except TiError as error:
        os.write(2, f"error: {error}\n  {error.hint}\n".encode())
        return int(error.exit_code)
    except OSError as error:
        # What the boundary of a command says in words.
        os.write(2, f"error: {error}\n".encode())
        return 1
    return 0


def tell(number: int) -> None:
    os.write(1, f"{number}\n".encode())


def read_line() -> str:
    """One line, and no byte more: the next is for a child."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


if __name__ == "__main__":
    serve()
