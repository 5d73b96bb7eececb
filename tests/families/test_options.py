"""Options of learning reach every text encoder of every family, or are refused with a reason."""

from __future__ import annotations

import pytest
from everyday import everyday
from PIL import Image
from tiny_families import BUILDERS

FLOWS = ("sd3", "flux", "sana")


def invert(run, photos, folder, *more: str):
    return run(
        "invert", str(photos), "--token", "<thing>", "--init", "mug", "-m", str(folder),
        "--steps", "4", "--batch", "2", "--lr", "0.05", "--size", "64", "--device", "cpu",
        "--progress", "none", "--json", *more,
    )  # fmt: skip


@pytest.mark.parametrize("name", everyday(BUILDERS, "sdxl"))
def test_options_train_the_rows_of_every_encoder(run, family_folders, photos, name):
    from ticli.library import Library

    mask = Image.new("L", (80, 72), 0)
    mask.paste(255, (16, 16, 56, 56))
    mask.save(photos / "photo-0.mask.png")
    options = [
        "--vectors", "2", "--extend-every", "2", "--photo-words", "0.5", "--context", "0.1",
        "--masks", "--timestep-weighting", "logit-normal", "--norm", "sphere", "--prior", "1e-3",
        "--init-from", "output",
    ]  # fmt: skip
    if name != "flux":
        options += ["--negative-vectors", "1"]
    if name not in FLOWS:
        options += ["--min-snr", "5"]
    result = invert(run, photos, family_folders[name], *options)
    assert result.code == 0, result.err
    again = invert(run, photos, family_folders[name], *options, "--lr", "1e-8", "--replace")
    assert again.code == 0, again.err
    learned, still = result.json, again.json
    assert learned["vectors"] == 2 and set(learned["norms"]) == set(learned["widths"])
    for key, norms in learned["norms"].items():
        # On the sphere: as long as the vocabulary's own, whatever was learned.
        assert norms == pytest.approx(still["norms"][key], rel=1e-3)
    assert learned["sha256"] != still["sha256"]
    library = Library.open()
    assert library.find("thing-neg") is None if name == "flux" else library.get("thing-neg")


@pytest.mark.parametrize("name", FLOWS)
def test_min_snr_is_refused_for_flow_models(run, family_folders, photos, name):
    result = invert(run, photos, family_folders[name], "--min-snr", "5")
    assert result.code == 2 and "flow model" in result.json["error"]["message"]


def test_a_twin_is_refused_where_there_is_no_negative_prompt(run, family_folders, photos):
    result = invert(run, photos, family_folders["flux"], "--negative-vectors", "1")
    assert result.code == 2 and "negative" in result.json["error"]["message"]


def test_a_model_without_clip_starts_from_no_clip(run, family_folders, photos, tmp_path):
    result = invert(run, photos, family_folders["pixart"], "--warm-start", "model")
    assert result.code == 5 and "no image encoder" in result.json["error"]["message"]
