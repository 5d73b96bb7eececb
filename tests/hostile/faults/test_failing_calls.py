"""A disk that fills up or fails at any call: the command says so, and nothing is half done."""

from __future__ import annotations

import re

import changes
import pytest
from harness import moments, sample

FULL = ("ENOSPC", "write,pwrite64,ftruncate,mkdir")
TORN = ("EIO", "fsync,fdatasync,write,pwrite64,rename,unlink")
FORBIDDEN = ("EACCES", "rename,mkdir,linkat")
# What is said on a stream of the process is no part of the disk.
STREAMS = ("write(1,", "write(2,")
# The files that SQLite syncs all have a suffix, and the folders here have none.
OF_FILE = re.compile(r"<[^>]*\.[^/>]*>")


@pytest.mark.parametrize(("error", "calls"), [FULL, TORN, FORBIDDEN], ids=lambda v: v[:6])
@pytest.mark.parametrize("change", [c for c in changes.CHANGES if c not in ("draw", "keep")])
def test_a_call_that_fails_ends_in_words(
    server, stage, most, tmp_path, record_property, change, error, calls
) -> None:
    place, trace = stage(change), tmp_path / "trace"
    before = place.observe()
    place.reset()
    assert server.run(change, "-e", f"trace={calls}", "-o", str(trace)) == 0
    after = place.observe()
    text = trace.read_text()
    points = [
        point
        for point, line in zip(moments(text), calls_of(text), strict=True)
        if not line.startswith(STREAMS)
    ]
    tried = sample(points, most(1))
    server.said()
    for name, number in tried:
        place.reset()
        inject = f"inject={name}:error={error}:when={number}"
        ended = server.run(change, "-e", f"trace={name}", "-e", inject, "-o", "/dev/null")
        said = server.said()
        assert ended in (0, 1), (name, number, said)
        assert "Traceback" not in said and "unexpected" not in said, (name, number, said)
        found = place.observe()
        if ended == 0:
            # SQLite deletes a journal it no longer needs, and may leave it empty instead.
            assert found == after, (name, number)
        else:
            assert said.startswith(("error: ", "warning: ")), (name, number)
            assert found in (before, after), (name, number)
        if change != "rebuild" or found == after:
            place.sound()
        changes.CHANGES[change]()
        assert place.observe() == after, (name, number)
    record_property("failed calls", len(tried))


def calls_of(trace: str) -> list[str]:
    return [line for line in trace.splitlines() if line[:1].isalpha()]


@pytest.mark.parametrize("change", ["add", "bring", "checkpoint", "send", "back_up"])
def test_a_sync_that_fails_is_never_taken_for_done(
    server, stage, most, tmp_path, record_property, change
) -> None:
    """After EIO from fsync the pages are marked clean: a second try would lie."""
    place, trace = stage(change), tmp_path / "trace"
    place.reset()
    assert server.run(change, "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace)) == 0
    text = trace.read_text()
    points = [
        point
        for point, line in zip(moments(text), calls_of(text), strict=True)
        # SQLite itself takes no notice where it cannot sync the folder of its journal.
        if point[0] == "fsync" or OF_FILE.search(line)
    ]
    tried = sample(points, most(3))
    for name, number in tried:
        place.reset()
        inject = f"inject={name}:error=EIO:when={number}"
        ended = server.run(change, "-e", f"trace={name}", "-e", inject, "-o", "/dev/null")
        assert ended == 1, (name, number)
        assert "Traceback" not in server.said()
    record_property("failed calls", len(tried))
