"""On a CUDA device: whole commands, from photos to a picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from judges import build_clip
from learning_runs import learn, plan_for
from PIL import Image
from tiny_families import BUILDERS

from ticli.errors import Stopped
from ticli.library import Library
from ticli.models import pick_hardware, samplers_for
from ticli.recipe import PRESETS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "mug"


def ok(result):
    assert result.code == 0, result.err
    return result


def invert(run, photos: Path, model: Path, token: str, *flags: str, steps: int = 6) -> dict:
    """What `ti invert` says of a concept that it learned on the card."""
    return ok(
        run("invert", str(photos), "--token", token, "--init", "mug", "-m", str(model),
            "--steps", str(steps), "--batch", "2", "--device", "cuda", "--json", *flags)
    ).json  # fmt: skip


def draw(run, prompt: str, model: Path, *flags: str) -> np.ndarray:
    (made,) = ok(
        run("generate", prompt, "-m", str(model), "--steps", "3", "--seed", "1", "--device",
            "cuda", "--json", "--force", *flags)
    ).json  # fmt: skip
    return np.asarray(Image.open(made["path"]))


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_family_from_photos_to_a_picture(
    run, family_folders, photos, tmp_path, monkeypatch, name, dtype
):
    monkeypatch.chdir(tmp_path)
    model = family_folders[name]
    half = ("--dtype", dtype)
    learned = invert(run, photos, model, "<thing>", "--size", "64", *half, steps=4)
    assert learned["steps"] == 4 and np.isfinite(learned["losses"]["last"])
    picture = draw(run, "<thing> on the moon", model, "--size", "64", *half)
    assert picture.shape == (64, 64, 3)


@pytest.mark.parametrize("recipe", PRESETS)
def test_every_recipe(run, folder, photos, recipe):
    learned = invert(run, photos, folder, "<thing>", "--recipe", recipe)
    assert learned["steps"] == 6 and np.isfinite(learned["losses"]["last"])


@pytest.mark.parametrize("sampler", samplers_for("sd1"))
def test_every_sampler_draws_what_the_cpu_draws(run, folder, tmp_path, monkeypatch, sampler):
    monkeypatch.chdir(tmp_path)
    flags = ("--sampler", sampler, "--size", "64", "--dtype", "fp32")
    on_card = draw(run, "a mug", folder, *flags).astype(int)
    on_cpu = draw(run, "a mug", folder, *flags, "--device", "cpu").astype(int)
    assert np.abs(on_card - on_cpu).max() <= 2


def test_several_concepts_in_one_batch_and_what_is_made_of_them(
    run, folder, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = [part for name in "abc" for part in ("--token", f"<{name}>={photos}")]
    names = ok(
        run("invert", *words, "--init", "mug", "-m", str(folder), "--steps", "6", "--together",
            "3", "--device", "cuda", "-q")
    ).lines  # fmt: skip
    assert sorted(names) == ["a", "b", "c"]
    ok(run("merge", "<a>", "<b>", "--token", "<ab>"))
    assert draw(run, "<ab> and <c>", folder, "--size", "64").std() > 0
    score = ok(
        run("score", "a", "--samples", "2", "--scene-samples", "1", "--steps", "2", "--photos",
            str(photos), "--encoder", str(build_clip(tmp_path / "clip")), "-m", str(folder),
            "--device", "cuda", "--json", "--force")
    ).json  # fmt: skip
    assert score


def test_the_starter_learns_the_example_and_draws_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learned = ok(
        run("invert", str(EXAMPLES), "--token", "<mug>", "--steps", "20", "--device", "cuda",
            "--json")
    ).json  # fmt: skip
    assert learned["steps"] == 20 and np.isfinite(learned["losses"]["last"])
    (made,) = ok(run("generate", "<mug> on the moon", "--device", "cuda", "--json")).json
    assert np.asarray(Image.open(made["path"])).std() > 1


def test_previews_twins_and_low_memory(run, folder, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invert(run, photos, folder, "<thing>", "--preview-every", "3")
    invert(run, photos, folder, "<twin>", "--negative-vectors", "1")
    learned = invert(run, photos, folder, "<small>", "--low-memory")
    assert learned["steps"] == 6


def test_two_commands_give_equal_bits_when_asked(photos, folder, isolated):
    """Each in a process of its own, as the libraries' choices are made once in a process."""
    found = []
    for token in ("<one>", "<two>"):
        subprocess.run(
            [sys.executable, "-m", "ticli", "invert", str(photos), "--token", token, "--init",
             "mug", "-m", str(folder), "--steps", "8", "--device", "cuda", "--deterministic", "-q"],
            check=True, env=os.environ | {"TI_HOME": str(isolated)},
        )  # fmt: skip
        library = Library.open()
        found.append(library.embedding(library.get(token.strip("<>"))).rows["clip_l"])
    assert np.array_equal(*found)


@pytest.mark.parametrize(("first", "second"), [("cuda", "cuda"), ("cpu", "cuda"), ("cuda", "cpu")])
def test_a_stopped_run_goes_on_here_or_on_another_device(photos, folder, first, second):
    whole = learned(photos, folder, "whole", ("cuda", None))
    parts = learned(photos, folder, "parts", (first, 3), (second, None))
    assert np.allclose(whole, parts, atol=2e-3)


def learned(photos: Path, folder: Path, token: str, *legs: tuple[str, int | None]) -> np.ndarray:
    """The vectors of a run whose legs were taken on these devices, stopped at these steps."""
    plan = plan_for(photos, folder, token=f"<{token}>")
    *first, (last, _) = legs
    for device, stop_at in first:
        with pytest.raises(Stopped):
            learn(plan, stop_at, hardware=pick_hardware(device, "fp32"))
    _, embedding = learn(plan, hardware=pick_hardware(last, "fp32"))
    return embedding.rows["clip_l"]
