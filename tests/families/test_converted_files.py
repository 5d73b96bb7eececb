"""Single files that scripts make of diffusers folders: the same model as the folder."""

from __future__ import annotations

import original_layout as original
import pytest
import torch
from tiny_single_files import LAYERS_OF_SD2, SD2_TEXT, SDXL_TEXTS, parts, state

from ticli.errors import ModelUnavailable
from ticli.models import load_model, pick_hardware
from ticli.models.locate import locate


def load(path):
    return load_model(locate(str(path)), pick_hardware("cpu"))


@pytest.mark.parametrize("unread", [0, 1])
def test_the_last_layer_that_is_read_is_kept(unread, tmp_path):
    modules = parts("sd2")
    tensors = state("sd2", modules)
    last = f"{SD2_TEXT}transformer.resblocks.{LAYERS_OF_SD2}."
    if not unread:
        # Files made of folders have no layer that is not read, and no projection.
        tensors = {
            key: tensor
            for key, tensor in tensors.items()
            if not key.startswith((last, f"{SD2_TEXT}text_projection"))
        }
    path = original.save(tmp_path / "model.safetensors", tensors)
    (encoder,) = load(path).encoders
    assert encoder.module.config.num_hidden_layers == LAYERS_OF_SD2
    ids = torch.arange(77)[None]
    with torch.no_grad():
        found, wanted = encoder.module(ids), modules["text_encoder"](ids)
    assert torch.equal(found.last_hidden_state, wanted.last_hidden_state)


def test_a_projection_is_read_from_either_side(tmp_path):
    modules = parts("sdxl")
    tensors = state("sdxl", modules)
    projection = tensors.pop(f"{SDXL_TEXTS[1]}text_projection")
    wanted = modules["text_encoder_2"].text_projection.weight
    assert torch.equal(projection, wanted.T) and not torch.equal(wanted, wanted.T)
    own = {f"{SDXL_TEXTS[1]}text_projection.weight": wanted}
    path = original.save(tmp_path / "model.safetensors", tensors | own)
    source = locate(str(path))
    assert dict(source.widths) == {"clip_l": 64, "clip_g": 128}
    second = load(path).encoders[1].module
    assert torch.equal(second.text_projection.weight, wanted)
    lacking = original.save(tmp_path / "lacking.safetensors", tensors)
    with pytest.raises(ModelUnavailable, match="text_projection"):
        locate(str(lacking))
