"""The page on many words: its manifests are read, and say what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from ticli.manifest import parse_manifest
from ticli.recipe import Recipe

PAGE = (Path(__file__).parents[2] / "docs" / "many.md").read_text(encoding="utf-8")


def block(form: str) -> str:
    (text,) = re.findall(rf"```{form}\n(.*?)```", PAGE, re.DOTALL)
    return text


@pytest.mark.parametrize("form", ["tsv", "yaml", "jsonl"])
@pytest.mark.parametrize("named", [True, False])
def test_its_manifests_are_manifests(form, named):
    entries = parse_manifest(block(form), "page", Path(), f".{form}" if named else "")
    assert len(entries) == 2 and entries[0].token == "<mug>"
    assert entries[0].photos == ("photos/mug",)
    recipes = [entry.settle("default", Recipe(), {}) for entry in entries]
    assert recipes[0].init == "cup"
    if form == "tsv":
        assert recipes[1].steps == 300
    else:
        assert recipes[1].kind == "style"
    if form == "yaml":
        assert recipes[1].noun == "" and entries[1].seed == 7


def test_its_commands_are_ones_that_ti_takes(run, tmp_path, monkeypatch):
    for name in ("mug", "cup"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (80, 64), "teal").save(folder / "one.png")
    (tmp_path / "concepts.tsv").write_text(block("tsv"))
    monkeypatch.chdir(tmp_path)
    commands = [line for line in block("sh").splitlines() if line]
    assert len(commands) == 2
    for command in commands:
        result = run(*shlex.split(command)[1:], "--dry-run", "--json")
        assert result.code == 0, result.err
        assert [plan["name"] for plan in result.json] == ["mug", "cup"]
