"""Files that are almost right: mutations of everything that is accepted, read under a watch."""

from __future__ import annotations

import copy
import functools
import io
import json
import random
import resource
import signal
import struct
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from crafted import (
    a1111_json,
    card,
    good_bin,
    members_of,
    png,
    safetensors,
    tensor_zip,
    text_chunk,
    torch_saved,
    vectors,
    word,
    zipped,
)

LONGEST = 2.0
LOOK_EVERY = 16
LARGEST_GROWTH = 300e6
NUMBERS = (0, 1, 7, 8, 255, 256, 768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
WORDS = (b"-1", b"1e999", b"99999999999999999999", b"null", b"true", b'""', b"[]", b"{}", b"NaN",
         b"\\ud800", b"<mug>", b"clip_g", b"string_to_param", b"TORCHTENSOR")  # fmt: skip
NAMES = ("clip_l", "clip_g_out", "t5xxl", "emb_params", "*", "", "string_to_param", "step", "name",
         "TORCHTENSOR", "__metadata__", "bundle_emb.x", "bundle_emb..", "ti.row", "ti.concept",
         "<a>", "IN01", "lora_x", "files", "dtype", "text_encoders_1")  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**63, 10**400, 0.5, 1e308, "", "x", "../x", "\0", "clip_l", "F16",
    [], {}, [[]], [[1.0]], [[0.1] * 768], [[0.1] * 768] * 2, ["a"], {"a": 1}, {"": {}},
    {"TORCHTENSOR": []}, {"TORCHTENSOR": [[0.1] * 1280]}, [0, 3072], [3072, 0], "[1]",
    {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, '{"family": 1}', '{"clip_l": 256}',
)  # fmt: skip
STORAGES = (b"torch\nFloatStorage", b"torch\nHalfStorage", b"torch\nBFloat16Storage",
            b"torch\nDoubleStorage", b"torch\nLongStorage", b"torch\nBoolStorage")  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A good file: `inner` is what is mutated, `wrap` puts right what would hide it from view."""

    name: str
    inner: bytes
    wrap: Callable[[bytes], bytes] = bytes


@dataclass
class Figures:
    """What came of a run; `faults` holds what broke a promise, with the input."""

    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    growth: float = 0.0
    refusals: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str, bytes]] = field(default_factory=list)


class HangError(BaseException):
    """A file took too long."""


@functools.cache
def seeds() -> list[Seed]:
    """Every layout and container that is accepted, as whole files and by their inner parts.

    Old torch files name their storages by address: they are the same in one process only.
    """
    rows = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors(256)}, "name": "mug",
            "step": 5, "sd_checkpoint": None, "sd_checkpoint_name": "base"}  # fmt: skip
    saved = {
        "diffusers": {"<mug>": vectors(256)},
        "several": {"<a>": vectors(256), "<b>": vectors(256).half()},
        "a1111": rows,
        "original": {"string_to_token": {"*": 1}, "string_to_param": parameters()},
        "text encoders": {"text_encoders_0": vectors(768), "text_encoders_1": vectors(1280)},
        "bare": vectors(256),
    }
    document = a1111_json([[0.01] * 256])
    found = [Seed(f"{name} safetensors", data) for name, data in safe_files().items()]
    found += [Seed(f"{name} header", header(data), with_header(data))
              for name, data in safe_files().items()]  # fmt: skip
    for name, content in saved.items():
        data = torch_saved(content)
        legacy = torch_saved(content, _use_new_zipfile_serialization=False)
        found += [Seed(f"{name} zip", data), Seed(f"{name} legacy", legacy)]
        found.append(Seed(f"{name} pickle", pickle_of(data), with_pickle(data)))
    found += [
        Seed(f"{kind.decode()} picture", png(text_chunk(document, kind)))
        for kind in (b"tEXt", b"zTXt", b"iTXt")
    ]
    found += [
        Seed("document", document.encode(), lambda inner: png(text_chunk(inner))),
        Seed("card", card(document.encode())),
        Seed("document of a card", document.encode(), card),
        Seed("zip of words", bundle()),
        Seed("manifest", manifest(), lambda inner: bundle(inner)),
    ]
    return found


def parameters() -> Any:
    import torch

    return torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors(256))})


def safe_files() -> dict[str, bytes]:
    pair = {"clip_l": (1, 768), "clip_g": (1, 1280), "t5": (1, 4096), "t5xxl": (1, 4096)}
    return {
        "diffusers": word(width=256),
        "said": word("emb_params", {"ti.token": "<Mug>", "ti.widths": '{"clip_l":256}',
                     "ti.base": '{"family":"sd1","id":"a","revision":"","fingerprint":""}'}, 256),
        "encoders": several(pair),
        "bundle": several({"bundle_emb.mug.emb_params": (1, 256), "lora_unet.alpha": (1, 4)}),
        "after": several({"emp_params": (1, 256), "emp_params_out": (1, 256)}),
        "own": own(),
    }  # fmt: skip


def several(shapes: dict[str, tuple[int, int]]) -> bytes:
    entries, position = {}, 0
    for key, shape in shapes.items():
        end = position + shape[0] * shape[1] * 4
        entries[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [position, end]}
        position = end
    return safetensors(entries, struct.pack("<f", 0.01) * (position // 4))


def own() -> bytes:
    from concepts import make_concept, make_embedding

    from ticli.library import encode_blob

    return encode_blob(make_concept(), make_embedding())


def header(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def with_header(data: bytes) -> Callable[[bytes], bytes]:
    buffer = data[8 + int.from_bytes(data[:8], "little") :]
    return lambda inner: safetensors(inner, buffer)


def pickle_of(data: bytes) -> bytes:
    return next(d for n, d in members_of(data).items() if n.endswith("data.pkl"))


def with_pickle(data: bytes) -> Callable[[bytes], bytes]:
    members = members_of(data)
    return lambda inner: zipped(
        (name, inner if name.endswith("data.pkl") else d) for name, d in members.items()
    )


def manifest() -> bytes:
    entries = [{"name": "mug", "file": "mug.safetensors"}, {"name": "cup", "file": "cup.bin"}]
    return json.dumps({"ti": 1, "concepts": entries}).encode()


def bundle(listed: bytes | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("manifest.json", manifest() if listed is None else listed)
        archive.writestr("mug.safetensors", word())
        archive.writestr("cup.bin", good_bin())
    return stream.getvalue()


def mutated(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """The data after one to six changes of a random kind."""
    raw = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        at = draw.randrange(len(raw) + 1)
        length = draw.choice((1, 1, 2, 4, 8, 64, 1024))
        kind = draw.randrange(9)
        if kind == 0 and raw:
            raw[min(at, len(raw) - 1)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            raw[at : at + length] = draw.randbytes(length)
        elif kind == 2:
            del raw[at : at + length]
        elif kind == 3:
            raw[at:at] = raw[at : at + length] * draw.choice((1, 2, 50))
        elif kind == 4:
            start = draw.randrange(len(other) + 1)
            raw[at : at + length] = other[start : start + length]
        elif kind == 5:
            size = draw.choice((1, 2, 4, 8))
            number = draw.choice(NUMBERS) % (1 << 8 * size)
            raw[at : at + size] = number.to_bytes(size, draw.choice(("little", "big")))
        elif kind == 6:
            raw[at : at + draw.choice((0, 1, 3))] = draw.choice(WORDS)
        elif kind == 7:
            del raw[at:]
        elif raw:
            # Small changes at the beginning reach what is parsed first.
            raw[draw.randrange(min(len(raw), 64))] = draw.randrange(256)
    return bytes(raw)


def regrown(data: bytes, draw: random.Random) -> bytes:
    """A JSON document with one to three of its values exchanged for odd ones, still JSON."""
    root = [json.loads(data)]
    for _ in range(draw.choice((1, 1, 2, 3))):
        place: Any = root
        key: Any = 0
        while isinstance(place[key], dict | list) and place[key] and draw.random() < 0.8:
            place = place[key]
            key = draw.choice([*place]) if isinstance(place, dict) else draw.randrange(len(place))
        kind = draw.randrange(4)
        if kind == 0 and isinstance(place, dict):
            place[draw.choice(NAMES)] = place.pop(key)
        elif kind == 1 and isinstance(place, dict):
            place[draw.choice(NAMES)] = copy.deepcopy(draw.choice(ODD))
        else:
            place[key] = copy.deepcopy(draw.choice(ODD))
    return json.dumps(root[0]).encode()


def described(draw: random.Random) -> bytes:
    """A torch file of one tensor whose numbers are any numbers."""

    def number() -> int:
        return draw.choice((0, 1, 2, 3, 256, 767, 768, 769, -1, 2**31, 2**62))

    length = draw.choice((1, 2, 2, 2, 3))
    return tensor_zip(
        bytes(draw.choice((0, 4, 1024, 3072, 3073))),
        kind=draw.choice(STORAGES),
        count=number(),
        offset=draw.choice((0, number())),
        shape=[number() for _ in range(length)],
        strides=[number() for _ in range(draw.choice((length, length, 1)))],
    )


def inputs(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many files, the same for the same seed."""
    draw = random.Random(seed)
    kinds = seeds()
    for number in range(count):
        one, other = kinds[number % len(kinds)], draw.choice(kinds)
        if one.inner[:1] == b"{" and draw.random() < 0.6:
            yield f"values of {one.name}", one.wrap(regrown(one.inner, draw))
        elif number % 20 == 0:
            yield "numbers of a tensor", described(draw)
        else:
            yield one.name, one.wrap(mutated(one.inner, other.inner, draw))


def fuzz(count: int, seed: int, read: Callable[[bytes], object]) -> Figures:
    """Read so many mutations; nothing but TiError may come of it, in time and in bounds."""
    from ticli.errors import TiError

    figures, began = Figures(), time.perf_counter()
    usual = signal.signal(signal.SIGALRM, stop)
    base = peak()
    try:
        for name, data in inputs(count, seed):
            started = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            try:
                read(data)
                figures.accepted += 1
            except TiError as error:
                figures.refusals[type(error).__name__] += 1
            except HangError:
                figures.faults.append((name, f"took more than {LONGEST} s", data))
            except Exception as error:
                figures.faults.append((name, f"{type(error).__name__}: {error}", data))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            figures.inputs += 1
            figures.slowest = max(figures.slowest, time.perf_counter() - started)
            if figures.inputs % LOOK_EVERY == 0:
                figures.growth = peak() - base
            if figures.growth > LARGEST_GROWTH:
                figures.faults.append((name, f"grew to {figures.growth / 1e6:.0f} MB", data))
                break
    finally:
        signal.signal(signal.SIGALRM, usual)
    figures.seconds = time.perf_counter() - began
    return figures


def stop(number: int, frame: object) -> None:
    raise HangError


def peak() -> float:
    """The peak of this process's memory in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def read_as_import(data: bytes) -> None:
    """Read bytes as `ti import --all` does, up to the library."""
    from ticli.library import Source, Wanted, choose_words, in_memory, join_pairs, read_source

    wanted = Wanted(everything=True)
    contents = read_source(Source(in_memory(data, "file"), "file"), wanted)
    for joined in join_pairs([contents]):
        choose_words(joined, wanted)
