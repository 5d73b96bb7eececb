"""Encoders' features against what the networks' own parts give by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from judges import MEAN, SIDE, STD, build_clip, build_dino
from PIL import Image

from ticli.errors import ModelUnavailable, Usage
from ticli.models import Preprocessing, load_image_encoder, locate_image_encoder
from ticli.scoring import picture_features, sentence_features, to_pixels


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def by_hand(image: Image.Image, side: int) -> torch.Tensor:
    """Short side to `side`, bicubic; the middle 32 pixels; mean and spread of each colour."""
    scale = side / min(image.size)
    size = (int(image.width * scale), int(image.height * scale))
    resized = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    values = np.asarray(resized, dtype=np.float64)[top : top + SIDE, left : left + SIDE] / 255
    return torch.from_numpy(((values - MEAN) / STD).transpose(2, 0, 1)).float()


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one * other).sum() / (one.square().sum() * other.square().sum()).sqrt())


def test_clip_compares_pictures_and_sentences_as_its_parts_do(tmp_path) -> None:
    source = locate_image_encoder(str(build_clip(tmp_path / "clip")))
    judge = load_image_encoder(source, torch.device("cpu"))
    pictures = [picture(64, 48), picture(40, 80, 1)]
    sentence = "a photo of a mug on the moon"
    net = judge.module
    ids = judge.tokenizer([sentence], return_tensors="pt").input_ids
    with torch.no_grad():
        seen = [
            net.visual_projection(
                net.vision_model(pixel_values=by_hand(p, SIDE)[None]).pooler_output
            )[0]
            for p in pictures
        ]
        hidden = net.text_model(input_ids=ids).last_hidden_state
        read = net.text_projection(hidden[:, -1])[0]
    features, texts = picture_features(judge, pictures), sentence_features(judge, [sentence])
    assert features.norm(dim=1).allclose(torch.ones(2))
    expected = [cosine(one, read) for one in seen]
    assert (features @ texts.T)[:, 0].tolist() == pytest.approx(expected, abs=1e-5)
    assert float(features[0] @ features[1]) == pytest.approx(cosine(*seen), abs=1e-5)


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_dino_compares_class_tokens(tmp_path, kind: str) -> None:
    source = locate_image_encoder(str(build_dino(tmp_path / kind, kind)))
    judge = load_image_encoder(source, torch.device("cpu"))
    pictures = [picture(64, 48), picture(40, 80, 1)]
    with torch.no_grad():
        seen = [
            judge.module(pixel_values=by_hand(p, 40)[None]).last_hidden_state[0, 0]
            for p in pictures
        ]
    features = picture_features(judge, pictures)
    assert not source.reads
    assert float(features[0] @ features[1]) == pytest.approx(cosine(*seen), abs=1e-5)


def test_the_starters_scorer_tells_a_red_square_from_a_text() -> None:
    judge = load_image_encoder(locate_image_encoder("starter"), torch.device("cpu"))
    texts = sentence_features(judge, ["a photo of a mug", "a pencil sketch of a mug"])
    assert texts.shape[0] == 2
    assert float(texts[0] @ texts[1]) < 0.99
    assert judge.source.describe().startswith("the starter's scorer 0.")


def test_a_picture_of_the_right_size_is_not_resized() -> None:
    how = Preprocessing(SIDE, None, (SIDE, SIDE), 3, (0.0,) * 3, (1.0,) * 3)
    image = picture(SIDE, SIDE)
    expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    assert to_pixels(image, how).equal(expected)


def test_both_sides_and_no_crop() -> None:
    how = Preprocessing(None, (20, 10), None, 2, (0.0,) * 3, (1.0,) * 3)
    assert to_pixels(picture(64, 48), how).shape == (3, 10, 20)


def test_a_sentence_that_would_be_cut_off_is_refused(tmp_path) -> None:
    source = locate_image_encoder(str(build_clip(tmp_path / "clip")))
    judge = load_image_encoder(source, torch.device("cpu"))
    with pytest.raises(Usage, match="reads 22 tokens"):
        sentence_features(judge, ["mug " * 30])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no encoder folder"),
        ("someone/not-in-the-cache", "neither a folder nor in the hub cache"),
    ],
)
def test_an_encoder_that_cannot_be_had(name: str, message: str) -> None:
    with pytest.raises(ModelUnavailable, match=message):
        locate_image_encoder(name)


def test_what_is_no_encoder_is_refused(tmp_path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelUnavailable, match="is a bert"):
        locate_image_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelUnavailable, match=r"no model\.safetensors"):
        locate_image_encoder(str(tmp_path))


def test_damaged_weights_are_said(tmp_path) -> None:
    folder = build_clip(tmp_path / "clip")
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(ModelUnavailable, match="lacks logit_scale"):
        load_image_encoder(locate_image_encoder(str(folder)), torch.device("cpu"))


def test_preprocessing_that_lacks_a_number_is_said(tmp_path) -> None:
    folder = build_clip(tmp_path / "clip")
    (folder / "preprocessor_config.json").write_text('{"size": 32}')
    with pytest.raises(ModelUnavailable, match="without 'image_mean'"):
        load_image_encoder(locate_image_encoder(str(folder)), torch.device("cpu"))
