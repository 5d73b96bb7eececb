"""The pickled layouts: AUTOMATIC1111's, the original repository's, and diffusers' .bin."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ticli.errors import Conflict
from ticli.library.formats.containers import LARGEST_FILE
from ticli.library.formats.metadata import Package, described
from ticli.library.formats.zip import MOST_MEMBERS

if TYPE_CHECKING:
    from ticli.concept import Vectors


# PyTorch's pickled files, written opcode by opcode: no torch, no member that a reader refuses.
#
# The zip holds what the oldest strict reader expects and nothing that later versions of torch add.

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
class Called:
    """The result of calling something that readers allow, written as "module name"."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Built:
    """An object of a class, written as "module name", with the state it is given."""

    type: str
    state: Mapping[str, Any]


def float_tensor(rows: Vectors) -> PickledTensor:
    """Rows of shape (vectors, width) as a float32 tensor with a storage of its own."""
    return PickledTensor("FloatStorage", rows.astype("<f4", order="C").tobytes(), rows.shape)


def whole_tensor(number: int) -> PickledTensor:
    """One whole number as a tensor without dimensions."""
    return PickledTensor("LongStorage", struct.pack("<q", number), ())


def empty_dict() -> Called:
    """An empty OrderedDict."""
    return Called("collections OrderedDict", ())


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
    """One value as pickle opcodes of protocol 2 that leave it on the stack."""
    for kind, encode in ENCODERS:
        if isinstance(value, kind):
            return encode(value, storages)
    raise TypeError(f"{type(value).__name__} has no place in such a file")


def _nothing(value: None, storages: list[bytes]) -> bytes:
    return b"N"


def _truth(value: bool, storages: list[bytes]) -> bytes:
    return b"\x88" if value else b"\x89"


def _whole(value: int, storages: list[bytes]) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _text(value: str, storages: list[bytes]) -> bytes:
    text = value.encode()
    return b"X" + struct.pack("<I", len(text)) + text


def _mapping(value: Mapping[str, Any], storages: list[bytes]) -> bytes:
    pairs = [_encoded(item, storages) for pair in value.items() for item in pair]
    return b"}(" + b"".join(pairs) + b"u"


def _sequence(value: tuple[Any, ...], storages: list[bytes]) -> bytes:
    if not value:
        return b")"
    return b"(" + b"".join(_encoded(item, storages) for item in value) + b"t"


def _named(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def _call(value: Called, storages: list[bytes]) -> bytes:
    return _named(value.function) + _sequence(value.arguments, storages) + b"R"


def _object(value: Built, storages: list[bytes]) -> bytes:
    return _named(value.type) + b")\x81" + _mapping(value.state, storages) + b"b"


def _tensor(value: PickledTensor, storages: list[bytes]) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, gradient, hooks)."""
    number = len(storages)
    storages.append(value.data)
    strides: tuple[int, ...] = ()
    count = 1
    for length in reversed(value.shape):
        strides, count = (count, *strides), count * length
    parts = (
        b"("
        + _text("storage", storages)
        + _named(f"torch {value.storage}")
        + _text(str(number), storages)
        + _text("cpu", storages)
        + _whole(count, storages)
        + b"tQ"
        + _whole(0, storages)
        + _sequence(value.shape, storages)
        + _sequence(strides, storages)
        + _truth(False, storages)
        + _call(empty_dict(), storages)
    )
    return _named("torch._utils _rebuild_tensor_v2") + b"(" + parts + b"tR"


# bool is an int to Python, and so comes first.
ENCODERS: tuple[tuple[type, Callable[[Any, list[bytes]], bytes]], ...] = (
    (type(None), _nothing),
    (bool, _truth),
    (int, _whole),
    (str, _text),
    (Mapping, _mapping),
    (tuple, _sequence),
    (Called, _call),
    (Built, _object),
    (PickledTensor, _tensor),
)


STAR = "*"
# What may stand for a word in the original code: signs that CLIP's vocabulary holds as they are.
SIGNS = "*&@#$%^+=~|`'\";:?!,.-_/<>()[]{}\\"


def a1111_pt(packages: Sequence[Package]) -> bytes:
    """AUTOMATIC1111's .pt of one encoder, in plain tensors that every reader's rules allow."""
    return pickled_file(a1111_document(packages[0], float_tensor))


def a1111_document(package: Package, as_tensor: Any) -> dict[str, Any]:
    """The fields that AUTOMATIC1111 writes, then `ti`'s own, which it does not look at.

    `as_tensor` turns rows of shape (vectors, width) into what the file holds for them.
    """
    concept, rows = package.concept, package.embedding.rows
    said = {key: text for key, text in described(package).items() if key.startswith("ti.")}
    common = {
        "name": package.word or concept.name,
        "step": concept.steps,
        "sd_checkpoint": None,
        "sd_checkpoint_name": concept.base.id or None,
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
    """The original repository's .pt of one or several words, as parameters of torch.

    One word is called `*` as every reader expects; several go by their tokens, and each has a
    sign that stands for it in a prompt of the original code. Raises Conflict for more words than
    there are signs, or of different encoders.
    """
    if len({package.encoders for package in packages}) > 1:
        raise Conflict(
            "these concepts have vectors for different encoders, and one original .pt holds "
            "words of one",
            "export them one by one",
        )
    if len(packages) > len(SIGNS):
        raise Conflict(
            f"an original .pt holds at most {len(SIGNS)} words, not {len(packages)}",
            "export them to several files",
        )
    tables = {
        _placeholder(package, packages): next(iter(package.embedding.rows.values()))
        for package in packages
    }
    signs = zip(tables, SIGNS, strict=False)
    return pickled_file(
        {
            "string_to_token": {word: whole_tensor(clip_id(sign)) for word, sign in signs},
            "string_to_param": _parameters(tables),
        }
    )


def signs_of(packages: Sequence[Package]) -> dict[str, str]:
    """The sign that stands for each token in a prompt of the original code."""
    return {
        package.token: sign for package, sign in zip(packages, SIGNS, strict=False)
    }  # fewer words than signs


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
        word: Called("torch._utils _rebuild_parameter", (float_tensor(table), True, empty_dict()))
        for word, table in tables.items()
    }
    state: dict[str, Any] = {
        "training": True,
        "_parameters": parameters,
        "_keys": dict.fromkeys(tables),
    }
    for unused in ("_buffers", "_modules", "_backward_hooks", "_forward_hooks"):
        state[unused] = empty_dict()
    for unused in ("_forward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks"):
        state[unused] = empty_dict()
    return Built("torch.nn.modules.container ParameterDict", state)


# Several concepts in one zip, with a list of what lies in it.

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
