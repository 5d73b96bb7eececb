"""DreamBench on a folder in its dataset's layout, with a tiny model and tiny encoders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from concepts import make_embedding
from judges import build_clip, build_dino
from tiny import WIDTH, build_tiny_model

from ticli.errors import BadContent, NotFound

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "mug"
PROMPTS = """Classes

subject_name,class
blue_mug,mug
dog2,dog
cat,cat

Prompts

Object Prompts

prompt_list = [
'a {0} {1} in the jungle'.format(unique_token, class_token),
'a red {0} {1}'.format(unique_token, class_token)
]

Live Subject Prompts

prompt_list = [
'a {0} {1} in a chef outfit'.format(unique_token, class_token),
'a shiny {0} {1}'.format(unique_token, class_token)
]
"""


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> tuple[str, str, str]:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("networks")
    return (
        str(build_tiny_model(folder / "model")),
        str(build_clip(folder / "clip")),
        str(build_dino(folder / "dino")),
    )


@pytest.fixture(scope="module")
def dreambench():
    """The benchmark's module, which lies outside the package."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import dreambench
    finally:
        sys.path.pop(0)
    return dreambench


@pytest.fixture
def benchmark(tmp_path) -> Path:
    """Two subjects of three photos each; the third one's folder is not there."""
    folder = tmp_path / "dreambooth"
    for name in ("blue_mug", "dog2"):
        (folder / "dataset" / name).mkdir(parents=True)
        for number, photo in enumerate(sorted(EXAMPLES.glob("*.jpg"))[:3]):
            (folder / "dataset" / name / f"{number:02d}.jpg").write_bytes(photo.read_bytes())
    (folder / "dataset" / "prompts_and_classes.txt").write_text(PROMPTS)
    return folder


@pytest.fixture
def score(dreambench, benchmark, networks, isolated, capsys):
    """Run the benchmark on the test's library and return the document it prints."""

    def call(*arguments: str, encoders=networks[1:]) -> dict:
        named = [part for encoder in encoders for part in ("--encoder", encoder)]
        fixed = ["--home", str(isolated), "-m", networks[0], "--steps", "2", "--device", "cpu"]
        capsys.readouterr()
        dreambench.main([str(benchmark), *fixed, *named, *arguments])
        return json.loads(capsys.readouterr().out)

    return call


def test_subjects_are_scored_by_their_names(score, networks, library_with) -> None:
    library_with("blue_mug", "dog2", width=WIDTH)
    _, clip, dino = networks
    document = score()
    subjects = document["subjects"]
    assert [(s["name"], s["class_word"], s["photos"]) for s in subjects] == [
        ("blue_mug", "mug", 3), ("dog2", "dog", 3),
    ]  # fmt: skip
    # Four pictures of each of two prompts.
    assert [s["pictures"] for s in subjects] == [8, 8]
    mean = document["mean"]
    for encoder in (clip, dino):
        both = [s["figures"][encoder]["image"] for s in subjects]
        assert mean[encoder]["image"] == pytest.approx(sum(both) / 2, abs=1e-4)
    assert mean[dino]["text"] is None
    assert -1 <= mean[clip]["text"] <= 1
    scenes = {tuple(p["prompts"]["scenes"]) for p in document["protocols"]}
    assert scenes == {
        ("a {} in the jungle", "a red {}"), ("a {} in a chef outfit", "a shiny {}"),
    }  # fmt: skip
    assert [s["trigger"] for s in subjects] == ["<blue_mug> mug", "<dog2> dog"]
    assert subjects[0]["warmed_by_encoder"] == {clip: False, dino: False}
    (bare,) = score("--subjects", "dog2", "--no-noun")["subjects"]
    assert bare["trigger"] == "<dog2>"
    assert bare["figures"][clip] != subjects[1]["figures"][clip]


def test_what_is_missing_is_named(dreambench, benchmark, score, library_with) -> None:
    with pytest.raises(SystemExit, match="no subject bowl"):
        score("--subjects", "bowl")
    with pytest.raises(NotFound, match="prompts_and_classes"):
        dreambench.read_benchmark(EXAMPLES)
    (benchmark / "dataset" / "prompts_and_classes.txt").write_text("nothing")
    with pytest.raises(BadContent, match="no subjects or no prompts"):
        dreambench.read_benchmark(benchmark)


def test_a_subject_is_learned_once(dreambench, benchmark, score, networks, isolated) -> None:
    flags = ("--subjects", "blue_mug", "--", "--recipe", "quick", "--steps", "2")
    first = score(*flags)
    learned = (isolated / "library.db").read_bytes()
    assert score(*flags)["subjects"] == first["subjects"]
    assert (isolated / "library.db").read_bytes() == learned


def test_means_are_all_pairs(score, benchmark, networks, library_with) -> None:
    """Against cosines of features computed here, from pictures drawn here."""
    import torch

    from ticli.generation import Drawing, place_rows
    from ticli.models import load_image_encoder, load_model, locate_image_encoder, pick_hardware
    from ticli.models.locate import locate
    from ticli.photos import open_photo, training_picture
    from ticli.scoring import PromptJob, draw_prompts, picture_features, sentence_features

    library_with("blue_mug", width=WIDTH)
    model, clip, _ = networks
    result = score("--subjects", "blue_mug", encoders=(clip,))
    figures = result["subjects"][0]["figures"][clip]
    how = Drawing(**result["protocols"][0]["drawn"])
    loaded = load_model(locate(model), pick_hardware("cpu"))
    rows = place_rows({"blue_mug": make_embedding("blue_mug", 1, WIDTH)})
    prompts = ["a <blue_mug> mug in the jungle", "a red <blue_mug> mug"]
    jobs = [PromptJob(text, 4, 6 + n) for n, text in enumerate(prompts)]
    drawn = list(draw_prompts(loaded, jobs, rows, how))
    judge = load_image_encoder(locate_image_encoder(clip), torch.device("cpu"))
    seen = [picture_features(judge, pictures) for pictures in drawn]
    photos = sorted((benchmark / "dataset" / "blue_mug").glob("*.jpg"))
    real = picture_features(judge, [training_picture(open_photo(p, 64), 64) for p in photos])
    texts = sentence_features(judge, ["a mug in the jungle", "a red mug"])
    pairs = [float(one @ other) for scene in seen for one in scene for other in real]
    assert figures["image"] == pytest.approx(sum(pairs) / len(pairs), abs=2e-4)
    own = [float(one @ texts[n]) for n, scene in enumerate(seen) for one in scene]
    assert figures["text"] == pytest.approx(sum(own) / len(own), abs=2e-4)
    among = [float(real[i] @ real[j]) for i in range(3) for j in range(3) if i != j]
    assert figures["real"] == pytest.approx(sum(among) / 6, abs=2e-4)
