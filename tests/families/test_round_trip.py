"""Each family from photos to a picture through the real commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
from everyday import everyday
from PIL import Image
from tiny_families import BUILDERS, CLIP_G, CLIP_H, CLIP_L, GEMMA, T5

WIDTHS = {
    "sd1": {"clip_l": CLIP_L},
    "sd2": {"clip_h": CLIP_H},
    "sdxl": {"clip_l": CLIP_L, "clip_g": CLIP_G},
    "sd3": {"clip_l": CLIP_L, "clip_g": CLIP_G, "t5": T5},
    "flux": {"clip_l": CLIP_L, "t5": T5},
    "pixart": {"t5": T5},
    "sana": {"gemma": GEMMA},
}


def ok(result):
    assert result.code == 0, result.err
    return result


@pytest.mark.parametrize("name", everyday(BUILDERS, "sd1", "sdxl", "flux", "pixart"))
def test_from_photos_to_a_picture(run, family_folders, photos, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = str(family_folders[name])
    learned = ok(
        run("invert", str(photos), "--token", "<thing>", "--init", "mug", "-m", folder,
            "--steps", "2", "--batch", "1", "--size", "64", "--device", "cpu", "--json")
    ).json  # fmt: skip
    assert learned["widths"] == WIDTHS[name] and learned["base"]["family"] == name
    assert learned["steps"] == 2 and learned["losses"]["last"] > 0

    ok(run("export", "thing", "--for", "ti", "-o", "thing.safetensors"))
    (back,) = ok(run("import", "thing.safetensors", "--token", "<back>", "--json")).json
    assert back["widths"] == WIDTHS[name]
    assert back["base"]["fingerprint"] == learned["base"]["fingerprint"]
    for key, norms in learned["norms"].items():
        assert back["norms"][key] == pytest.approx(norms)

    pictures = {}
    for prompt in ("<thing>", "<back>", "cat"):
        (made,) = ok(
            run("generate", prompt, "--no-noun", "-m", folder, "--steps", "2", "--size", "64",
                "--seed", "1", "--json")
        ).json  # fmt: skip
        assert made["model"] == folder
        pictures[prompt] = np.asarray(Image.open(made["path"]))
    assert np.array_equal(pictures["<thing>"], pictures["<back>"])
    assert not np.array_equal(pictures["<thing>"], pictures["cat"])
    assert pictures["<thing>"].std() > 1


def test_a_word_is_refused_where_its_vectors_do_not_fit(run, family_folders, library_with):
    library_with("mug", width=CLIP_L)
    result = run("generate", "<mug>", "-m", str(family_folders["sdxl"]), "--dry-run", "--json")
    assert result.code == 4
    message = json.loads(result.out)["error"]["message"]
    assert "Stable Diffusion 1 with" in message and "Stable Diffusion XL with" in message
    assert f"{CLIP_L}- and {CLIP_G}-wide vectors" in message


def test_every_family_is_listed_with_what_it_is(run, family_folders, monkeypatch):
    for name in BUILDERS:
        monkeypatch.setenv("TI_MODEL", str(family_folders[name]))
        found = {item["id"]: item for item in ok(run("models", "--json")).json}
        mine = found[str(family_folders[name])]
        assert (mine["family"], mine["widths"], mine["current"]) == (name, WIDTHS[name], True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sampler", "ddim"), "for this model"),
        (("--size", "72"), "multiple of 16"),
        (("--negative", "a cat"), "negative"),
    ],
)
def test_what_flux_cannot_do_is_said_before_it_is_loaded(run, family_folders, arguments, words):
    result = run("generate", "a cup", "-m", str(family_folders["flux"]), "--dry-run", *arguments)
    assert result.code == 2 and words in result.err
