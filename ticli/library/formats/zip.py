"""The members of a zip file by stricter rules than zip has: nothing hidden, nothing shared.

Ours, because zipfile believes what the archive says of itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from ticli.errors import BadContent
from ticli.library.formats.containers import Opened

# Field layouts: APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16.
LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")
DESCRIPTOR = b"PK\x07\x08"
ENCRYPTED, STREAMED = 0x1 | 0x40, 0x8
MOST_MEMBERS = 8192
LONGEST_NAME = 256
LARGEST_DIRECTORY = 4 << 20
PIECE = 1 << 20


@dataclass(frozen=True)
class Member:
    """One member: its bytes lie from `start` on, plain unless `packed`, in `length` bytes."""

    name: str
    start: int
    size: int
    crc: int
    packed: bool = False
    length: int = 0


def read_members(file: Opened) -> Mapping[str, Member]:
    """List the members of a zip file by name.

    Every byte belongs to one member or to the directory, names are unique and stay below the
    folder, and local and central headers agree. Raises BadContent.
    """
    start, count, directory = _directory(file)
    members: dict[str, Member] = {}
    position, expected = 0, 0
    for _ in range(count):
        if position + CENTRAL.size > len(directory):
            raise _damaged(file, "its list of members is cut off")
        fields = CENTRAL.unpack_from(directory, position)
        name_end = position + CENTRAL.size + fields[10]
        name = _plain_name(directory[position + CENTRAL.size : name_end], file)
        position = name_end + fields[11] + fields[12]
        if fields[0] != b"PK\x01\x02" or position > len(directory):
            raise _damaged(file, "its list of members cannot be read")
        if name in members:
            raise BadContent(
                f"{file.origin} has two members called {name!r}", "such files are made to deceive"
            )
        members[name], expected = _member(file, fields, name, expected)
    if position != len(directory) or expected != start:
        raise _damaged(file, "it holds bytes that belong to no member")
    return members


def read_member(file: Opened, member: Member) -> bytes:
    """The bytes of a small member, its checksum compared. Raises BadContent."""
    return read_part(file, member, 0, member.size)


def read_packed(file: Opened, member: Member) -> bytes:
    """The bytes of a small member, unpacked to what it announces and no further.

    Raises BadContent.
    """
    if not member.packed:
        return read_member(file, member)
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = machine.decompress(file.read(member.start, member.length), member.size + 1)
    except zlib.error as error:
        raise _damaged(file, f"{member.name!r} cannot be unpacked") from error
    if len(data) != member.size or not machine.eof or zlib.crc32(data) != member.crc:
        raise _damaged(file, f"{member.name!r} is not what it announces")
    return data


def read_part(file: Opened, member: Member, start: int, length: int) -> bytes:
    """A part of a member, the checksum of all of it compared. Raises BadContent."""
    if member.packed:
        raise BadContent(
            f"{file.origin}: {member.name!r} is packed, and such a member can grow without end",
            "zip without compression (zip -0), or give the unpacked file",
        )
    if start < 0 or length < 0 or start + length > member.size:
        raise _damaged(file, f"{member.name!r} is shorter than announced")
    crc, kept = 0, []
    for offset in range(0, member.size, PIECE):
        piece = file.read(member.start + offset, min(PIECE, member.size - offset))
        crc = zlib.crc32(piece, crc)
        kept.append(piece[max(0, start - offset) : max(0, start + length - offset)])
    if crc != member.crc:
        raise _damaged(file, f"the checksum of {member.name!r} is wrong")
    return b"".join(kept)


def _directory(file: Opened) -> tuple[int, int, bytes]:
    """Where the list of members starts, how many there are, and its bytes."""
    if file.size < END.size:
        raise _damaged(file, "its list of members is missing")
    end_start = file.size - END.size
    end = END.unpack(file.read(end_start, END.size))
    _, disk, first_disk, here, count, length, start, comment = end
    if end[0] != b"PK\x05\x06" or comment:
        raise _damaged(file, "its list of members is missing, or something follows it")
    after = start + length
    if after != end_start:
        _check_end64(file, after, end_start, (count, length, start))
    if disk or first_disk or here != count:
        raise _damaged(file, "it is one part of several")
    if count > MOST_MEMBERS or length > LARGEST_DIRECTORY:
        raise BadContent(
            f"{file.origin} has {count:,} members", "give the embedding file of one concept"
        )
    return start, count, file.read(start, length)


def _check_end64(file: Opened, after: int, end_start: int, said: tuple[int, int, int]) -> None:
    """Check that torch's 64-bit end says the same as the plain one, and no more."""
    if end_start - after != END64.size + LOCATOR64.size:
        raise _damaged(file, "it holds bytes that belong to no member")
    end64 = END64.unpack(file.read(after, END64.size))
    locator = LOCATOR64.unpack(file.read(after + END64.size, LOCATOR64.size))
    wanted = (b"PK\x06\x06", END64.size - 12, 0, 0, said[0], said[0], said[1], said[2])
    found = (*end64[:2], *end64[4:])
    if found != wanted or locator != (b"PK\x06\x07", 0, after, 1):
        raise _damaged(file, "its two lists of members disagree")


def _member(
    file: Opened, central: tuple[object, ...], name: str, expected: int
) -> tuple[Member, int]:
    """The member that must begin at `expected`, and where the next one must begin."""
    flags, method, crc, packed, size, offset = (
        int(str(central[index])) for index in (3, 4, 7, 8, 9, 16)
    )
    if flags & ENCRYPTED:
        raise BadContent(f"{file.origin}: {name!r} is encrypted", "decrypt it first")
    if offset != expected:
        raise _damaged(file, f"{name!r} lies inside of, or apart from, the other members")
    local = LOCAL.unpack(file.read(offset, LOCAL.size))
    stored = file.read(offset + LOCAL.size, local[9])
    start = offset + LOCAL.size + local[9] + local[10]
    said, sizes = (crc, packed, size), (local[6], local[7], local[8])
    streamed = bool(flags & STREAMED)
    if (
        local[0] != b"PK\x03\x04"
        or stored != name.encode()
        or (local[2], local[3]) != (flags, method)
        or (sizes != said and not (streamed and sizes == (0, 0, 0)))
        or (not method and packed != size)
    ):
        raise _damaged(file, f"its two descriptions of {name!r} disagree")
    end = start + packed
    if streamed:
        end += _descriptor_length(file, end, said, name)
    return Member(name, start, size, crc, bool(method), packed), end


def _descriptor_length(file: Opened, start: int, said: tuple[int, int, int], name: str) -> int:
    for layout in (struct.Struct("<4s3I"), struct.Struct("<4sI2Q")):
        if start + layout.size > file.size:
            continue
        mark, *found = layout.unpack(file.read(start, layout.size))
        if mark == DESCRIPTOR and tuple(found) == said:
            return layout.size
    raise _damaged(file, f"its two descriptions of {name!r} disagree")


def _plain_name(raw: bytes, file: Opened) -> str:
    """A member's name, which must stay below a folder. Raises BadContent."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    parts = name.split("/")
    strange = len(raw) > LONGEST_NAME or not name.isprintable() or "\\" in name
    if strange or not parts[0] or ":" in parts[0] or ".." in parts:
        shown = raw[:40].decode("utf-8", "replace")
        raise BadContent(
            f"{file.origin} has a member with an unsafe name: {shown!r}",
            "such files are made to deceive",
        )
    return name


def _damaged(file: Opened, reason: str) -> BadContent:
    return BadContent(f"{file.origin} is damaged: {reason}", "fetch or copy the file again")
