"""Items 14 to 21: zip files that lie about what is in them."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

from crafted import (
    Case,
    file_case,
    good_bin,
    members_of,
    patched,
    png,
    rows_bytes,
    tensor_pickle,
    torch_zip,
    zipped,
)

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def plain() -> bytes:
    """A small good torch file without data descriptors, as Python's zipfile writes it."""
    return torch_zip(tensor_pickle(), [bytes(3072)])


def packed_bomb() -> bytes:
    """A member of 300 KB that unpacks to 300 MB."""
    count = 75_000_000
    members = members_of(torch_zip(tensor_pickle(count=count), [b""]))
    members["archive/data/0"] = bytes(count * 4)
    return zipped(members.items(), packed=["archive/data/0"])


def overlapping() -> bytes:
    """Two entries of the list that share one member's bytes."""
    data = plain()
    last = data.rindex(CENTRAL)
    first = data.index(CENTRAL)
    target = struct.unpack_from("<I", data, first + 42)[0]
    return patched(data, last + 42, "<I", target)


def encrypted() -> bytes:
    data = plain()
    return patched(patched(data, data.index(CENTRAL) + 8, "<H", 1), 6, "<H", 1)


def other_local_name() -> bytes:
    return plain().replace(b"archive/data.pkl", b"archive/evil.pkl", 1)


def other_size() -> bytes:
    """The list says that the pickle is shorter than it is."""
    data = plain()
    at = data.index(CENTRAL)
    return patched(data, at + 20, "<II", 10, 10)


def zip64_lies() -> bytes:
    """A 64-bit end that says something else than the plain one."""
    data = good_bin()
    at = data.index(b"PK\x06\x06")
    return patched(data, at + 24, "<QQ", 1, 1)


def with_comment() -> bytes:
    data = plain()
    comment = b"PK\x05\x06" * 20 + data[data.index(CENTRAL) : data.index(CENTRAL) + 46]
    return patched(data, len(data) - 2, "<H", len(comment)) + comment


def wrong_checksum() -> bytes:
    data = plain()
    at = data.index(b"archive/data/0") + len(b"archive/data/0")
    return patched(data, at + 100, "<B", 7)


def twice(name: str) -> bytes:
    members = [*members_of(plain()).items()]
    members.append((name, dict(members)[name]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zipped(members)


def with_member(name: str, data: bytes = b"x") -> bytes:
    """A good file with one member more, its name put in as it is."""
    stand_in = "archive/" + "x" * (len(name) - 8) if len(name) > 8 else "y" * len(name)
    built = zipped([*members_of(plain()).items(), (stand_in, data)])
    return built.replace(stand_in.encode(), name.encode())


def many_members() -> bytes:
    return zipped([*members_of(plain()).items(), *((f"archive/x{n}", b"") for n in range(10_000))])


def future_members() -> bytes:
    extra = {
        "archive/byteorder": b"little",
        "archive/.data/serialization_id": b"0561108523619670529404402059159527976630",
        "archive/.format_version": b"1",
        "archive/.storage_alignment": b"64",
        "archive/.something_new": b"of next year",
        "archive/extra/data.pkl": b"never looked at",
    }
    good = members_of(torch_zip(tensor_pickle(), [rows_bytes()]))
    return zipped((good | extra).items())


def polyglot(folder: Path) -> bytes:
    """A picture with a zip behind it."""
    return png() + plain()


CASES: list[Case] = [
    file_case(14, "packed storage", "R", lambda f: packed_bomb(), "packed"),
    file_case(15, "shared bytes", "R", lambda f: overlapping(), "damaged"),
    file_case(16, "encrypted", "R", lambda f: encrypted(), "encrypted"),
    file_case(16, "two names", "R", lambda f: other_local_name(), "damaged"),
    file_case(16, "two sizes", "R", lambda f: other_size(), "damaged"),
    file_case(16, "zip64 lies", "R", lambda f: zip64_lies(), "disagree"),
    file_case(16, "headers in a comment", "R", lambda f: with_comment(), "damaged"),
    file_case(17, "wrong checksum", "R", lambda f: wrong_checksum(), "damaged.*checksum"),
    file_case(18, "two pickles", "R", lambda f: twice("archive/data.pkl"), "two members"),
    file_case(18, "two storages", "R", lambda f: twice("archive/data/0"), "two members"),
    file_case(19, "parent folder", "R", lambda f: with_member("../../x"), "unsafe name"),
    file_case(19, "root folder", "R", lambda f: with_member("/etc/xxxxx"), "unsafe name"),
    file_case(19, "drive", "R", lambda f: with_member("C:\\xxxxxxx"), "unsafe name"),
    file_case(19, "10 000 members", "R", lambda f: many_members(), "members"),
    file_case(19, "long name", "R", lambda f: with_member("n" * 65_000), "unsafe name"),
    file_case(20, "script before", "R", lambda f: b"#!/bin/sh\nexit\n" + plain(), "script"),
    file_case(20, "bytes before", "R", lambda f: b"PK\3\4" + plain(), "damaged"),
    file_case(20, "bytes behind", "R", lambda f: plain() + bytes(70_000), "damaged"),
    file_case(20, "picture before", "R", polyglot, "after its end", "x.png"),
    file_case(21, "entries of new torch", "A", lambda f: future_members()),
    file_case(21, "torch of today", "A", lambda f: good_bin()),
]
