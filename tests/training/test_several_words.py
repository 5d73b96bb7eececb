"""`ti invert` for several concepts: a manifest or pairs in, a name for each out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from learning_runs import make_photos

from ticli.inversion import unfinished
from ticli.library import Library
from ticli.paths import places

SHORT = ("--steps", "4", "--batch", "2", "--dtype", "fp32")


@pytest.fixture
def words(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos of three words and a manifest of them; it is the current folder."""
    folder = tmp_path / "words"
    folder.mkdir()
    for name, count in (("mug", 2), ("cup", 3), ("fern", 4)):
        make_photos(folder / name, count)
    (folder / "words.tsv").write_text(
        "token\tphotos\tinit\tsteps\tseed\n<Mug>\tmug\tcup\t6\t\ncup\tcup\t\t\t7\nfern\tfern\t\t\t\n"
    )
    monkeypatch.setenv("TI_MODEL", str(tiny_folder))
    monkeypatch.chdir(folder)
    return folder


def spoil_photos(folder: Path) -> None:
    for photo in folder.iterdir():
        photo.write_text("no picture")


def rows(name: str) -> np.ndarray:
    library = Library.open()
    return library.embedding(library.get(name)).rows["clip_l"]


def test_each_word_of_a_manifest_is_learned_as_its_line_says(run, words):
    result = run("invert", "--manifest", "words.tsv", *SHORT, "--json")
    assert result.code == 0, result.err
    mug, cup, fern = result.json
    assert [word["token"] for word in (mug, cup, fern)] == ["<Mug>", "<cup>", "<fern>"]
    assert (mug["steps"], cup["steps"], fern["steps"]) == (6, 4, 4)
    assert (mug["init"], mug["seed"], cup["seed"]) == ("cup", 0, 7)
    assert [len(word["photos"]) for word in (mug, cup, fern)] == [2, 3, 4]
    assert run("list", "-q").lines == ["cup", "fern", "mug"]
    together = {name: rows(name) for name in ("mug", "cup")}
    alone = run("invert", "mug", "-t", "Mug", "--init", "cup", *SHORT, "--steps", "6", "--replace")
    assert alone.code == 0, alone.err
    assert run("invert", "cup", "-t", "cup", "--seed", "7", *SHORT, "--replace").code == 0
    for name, vectors in together.items():
        np.testing.assert_allclose(vectors, rows(name), rtol=0, atol=2e-5)


def test_names_come_as_words_are_finished_and_progress_is_named(run, words):
    result = run("invert", "--manifest", "words.tsv", *SHORT, "--progress", "jsonl", "-q")
    assert result.code == 0 and result.lines == ["cup", "fern", "mug"]
    steps = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    assert {step["name"] for step in steps} == {"mug", "cup", "fern"}
    assert [step["step"] for step in steps if step["name"] == "mug"] == [1, 2, 3, 4, 5, 6]
    assert not unfinished(places().runs)


def test_pairs_and_a_manifest_from_stdin(run, words):
    result = run("invert", "--token", "mug=mug", "-t", "<Cup>=cup", *SHORT)
    assert result.code == 0 and sorted(result.lines) == ["cup", "mug"]
    assert Library.open().get("cup").token == "<Cup>"
    line = json.dumps({"token": "fern", "photos": ["fern/photo-0.png", "fern/photo-1.png"]})
    result = run("invert", "--manifest", "-", *SHORT, stdin=line)
    assert result.code == 0 and result.lines == ["fern"]
    assert len(Library.open().get("fern").photos) == 2


def test_one_with_bad_photos_is_named_and_the_others_go_on(run, words):
    spoil_photos(words / "cup")
    result = run("invert", "--manifest", "words.tsv", *SHORT)
    assert result.code == 1 and sorted(result.lines) == ["fern", "mug"]
    assert "<cup>: none of 3 photos can be used" in result.err
    assert "1 of 3 concepts could not be learned: <cup>" in result.err
    before = Library.open().get("mug").created, rows("mug").tobytes()
    result = run("invert", "--manifest", "words.tsv", *SHORT, "--json")
    error = result.json["error"]
    assert (result.code, error["completed"]) == (1, ["mug", "fern"])
    assert [(word["name"], word["code"]) for word in error["failed"]] == [("cup", "bad_content")]
    assert (Library.open().get("mug").created, rows("mug").tobytes()) == before


def test_the_same_command_again_learns_what_is_missing(run, words):
    assert run("invert", "-t", "mug=mug", "-t", "cup=cup", *SHORT).code == 0
    result = run("invert", "-t", "mug=mug", "-t", "cup=cup", "-t", "fern=fern", *SHORT)
    assert result.code == 0 and result.lines == ["mug", "cup", "fern"]
    assert result.err.count("is already in the library") == 2 and "<mug>  1/4" not in result.err
    result = run("invert", "-t", "mug=mug", "-t", "cup=cup", *SHORT, "--fresh", "--replace")
    assert result.code == 0 and "<mug>  1/4" in result.err


@pytest.mark.slow
def test_another_word_of_that_name_is_no_ones_but_its_own_trouble(run, words):
    assert run("invert", "mug", "-t", "mug", *SHORT).code == 0
    result = run("invert", "-t", "mug=mug", "-t", "cup=cup", *SHORT, "--lr", "0.5")
    assert result.code == 1 and result.lines == ["cup"]
    assert "<mug>: 'mug' is in the library already; give --replace" in result.err
    result = run("invert", "-t", "mug=mug", "-t", "fern=fern", *SHORT, "--lr", "0.5", "--replace")
    assert result.code == 0 and sorted(result.lines) == ["fern", "mug"]
    assert Library.open().get("mug").recipe["lr"] == 0.5


def test_a_dry_run_plans_all_and_changes_nothing(run, words, isolated):
    result = run("invert", "--manifest", "words.tsv", *SHORT, "-n", "--json")
    assert result.code == 0
    assert [plan["name"] for plan in result.json] == ["mug", "cup", "fern"]
    assert [plan["recipe"]["steps"] for plan in result.json] == [6, 4, 4]
    text = run("invert", "--manifest", "words.tsv", *SHORT, "-n").out
    assert text.count("  concept ") == 3 and "a photo of a <Mug> cup" in text
    spoil_photos(words / "cup")
    result = run("invert", "--manifest", "words.tsv", *SHORT, "-n")
    assert result.code == 1 and result.out.count("  concept ") == 2
    assert "<cup>: none of" in result.err
    assert not (isolated / "library.db").exists() and not (isolated / "runs").exists()


def test_what_is_wrong_with_all_of_them_is_said_as_one(run, words):
    result = run("invert", "--manifest", "words.tsv", "--size", "100", "--json")
    assert result.code == 2 and "multiple of 8" in result.json["error"]["message"]
    result = run("invert", "--manifest", "words.tsv", "-m", "no/such-model", "--json")
    assert result.code == 5 and result.json["error"]["completed"] == []
    assert Library.open().names() == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["mug", "-t", "mug=mug"], 2, "PHOTOS stand beside"),
        (["mug", "--manifest", "words.tsv"], 2, "PHOTOS stand beside"),
        (["-t", "mug=mug", "-t", "cup"], 2, "--token cup=PHOTOS"),
        (["mug", "-t", "mug", "-t", "cup"], 2, "--token is given 2 times"),
        (["-t", "mug=mug", "-t", "<Mug>=cup"], 2, "is already named in"),
        (["-t", "cup=cup", "--manifest", "words.tsv"], 2, "is already named in"),
        (["-t", "mug="], 2, "there is no photos"),
        (["mug", "-t", "mug", "--together", "2"], 2, "--together is for several concepts"),
        (["-t", "mug=mug", "--together", "0"], 2, "--together"),
        (["--manifest", "none.tsv"], 3, "none.tsv"),
        (["--manifest", "wrong.yaml"], 2, "wrong.yaml, concept 1: steps must be a whole number"),
        (["-t", "mug=nowhere"], 1, "no such file or folder: nowhere"),
        (["-t", "mug=mug", "-t", "cup=nowhere", "--recipe", "none"], 3, "no recipe named 'none'"),
    ],
)
def test_wrong_calls(run, words, arguments, code, said):
    (words / "wrong.yaml").write_text("- token: mug\n  photos: mug\n  steps: many\n")
    result = run("invert", *arguments, *SHORT)
    assert result.code == code, result.err
    assert said in result.err and "Traceback" not in result.err
    assert result.out == "" and Library.open().names() == []


def test_a_word_named_like_another_ones_twin_is_refused(run, words):
    result = run(
        *("invert", "-t", "mug=mug", "-t", "mug-neg=cup", "--negative-vectors", "1", *SHORT)
    )
    assert result.code == 1 and sorted(result.lines) == ["mug"]
    assert "<mug-neg> would be a word of <mug> and of <mug-neg>" in result.err
    assert run("list", "-q").lines == ["mug", "mug-neg"]


def test_one_at_a_time_where_asked(run, words):
    result = run("invert", "--manifest", "words.tsv", *SHORT, "--together", "1")
    assert result.code == 0 and result.lines == ["mug", "cup", "fern"]
    assert "3 concepts, 1 at a time" in result.err


@pytest.mark.slow
def test_previews_and_kept_photos_are_each_words_own(run, words, isolated):
    result = run(
        *("invert", "-t", "mug=mug", "-t", "cup=cup", *SHORT, "--keep-photos"),
        *("--preview-every", "4"),
    )
    assert result.code == 0, result.err
    for name in ("mug", "cup"):
        assert (words / f"{name}-previews" / f"{name}-00004.png").is_file()
    hashes = {photo.sha256 for name in ("mug", "cup") for photo in Library.open().get(name).photos}
    assert {path.stem for path in (isolated / "photos").rglob("*.*")} == hashes


@pytest.mark.slow
def test_a_signal_keeps_all_and_the_same_command_continues(words):
    command = [
        *(sys.executable, "-m", "ticli", "invert", "--manifest", "words.tsv", "--batch", "2"),
        *("--steps", "120", "--progress", "jsonl", "--json", "--together", "2"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = set()
    for line in process.stderr:
        if line.startswith("{"):
            seen.add(json.loads(line)["name"])
            # The first word is done after six steps, and the third has its seat.
            if seen == {"mug", "cup", "fern"}:
                break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    failure = json.loads(out)
    assert failure["error"]["completed"] == ["mug"] and failure["error"]["code"] == "interrupted"
    assert "kept: <cup> at step" in failure["error"]["message"] and "Traceback" not in err
    left = {run.name: run.step for run in unfinished(places().runs)}
    assert left.keys() == {"cup", "fern"} and left["cup"] > 6
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"<cup>: continuing from step {left['cup']} of 120" in again.stderr
    assert [word["name"] for word in json.loads(again.stdout)] == ["mug", "cup", "fern"]
    assert not unfinished(places().runs)
