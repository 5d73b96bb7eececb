"""`ti export` and `ti import`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def rows(library, name: str):
    return library.embedding(library.get(name)).rows["clip_l"]


def test_one_concept_goes_to_the_current_folder(run, library_with, folder) -> None:
    library_with("mug")
    result = run("export", "<Mug>")
    assert (result.code, result.out) == (0, "mug.safetensors\n")
    assert (folder / "mug.safetensors").stat().st_mode & 0o444 == 0o444


def test_json_tells_what_was_written(run, library_with, folder) -> None:
    library_with("mug")
    (item,) = run("export", "mug", "--json", "--format", "emb_params").json
    content = (folder / "mug.safetensors").read_bytes()
    assert item == {
        "name": "mug",
        "for": "",
        "format": "emb_params",
        "path": "mug.safetensors",
        "member": "",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "lost": [],
    }


def test_a_file_a_folder_and_several(run, library_with, folder) -> None:
    library_with("mug", "cat")
    assert run("export", "mug", "-o", "a.safetensors").out == "a.safetensors\n"
    assert run("export", "mug", "-o", "new/").out == "new/mug.safetensors\n"
    assert run("export", "mug", "-o", "new", "--force").out == "new/mug.safetensors\n"
    assert run("export", "mug", "cat", "-o", "both").lines == [
        "both/mug.safetensors",
        "both/cat.safetensors",
    ]
    assert run("export", "--all").lines == ["cat.safetensors", "mug.safetensors"]
    assert run("export", "mug", "-o", "no/such/file.safetensors").code == 3


def test_nothing_is_written_where_one_file_exists(run, library_with, folder) -> None:
    library_with("mug", "cat")
    (folder / "cat.safetensors").write_text("mine")
    result = run("export", "mug", "cat")
    assert result.code == 4
    assert "cat.safetensors" in result.err
    assert [path.name for path in folder.iterdir()] == ["cat.safetensors"]
    assert (folder / "cat.safetensors").read_text() == "mine"
    assert run("export", "mug", "cat", "--force").code == 0


def test_several_do_not_fit_into_one_file(run, library_with, folder) -> None:
    library_with("mug", "cat")
    (folder / "file").write_text("")
    assert run("export", "mug", "cat", "-o", "file").code == 2


def test_a_pipe_carries_one_concept(run, library_with) -> None:
    library = library_with("mug", "cat")
    sent = run("export", "mug", "-o", "-")
    assert sent.code == 0
    received = run("import", "-", "--token", "<Copy>", stdin=sent.out_bytes)
    assert (received.code, received.out) == (0, "copy\n")
    np.testing.assert_array_equal(rows(library, "copy"), rows(library, "mug"))
    assert run("export", "mug", "-o", "-", tty=True).code == 2
    assert run("export", "mug", "-o", "-", "--json").code == 2


def test_names_come_from_a_pipe(run, library_with) -> None:
    library_with("mug", "cat")
    assert run("export", "-", stdin="cat\nmug\n").lines == ["cat.safetensors", "mug.safetensors"]


def test_wrong_calls_of_export(run, library_with) -> None:
    library_with("mug")
    assert run("export").code == 2
    assert run("export", "mug", "--all").code == 2
    assert run("export", "mug", "--format", "pickle").code == 2
    assert run("export", "nope").code == 3


def test_export_of_an_empty_library(run) -> None:
    assert (run("export", "--all").code, run("export", "--all", "--json").json) == (0, [])


@pytest.mark.parametrize("layout", ["diffusers", "emb_params"])
def test_what_goes_out_comes_in_again(run, library_with, layout: str) -> None:
    library = library_with("mug", vectors=3, noun="cup")
    before = rows(library, "mug")
    run("export", "mug", "--format", layout)
    run("rm", "-y", "mug")
    result = run("import", "mug.safetensors", "--json")
    assert result.code == 0
    (item,) = result.json
    assert (item["name"], item["noun"], item["vectors"]) == ("mug", "cup", 3)
    assert item["base"]["id"] == "starter"
    np.testing.assert_array_equal(rows(library, "mug"), before)
    assert [item] == run("list", "--json").json


def test_tis_own_file_brings_everything_back(run, library_with, folder) -> None:
    library = library_with("mug", tags=("a",), notes="hi")
    (folder / "copy").write_bytes(Path(library.get("mug").path).read_bytes())
    run("rm", "-y", "mug")
    assert run("import", "copy").out == "mug\n"
    assert run("show", "mug", "--field", "init").out == "cup\n"
    assert run("show", "mug", "--field", "steps").out == "160\n"


def test_a_taken_name_needs_replace(run, library_with) -> None:
    library = library_with("mug", "cat")
    run("export", "mug")
    run("rm", "-y", "mug")
    run("rename", "cat", "mug")
    before = rows(library, "mug")
    result = run("import", "mug.safetensors")
    assert result.code == 4
    assert "--replace" in result.err
    np.testing.assert_array_equal(rows(library, "mug"), before)
    assert run("import", "mug.safetensors", "--replace").code == 0
    assert not np.array_equal(rows(library, "mug"), before)


def test_all_files_or_none(run, library_with, folder) -> None:
    library_with("mug", "cat")
    run("export", "mug", "cat")
    run("rm", "-y", "mug")
    (folder / "bad.safetensors").write_bytes(b"\x80\x04nonsense")
    assert run("import", "mug.safetensors", "bad.safetensors").code == 1
    assert run("list", "-q").lines == ["cat"]
    run("rename", "cat", "dog")
    run("export", "dog", "-o", "mug2.safetensors")
    twice = run("import", "mug.safetensors", "mug.safetensors")
    assert twice.code == 4
    assert run("list", "-q").lines == ["dog"]


def test_base_names_the_model(run, library_with) -> None:
    library_with("mug")
    library_with("wide", width=768)
    run("export", "mug", "wide")
    assert run("import", "mug.safetensors", "-t", "new", "--base", "starter").code == 0
    fingerprint = run("show", "new", "--field", "base.fingerprint").out.strip()
    assert len(fingerprint) == 64
    assert fingerprint != "f" * 64
    clash = run("import", "wide.safetensors", "-t", "new2", "--base", "starter")
    assert clash.code == 4
    assert "768" in clash.err
    assert "256" in clash.err
    assert run("import", "mug.safetensors", "-t", "x", "--base", "no/such").code == 5


def test_wrong_calls_of_import(run, library_with, folder) -> None:
    library_with("mug")
    run("export", "mug")
    run("export", "mug", "-o", "b.safetensors")
    assert run("import").code == 2
    assert run("import", "absent.safetensors").code == 3
    assert run("import", "mug.safetensors", "b.safetensors", "-t", "x").code == 2
    assert run("import", "-", tty=True).code == 2
    assert run("import", "-", stdin=b"").code == 1
    (folder / "empty").mkdir()
    assert run("import", "empty").code == 1


def test_warnings_are_said_on_stderr(run, library_with) -> None:
    library = library_with()
    from concepts import make_concept, make_embedding

    zeros = make_embedding("zero")
    zeros.rows["clip_l"][:] = 0
    library.add(make_concept("zero"), zeros)
    run("export", "zero")
    result = run("import", "zero.safetensors", "-t", "other", "-q")
    assert result.out == "other\n"
    assert "zero" in result.err
    assert result.err.startswith("warning: ")
