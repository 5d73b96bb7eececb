"""Items 22 to 37: tensors that are not what they say, and safetensors headers that lie."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

from crafted import (
    Case,
    entry,
    file_case,
    legacy,
    rows_bytes,
    safetensors,
    tensor_pickle,
    tensor_zip,
    torch_saved,
    torch_zip,
    vectors,
    word,
)

GOOD = entry((1, 768), 0, 3072)


def sparse(kind: str) -> Any:
    def build(folder: Path) -> bytes:
        import torch

        table = vectors()
        made = {
            "coo": lambda: table.to_sparse(),
            "csr": lambda: table.to_sparse_csr(),
            "nested": lambda: torch.nested.nested_tensor([table, table]),
            "quantised": lambda: torch.quantize_per_tensor(table, 0.1, 0, torch.qint8),
            "meta": lambda: table.to("meta"),
        }[kind]()
        return torch_saved({"<mug>": made})

    return build


def wrapper() -> bytes:
    """What torch pickles for a subclass that wraps another tensor."""
    raw = tensor_pickle().replace(b"_rebuild_tensor_v2", b"_rebuild_wrapper_subclass")
    return torch_zip(raw, [rows_bytes()])


def numbers(name: str, cast: str) -> Any:
    def build(folder: Path) -> bytes:
        import torch

        return torch_saved({"<mug>": vectors().to(getattr(torch, cast))})

    return build


def safe_numbers(value: float) -> bytes:
    """A safetensors word in which one number is exchanged."""
    return word()[:-4] + struct.pack("<f", value)


def scaled(factor: float) -> bytes:
    return safetensors({"<mug>": GOOD}, (vectors().numpy() * factor).tobytes())


def shaped(*shape: int) -> bytes:
    count = 1
    for length in shape:
        count *= length
    return safetensors({"<mug>": entry(shape, 0, count * 4)}, b"\0\0\x80\x3c" * count)


def pair(left: int, right: int) -> bytes:
    header = {
        "clip_l": entry((left, 768), 0, left * 3072),
        "clip_g": entry((right, 1280), left * 3072, left * 3072 + right * 5120),
    }
    return safetensors(header, rows_bytes(768, left) + rows_bytes(1280, right))


def on_device(device: str) -> bytes:
    """A file saved from another device: the tag says so, the bytes are the same."""
    raw = tensor_pickle()
    tag = struct.pack("<I", len(device)) + device.encode()
    return torch_zip(raw.replace(b"X\3\0\0\0cpu", b"X" + tag), [rows_bytes()])


def many(count: int) -> bytes:
    described = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    entries = ",".join(f'"x{n}":{described}' for n in range(count))
    return safetensors(f"{{{entries}}}".encode())


def length_of(length: int, rest: bytes = b"{}") -> bytes:
    return length.to_bytes(8, "little") + rest


def repeated() -> bytes:
    first = '"<mug>":{"dtype":"F32","shape":[1,768],"data_offsets":[0,3072]}'
    second = '"<mug>":{"dtype":"F16","shape":[1,1536],"data_offsets":[0,3072]}'
    return safetensors(f"{{{first},{second}}}".encode(), bytes(3072))


def repeated_metadata() -> bytes:
    text = '{"__metadata__":{"a":"b"},"__metadata__":{"a":"c"},"<mug>":%s}'
    described = '{"dtype":"F32","shape":[1,768],"data_offsets":[0,3072]}'
    return safetensors((text % described).encode(), bytes(3072))


def headed(text: bytes) -> bytes:
    return safetensors(text, bytes(3072))


TEXT = b'{"<mug>":{"dtype":"F32","shape":[1,768],"data_offsets":[0,3072]}%s}'
LYING = "damaged"
SAFE = "given.safetensors"
CASES: list[Case] = [
    file_case(
        22, "legacy of 10^10 numbers", "R",
        legacy(tensor_pickle(count=10**10, shape=(10**7, 1000), strides=(1000, 1)), ["0"],
               struct.pack("<q", 10**10)), LYING,
    ),
    file_case(
        22, "zip of 10^10 numbers", "R",
        tensor_zip(count=10**10, shape=(10**7, 1000), strides=(1000, 1)), LYING,
    ),
    file_case(23, "stride 0", "R", tensor_zip(bytes(4), count=1, shape=(200_000, 200_000),
              strides=(0, 0)), "strides"),
    file_case(24, "negative stride", "R", tensor_zip(strides=(-768, -1)), "strides"),
    file_case(24, "negative offset", "R", tensor_zip(offset=-1), LYING),
    file_case(24, "offset behind the storage", "R", tensor_zip(offset=768), "outside"),
    file_case(24, "huge offset", "R", tensor_zip(offset=2**62), "outside"),
    file_case(24, "negative shape", "R", tensor_zip(shape=(-1, -768)), LYING),
    *(
        file_case(25, kind, "R", sparse(kind), "refused")
        for kind in ("coo", "csr", "nested", "quantised", "meta")
    ),
    file_case(25, "wrapper", "R", lambda f: wrapper(), "asks for"),
    *(
        file_case(26, cast, "R", numbers("<mug>", cast), "numbers of type|refused")
        for cast in ("complex64", "bool", "int64", "float8_e4m3fn")
    ),
    file_case(26, "objects", "R", torch_zip(pickle.dumps({"<mug>": ["a", "b"]}, 2)),
              "no embedding"),
    *(
        file_case(26, cast, "A", numbers("<mug>", cast))
        for cast in ("float16", "bfloat16", "float64")
    ),
    file_case(27, "NaN", "R", lambda f: safe_numbers(float("nan")), "not finite", SAFE),
    file_case(27, "Inf", "R", lambda f: safe_numbers(float("inf")), "not finite", SAFE),
    file_case(27, "-Inf", "R", lambda f: safe_numbers(float("-inf")), "not finite", SAFE),
    file_case(27, "float64 beyond float32", "R",
              lambda f: torch_saved({"<mug>": vectors().double() * 1e300}), "not finite"),
    file_case(27, "denormal only", "A", lambda f: scaled(1e-42), "", SAFE),
    file_case(27, "all zero", "W", lambda f: scaled(0.0), "zero", SAFE),
    file_case(28, "huge norm", "W", lambda f: scaled(1e4), "norm", SAFE),
    file_case(29, "(768)", "A", lambda f: shaped(768), "", SAFE),
    file_case(29, "(1, 768)", "A", lambda f: shaped(1, 768), "", SAFE),
    file_case(29, "(1, 1, 768)", "R", lambda f: shaped(1, 1, 768), "shape", SAFE),
    file_case(29, "(0, 768)", "R", lambda f: shaped(0, 768), "shape", SAFE),
    file_case(29, "(768, 0)", "R", lambda f: shaped(768, 0), "shape", SAFE),
    file_case(29, "(20 000, 768)", "R", lambda f: shaped(20_000, 768), "20,000 vectors", SAFE),
    file_case(29, "(100 000, 768)", "R", lambda f: shaped(100_000, 768), "100,000 vectors", SAFE),
    file_case(29, "(1, 999)", "R", lambda f: shaped(1, 999), "768, 1024", SAFE),
    file_case(30, "SDXL of both encoders", "A", lambda f: pair(2, 2), "", SAFE),
    file_case(30, "unequal numbers of vectors", "R", lambda f: pair(2, 3), "unequal", SAFE),
    file_case(31, "cuda:7", "A", lambda f: on_device("cuda:7")),
    file_case(31, "mps", "A", lambda f: on_device("mps:0")),
    file_case(
        32, "two words", "R",
        lambda f: safetensors({"<a>": GOOD, "<b>": entry((1, 768), 3072, 6144)},
                              rows_bytes() * 2), "--token", SAFE,
    ),
    file_case(32, "300 000 tensors", "R", lambda f: many(300_000), LYING, SAFE),
    file_case(32, "65 537 tensors", "R", lambda f: many(65_537), "whole model", SAFE),
    file_case(32, "65 tensors", "R", lambda f: many(65), "whole model", SAFE),
    file_case(33, "header of 2^63", "R", length_of(2**63), LYING, SAFE),
    file_case(33, "header beyond the file", "R", length_of(1000), LYING, SAFE),
    file_case(33, "header of 100 MB", "R",
              lambda f: length_of(10**8 + 1, b"{" + bytes(10**8)), "MiB", SAFE),
    file_case(33, "header of 9 MB", "R",
              lambda f: length_of(9 << 20, b"{" + b" " * (9 << 20)), LYING, SAFE),
    file_case(33, "header of 0", "R", length_of(0), LYING, SAFE),
    file_case(33, "seven bytes", "R", bytes(7), "not an embedding file", SAFE),
    file_case(33, "empty", "R", b"", "is empty", SAFE),
    file_case(34, "overlap", "R",
              safetensors({"a": GOOD, "b": entry((1, 768), 4, 3076)}, bytes(3076)), LYING, SAFE),
    file_case(34, "hole", "R",
              safetensors({"a": GOOD, "b": entry((1, 768), 4096, 7168)}, bytes(7168)), LYING, SAFE),
    file_case(34, "bytes behind", "R", lambda f: word() + b"\0", LYING, SAFE),
    file_case(34, "pickle behind", "R", lambda f: word() + pickle.dumps([1]), LYING, SAFE),
    file_case(35, "a tensor twice", "R", lambda f: repeated(), "twice", SAFE),
    file_case(35, "metadata twice", "R", lambda f: repeated_metadata(), "twice", SAFE),
    file_case(36, "a number as metadata", "R", lambda f: word(metadata={"a": 1}), LYING, SAFE),
    file_case(36, "metadata of 50 MB", "R",
              lambda f: word(metadata={"a": "x" * (50 << 20)}), LYING, SAFE),
    file_case(36, "metadata of 2 MB", "R",
              lambda f: word(metadata={"a": "x" * (2 << 20)}), LYING, SAFE),
    file_case(36, "nested", "R", headed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
              LYING, SAFE),
    file_case(36, "a million lists", "R", headed(b'{"a":[' + b"[]," * 10**6 + b"[]]}"),
              LYING, SAFE),
    file_case(36, "byte order mark", "R", headed(b"\xef\xbb\xbf" + TEXT % b""),
              "not an embedding file", SAFE),
    file_case(36, "invalid UTF-8", "R", headed(TEXT % b',"__metadata__":{"a":"\xff"}'),
              LYING, SAFE),
    file_case(36, "lone surrogate", "R", headed(TEXT % b',"__metadata__":{"a":"\\ud800"}'),
              LYING, SAFE),
    file_case(37, "a list as header", "R", headed(b"[]"), "not an embedding file", SAFE),
    file_case(37, "padded with spaces", "A",
              lambda f: safetensors((TEXT % b"") + b"   ", rows_bytes()), "", SAFE),
]  # fmt: skip
