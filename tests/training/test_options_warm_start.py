"""A first guess by a CLIP: its cosines against the library's own, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_runs import learn, request_for
from tiny import WIDTH

from ticli.errors import Conflict, ModelUnavailable, NotFound, Stopped
from ticli.inversion import Start, approach, make_plan, start_vectors, vocabulary_norm
from ticli.library import Library
from ticli.models import find_tower, load_clip_pair
from ticli.models.locate import locate
from ticli.photos import training_picture

SIDE, SPACE = 32, 24


def build_clip(folder: Path, model: Path, width: int = WIDTH) -> Path:
    """Write a CLIP at random whose text half is the tiny model's text encoder."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextModel

    torch.manual_seed(1)
    text = json.loads((model / "text_encoder" / "config.json").read_text())
    kept = ("vocab_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    words = {name: text[name] for name in (*kept, "max_position_embeddings")}
    ends = {name: text[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    clip = CLIPModel(
        CLIPConfig(
            text_config={**words, **ends, "hidden_size": width, "projection_dim": SPACE},
            vision_config={
                "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
                "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8,
                "projection_dim": SPACE,
            },
            projection_dim=SPACE,
        )
    )  # fmt: skip
    if width == WIDTH:
        own = CLIPTextModel.from_pretrained(model / "text_encoder").state_dict()
        found = clip.text_model.load_state_dict(
            {name.removeprefix("text_model."): value for name, value in own.items()}
        )
        assert not found.missing_keys and not found.unexpected_keys
    clip.save_pretrained(folder)
    return folder


@pytest.fixture
def clip(tmp_path, tiny_folder) -> Path:
    return build_clip(tmp_path / "clip", tiny_folder)


@pytest.fixture
def pair(tiny, clip):
    return load_clip_pair(tiny, find_tower(tiny.source, str(clip)))


def test_both_halves_say_what_the_library_says(tiny, clip, pair, photos, tiny_folder):
    from transformers import CLIPModel

    whole = CLIPModel.from_pretrained(clip).eval()
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    pictures = [training_picture(photo, SIDE) for photo in plan.photos.photos]
    prompt = tiny.tokenise("a photo of a <mug> on the table", {"mug": 1})["clip_l"]
    table = tiny.encoders[0].table
    word = tiny.encoders[0].tokenizer("mug", add_special_tokens=False).input_ids[0]
    said = pair.texts([prompt], {"mug": {"clip_l": table[[word]]}})
    ids = torch.tensor([prompt.ids])
    ids[0, prompt.slots[0].position] = word
    with torch.no_grad():
        inputs = whole.text_model(ids).last_hidden_state[:, prompt.end]
        wanted = whole.text_projection(inputs)
        assert torch.allclose(said, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-5)
        from transformers import CLIPImageProcessorPil as Processor

        pixels = Processor(size={"shortest_edge": SIDE}, crop_size=SIDE)(
            pictures, return_tensors="pt"
        ).pixel_values
        wanted = whole.visual_projection(whole.vision_model(pixels).pooler_output)
        wanted = wanted / wanted.norm(dim=1, keepdim=True)
    assert torch.allclose(pair.pictures(pictures), wanted, atol=1e-4)


def test_a_warm_start_brings_sentences_and_photos_together(tiny, pair, photos, tiny_folder):
    request = request_for(photos, tiny_folder, warm_steps=40, warm_lr=0.02)
    plan = make_plan(request, Library.open())
    vectors = start_vectors(tiny, Start("mug", 1, "vocabulary", 0, photos=3, negative=1))
    others = [vectors.private["clip_l"].clone(), vectors.negative["clip_l"].clone()]
    cosines = approach(tiny, pair, plan, vectors, seed=0)
    assert len(cosines) == 40 and cosines[-1] > cosines[0] + 0.05
    assert vectors.norms()["clip_l"] == pytest.approx([vocabulary_norm(tiny.encoders[0])], rel=1e-4)
    assert vectors.rows["clip_l"].grad is None
    assert not torch.equal(vectors.rows["clip_l"], vectors.start["clip_l"])
    for before, after in zip(others, (vectors.private, vectors.negative), strict=True):
        assert torch.allclose(before, after["clip_l"], atol=1e-6)


def test_a_run_starts_warm_and_resumes(photos, tiny_folder, clip):
    plain = learn(make_plan(request_for(photos, tiny_folder), Library.open()))
    options = {"warm_start": str(clip), "warm_steps": 5}
    plan = make_plan(request_for(photos, tiny_folder, **options), Library.open())
    straight = learn(plan)
    assert not torch.equal(plain, straight)
    with pytest.raises(Stopped):
        learn(plan, 3)
    assert torch.equal(straight, learn(plan))


def test_the_starter_has_no_image_encoder_and_says_so():
    with pytest.raises(ModelUnavailable, match="starter has no image encoder"):
        find_tower(locate("starter"), "model")


def test_what_is_no_clip_of_this_model_is_refused(tiny, clip, tmp_path, tiny_folder):
    from safetensors.torch import load_file, save_file

    with pytest.raises(NotFound, match="nowhere"):
        find_tower(tiny.source, "nowhere")
    with pytest.raises(ModelUnavailable, match="not a CLIP of text and pictures"):
        find_tower(tiny.source, str(tiny_folder / "text_encoder"))
    wide = build_clip(tmp_path / "wide", tiny_folder, width=64)
    with pytest.raises(Conflict, match="64 numbers"):
        find_tower(tiny.source, str(wide))
    weights = load_file(clip / "model.safetensors")
    name = next(name for name in weights if "token_embedding" in name)
    save_file({**weights, name: weights[name].flip(0).contiguous()}, clip / "model.safetensors")
    with pytest.raises(Conflict, match="other token vectors"):
        load_clip_pair(tiny, find_tower(tiny.source, str(clip)))
    del weights["visual_projection.weight"]
    save_file(weights, clip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match="lacks visual_projection"):
        load_clip_pair(tiny, find_tower(tiny.source, str(clip)))


def test_pixels_are_prepared_as_the_clip_says(tiny, clip):
    settings = clip / "preprocessor_config.json"
    settings.write_text(json.dumps({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25] * 3}))
    tower = find_tower(tiny.source, str(clip))
    assert (tower.size, tower.mean, tower.spread) == (SIDE, (0.5,) * 3, (0.25,) * 3)
    for wrong in ({"image_mean": "none"}, {"image_std": [0.2]}, {"image_std": [0, 1, 1]}):
        settings.write_text(json.dumps(wrong))
        with pytest.raises(ModelUnavailable, match="how to prepare its pictures"):
            find_tower(tiny.source, str(clip))


def test_a_models_own_image_encoder_goes_with_its_projected_text(tmp_path, tiny_folder, clip):
    """SDXL keeps its second encoder with a projection; an image encoder beside it fits that."""
    from dataclasses import replace

    from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    folder = tmp_path / "model"
    CLIPTextModelWithProjection.from_pretrained(clip).save_pretrained(folder / "text_encoder_2")
    CLIPVisionModelWithProjection.from_pretrained(clip).save_pretrained(folder / "image_encoder")
    source = replace(locate(str(tiny_folder)), folder=folder, family="sdxl")
    tower = find_tower(source, "model")
    assert (tower.part.key, tower.folder.name, tower.text.name) == (
        "clip_g", "image_encoder", "text_encoder_2",
    )  # fmt: skip
    assert tower.size == SIDE
