"""No command takes a damaged, foreign, newer or lost database for an empty library."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import changes
import pytest

from ticli.errors import BadContent, TiError
from ticli.library import Library, encode_blob

COMMANDS = (
    ("list",),
    ("list", "--json"),
    ("show", "mug"),
    ("search", "mug"),
    ("rm", "-y", "mug"),
    ("rename", "mug", "tasse"),
    ("tag", "mug", "--add", "x"),
    ("merge", "mug", "cup", "--token", "both"),
    ("export", "mug", "-o", "out.safetensors"),
    ("import", "new.safetensors", "--replace"),
)


def zero(database: Path) -> None:
    database.write_bytes(b"")


def garbage(database: Path) -> None:
    database.write_bytes(os.urandom(20_000))


def text(database: Path) -> None:
    database.write_text("<!DOCTYPE html><title>404</title>" * 200)


def cut_in_the_header(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:50])


def cut_in_the_last_page(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:-100])


def cut_by_a_page(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:-4096])


def cut_in_half(database: Path) -> None:
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])


def foreign(database: Path) -> None:
    database.unlink()
    other = sqlite3.connect(database)
    other.execute("CREATE TABLE concepts (name, token)")
    other.execute("INSERT INTO concepts VALUES ('mug', '<mug>')")
    other.commit()
    other.close()


def newer(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version=99")
    connection.close()


def lost(database: Path) -> None:
    database.unlink()


def a_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


DAMAGES: dict[Callable[[Path], None], tuple[int, str]] = {
    zero: (1, "is empty (0 bytes)"),
    garbage: (1, "is damaged"),
    text: (1, "is damaged"),
    cut_in_the_header: (1, "is damaged"),
    cut_in_the_last_page: (1, "is damaged: its end is missing"),
    cut_by_a_page: (1, "is damaged"),
    cut_in_half: (1, "is damaged"),
    foreign: (1, "of another program"),
    newer: (4, "made by a newer ti"),
    lost: (1, "is missing beside its blobs"),
    a_folder: (1, "library.db"),
}


def content(home: Path) -> dict[str, bytes]:
    files = (path for path in home.rglob("*") if path.is_file())
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_every_command_says_so_and_touches_nothing(
    isolated: Path, tmp_path: Path, monkeypatch, run, damage: Callable[[Path], None]
) -> None:
    changes.prepare()
    monkeypatch.chdir(tmp_path)
    Path("new.safetensors").write_bytes(encode_blob(*changes.word("mug", 7)))
    damage(isolated / "library.db")
    before = content(isolated)
    code, said = DAMAGES[damage]
    for command in COMMANDS:
        result = run(*command)
        assert result.code == code, (command, result)
        if "--json" in command:
            assert said in result.json["error"]["message"]
            assert list(result.json) == ["error", "exit_code"]
        else:
            assert result.out == "", command
            assert said in result.err, command
        assert "Traceback" not in result.err
        assert content(isolated) == before, command
    assert not Path("out.safetensors").exists()
    completed = run("__complete", "concepts")
    assert (completed.code, completed.err) == (0, "")


def test_cut_anywhere_it_is_never_a_shorter_list(isolated: Path) -> None:
    changes.prepare()
    database = isolated / "library.db"
    whole = database.read_bytes()
    for kept in range(1, len(whole), 411):
        database.write_bytes(whole[:kept])
        with pytest.raises(BadContent, match="is damaged"):
            Library.open().names()
    database.write_bytes(whole)
    assert Library.open().names() == ["cup", "mug", "vase"]


def test_a_bit_that_flips_is_an_error_in_words_or_nothing(isolated: Path) -> None:
    changes.prepare()
    database = isolated / "library.db"
    whole = database.read_bytes()
    refused = 0
    for place in range(0, len(whole), 331):
        torn = bytearray(whole)
        torn[place] ^= 0xFF
        database.write_bytes(torn)
        try:
            for concept in Library.open().concepts():
                assert Library.open().embedding(concept).vectors >= 1
        except TiError:
            refused += 1
    assert refused >= 3
