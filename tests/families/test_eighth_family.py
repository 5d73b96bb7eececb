"""A family is one file and one row of the table: an eighth one goes through every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from tiny_families import T5
from toy_family import AURAFLOW, build_auraflow

from ticli.families import FAMILIES

WIDTHS = {"pile_t5": T5}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> str:
    """A model of the new family, whose row is in the table; the work happens beside it."""
    monkeypatch.setitem(FAMILIES, AURAFLOW.name, AURAFLOW)
    monkeypatch.chdir(tmp_path)
    return str(build_auraflow(tmp_path / "aura"))


def ok(result):
    assert result.code == 0, result.err
    return result


def test_from_photos_over_files_to_a_picture(run, folder, photos, library_with):
    learned = ok(
        run("invert", str(photos), "--token", "<thing>", "--init", "mug", "-m", folder,
            "--steps", "3", "--batch", "1", "--size", "64", "--device", "cpu", "--json")
    ).json  # fmt: skip
    assert learned["widths"] == WIDTHS and learned["base"]["family"] == "auraflow"
    assert learned["steps"] == 3 and learned["losses"]["last"] > 0

    ok(run("export", "thing", "--for", "diffusers", "-o", "diffusers.safetensors"))
    ok(run("export", "thing", "--for", "comfyui", "-o", "comfyui.safetensors"))
    ok(run("export", "thing", "--for", "ti", "-o", "own.safetensors"))
    assert tensors("diffusers.safetensors") == {"<thing>": (1, T5)}
    assert tensors("comfyui.safetensors") == {"pile_t5": (1, T5)}
    for number, file in enumerate(("diffusers", "comfyui", "own")):
        token = f"<back-{number}>"
        (back,) = ok(run("import", f"{file}.safetensors", "--token", token, "--json")).json
        assert back["widths"] == WIDTHS and back["base"]["family"] == "auraflow", file
        assert back["norms"]["pile_t5"] == pytest.approx(learned["norms"]["pile_t5"])

    pictures = {}
    for prompt in ("<thing>", "<back-0>", "<back-1>", "<back-2>", "cat"):
        (made,) = ok(
            run("generate", prompt, "--no-noun", "-m", folder, "--steps", "2", "--size", "64",
                "--seed", "1", "--negative", "a dog", "--json")
        ).json  # fmt: skip
        pictures[prompt] = np.asarray(Image.open(made["path"]))
    for number in range(3):
        assert np.array_equal(pictures["<thing>"], pictures[f"<back-{number}>"])
    assert not np.array_equal(pictures["<thing>"], pictures["cat"])

    library_with("mug")
    apart = run("generate", "<thing> <mug>", "-m", folder, "--dry-run")
    assert apart.code == 4 and f"is AuraFlow with {T5}-wide vectors" in " ".join(apart.err.split())


def test_what_the_table_says_reaches_files_and_refusals(run, folder, photos):
    ok(
        run("invert", str(photos), "--token", "<thing>", "--init", "mug", "-m", folder,
            "--steps", "2", "--batch", "1", "--size", "64", "--device", "cpu")
    )  # fmt: skip
    ok(run("export", "thing", "--for", "ti", "-o", "own.safetensors"))
    with safe_open("own.safetensors", framework="np") as file:
        said = file.metadata()
    assert said["modelspec.architecture"] == "auraflow/textual-inversion"
    refused = run("export", "thing", "--for", "invokeai", "-o", "x.safetensors")
    assert refused.code == 4 and "AuraFlow (pile_t5)" in refused.err
    refused = run("generate", "<thing>", "-m", folder, "--sampler", "ddim", "--dry-run")
    assert refused.code == 2 and "euler, dpm++, unipc" in refused.err
    listed = ok(run("models", "show", folder, "--json")).json
    assert listed["pipeline"] == "AuraFlowPipeline" and listed["widths"] == WIDTHS


def tensors(file: str) -> dict[str, tuple[int, ...]]:
    with safe_open(Path(file), framework="np") as opened:
        return {key: opened.get_tensor(key).shape for key in opened.keys()}  # noqa: SIM118
