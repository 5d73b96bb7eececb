"""The pickled layouts: AUTOMATIC1111's, the original repository's, and diffusers' .bin."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ticli.errors import Conflict
from ticli.library.formats.containers import LARGEST_FILE
from ticli.library.formats.metadata import Package, described
from ticli.library.formats.zip import MOST_MEMBERS

if TYPE_CHECKING:
    from ticli.concept import Vectors


# Written opcode by opcode, without torch, and with nothing that the oldest strict reader refuses.

# Any fixed time will do: the same content gives the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
FORMAT_VERSION = b"3\n"


@dataclass(frozen=True)
class PickledTensor:
    """Numbers as they lie in a file. `storage` is a type of torch, such as FloatStorage."""

    storage: str
    data: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Global:
    """Something that readers look up, written as "module name"."""

    name: str


@dataclass(frozen=True)
class Called:
    """The result of calling something that readers allow, written as "module name"."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Built:
    """An object of a class, written as "module name", with the state it is given."""

    type: str
    state: Mapping[str, Any]


EMPTY_DICT = Called("collections OrderedDict", ())


def float_tensor(rows: Vectors) -> PickledTensor:
    """Rows of shape (vectors, width) as a float32 tensor with a storage of its own."""
    return PickledTensor("FloatStorage", rows.astype("<f4", order="C").tobytes(), rows.shape)


def pickled_file(content: Mapping[str, Any]) -> bytes:
    """The bytes of a .pt file that holds `content`: texts, numbers, None, mappings and tensors."""
    storages: list[bytes] = []
    program = b"\x80\x02" + _encoded(content, storages) + b"."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        add_stored(archive, "archive/data.pkl", program)
        for number, data in enumerate(storages):
            add_stored(archive, f"archive/data/{number}", data)
        add_stored(archive, "archive/version", FORMAT_VERSION)
    return file.getvalue()


def add_stored(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member as it is, with nothing of this machine or moment."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _encoded(value: Any, storages: list[bytes]) -> bytes:
    """A value as pickle opcodes of protocol 2 that leave it on the stack."""
    # bool is an int to Python, and so comes first.
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            return b"\x8a\x08" + struct.pack("<q", value)
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case Mapping():
            items = [_encoded(item, storages) for pair in value.items() for item in pair]
            return b"}(" + b"".join(items) + b"u"
        case ():
            return b")"
        case tuple():
            return b"(" + b"".join(_encoded(item, storages) for item in value) + b"t"
        case Global():
            return b"c" + value.name.replace(" ", "\n").encode() + b"\n"
        case Called():
            arguments = _encoded(value.arguments, storages)
            return _encoded(Global(value.function), storages) + arguments + b"R"
        case Built():
            state = _encoded(value.state, storages)
            return _encoded(Global(value.type), storages) + b")\x81" + state + b"b"
        case PickledTensor():
            return _tensor(value, storages)
    raise TypeError(f"{type(value).__name__} has no place in such a file")


def _tensor(value: PickledTensor, storages: list[bytes]) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, gradient, hooks)."""
    number = len(storages)
    storages.append(value.data)
    strides: tuple[int, ...] = ()
    count = 1
    for length in reversed(value.shape):
        strides, count = (count, *strides), count * length
    storage = ("storage", Global(f"torch {value.storage}"), str(number), "cpu", count)
    others = (0, value.shape, strides, False, EMPTY_DICT)
    return (
        _encoded(Global("torch._utils _rebuild_tensor_v2"), storages)
        + b"("
        + _encoded(storage, storages)
        + b"Q"
        + b"".join(_encoded(part, storages) for part in others)
        + b"tR"
    )


STAR = "*"
# What may stand for a word in the original code: signs that CLIP's vocabulary holds as they are.
SIGNS = "*&@#$%^+=~|`'\";:?!,.-_/<>()[]{}\\"


def a1111_pt(packages: Sequence[Package]) -> bytes:
    """AUTOMATIC1111's .pt of one encoder, in plain tensors that every reader allows."""
    return pickled_file(a1111_document(packages[0], float_tensor))


# How AUTOMATIC1111 writes a checkpoint's hash.
SHORT_HASH = re.compile(r"[0-9a-f]{10}")


def a1111_document(package: Package, as_tensor: Any) -> dict[str, Any]:
    """The fields that AUTOMATIC1111 writes, then `ti`'s own, which it ignores.

    `as_tensor` turns rows of shape (vectors, width) into what the file holds for them.
    """
    concept, rows, base = package.concept, package.embedding.rows, package.concept.base
    said = {key: text for key, text in described(package).items() if key.startswith("ti.")}
    common = {
        "name": package.word or concept.name,
        "step": concept.steps,
        "sd_checkpoint": base.revision if SHORT_HASH.fullmatch(base.revision) else None,
        "sd_checkpoint_name": base.id or None,
    }
    if len(rows) > 1:
        return {**{key: as_tensor(table) for key, table in rows.items()}, **common, **said}
    (table,) = rows.values()
    return {
        "string_to_token": {STAR: clip_id(STAR)},
        "string_to_param": {STAR: as_tensor(table)},
        **common,
        **said,
    }


def diffusers_bin(packages: Sequence[Package]) -> bytes:
    """diffusers' older file: the tensor under the token, and nothing else.

    One vector has one dimension, as in 2022: InvokeAI takes the first of two for the width.
    """
    (table,) = packages[0].embedding.rows.values()
    tensor = float_tensor(table[0] if len(table) == 1 else table)
    return pickled_file({packages[0].token: tensor})


def original_pt(packages: Sequence[Package]) -> bytes:
    """The original repository's .pt of one or several concepts, as parameters of torch.

    One is called `*` as every reader expects. Several go by their tokens, and each has a sign that
    stands for it in a prompt of the original code. Raises Conflict for more concepts than there are
    signs, or for different encoders.
    """
    if len({package.encoders for package in packages}) > 1:
        raise Conflict(
            "these concepts have vectors for different encoders, and one original .pt holds "
            "concepts for one",
            "export them one by one",
        )
    if len(packages) > len(SIGNS):
        raise Conflict(
            f"an original .pt holds at most {len(SIGNS)} concepts, not {len(packages)}",
            "export them to several files",
        )
    tables = {
        STAR if len(packages) == 1 else package.token: next(iter(package.embedding.rows.values()))
        for package in packages
    }
    ids = {
        word: PickledTensor("LongStorage", struct.pack("<q", clip_id(sign)), ())
        for word, sign in zip(tables, SIGNS, strict=False)
    }
    return pickled_file({"string_to_token": ids, "string_to_param": _parameters(tables)})


def signs_of(packages: Sequence[Package]) -> dict[str, str]:
    """The sign that stands for each token in a prompt of the original code."""
    return dict(zip((package.token for package in packages), SIGNS, strict=False))


def clip_id(sign: str) -> int:
    """The number of one ASCII sign standing alone in CLIP's vocabulary.

    The vocabulary begins with the 256 bytes, printable ones first, then the same as ends of words.
    """
    return 256 + ord(sign) - ord("!")


def _placeholder(package: Package, packages: Sequence[Package]) -> str:
    return STAR if len(packages) == 1 else package.token


def _parameters(tables: Mapping[str, Vectors]) -> Built:
    """A torch ParameterDict: `_parameters` is read by old versions, `_keys` by later ones."""
    parameters = {
        word: Called("torch._utils _rebuild_parameter", (float_tensor(table), True, EMPTY_DICT))
        for word, table in tables.items()
    }
    keys = dict.fromkeys(tables)
    state: dict[str, Any] = {"training": True, "_parameters": parameters, "_keys": keys}
    hooks = ("backward", "forward", "forward_pre", "state_dict", "load_state_dict_pre")
    unused = ("_buffers", "_modules", *(f"_{hook}_hooks" for hook in hooks))
    state |= dict.fromkeys(unused, EMPTY_DICT)
    return Built("torch.nn.modules.container ParameterDict", state)


MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


def zip_file(concepts: Sequence[tuple[str, Mapping[str, bytes]]]) -> bytes:
    """A zip of the files of each concept, and a manifest that names them.

    Equal content gives equal bytes. Raises Conflict if it is more than `ti import` takes.
    """
    members = 1 + sum(len(files) for _, files in concepts)
    size = sum(len(content) for _, files in concepts for content in files.values())
    if members > MOST_MEMBERS or size > LARGEST_FILE:
        raise Conflict(
            f"{len(concepts):,} concepts are {members:,} files of {size >> 20:,} MiB, and a zip "
            f"of concepts holds at most {MOST_MEMBERS:,} and {LARGEST_FILE >> 20} MiB",
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
