"""`ti generate`: prompts in, pictures and their paths out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticli.concept import Embedding
from ticli.models import STARTER, samplers_for

QUICK = ("--steps", "2", "--size", "64", "--device", "cpu")
KEYS = {
    "path",
    "prompt",
    "used",
    "negative",
    "seed",
    "model",
    "concepts",
    "width",
    "height",
    "steps",
    "guidance",
    "sampler",
}
FINISHED = KEYS | {"seconds", "grid"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Make an empty current folder, and draw on one thread: two wait on a busy machine."""
    import torch

    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder
    torch.set_num_threads(before)


def metadata(path):
    return json.loads(Image.open(path).text["ti"])


def test_the_help_ends_with_an_example(run):
    result = run("generate", "--help")
    assert result.code == 0
    assert 'ti generate "' in result.out.splitlines()[-1]


def test_the_help_names_every_sampler(run):
    words = run("generate", "--help").out.replace(",", " ").replace(".", " ").split()
    assert set(samplers_for("sd1")) <= set(words)


def test_a_safety_checker_that_is_left_out_is_said(run, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for part in STARTER.iterdir():
        if part.name != "model_index.json":
            (folder / part.name).symlink_to(part)
    index = json.loads((STARTER / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    said = "safety checker"
    assert said in run("generate", "a tree", "--dry-run", "-m", str(folder)).err
    assert said not in run("generate", "a tree", "--dry-run").err


def test_paths_go_to_stdout_and_everything_else_to_stderr(run, library_with):
    library = library_with("mug", noun="cup")
    result = run("generate", "a <mug>", "-n", "2", "--seed", "7", "--grid", *QUICK)
    assert result.code == 0, result.err
    assert result.lines == ["a-mug-7.png", "a-mug-8.png", "a-mug-7-grid.png"]
    assert all(Path(line).is_file() for line in result.lines)
    assert 'drawing "a <mug> cup"' in result.err
    assert "2 pictures of 64x64" in result.err
    assert "seeds 7 to 8" in result.err
    assert library.get("mug").used
    assert metadata("a-mug-8.png")["seed"] == 8


def test_a_fresh_seed_is_printed_named_and_kept(run):
    result = run("generate", "a tree", *QUICK)
    (path,) = result.lines
    seed = metadata(path)["seed"]
    assert path == f"a-tree-{seed}.png"
    assert f"seed {seed}" in result.err
    assert "no concept in" in result.err


def test_a_concept_named_without_brackets_is_hinted_at_once(run, library_with):
    library_with("easyneg", "mug", noun="mug")
    call = ("generate", "-", "--negative", "easyneg", "--dry-run")
    result = run(*call, stdin="a tree\na <mug> mug\n")
    assert result.code == 0
    assert result.err.count("write <easyneg>") == 1
    assert "<mug> for" not in result.err
    assert "write <easyneg>" not in run(*call, "-q", stdin="a tree\n").err
    assert "write <" not in run("generate", "a <easyneg>", "--dry-run").err


def test_quiet_leaves_the_paths_alone(run, library_with):
    library_with("mug", noun="cup")
    result = run("generate", "a <mug>", "-q", "--no-noun", "--seed", "7", *QUICK)
    assert (result.code, result.err, result.lines) == (0, "", ["a-mug-7.png"])
    assert metadata("a-mug-7.png")["prompt_used"] == "a <mug>"


def test_json_is_one_array(run, library_with):
    library_with("mug", noun="cup")
    options = ("--seed", "7", "--json", "--grid", "--negative", "a <mug>", "-o", "shots/", *QUICK)
    result = run("generate", "a <mug>", *options)
    picture, sheet = result.json
    assert set(picture) == set(sheet) == FINISHED
    assert picture["path"] == "shots/a-mug-7.png"
    assert (picture["prompt"], picture["used"]) == ("a <mug>", "a <mug> cup")
    assert picture["negative"] == "a <mug> cup"
    assert (picture["seed"], picture["concepts"], picture["model"]) == (7, ["mug"], "starter")
    assert (picture["width"], picture["height"], picture["steps"]) == (64, 64, 2)
    assert picture["seconds"] > 0
    assert (picture["grid"], sheet["grid"]) == (False, True)


def test_prompts_from_stdin_make_a_json_object_a_line(run):
    result = run("generate", "--json", "--seed", "7", *QUICK, stdin="\ufeffa tree\n\n  a lake \r\n")
    assert result.code == 0, result.err
    items = [json.loads(line) for line in result.lines]
    assert [(item["prompt"], item["seed"]) for item in items] == [("a tree", 7), ("a lake", 8)]
    assert all(set(item) == FINISHED for item in items)


def test_a_picture_to_stdout_is_a_png_and_nothing_else(run, here):
    result = run("generate", "a tree", "-o", "-", "--seed", "7", *QUICK)
    assert result.code == 0, result.err
    assert Image.open(BytesIO(result.out_bytes)).size == (64, 64)
    assert result.out_bytes.endswith(b"IEND\xaeB`\x82")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "tty", "words"),
    [
        (("-o", "-"), True, "terminal"),
        (("-o", "-", "--json"), False, "--json"),
        (("-o", "-", "-n", "2"), False, "one picture"),
        (("-o", "-", "--grid"), False, "one picture"),
        (("-o", "moon.jpg"), False, "PNG"),
        (("--size", "65"), False, "64"),
        (("--steps", "0"), False, "--steps"),
        (("--guidance", "nan"), False, "--guidance"),
        (("--sampler", "magic"), False, "magic"),
        (("--seed", "-1"), False, "--seed"),
        (("-n", "0"), False, "count"),
        (("--device", "gpu"), False, "gpu"),
        (("--dtype", "fp8"), False, "fp8"),
    ],
)
def test_a_wrong_command_line_is_2(run, arguments, tty, words):
    result = run("generate", "a tree", *arguments, tty=tty)
    assert result.code == 2
    assert words in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("output", ["FILE/pictures/", "FILE/moon.png", "closed/deep/"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_folder_that_cannot_be_written_is_found_before_a_model_is_loaded(
    run, tmp_path, monkeypatch, output, dry
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    (tmp_path / "closed").mkdir()
    # The tests may run as root, whom no permission stops.
    asked = os.access
    monkeypatch.setattr(os, "access", lambda p, m: Path(p).name != "closed" and asked(p, m))
    result = run("generate", "a tree", "-o", output, *dry)
    assert result.code == 1 and "cannot be written" in result.err
    assert "loading" not in result.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "tty"),
    [
        ((), b"", False),
        (("-",), b" \n\n", False),
        (("-",), b"a tree\n\xff\n", False),
        (("",), b"", False),
        ((), b"a tree", True),
    ],
)
def test_no_prompt_is_2(run, arguments, stdin, tty):
    result = run("generate", *arguments, "--dry-run", stdin=stdin, tty=tty)
    assert result.code == 2
    assert "prompt" in result.err or "line 2" in result.err


def test_an_unknown_token_is_3_with_the_nearest(run, library_with):
    library_with("mug")
    result = run("generate", "a <mgu>", "--json")
    assert result.code == 3
    assert result.json["exit_code"] == 3
    error = result.json["error"]
    assert error["code"] == "not_found"
    assert (error["unknown"], error["nearest"]) == (["mgu"], {"mgu": ["mug"]})
    assert "<mug>" in error["hint"]


def test_a_taken_name_is_4_and_stays_as_it_is_unless_forced(run, here):
    (here / "moon.png").write_text("mine")
    arguments = ("generate", "a tree", "-o", "moon.png", *QUICK)
    result = run(*arguments)
    assert result.code == 4
    assert "--force" in result.err
    assert "loading" not in result.err
    assert (here / "moon.png").read_text() == "mine"
    assert run(*arguments, "--force").code == 0
    assert Image.open("moon.png").size == (64, 64)


def test_a_concept_of_another_width_is_4(run, library_with):
    library_with("mug", width=768)
    result = run("generate", "a <mug>", "--dry-run")
    assert result.code == 4
    assert "768" in result.err
    assert "256" in result.err


def test_a_model_that_cannot_be_had_is_5(run):
    assert run("generate", "a tree", "-m", "no/such-model").code == 5


def test_a_dry_run_shows_the_plan_and_draws_nothing(run, library_with, here):
    library = library_with("mug", noun="cup")
    result = run("generate", "a <mug>", "-n", "2", "--seed", "7", "--dry-run")
    assert result.code == 0
    heading, *rows = [line.split("\t") for line in result.lines]
    assert heading == ["PATH", "SEED", "SIZE", "STEPS", "GUIDANCE", "SAMPLER", "MODEL", "PROMPT"]
    assert rows[0] == ["a-mug-7.png", "7", "128x128", "25", "4", "ddim", "starter", "a <mug> cup"]
    assert [row[0] for row in rows] == ["a-mug-7.png", "a-mug-8.png"]
    document = run("generate", "a <mug>", "--grid", "--seed", "7", "--dry-run", "--json").json
    assert set(document) == {"dry_run", "pictures", "grid"}
    assert set(document["pictures"][0]) == KEYS
    assert document["grid"] == "a-mug-7-grid.png"
    assert list(here.iterdir()) == []
    assert library.get("mug").used == ""


def test_the_configured_folder_takes_the_pictures(run, isolated):
    isolated.mkdir(parents=True)
    (isolated / "config.yaml").write_text("output_dir: ~/art\n")
    result = run("generate", "a tree", "--seed", "7", "--dry-run", "-q")
    assert result.lines == [str(Path("~/art/a-tree-7.png").expanduser())]


@pytest.mark.parametrize("prompt", ["[mug] [/mug] :mug:", "\x1b[2Jred", "a\tb", "<3 <lora:x:1>"])
def test_odd_prompts_are_harmless_words(run, prompt):
    result = run("generate", prompt, "--seed", "7", "--dry-run", tty=True)
    assert result.code == 0, result.err
    assert "\x1b[2J" not in result.out + result.err
    document = run("generate", prompt, "--seed", "7", "--dry-run", "--json").json
    assert document["pictures"][0]["prompt"] == prompt


def test_a_concept_outside_the_window_is_2_and_cut_words_are_said(run, library_with):
    library_with("mug")
    result = run("generate", "a " * 60 + "<mug>", *QUICK)
    assert result.code == 2
    assert "46 tokens" in result.err
    result = run("generate", "a tree " * 23 + "sunset", *QUICK)
    assert result.code == 0
    assert "does not read: sunset" in result.err


def test_a_failure_on_the_way_names_what_is_finished(run, library_with):
    library = library_with("mug")
    # Finite, and large enough to overflow in the encoder: a real failure of the second picture.
    huge = Embedding({"clip_l": np.full((1, 256), 3e38, np.float32)})
    library.add(library.get("mug"), huge, replace=True)
    result = run(
        "generate", "-", "--json", "--any-norm", "--seed", "7", *QUICK, stdin="a tree\na <mug>\n"
    )
    assert result.code == 6
    first, last = (json.loads(line) for line in result.lines)
    assert first["path"] == "a-tree-7.png"
    assert last["error"]["completed"] == ["a-tree-7.png"]
    assert Path("a-tree-7.png").is_file()
    assert "ti show" in last["error"]["hint"]


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished(here):
    command = [sys.executable, "-m", "ticli", "generate", "a tree", "-n", "500", "--seed", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *QUICK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        printed = [process.stdout.readline().decode().strip()]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    printed += rest.decode().splitlines()
    assert process.returncode == 130
    # The signal may fall between the writing of a file and the printing of its path.
    counts = [f"finished files: {count}\n" for count in (len(printed), len(printed) + 1)]
    assert any(count in errors.decode() for count in counts)
    assert "Traceback" not in errors.decode()
    files = sorted(path.name for path in here.iterdir())
    assert set(printed) <= set(files)
    assert len(files) <= len(printed) + 1
    for name in files:
        Image.open(name).load()


def test_what_needs_no_model_imports_no_torch(library_with, here):
    library_with("mug")
    (here / "taken.png").touch()
    code = (
        "import sys\nfrom ticli.__main__ import main\n"
        "codes = [main(['generate', 'a <mug>', *extra]) for extra in\n"
        "  (['--dry-run', '-q'], ['-o', 'taken.png'], ['--size', '65'], ['--steps', '0'])]\n"
        "print(codes, [m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "[0, 4, 2, 2] []", answer.stderr


@pytest.mark.parametrize("verbose", [False, True])
def test_a_library_that_cannot_record_a_use_is_a_detail(run, library_with, monkeypatch, verbose):
    library_with("mug", width=256)
    monkeypatch.setattr("ticli.library.library.Library.touch", lambda *_: False)
    result = run("generate", "<mug>", *QUICK, *["-v"] * verbose)
    assert result.code == 0
    assert ("does not record that concepts were used" in result.err) is verbose
