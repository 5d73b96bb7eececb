"""`ti inspect`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

ROWS = torch.linspace(-0.02, 0.03, 1536).reshape(2, 768)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a word, two words in one file, and a text."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    save_file({"<Mug>": ROWS}, "mug.safetensors", {"format": "pt"})
    save_file({"<a>": ROWS, "<b>": ROWS.clone()}, "two.safetensors")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": ROWS}, "name": "neg",
                "step": 5, "sd_checkpoint": None, "sd_checkpoint_name": "sd15"},
               "neg.pt")  # fmt: skip
    (work / "text").write_text("hello")
    return work


def test_a_pipe_gets_a_row_a_word(run, isolated) -> None:
    result = run("inspect", "mug.safetensors", "two.safetensors", "neg.pt", "text")
    assert result.code == 0
    heading, *rows = [line.split("\t") for line in result.lines]
    assert heading[:5] == ["NAME", "FILE", "CONTAINER", "LAYOUT", "TOKEN"]
    assert [row[0] for row in rows] == ["mug", "a", "b", "neg", ""]
    assert rows[0][1:7] == [
        "mug.safetensors", "safetensors", "diffusers", "<Mug>", "clip_l 768", "2",
    ]  # fmt: skip
    assert rows[3][2:4] == ["torch zip", "a1111"]
    assert rows[4][-1] == "text is not an embedding file"
    assert all(len(row) == len(heading) for row in rows)
    assert not isolated.exists()


def test_json_says_everything(run) -> None:
    mug, two, text = run("inspect", "--json", "mug.safetensors", "two.safetensors", "text").json
    assert mug.keys() == text.keys() == {
        "file", "bytes", "container", "layout", "metadata", "words", "notes", "warnings",
        "problem", "hint",
    }  # fmt: skip
    assert mug["metadata"] == {"format": "pt"} and mug["problem"] == ""
    (word,) = mug["words"]
    assert word.keys() == {
        "name", "stored_token", "key", "noun", "kind", "vectors", "widths", "norms", "base",
        "steps", "notes",
    }  # fmt: skip
    assert (word["name"], word["key"], word["widths"]) == ("mug", "<Mug>", {"clip_l": 768})
    assert word["norms"]["clip_l"][1] == pytest.approx(ROWS[1].norm().item(), rel=1e-5)
    assert [word["name"] for word in two["words"]] == ["a", "b"]
    assert "2 concepts" in two["problem"] and "--all" in two["hint"]
    assert text["words"] == [] and text["problem"] and text["hint"]


def test_quiet_gives_the_names_of_an_import(run) -> None:
    assert run("inspect", "-q", "two.safetensors", "neg.pt", "text").lines == ["a", "b", "neg"]


def test_a_person_gets_a_page(run) -> None:
    result = run("inspect", "two.safetensors", "text", tty=True)
    assert "2 for clip_l 768" in result.out
    assert "what to do" in result.out
    shown = run("inspect", "-v", "mug.safetensors", tty=True).out
    assert "  format" in shown


def test_a_file_without_a_name_says_so(run) -> None:
    save_file({"emb_params": ROWS}, "x.safetensors")
    (item,) = run("inspect", "-", "--json", stdin=Path("x.safetensors").read_bytes()).json
    assert item["words"][0]["name"] == ""
    assert "--token" in item["hint"]


def test_a_pair_in_a_folder_is_one_word(run, folder) -> None:
    (folder / "xl").mkdir()
    save_file({"<x>": ROWS}, "xl/learned_embeds.safetensors")
    save_file({"<x>": torch.ones(2, 1280)}, "xl/learned_embeds_2.safetensors")
    (item,) = run("inspect", "xl", "--json").json
    assert item["words"][0]["widths"] == {"clip_g": 1280, "clip_l": 768}
    sizes = [path.stat().st_size for path in (folder / "xl").iterdir()]
    assert item["bytes"] == sum(sizes)


def test_a_refused_file_is_described_and_run_never(run, folder) -> None:
    class Touch:
        def __reduce__(self):
            return (Path.touch, (folder / "marker",))

    torch.save({"a": Touch()}, "evil.pt")
    (item,) = run("inspect", "evil.pt", "--json").json
    assert "asks for" in item["problem"] and item["layout"] == ""
    assert not (folder / "marker").exists()


def test_wrong_calls(run) -> None:
    assert run("inspect").code == 2
    assert run("inspect", "absent").code == 3
    assert run("inspect", "-", tty=True).code == 2
