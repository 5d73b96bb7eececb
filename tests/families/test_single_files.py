"""Models in one file: loaded equal to what was written, learned on and drawn with."""

from __future__ import annotations

import json
from pathlib import Path

import original_layout as original
import pytest
import torch
from everyday import everyday
from PIL import Image
from safetensors.torch import load_file
from tiny_single_files import SD1_TEXT, build, parts, state

from ticli.errors import ModelUnavailable
from ticli.models import (
    EPSILON,
    VELOCITY,
    Given,
    encoder_parts,
    load_denoiser,
    load_model,
    load_tokenizer,
    load_vae,
    pick_hardware,
    settle_prediction,
)
from ticli.models.fingerprint import fingerprint
from ticli.models.folder import vocabulary
from ticli.models.locate import locate

FAMILIES = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The tiny single file of each family, with the modules that were written into it."""
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for family in FAMILIES:
        path = folder / f"{family}.safetensors"
        found[family] = path, build(family, path)
    return found


def load(path: Path, given: Given | None = None):
    return load_model(
        locate(str(path), **({"given": given} if given else {})), pick_hardware("cpu")
    )


def equal(found, wanted) -> None:
    one, other = found.state_dict(), wanted.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in other)
    assert not any(parameter.requires_grad for parameter in found.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_comes_back_equal(family, files):
    path, wanted = files[family]
    model = load(path)
    ids = torch.arange(77)[None]
    for encoder in model.encoders:
        equal(encoder.module, wanted[encoder.part.folder])
        with torch.no_grad():
            one = encoder.module(ids).last_hidden_state
            assert torch.equal(one, wanted[encoder.part.folder](ids).last_hidden_state)
    equal(model.denoiser, wanted["unet"])
    vae = load_vae(model.source)
    equal(vae, wanted["vae"])
    assert vae.config.scaling_factor == wanted["vae"].config.scaling_factor
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    conditioning = model.condition([model.tokenise("a mug", {})], {})
    times = torch.tensor([500])
    size = {}
    if family == "sdxl":
        time_ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
        size = {"added_cond_kwargs": {"text_embeds": conditioning.pooled, "time_ids": time_ids}}
    with torch.no_grad():
        answer = wanted["unet"](noisy, times, conditioning.hidden, **size).sample
        torch.testing.assert_close(model.denoise(noisy, times, conditioning), answer)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokenizer_is_clips_own(family, files):
    source = locate(str(files[family][0]))
    words = vocabulary(source)
    assert len(words) == 49408 and words["mug</w>"] == 9722 and words["<|endoftext|>"] == 49407
    for part in encoder_parts(source):
        tokenizer = load_tokenizer(source, part)
        assert tokenizer("a photo of a mug").input_ids == [49406, 320, 1125, 539, 320, 9722, 49407]
        # OpenCLIP's texts are filled up with the first word, OpenAI's with the end.
        assert tokenizer.pad_token_id == (49407 if part.key == "clip_l" else 0)


def test_half_precision_and_an_older_naming_are_the_same_model(files, tmp_path):
    path, _ = files["sd1"]
    tensors = load_file(path)
    older = {
        key.replace(SD1_TEXT, "cond_stage_model.transformer."): tensor.half()
        for key, tensor in tensors.items()
    }
    older["cond_stage_model.transformer.embeddings.position_ids"] = torch.arange(77)[None]
    older["model_ema.decay"] = torch.tensor(0.999)
    half = original.save(tmp_path / "older.safetensors", older)
    first, second = locate(str(path)), locate(str(half))
    assert fingerprint(first) == fingerprint(second)
    denoiser = load_denoiser(second, torch.float32)
    assert {parameter.dtype for parameter in denoiser.parameters()} == {torch.float32}
    assert load(half).encoders[0].table.shape == (49408, 64)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ({"model.diffusion_model.out.2.bias": None}, "conv_out.bias"),
        ({"model.diffusion_model.input_hint.weight": torch.zeros(1)}, "1 tensors in its unet"),
        ({f"{SD1_TEXT}final_layer_norm.bias": None}, "final_layer_norm.bias"),
        ({f"{SD1_TEXT}adapter.weight": torch.zeros(1)}, "adapter.weight"),
        ({"model.diffusion_model.time_embed.0.bias": torch.zeros(3)}, "time_embedding.linear_1"),
    ],
)
def test_a_file_of_another_make_is_refused(harm, words, files, tmp_path):
    tensors = load_file(files["sd1"][0]) | harm
    kept = {key: tensor for key, tensor in tensors.items() if tensor is not None}
    path = original.save(tmp_path / "other.safetensors", kept)
    with pytest.raises(ModelUnavailable) as caught:
        load(path)
    assert words in caught.value.message and caught.value.hint


@pytest.mark.parametrize("family", everyday(FAMILIES, "sd2", "sdxl"))
def test_a_word_is_learned_exported_taken_back_and_drawn(family, files, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, _ = files[family]
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64), (200, 40 * number, 90)).save(photos / f"{number}.png")
    said = ["--prediction", "v"] if family == "sd2" else []
    small = ["--size", "64", "--batch", "1", "--steps", "2", "--init", "mug", "--no-noun"]
    done = run("invert", str(photos), "--token", "<mug>", "-m", str(path), *small, *said, "--json")
    assert done.code == 0, done.err
    concept = done.json
    assert concept["base"]["id"] == str(path) and concept["base"]["family"] == family
    assert concept["base"]["fingerprint"] == fingerprint(locate(str(path)))
    exported = run("export", "mug", "-o", "pair/" if family == "sdxl" else "mug.safetensors")
    assert exported.code == 0, exported.err
    word = Path(exported.lines[0]).parent if family == "sdxl" else exported.lines[0]
    taken = run("import", str(word), "--token", "<cup>", "--base", str(path))
    assert taken.code == 0, taken.err
    # The model is the one the word was learned on, and what was said of it is remembered.
    drawn = run(
        "generate", "a photo of <mug> on the moon", "--size", "64", "--steps", "2", "--seed", "1"
    )
    assert drawn.code == 0, drawn.err
    assert "predicts" not in drawn.err
    with Image.open(drawn.lines[0]) as picture:
        assert picture.size == (64, 64)
    again = run(
        "generate", "a <cup>", "-m", str(path), "--size", "64", "--steps", "1", "--seed", "1"
    )
    assert again.code == 0, again.err


class OnePicture(torch.nn.Module):
    """The perfect denoiser of a data set of one latent (2006.11239, eq. 4 solved for the noise)."""

    def __init__(self, schedule, latent: torch.Tensor, prediction: str) -> None:
        super().__init__()
        self.alphas, self.latent, self.prediction = schedule.alphas_cumprod, latent, prediction

    def forward(self, noisy, times, _hidden):
        from types import SimpleNamespace

        alpha = self.alphas[times].view(-1, 1, 1, 1)
        noise = (noisy - alpha.sqrt() * self.latent) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * self.latent
        return SimpleNamespace(sample=noise if self.prediction == EPSILON else velocity)


@pytest.mark.parametrize("with_photos", [True, False])
@pytest.mark.parametrize("prediction", [EPSILON, VELOCITY])
def test_trying_both_finds_the_prediction_and_remembers_it(prediction, with_photos, files):
    path, _ = files["sd2"]
    model = load(path)
    assert model.source.single.prediction == ""
    latent = 0.3 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    if not with_photos:
        latent = torch.zeros(1)
        model.release_encoders()
    model.denoiser = OnePicture(model.noise_schedule, latent, prediction)
    said = settle_prediction(model, latent.expand(3, 4, 8, 8) if with_photos else None)
    assert ("noise (epsilon)" if prediction == EPSILON else "velocity (v)") in said
    assert model.prediction == prediction
    again = locate(str(path))
    assert (again.single.prediction, again.single.told_by) == (prediction, "trying both")
    assert again.size == (768 if prediction == VELOCITY else 512)
    other = EPSILON if prediction == VELOCITY else VELOCITY
    told = locate(str(path), given=Given(None, other, "--prediction"))
    assert told.single.prediction == other
    assert settle_prediction(load(path)) == ""


def test_a_denoiser_that_fits_neither_reading_is_not_guessed(files, run):
    path, _ = files["sd2"]
    model = load(path)

    class Both(OnePicture):
        def forward(self, noisy, times, hidden):
            noise = super().forward(noisy, times, hidden).sample
            return type("Answer", (), {"sample": 0.5 * noise})()

    model.denoiser = Both(model.noise_schedule, torch.zeros(1), EPSILON)
    with pytest.raises(ModelUnavailable, match="losses of both are close") as caught:
        settle_prediction(model)
    assert "--prediction epsilon" in caught.value.hint
    assert locate(str(path)).single.prediction == ""


def test_a_note_of_a_file_that_changed_is_not_believed(files, tmp_path):
    import shutil

    path = Path(shutil.copy(files["sd2"][0], tmp_path / "model.safetensors"))
    model = load(path, Given(None, EPSILON, "--prediction"))
    settle_prediction(model)
    assert locate(str(path)).single.prediction == EPSILON
    modules = parts("sd2")
    original.save(path, state("sd2", modules), {"made": "anew"})
    assert locate(str(path)).single.prediction == ""


def test_models_show_tells_what_a_file_is(files, run):
    path, _ = files["sd2"]
    shown = run("models", "show", str(path), "--json").json
    assert shown["single_file"] and shown["prediction"] == "" and shown["family"] == "sd2"
    assert shown["bytes"] == path.stat().st_size and shown["components"] is None
    assert any("--prediction" in note for note in shown["notes"])
    assert run("models", "add", "tiny", str(path)).code == 0
    listed = json.loads(run("models", "list", "--json").out)
    assert [m["id"] for m in listed if m["names"] == ["tiny"]] == [str(path)]


def test_a_run_tries_both_readings_on_its_photos_and_says_so(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build("sd2", tmp_path / "model.safetensors")
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 64), (200, 40, 90)).save(photos / "one.png")
    small = ["--size", "64", "--batch", "1", "--steps", "2", "--init", "mug"]
    words = ["invert", str(photos), "--token", "<mug>", "-m", "model.safetensors", *small]
    planned = run(*words, "--dry-run", "--prediction", "epsilon")
    assert planned.code == 0, planned.err
    shown = run("models", "show", "model.safetensors", "--json").json
    assert shown["prediction"] == "", "a dry run remembers nothing"
    done = run(*words)
    # A model that answers next to nothing is far nearer to the velocity at the schedule's end.
    assert done.code == 0 and "the model predicts velocity (v)" in done.err, done.err
    shown = run("models", "show", "model.safetensors", "--json").json
    assert shown["prediction"] == VELOCITY
    assert any("trying both" in note for note in shown["notes"])
    drawn = run("generate", "a <mug>", "--size", "64", "--steps", "1")
    assert drawn.code == 0 and "the model predicts" not in drawn.err


def test_an_unfinished_run_keeps_to_its_prediction(run, files, tmp_path, monkeypatch):
    from ticli.inversion import Request, make_plan
    from ticli.library import Library
    from ticli.recipe import Recipe

    path, _ = files["sd2"]
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 64), (200, 40, 90)).save(photos / "one.png")

    def identity(given: Given) -> dict:
        recipe = Recipe(init="mug", size=64)
        request = Request((str(photos),), "<mug>", recipe, str(path), 0, False, True, given=given)
        return make_plan(request, Library.open()).identity()

    said = [Given(None, prediction, "--prediction") for prediction in (EPSILON, VELOCITY)]
    assert identity(said[0]) == identity(said[0]) != identity(said[1])
    assert "prediction" not in identity(Given())
