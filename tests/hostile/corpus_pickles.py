"""Items 1 to 13: pickles that run code, and files of other kinds that look like them."""

from __future__ import annotations

import bz2
import gzip
import importlib
import inspect
import io
import lzma
import pickle
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

from crafted import (
    MARKER,
    Call,
    Case,
    Touch,
    file_case,
    legacy,
    safetensors,
    tensor_pickle,
    tensor_zip,
    torch_saved,
    torch_zip,
    vectors,
    with_pickle,
    zipped,
)


def touching(folder: Path, protocol: int = 2) -> bytes:
    """A pickle that would create the marker."""
    return pickle.dumps({"<mug>": Touch(folder)}, protocol)


def calling(module: str, name: str, *arguments: Any) -> bytes:
    """A pickle of protocol 2 that calls module.name with arguments."""
    packed = pickle.dumps(tuple(arguments), 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + packed + b"R."


def legacy_touching(place: int) -> Any:
    """An old torch file with the call in one of its five pickles, or behind the last."""

    def build(folder: Path) -> bytes:
        parts = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True},
                 {}, [])]  # fmt: skip
        if place < 5:
            parts[place] = touching(folder)
        else:
            parts.append(touching(folder))
        return b"".join(parts)

    return build


def memo_tricks(folder: Path) -> bytes:
    """STACK_GLOBAL with names that come out of the memo."""
    command = f"touch '{folder / MARKER}'".encode()
    return (
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94h\x00h\x01\x93"
        + b"X" + struct.pack("<I", len(command)) + command + b"\x85R."
    )  # fmt: skip


def chained(folder: Path) -> bytes:
    """importlib.import_module, inspect.getattr_static, then the call."""
    module = Call(importlib.import_module, "os")
    return pickle.dumps(Call(inspect.getattr_static, module, "system"), 2)


OPCODES = {
    "INST": b"(S'true'\niposix\nsystem\n.",
    "OBJ": b"\x80\x02(cposix\nsystem\nX\x04\x00\x00\x00trueo.",
    "NEWOBJ_EX": b"\x80\x04cposix\nsystem\n)}\x92.",
    "EXT1": b"\x80\x02\x82\x01.",
    "PERSID": b"\x80\x02Pnumbers\n.",
}
GAPS = {
    "timeit": ("timeit", "timeit"),
    "cProfile": ("cProfile", "run"),
    "runpy": ("runpy", "run_path"),
    "pydoc": ("pydoc", "locate"),
    "posixsubprocess": ("_posixsubprocess", "fork_exec"),
    "distutils": ("distutils.spawn", "spawn"),
    "f2py": ("numpy.f2py.crackfortran", "getlincoef"),
}


def set_state(target: bytes) -> bytes:
    """BUILD with a state that names __setstate__, on something that is allowed."""
    return b"\x80\x02" + target + b"}X\x0c\x00\x00\x00__setstate__X\x01\x00\x00\x00xsb."


def item_on_tensor() -> bytes:
    """SETITEM on a tensor, as CVE-2026-24747 has it."""
    inner = tensor_pickle(tail=b" ")[2:-1].split(b"<mug>", 1)[1][:-1]
    return b"\x80\x02" + inner + b"X\x01\x00\x00\x00aX\x01\x00\x00\x00bs."


def tar(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


def scripted() -> bytes:
    import torch

    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), stream)
    return stream.getvalue()


def exported() -> bytes:
    """The members of a torch.export archive."""
    names = ("archive_format", "archive_version", "models/model.json", "data/weights/0")
    return zipped((f"program/{name}", b"x") for name in names)


def joblib_like(folder: Path) -> bytes:
    return zlib.compress(touching(folder))


ASKS = "asks for"
CASES: list[Case] = [
    file_case(1, "zip", "R", lambda f: torch_zip(touching(f)), ASKS),
    file_case(1, "zip of torch.save", "R", lambda f: torch_saved({"a": Touch(f)}), ASKS),
    file_case(2, "legacy", "R", lambda f: legacy(touching(f)), ASKS),
    file_case(3, "first pickle", "R", legacy_touching(0), "pickle"),
    file_case(3, "second pickle", "R", legacy_touching(1), ASKS),
    file_case(3, "third pickle", "R", legacy_touching(2), ASKS),
    file_case(3, "fifth pickle", "R", legacy_touching(4), ASKS),
    file_case(3, "sixth pickle", "R", legacy_touching(5), "something follows"),
    *(
        file_case(4, f"protocol 0 named {name}", "R", lambda f: touching(f, 0), "pickled", name)
        for name in ("x.pt", "x.bin", "x.safetensors", "x.png")
    ),
    file_case(5, "STACK_GLOBAL bare", "R", memo_tricks, "pickled"),
    file_case(5, "STACK_GLOBAL", "R", lambda f: torch_zip(memo_tricks(f)), "pickle"),
    file_case(6, "import_module and getattr", "R", lambda f: torch_zip(chained(f)), ASKS),
    *(
        file_case(7, name, "R", torch_zip(calling(*where, "true")), ASKS)
        for name, where in GAPS.items()
    ),
    *(
        file_case(8, name, "R", torch_zip(calling("builtins", name, "1")), f"builtins.{name}")
        for name in ("eval", "exec", "getattr", "__import__")
    ),
    *(file_case(9, name, "R", torch_zip(code), "pickle") for name, code in OPCODES.items()),
    file_case(
        10, "names after STOP", "R",
        lambda f: tensor_zip(tail=b".cposix\nsystem\n."), "something follows",
    ),
    file_case(11, "BUILD on a name", "R", torch_zip(set_state(b"ccollections\nOrderedDict\n")),
              "sets the state"),
    file_case(11, "BUILD on a list", "R", torch_zip(set_state(b"]")), "sets the state"),
    file_case(11, "SETITEM on a tensor", "R", torch_zip(item_on_tensor(), [bytes(3072)]), "pickle"),
    file_case(12, "joblib", "R", joblib_like, "packed with zlib", "x.joblib"),
    file_case(12, "gzip", "R", lambda f: gzip.compress(touching(f)), "packed with gzip"),
    file_case(12, "bz2", "R", lambda f: bz2.compress(touching(f)), "packed with bzip2"),
    file_case(12, "xz", "R", lambda f: lzma.compress(touching(f)), "packed with xz"),
    file_case(13, "TorchScript", "R", lambda f: scripted(), "TorchScript"),
    file_case(13, "pt2", "R", exported(), r"torch\.export"),
    file_case(13, "old tar", "R", tar("sys_info", "pickle", "storages"), "full model"),
    file_case(13, "GGUF", "R", b"GGUF\3" + bytes(64), "full model"),
    file_case(13, "HDF5", "R", b"\x89HDF\r\n\x1a\n" + bytes(64), "full model"),
    file_case(
        13, "ckpt", "R",
        lambda f: torch_saved({"state_dict": {"model.diffusion_model.w": vectors()}, "epoch": 1}),
        "full model", "model.ckpt",
    ),
    file_case(
        13, "ckpt of a trainer", "R",
        lambda f: with_pickle(calling("pytorch_lightning.callbacks", "Checkpoint")),
        "training checkpoint", "model.ckpt",
    ),
    file_case(
        13, "safetensors model", "R",
        safetensors({f"model.diffusion_model.{n}": {"dtype": "F32", "shape": [0],
                     "data_offsets": [0, 0]} for n in range(1000)}), "full model",
        "model.safetensors",
    ),
    file_case(13, "empty zip", "R", zipped([]), "zip archive"),
]  # fmt: skip
