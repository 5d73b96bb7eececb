"""`ti score`: figures beside their references, the protocol with them, kept with the concept."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from judges import build_clip, build_dino
from PIL import Image
from tiny import WIDTH, build_tiny_model

from ticli.concept import PhotoRecord

EXAMPLES = Path(__file__).parents[2] / "examples" / "mug"
KEYS = {
    "name", "token", "trigger", "class_word", "places", "photo_hashes", "vectors_sha256",
    "created", "seconds", "word", "class", "photos", "way", "protocol", "warmed_by_encoder",
}  # fmt: skip
FIGURES = {
    "image", "image_in_scenes", "copied", "text", "text_plain", "text_bare", "text_bare_plain",
    "scene_accuracy", "obedience", "obedience_bare",
}  # fmt: skip
FEW = ("--samples", "2", "--steps", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    return str(build_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def dino(tmp_path_factory) -> str:
    return str(build_dino(tmp_path_factory.mktemp("dino")))


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def scenes(tmp_path) -> str:
    file = tmp_path / "scenes.txt"
    file.write_text("a photo of a {} on the moon\n\n# none\nan oil painting of a {}\n")
    return str(file)


@pytest.fixture
def score(run, model, clip, scenes):
    """Score with the tiny model and CLIP, two scenes, two steps."""

    def call(*arguments: str, **options):
        fixed = ("-m", model, "--encoder", clip, "--prompts", scenes, *FEW)
        return run("score", *arguments, *fixed, **options)

    return call


def test_json_holds_figures_references_and_protocol(score, library_with, clip) -> None:
    library = library_with("mug", width=WIDTH, noun="mug")
    result = score("mug", "--photos", str(EXAMPLES), "--json")
    assert result.code == 0, result.err
    (report,) = result.json
    assert set(report) == KEYS
    assert set(report["word"]) == set(report["class"]) == FIGURES
    assert (report["trigger"], report["class_word"]) == ("<mug> mug", "mug")
    assert report["photos"]["count"] == 5
    assert all(-1 <= report[side]["image"] <= 1 for side in ("word", "class", "photos"))
    assert report["class"]["obedience"] in (1.0, None)
    protocol = report["protocol"]
    assert protocol["encoder"] == clip
    assert protocol["counts"] == {"plain": 2, "scene": 1}
    assert protocol["seeds"] == [5, 6]
    assert protocol["drawn"]["steps"] == 2
    assert protocol["prompts"]["scenes"][1] == "an oil painting of a {}"
    assert "class word in place of {}" in protocol["placeholder"]
    (place,) = report["places"]["clip_l"]
    assert len(place["nearest"]) == 5
    assert place["norm"] == pytest.approx(library.get("mug").norms["clip_l"][0], abs=1e-4)
    assert list(library.get("mug").scores) == [report]


def test_the_same_call_gives_the_same_figures(score, library_with) -> None:
    library = library_with("mug", width=WIDTH, noun="mug")
    calls = [score("mug", "--photos", str(EXAMPLES), "--json").json[0] for _ in range(2)]
    same = [{k: v for k, v in c.items() if k not in ("created", "seconds")} for c in calls]
    assert same[0] == same[1]
    assert len(library.get("mug").scores) == 1


def test_the_table_has_the_concept_its_class_word_and_its_photos(score, library_with) -> None:
    library_with("mug", width=WIDTH, noun="mug")
    result = score("mug", "--photos", str(EXAMPLES))
    assert result.code == 0, result.err
    heading, *rows = [line.split("\t") for line in result.lines]
    assert heading[:5] == ["NAME", "OF", "IMAGE", "WAY", "IN SCENES"]
    assert [row[1] for row in rows] == ["<mug>", "mug", "5 photos"]
    assert all(len(row) == len(heading) for row in rows)
    assert rows[0][heading.index("NORM")].endswith("x")
    # The protocol is said with the figures.
    assert "2 of 'a photo of a {}'" in result.err
    assert "2 steps of" in result.err


def test_show_says_what_was_scored(run, score, library_with) -> None:
    library_with("mug", width=WIDTH, noun="mug")
    assert "\nscores\t\n" in run("show", "mug").out
    (report,) = score("mug", "--photos", str(EXAMPLES), "--json").json
    (line,) = [line for line in run("show", "mug").lines if line.startswith("scores\t")]
    assert line.startswith("scores\timage ")
    assert "class word" in line
    assert f", 2 + 1 x 2 pictures, protocol {report['protocol']['id']}, " in line
    assert "warm start" not in line
    assert len(line) < 300
    assert run("show", "mug", "--field", "scores").lines[0].startswith("{")


def test_an_encoder_that_gave_the_warm_start_is_warned_of(
    run, score, library_with, clip, dino, tmp_path
) -> None:
    """By its folder or by its weights; where that cannot be told, that is said."""
    library_with("mug", width=WIDTH, noun="mug", recipe={"warm_start": clip})
    result = score("mug", "--photos", str(EXAMPLES), "--encoder", dino, "--json")
    assert [report["warmed_by_encoder"] for report in result.json] == [False, True]
    assert result.err.count("gave <mug> its warm start") == 1
    (line,) = [line for line in run("show", "mug").lines if line.startswith("scores\t")]
    assert line.count("gave the concept its warm start") == 1
    copied = shutil.copytree(clip, tmp_path / "copied")
    library_with("cup", width=WIDTH, noun="cup", recipe={"warm_start": str(copied)})
    library_with("jug", width=WIDTH, noun="jug", recipe={"warm_start": str(tmp_path / "gone")})
    result = score("cup", "jug", "--photos", str(EXAMPLES), "--dry-run")
    assert "gave <cup> its warm start" in result.err
    assert "may have given <jug> its warm start" in result.err


def test_no_save_keeps_nothing(score, library_with) -> None:
    library = library_with("mug", width=WIDTH, noun="mug")
    assert score("mug", "--photos", str(EXAMPLES), "--no-save", "-q").lines == ["mug"]
    assert library.get("mug").scores == ()


def test_kept_photos_are_found_by_their_hashes(score, library_with) -> None:
    import hashlib

    files = sorted(EXAMPLES.glob("*.jpg"))[:2]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    records = [PhotoRecord(f.name, h) for f, h in zip(files, hashes, strict=True)]
    library = library_with("mug", width=WIDTH, noun="mug", photos=tuple(records))
    result = score("mug", "--dry-run")
    assert result.code == 2
    assert "--photos PATH" in result.err
    library.keep_photos([(hashes[0], files[0])])
    result = score("mug", "--dry-run")
    assert result.code == 3
    assert files[1].name in result.err
    library.keep_photos([(hashes[1], files[1])])
    (subject,) = score("mug", "--dry-run", "--json").json["subjects"]
    assert len(subject["photos"]) == 2


def test_dino_compares_pictures_alone(run, model, dino, scenes, library_with) -> None:
    library_with("mug", width=WIDTH, noun="mug")
    arguments = ("mug", "--photos", str(EXAMPLES), "-m", model, "--encoder", dino, *FEW)
    (report,) = run("score", *arguments, "--prompts", scenes, "--json").json
    assert report["word"]["obedience"] is report["word"]["scene_accuracy"] is None
    assert report["word"]["image"] is not None
    result = run("score", *arguments, "--plot", "plot.png", "--dry-run")
    assert result.code == 2
    assert "needs an encoder that reads" in result.err


def test_several_concepts_and_a_file_are_plotted(
    run, score, library_with, dino, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library_with("mug", width=WIDTH, noun="mug")
    library_with("cup", width=WIDTH, noun="", init="cup")
    run("export", "cup", "-o", "cup-500.safetensors")
    words = ("mug", "cup", "./cup-500.safetensors", "--class-word", "mug")
    files = ("--plot", "plot.png", "--sheet", "sheet.png")
    result = score(*words, "--photos", str(EXAMPLES), "--encoder", dino, *files, "--json")
    assert result.code == 0, result.err
    assert [r["name"] for r in result.json] == ["mug"] * 2 + ["cup"] * 2 + ["cup-500"] * 2
    # The class word is drawn once for all of them.
    assert result.err.count("pictures of 'mug'") == 1
    by_name = {r["name"]: r for r in result.json}
    assert by_name["cup"]["word"] == by_name["cup-500"]["word"]
    assert by_name["cup"]["word"] != by_name["mug"]["word"]
    assert Image.open("plot.png").width > 128
    for name in ("mug", "cup", "cup-500"):
        assert Image.open(f"sheet-{name}.png").width > 128
    again = score("mug", "--photos", str(EXAMPLES), "--plot", "plot.png")
    assert again.code == 4
    assert "plot.png exists already" in again.err


def test_a_files_name_may_hold_anything(run, score, library_with, tmp_path, monkeypatch) -> None:
    import os

    monkeypatch.chdir(tmp_path)
    library_with("mug", width=WIDTH, noun="mug")
    run("export", "mug", "-o", "plain.safetensors")
    odd = os.fsdecode(b"a\x1b[31m<\xff>&.safetensors")
    Path("plain.safetensors").rename(odd)
    result = score(odd, "--photos", str(EXAMPLES), "--plot", "plot.png", "--sheet", "s.png")
    assert result.code == 0, result.err
    assert "\x1b" not in result.out + result.err
    assert "a\ufffd[31m<\ufffd>&" in result.out
    assert Image.open("plot.png").width > 128


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "no concept named"),
        (("mgu",), 3, "no concept named 'mgu'"),
        (("./gone.safetensors",), 3, "gone.safetensors"),
        (("mug", "--plot", "plot.svg"), 2, "a plot cannot be written as 'plot.svg'"),
        (("mug", "--sheet", "sheet.jpg"), 2, "cannot be written as 'sheet.jpg'"),
        (("mug", "--samples", "0"), 2, "--samples must be 1 to 1000"),
        (("mug", "--photos", "nowhere"), 3, "nowhere"),
        (("mug", "--prompts", "nowhere.txt"), 3, "nowhere.txt"),
        (("mug", "--encoder", "nowhere"), 5, "no encoder folder 'nowhere'"),
        (("mug", "--steps", "0"), 2, "--steps must be 1"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_drawn(
    run, library_with, arguments, code, said
) -> None:
    library_with("mug", noun="mug")
    photos = () if "--photos" in arguments else ("--photos", str(EXAMPLES))
    result = run("score", *arguments, *(photos if arguments else ()))
    assert (result.code, result.out) == (code, "")
    assert said in result.err


def test_other_models_are_scored_by_the_papers_encoder(run, model, library_with) -> None:
    library_with("mug", width=WIDTH, noun="mug")
    result = run("score", "mug", "--photos", str(EXAMPLES), "-m", model)
    assert result.code == 5
    assert "openai/clip-vit-base-patch32 is neither a folder nor in the hub cache" in result.err
    assert "hf download" in result.err


def test_a_concept_without_a_class_word_needs_one(run, library_with) -> None:
    library_with("mug", noun="", init="random")
    result = run("score", "mug", "--photos", str(EXAMPLES), "--dry-run")
    assert result.code == 2
    assert "--class-word mug" in result.err


def test_a_dry_run_names_the_starters_own_protocol(run, library_with) -> None:
    library_with("mug", noun="mug")
    result = run("score", "mug", "--photos", str(EXAMPLES), "--dry-run", "--json")
    (subject,) = result.json["subjects"]
    (protocol,) = subject["protocols"]
    assert protocol["encoder"].startswith("the starter's scorer 0.")
    assert protocol["counts"] == {"plain": 16, "scene": 2}
    assert len(protocol["prompts"]["scenes"]) == 7
    drawn = {"sampler": "ddim", "steps": 20, "guidance": 4.0, "width": 128, "height": 128}
    assert protocol["drawn"] == drawn
    finals = run("score", "mug", "--photos", str(EXAMPLES), "-n", "--json",
                 "--samples", "32", "--scene-samples", "8")  # fmt: skip
    assert finals.json["subjects"][0]["protocols"][0]["counts"] == {"plain": 32, "scene": 8}


def test_names_come_from_stdin(run, library_with) -> None:
    library_with("mug", "cup", noun="mug")
    result = run("score", "-", "--photos", str(EXAMPLES), "-n", "-q", stdin="mug\ncup\n")
    assert result.lines == ["mug", "cup"]


def test_a_library_that_cannot_be_changed_still_scores(score, library_with, isolated) -> None:
    import sqlite3

    library_with("mug", width=WIDTH, noun="mug")
    connection = sqlite3.connect(isolated / "library.db")
    connection.execute(
        "CREATE TRIGGER sealed BEFORE UPDATE ON concepts BEGIN SELECT RAISE(ABORT, 'sealed'); END"
    )
    connection.commit()
    connection.close()
    result = score("mug", "--photos", str(EXAMPLES), "-q")
    assert (result.code, result.lines) == (0, ["mug"])
    assert "warning: the scores of 'mug' are not kept" in result.err


def test_the_sheet_shows_photos_and_every_scene(score, library_with, tmp_path) -> None:
    library_with("mug", width=WIDTH, noun="mug")
    sheet = tmp_path / "new folder" / "sheet.png"
    result = score("mug", "--photos", str(EXAMPLES), "--sheet", str(sheet), "-q")
    assert result.code == 0, result.err
    image = Image.open(io.BytesIO(sheet.read_bytes()))
    # Photos, the plain prompt and two scenes; five photos across.
    assert image.size == (5 * 132 + 4, 4 * 150 + 4)
    assert json.loads(json.dumps(image.info["Software"])).startswith("ti ")
