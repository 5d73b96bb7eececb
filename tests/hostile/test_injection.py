"""Hostile text in every argument, every flag, every field and on stdin of every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harmless import ATTACK, ATTACKS, assert_harmless

from ticli.app import VERBS, build
from ticli.names import NAME

# A call of each command that comes far and loads no model: its arguments and further flags.
CALLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "invert": (("photo.png",), ("--token", "word", "-n")),
    "generate": (("a photo of <mug>",), ("-m", "starter", "--dry-run")),
    "score": (("mug",), ("-m", "starter", "--dry-run", "--photos", "photo.png")),
    "list": (("*",), ()),
    "show": (("mug",), ()),
    "rm": (("mug",), ("-n",)),
    "rename": (("mug", "cup"), ()),
    "tag": (("mug",), ()),
    "search": (("mug",), ()),
    "merge": (("mug", "cat"), ("--token", "both", "-n")),
    "export": (("mug",), ("-o", "out/", "--force")),
    "import": (("word.safetensors",), ("--token", "word")),
    "inspect": (("word.safetensors",), ()),
    "models": (("add", "short", "starter"), ("--replace",)),
    "doctor": ((), ("--fast",)),
    "prune": ((), ("-n",)),
    "backup": (("library.zip",), ("--force",)),
    "restore": (("library.zip",), ("-n",)),
    "config": (("set", "output_dir", "x"), ()),
    "completion": (("bash",), ()),
    "help": (("list",), ()),
}
# What these print is a text for a person or a shell, whatever is asked.
NO_DOCUMENT = {"completion", "help"}
MODES = {"pipe": ((), False), "terminal": ((), True), "json": (("--json",), False)}
NAMES = [verb.name for verb in VERBS]


def test_every_command_is_attacked() -> None:
    assert set(NAMES) - set(CALLS) == set(), "say in CALLS how a new command is called"


@pytest.fixture(scope="module")
def flags() -> dict[str, list[str]]:
    """The flags of each command that take a value."""
    import typer

    group = typer.main.get_command(build())
    return {
        name: [item.opts[0] for item in found.params if not getattr(item, "is_flag", True)]
        for name, found in group.commands.items()
    }


@pytest.fixture
def scene(library_with, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run) -> Path:
    """A folder with a photo, a file to import and files of hostile names; `mug` is hostile too."""
    from PIL import Image

    from ticli.concept import BaseModel, Losses, Outcome, Parent, PhotoRecord

    folder = tmp_path / "scene"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Image.new("RGB", (64, 64), (200, 40, 40)).save("photo.png")
    library_with(
        "mug",
        notes=ATTACK,
        init=ATTACK,
        noun=ATTACK,
        kind=ATTACK,
        device=ATTACK,
        created=ATTACK,
        base=BaseModel("sd1", ATTACK, ATTACK, ATTACK),
        recipe={ATTACK: [ATTACK]},
        losses=Losses(),
        photos=(PhotoRecord(ATTACK, "0" * 64),),
        parents=(Parent(ATTACK, 0.5, "1" * 64),),
        tags=(ATTACK, "=1+1"),
        versions={ATTACK: ATTACK},
        outcome=Outcome(stopped=ATTACK),
        warnings=(ATTACK,),
    )
    library_with("cat")
    assert run("export", "cat", "-o", "word.safetensors").code == 0
    assert run("backup", "library.zip").code in (0, 2)
    for text in ATTACKS.values():
        if "/" not in text:
            (folder / text).write_text(f"{ATTACK}\n{{}} {ATTACK}\n", encoding="utf-8")
    return folder


def check(result, mode: str, call: tuple[str, ...]) -> None:
    """No answer ends in a traceback or reaches the terminal unescaped; JSON is one document."""
    where = ascii((mode, *call))
    assert result.code in (0, 1, 2, 3, 4, 5), (where, result.err)
    assert "Traceback" not in result.err and "error: unexpected" not in result.err, (
        where,
        result.err,
    )
    assert_harmless(result.err)
    if mode == "terminal":
        assert_harmless(result.out)
    if mode == "json":
        assert result.out_bytes.isascii(), where
        if result.out and call[0] not in NO_DOCUMENT:
            json.loads(result.out, parse_constant=lambda name: pytest.fail(f"{where}: {name}"))
    assert not Path("marker").exists(), where


def attack(run, name: str, arguments: tuple[str, ...], stdin: str = "") -> None:
    """Run one call in every mode."""
    for mode, (extra, tty) in MODES.items():
        call = (name, "--no-color", *extra, *arguments)
        check(run(*call, stdin=stdin, tty=tty), mode, call)


@pytest.mark.parametrize("name", NAMES)
def test_the_call_that_is_varied_is_a_good_one(run, scene, name: str) -> None:
    places, further = CALLS[name]
    result = run(name, *further, *places)
    assert result.code == 0, result.err


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_a_concept(run, scene, name: str) -> None:
    places, further = CALLS[name]
    attack(run, name, (*further, *places))
    attack(run, name, ("-v", *further, *places))
    attack(run, name, ("-q", *further, *places))


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("name", NAMES)
def test_arguments(run, scene, name: str, text: str) -> None:
    places, further = CALLS[name]
    for i in range(len(places) + 1):
        attack(run, name, (*further, "--", *places[:i], ATTACKS[text], *places[i + 1 :]))


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("name", NAMES)
def test_flags(run, scene, flags, name: str, text: str) -> None:
    places, further = CALLS[name]
    for flag in flags[name]:
        attack(run, name, (*further, f"{flag}={ATTACKS[text]}", *places))


@pytest.mark.parametrize("name", NAMES)
def test_numbers_beyond_all_bounds(run, scene, flags, name: str) -> None:
    places, further = CALLS[name]
    for flag in flags[name]:
        for text in ("9" * 30, "nan", ""):
            call = (name, *further, f"{flag}={text}", *places)
            check(run(*call), "pipe", call)


@pytest.mark.parametrize("name", [name for name in NAMES if CALLS[name][0]])
def test_stdin(run, scene, name: str) -> None:
    places, further = CALLS[name]
    attack(run, name, (*further, "-", *places[1:]), stdin=f"{ATTACK}\n<mug> {ATTACK}\n")


def test_captions(run, scene) -> None:
    Path("photo.txt").write_text(f"a photo of <word> {ATTACK}\n", encoding="utf-8")
    places, further = CALLS["invert"]
    for flag in ("--captions", "--strict-captions"):
        attack(run, "invert", (*further, "-v", "--captions", flag, *places))


@pytest.mark.parametrize("key", ["clip_l", "emb_params", "<mug>", ATTACK])
def test_keys_and_metadata_of_a_file(run, scene, key: str) -> None:
    from concepts import make_embedding

    from ticli.library import build_tensor_file

    said = ("ti.name", "ti.token", "ti.noun", "ti.base", "ti.widths", "format", "name", ATTACK)
    said += ("modelspec.title", "modelspec.trigger_phrase", "modelspec.architecture")
    rows = {key: make_embedding().rows["clip_l"]}
    for more in ((), ("ti.row",)):
        content = build_tensor_file(rows, dict.fromkeys((*said, *more), ATTACK))
        Path("hostile.safetensors").write_bytes(content)
        for name in ("inspect", "import"):
            for further in (("-v",), ("-q",), ("--token", "fresh"), ("--all",)):
                attack(run, name, (*further, "hostile.safetensors"))
    names = run("list", "-q").lines
    assert "fresh" in names
    assert all(NAME.fullmatch(name) for name in names)


def test_rows_stay_rows_and_signs_stay_signs(run, scene) -> None:
    for arguments in (("list",), ("search", "mug")):
        lines = run(*arguments).lines
        assert {line.count("\t") for line in lines} == {6}
        assert "=1+1" in lines[-1]
    assert {line.count("\t") for line in run("show", "mug").lines} == {1}
    assert run("list", "--json").json[1]["tags"] == [ATTACK, "=1+1"]


def test_a_shell_is_offered_only_what_is_one_line(run, scene) -> None:
    assert run("__complete", "tags").lines == ["=1+1"]
    for start in ATTACKS.values():
        result = run("__complete", "concepts", start)
        assert (result.code, result.lines, result.err) == (0, ["cat", "mug"], "")


def test_a_setting_cannot_bring_another(run, isolated) -> None:
    for value in (
        "x # y",
        "a: b",
        "- x",
        "!!python/name:os.system",
        "*x",
        "&x",
        "'",
        '"',
        "{a: b}",
    ):
        assert run("config", "set", "--", "output_dir", value).code == 0
        assert run("config", "get", "output_dir").out == f"{value}\n"
        assert len((isolated / "config.yaml").read_text().splitlines()) == 1
    for value in ("x\nmodel: evil", "x\rmodel: evil", "x\u2028model: evil"):
        run("config", "set", "--", "output_dir", value)
        assert run("config", "get", "model").out == "\n"
