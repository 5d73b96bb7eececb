"""`ti invert` as a user calls it: its checks, its plan, its answers, its row."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples" / "mug"
KEYS = (
    *("name", "token", "noun", "kind", "init", "vectors", "widths", "base", "recipe", "seed"),
    *("steps", "losses", "norms", "photos", "parents", "tags", "notes", "device", "versions"),
    *("seconds", "created", "used", "path", "bytes", "sha256"),
    *("outcome", "curves", "warnings", "about", "scores"),
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The example photos learned for three steps on the starter: (document, stderr, home)."""
    home = tmp_path_factory.mktemp("learned")
    environment = {
        "HOME": str(home),
        "TI_HOME": str(home / "ti"),
        "PATH": "/usr/bin:/bin",
        # On a machine that runs other tests too, threads wait for each other most of the time.
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "ticli", "invert", str(EXAMPLES), "--token", "<Mug>", "--steps",
         "3", "--batch", "2", "--json", "--keep-photos"],
        capture_output=True, text=True, env=environment, cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr, home


def test_the_row_records_how_the_word_was_made(learned):
    document, _, _ = learned
    assert tuple(document) == KEYS
    assert document["token"] == "<Mug>" and document["name"] == "mug"
    assert document["init"] == document["noun"] == "mug" and document["kind"] == "object"
    assert document["vectors"] == 1 and document["widths"] == {"clip_l": 256}
    assert document["base"]["family"] == "sd1" and document["base"]["id"] == "starter"
    assert len(document["base"]["fingerprint"]) == 64
    assert document["recipe"]["steps"] == document["steps"] == 3
    assert document["recipe"]["size"] == 128 and document["recipe"]["batch"] == 2
    assert document["seed"] == 0 and document["device"] in ("cpu (fp32)", "cpu (bf16)")
    assert set(document["versions"]) == {"ti", "torch", "diffusers", "transformers"}
    assert document["losses"]["last"] > 0 and document["norms"]["clip_l"][0] > 0
    assert document["created"].endswith("Z") and document["seconds"] > 0
    for photo in document["photos"]:
        data = (EXAMPLES / photo["file"]).read_bytes()
        assert photo["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(document["photos"]) == 5
    stored = Path(document["path"]).read_bytes()
    assert hashlib.sha256(stored).hexdigest() == document["sha256"]


def test_kept_photos_are_the_files_and_private(learned):
    document, _, home = learned
    for photo in document["photos"]:
        (kept,) = (home / "ti" / "photos").rglob(f"{photo['sha256']}.*")
        assert kept.read_bytes() == (EXAMPLES / photo["file"]).read_bytes()
        assert kept.stat().st_mode & 0o777 == 0o600


def test_stderr_holds_plan_and_starter_line_and_no_chatter(learned):
    _, said, _ = learned
    assert said.count("using the built-in starter model") == 1
    assert "5: mug-1.jpg" in said and re.search(r"cpu \((fp32|bf16)\): no GPU", said)
    for chatter in ("torchvision", "accelerate", "Warning", "Loading weights", "transformers]"):
        assert chatter not in said


def test_dry_run_prints_the_plan_and_imports_no_torch(run):
    result = run("invert", str(EXAMPLES), "--token", "mug", "-n")
    assert result.code == 0
    assert "mug-2.jpg 480×640 turned" in result.out and "a photo of a <mug> mug" in result.out
    script = (
        "import sys; from ticli.__main__ import main;"
        f"code = main(['invert', {str(EXAMPLES)!r}, '--token', 'mug', '-n', '--json']);"
        "banned = {'torch', 'diffusers', 'transformers'} & set(sys.modules);"
        "sys.exit(code or (f'imported {banned}' if banned else 0))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["trigger"] == "<mug> mug" and len(plan["photos"]) == 5


def test_a_taken_name_is_a_conflict_before_anything_else(run, library_with):
    library_with("mug")
    result = run("invert", "no-such-folder", "--token", "<MUG>", "--json")
    assert result.code == 4 and result.json["error"]["code"] == "conflict"
    assert "--replace" in result.json["error"]["hint"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such-folder", "-t", "mug"], 3, "no-such-folder"),
        ([str(EXAMPLES)], 2, "--token"),
        ([str(EXAMPLES), "-t", "a b"], 2, "token"),
        ([str(EXAMPLES), "-t", "mug_1"], 2, "digits"),
        ([str(EXAMPLES), "-t", "mug", "--recipe", "none"], 3, "none"),
        ([str(EXAMPLES), "-t", "mug", "--steps", "0"], 2, "steps"),
        ([str(EXAMPLES), "-t", "mug", "--lr", "nan"], 2, "lr"),
        ([str(EXAMPLES), "-t", "mug", "--size", "100"], 2, "multiple of 8"),
        ([str(EXAMPLES), "-t", "mug", "--init", "<nobody>"], 3, "nobody"),
        ([str(EXAMPLES), "-t", "mug", "-m", "no/such-model"], 5, "no/such-model"),
        ([str(EXAMPLES), "-t", "mug", "-m", "./nowhere"], 5, "nowhere"),
        ([str(EXAMPLES), "-t", "mug", "--noun", "cup", "--no-noun"], 2, "--no-noun"),
    ],
)
def test_wrong_calls(run, isolated, arguments, code, words):
    result = run("invert", *arguments)
    assert result.code == code, result.err
    assert words in result.err and "Traceback" not in result.err
    assert result.out == "" and not isolated.exists()


def test_own_recipe_sentences_and_flags_are_effective(run, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("steps: 010\nlr: 5e-3\nflip: no\nkind: style\n")
    sentences = tmp_path / "lines.txt"
    sentences.write_text("# mine\nthe {} one\n")
    result = run(
        "invert", str(EXAMPLES), "-t", "mug", "-n", "--json", "--recipe", str(recipe),
        "--sentences", str(sentences), "--steps", "20", "--vectors", "2", "--init", "red mug",
    )  # fmt: skip
    assert result.code == 0, result.err
    effective = result.json["recipe"]
    assert (effective["steps"], effective["lr"], effective["flip"]) == (20, 0.005, False)
    assert effective["kind"] == "style" and effective["vectors"] == 2
    assert result.json["sentences"] == ["the <mug> one"]


def test_a_word_the_model_lacks_starts_from_object_and_says_so(run):
    result = run("invert", str(EXAMPLES), "-t", "zork", "-n", "--json")
    assert result.json["recipe"]["init"] == "object" and result.json["recipe"]["noun"] == ""
    result = run("invert", str(EXAMPLES), "-t", "zork", "-n")
    assert "--init WORD" in result.err


def test_captions_replace_sentences_and_say_what_they_lack(run, tmp_path):
    for number in range(2):
        Image.new("RGB", (64, 64), (90 * number, 9, 9)).save(tmp_path / f"{number}.png")
    (tmp_path / "0.txt").write_text("on a red table")
    result = run("invert", str(tmp_path), "-t", "mug", "-n", "--captions")
    assert result.code == 0, result.err
    assert "<mug> mug on a red table" in result.out or "<mug> mug, on a red table" in result.out
    assert "no caption for 1.png" in result.err
    refused = run("invert", str(tmp_path), "-t", "mug", "-n", "--captions", "--strict-captions")
    assert refused.code in (1, 2) and "0.txt" in refused.err


def test_paths_on_stdin(run):
    paths = "\0".join(str(EXAMPLES / f"mug-{n}.jpg") for n in (1, 3))
    result = run("invert", "-", "-t", "mug", "-n", "--json", stdin=paths)
    assert [photo["file"] for photo in result.json["photos"]] == ["mug-1.jpg", "mug-3.jpg"]


def test_one_photo_warns(run, tmp_path):
    result = run("invert", str(EXAMPLES / "mug-1.jpg"), "-t", "mug", "-n")
    assert result.code == 0 and "one" in result.err and "warning:" in result.err


def test_an_unwritable_library_refuses_before_training(run, isolated, monkeypatch):
    isolated.parent.mkdir(exist_ok=True)
    isolated.write_text("in the way")
    result = run("invert", str(EXAMPLES), "-t", "mug", "--steps", "1")
    assert result.code != 0 and "Traceback" not in result.err and "loading" not in result.err
