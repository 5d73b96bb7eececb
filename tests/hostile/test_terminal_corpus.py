"""Hostile text in names, notes, tags and files: refused as a name, shown harmless elsewhere."""

from __future__ import annotations

import json

import pytest
from harmless import assert_harmless

TEXTS = [
    "<mug>",
    "[mug]",
    "[/mug]",
    "[red]x[/red]",
    "[link=file:///x]x[/link]",
    ":mug:",
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]52;c;aGk=\x07",
    "\x1b]8;;file:///x\x1b\\x",
    "\x1bPq\x1b\\",
    "\x9b2J",
    "a\rb",
    "a\x08b",
    "a\tb",
    "a\nb",
    "a\u202eb",
    "a\u200bb",
    "a" + "\u0301" * 1000,
    "👩\u200d👧",
    "'; DROP TABLE concepts;--",
    'a" OR name:*',
    "{}",
    "{0.__class__}",
    "%s%n",
    "$(touch marker)",
    "`touch marker`",
    "x" * 100_000,
]
NAMES = [
    *TEXTS[1:],
    "../../x",
    "/etc/passwd",
    "~",
    "$HOME",
    "-rf",
    "--help",
    "CON",
    "a/b",
    "mug.",
    "",
    " ",
    "mug_1",
    "é",
    "e\u0301",
    "mаg",
    "<|endoftext|>",
    "a\0b",
    "all",
]


def short(text: str) -> str:
    return ascii(text[:30])


@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("text", TEXTS, ids=short)
def test_notes_init_and_base_are_shown_harmless(run, library_with, text: str, tty: bool) -> None:
    from ticli.concept import BaseModel, PhotoRecord

    library_with(
        "mug",
        notes=text,
        init=text,
        noun=text,
        base=BaseModel("sd1", text, text, ""),
        recipe={"note": text},
        photos=(PhotoRecord(text, "0" * 64),),
        tags=(text,),
    )
    for arguments in (("list",), ("show", "mug"), ("search", "mug"), ("tag", "mug", "-v")):
        result = run(*arguments, "--no-color", tty=tty)
        assert result.code == 0
        assert_harmless(result.out + result.err)
    listed = run("list").lines
    assert len(listed) == 2
    assert listed[1].count("\t") == 6


@pytest.mark.parametrize("text", TEXTS, ids=short)
def test_json_brings_the_text_back_in_ascii(run, library_with, text: str) -> None:
    library_with("mug", notes=text, tags=(text,))
    result = run("show", "mug", "--json")
    assert result.out.isascii()
    assert_harmless(result.out)
    assert json.loads(result.out)["notes"] == text
    assert json.loads(result.out)["tags"] == [text]


@pytest.mark.parametrize("name", NAMES, ids=short)
def test_no_hostile_name_comes_in(run, library_with, name: str, tmp_path) -> None:
    library_with("mug", "cat")
    before = sorted(path for path in tmp_path.rglob("*") if "home" not in path.parts)
    calls = [
        ("rename", "--", "mug", name),
        ("merge", "mug", "cat", f"--token={name}"),
        ("import", "nowhere", f"--token={name}"),
        ("show", "--", name),
        ("rm", "-y", "--", name),
    ]
    for arguments in calls:
        result = run(*arguments)
        assert result.code in (1, 2, 3), (arguments, result.err)
        assert "Traceback" not in result.err
        assert_harmless(result.out + result.err)
    assert run("list", "-q").lines == ["cat", "mug"]
    assert sorted(path for path in tmp_path.rglob("*") if "home" not in path.parts) == before


@pytest.mark.parametrize("text", TEXTS[:-1], ids=short)
def test_a_prompt_is_text(run, library_with, text: str) -> None:
    library_with("mug")
    result = run("generate", "--dry-run", "--", f"a photo of {text}")
    assert result.code == 0, result.err
    assert_harmless(result.out + result.err)


@pytest.mark.parametrize("text", [text for text in TEXTS if len(text) < 200], ids=short)
def test_paths_of_files_are_shown_harmless(run, tmp_path, text: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / text.replace("/", "_")
    path.write_bytes(b"no tensors")
    result = run("import", "--", path.name)
    assert result.code == 1
    assert_harmless(result.out + result.err)
    result = run("invert", "-t", "word", "-n", "--", path.name)
    assert result.code == 1
    assert_harmless(result.out + result.err)


def test_names_that_differ_only_in_case_are_the_same(run, library_with) -> None:
    library_with("mug")
    assert run("show", "MUG", "-q").out == "mug\n"
    assert run("rename", "mug", "<MUG>").code == 0
    assert run("merge", "mug", "MUG", "-t", "Mug").code == 4
