"""A single file is recognised by its keys and shapes, or refused by the name of what it is."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from original_layout import clip, joined, open_clip, unet, vae
from tiny_single_files import SD1_TEXT, SD2_TEXT, SDXL_TEXTS

from ticli.errors import ModelUnavailable, NotFound, Usage
from ticli.families import FAMILIES
from ticli.models import EPSILON, NOTHING_GIVEN, VELOCITY, Given, read_contents, told_prediction
from ticli.models.locate import locate

DENOISER, VAE = "model.diffusion_model.", "first_stage_model."


def write_shapes(path: Path, shapes: dict[str, tuple[int, ...]], **metadata: str) -> Path:
    """Write a safetensors file of these shapes whose numbers are a hole in the file."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for key, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        offsets = [position, position + size]
        header[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": offsets}
        position += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + position)
    return path


def shapes_of(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def published_text(width: int, layers: int, *, projected: bool = False):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width, num_hidden_layers=layers, intermediate_size=4 * width,
        num_attention_heads=width // 64, projection_dim=width,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def published(family: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the published model's single file."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    attended, plain = "CrossAttnDownBlock2D", "DownBlock2D"
    four = {
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": (attended, attended, attended, plain),
    }
    options = {
        "sd1": {**four, "cross_attention_dim": 768, "attention_head_dim": 8},
        "sd2": {
            **four, "cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        "sdxl": {
            "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048,
            "down_block_types": (plain, attended, attended), "attention_head_dim": (5, 10, 20),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True,
            "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
    }[family]  # fmt: skip
    with torch.device("meta"):
        parts = {
            DENOISER: unet(UNet2DConditionModel(**options)),
            VAE: vae(
                AutoencoderKL(
                    block_out_channels=(128, 256, 512, 512), layers_per_block=2,
                    down_block_types=("DownEncoderBlock2D",) * 4,
                    up_block_types=("UpDecoderBlock2D",) * 4,
                )
            ),
        }  # fmt: skip
        if family == "sd1":
            parts[SD1_TEXT] = clip(published_text(768, 12))
        elif family == "sd2":
            parts[SD2_TEXT] = open_clip(published_text(1024, 23), unread=1)
        else:
            parts[SDXL_TEXTS[0]] = clip(published_text(768, 12))
            parts[SDXL_TEXTS[1]] = open_clip(published_text(1280, 32, projected=True))
        return shapes_of(joined(parts))


WANTED = {
    "sd1": {
        "unet": {
            "sample_size": 64, "in_channels": 4, "block_out_channels": [320, 640, 1280, 1280],
            "layers_per_block": 2, "cross_attention_dim": 768, "attention_head_dim": 8,
            "use_linear_projection": False,
            "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
            "transformer_layers_per_block": [1, 1, 1, 1],
        },
        "text_encoder": {
            "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
            "intermediate_size": 3072, "hidden_act": "quick_gelu", "vocab_size": 49408,
        },
        "vae": {"scaling_factor": 0.18215, "block_out_channels": [128, 256, 512, 512]},
    },
    "sd2": {
        "unet": {
            "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
            "use_linear_projection": True,
        },
        "text_encoder": {
            "hidden_size": 1024, "num_hidden_layers": 23, "num_attention_heads": 16,
            "intermediate_size": 4096, "hidden_act": "gelu",
        },
        "vae": {"layers_per_block": 2, "latent_channels": 4},
    },
    "sdxl": {
        "unet": {
            "sample_size": 128, "block_out_channels": [320, 640, 1280],
            "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
            "transformer_layers_per_block": [1, 2, 10], "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
        },
        "text_encoder": {"hidden_size": 768, "num_hidden_layers": 12},
        "text_encoder_2": {
            "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20,
            "intermediate_size": 5120, "projection_dim": 1280, "hidden_act": "gelu",
        },
        "vae": {"scaling_factor": 0.13025},
    },
}  # fmt: skip
WIDTHS = {"sd1": {"clip_l": 768}, "sd2": {"clip_h": 1024}, "sdxl": {"clip_l": 768, "clip_g": 1280}}


@pytest.mark.parametrize("family", WANTED)
def test_published_shapes_give_the_published_configurations(family, tmp_path):
    source = locate(str(write_shapes(tmp_path / "model.safetensors", published(family))))
    assert source.family == family and source.single is not None
    assert dict(source.widths) == WIDTHS[family] and set(source.windows.values()) == {77}
    assert source.size == (1024 if family == "sdxl" else 512)
    for part, wanted in WANTED[family].items():
        found = source.single.configurations[part]
        assert {key: found[key] for key in wanted} == wanted, part


OTHERS = {
    "a LoRA": {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 8)},
    "an embedding": {"emb_params": (2, 768)},
    "a VAE": {"encoder.down.0.block.0.conv1.weight": (8, 8, 3, 3)},
    "a ControlNet": {"control_model.input_blocks.0.0.weight": (8, 4, 3, 3)},
    "a text or image encoder": {"text_model.encoder.layers.0.mlp.fc1.weight": (8, 8)},
    "a denoiser without": {"model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3)},
    "refiner": {"conditioner.embedders.0.model.token_embedding.weight": (9, 8)},
    "a PixArt transformer": {"blocks.0.cross_attn.q_linear.weight": (8, 8)},
    "diffusers layout": {"transformer_blocks.0.norm1.linear.weight": (8, 8)},
    "a video model": {"down_blocks.0.motion_modules.0.proj_in.weight": (8, 8)},
    "not a model that ti knows": {"layer.weight": (2, 2, 2)},
}


@pytest.mark.parametrize("found", OTHERS)
def test_what_is_no_model_is_refused_by_what_it_is(found, tmp_path):
    path = write_shapes(tmp_path / "other.safetensors", OTHERS[found])
    with pytest.raises(ModelUnavailable) as caught:
        locate(str(path))
    assert found in caught.value.message and str(path) in caught.value.message
    assert caught.value.hint and caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04 zip", "pickle"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"<html>not found</html>", "header"),
        (b"", "header"),
    ],
)
def test_other_formats_are_refused(data, words, tmp_path):
    path = tmp_path / "model.ckpt"
    path.write_bytes(data)
    with pytest.raises(ModelUnavailable) as caught:
        locate(str(path))
    assert words in caught.value.message and caught.value.hint


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    path = write_shapes(tmp_path / "model.safetensors", published("sd1"))
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ModelUnavailable, match="announced"):
        locate(str(path))


def test_a_model_for_inpainting_is_refused(tmp_path):
    shapes = published("sd1") | {f"{DENOISER}input_blocks.0.0.weight": (320, 9, 3, 3)}
    with pytest.raises(ModelUnavailable, match="inpainting"):
        locate(str(write_shapes(tmp_path / "model.safetensors", shapes)))


@pytest.mark.parametrize(
    ("part", "missing"), [(VAE, "vae"), (f"{VAE}encoder.down.0", "encoder.down.0")]
)
def test_a_file_without_a_part_is_refused_by_its_name(part, missing, tmp_path):
    shapes = {k: v for k, v in published("sd1").items() if not k.startswith(part)}
    with pytest.raises(ModelUnavailable, match=missing):
        locate(str(write_shapes(tmp_path / "model.safetensors", shapes)))


def test_another_vocabulary_than_clips_is_refused(tmp_path):
    words = f"{SD1_TEXT}embeddings.token_embedding.weight"
    shapes = published("sd1") | {words: (4096, 768)}
    with pytest.raises(ModelUnavailable, match=r"4,096 tokens.*49,408"):
        locate(str(write_shapes(tmp_path / "model.safetensors", shapes)))


def flux_shapes(guided: bool) -> dict[str, tuple[int, ...]]:
    """A few of Flux.1's tensors in their published shapes: all that its configuration needs."""
    found = {
        "img_in.weight": (3072, 64), "txt_in.weight": (3072, 4096),
        "vector_in.in_layer.weight": (3072, 768),
        **{f"double_blocks.{n}.img_attn.norm.key_norm.scale": (128,) for n in range(19)},
        **{f"single_blocks.{n}.linear1.weight": (21504, 3072) for n in range(38)},
    }  # fmt: skip
    return found | ({"guidance_in.in_layer.weight": (3072, 256)} if guided else {})


SD3_SHAPES = {
    "x_embedder.proj.weight": (1536, 16, 2, 2), "context_embedder.weight": (1536, 4096),
    "pos_embed": (1, 36864, 1536), "final_layer.linear.weight": (64, 1536),
    "y_embedder.mlp.0.weight": (1536, 2048),
    **{f"joint_blocks.{n}.context_block.attn.qkv.weight": (4608, 1536) for n in range(24)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "shapes", "missing"),
    [
        ("flux", flux_shapes(True), ["vae", "text_encoder", "text_encoder_2", "tokenizer_2"]),
        ("sd3", SD3_SHAPES, ["vae", "text_encoder", "text_encoder_2"]),
        (
            "sana",
            {"blocks.0.cross_attn.q_linear.weight": (8, 8), "attention_y_norm.weight": (8,)},
            ["vae", "text_encoder", "tokenizer", "scheduler"],
        ),
    ],
)
@pytest.mark.parametrize("prefix", ["", DENOISER])
def test_missing_components_are_named(family, shapes, missing, prefix, tmp_path):
    path = write_shapes(
        tmp_path / "model.safetensors", {f"{prefix}{key}": shape for key, shape in shapes.items()}
    )
    with pytest.raises(ModelUnavailable) as caught:
        locate(str(path))
    error = caught.value
    assert error.details["missing"] == missing and all(part in error.message for part in missing)
    assert family in error.message and "--components DIR" in error.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelUnavailable, match=f"{missing[0]}.*nor has.*empty"):
        locate(str(path), given=Given(tmp_path / "empty"))
    with pytest.raises(NotFound, match="nowhere"):
        locate(str(path), given=Given(tmp_path / "nowhere"))


def test_what_is_said_of_other_models_is_refused():
    for given in (Given(Path("somewhere")), Given(None, VELOCITY)):
        with pytest.raises(Usage, match="starter is not a model in one file"):
            locate("starter", given=given)


@pytest.mark.parametrize(
    ("family", "keys", "metadata", "given", "wanted"),
    [
        ("sd2", (), {}, NOTHING_GIVEN, ""),
        ("sd1", (), {}, NOTHING_GIVEN, EPSILON),
        ("sdxl", ("v_pred",), {}, NOTHING_GIVEN, VELOCITY),
        ("sd2", ("v_pred",), {}, Given(None, EPSILON), EPSILON),
        ("sd2", (), {"modelspec.prediction_type": "epsilon"}, NOTHING_GIVEN, EPSILON),
        ("sd2", (), {"modelspec.architecture": "x-v2-768-v/lora"}, NOTHING_GIVEN, VELOCITY),
        ("sd2", (), {"modelspec.architecture": "stable-diffusion-v2-512"}, NOTHING_GIVEN, EPSILON),
        ("sd2", (), {"modelspec.prediction_type": "v"}, Given(None, EPSILON), EPSILON),
        ("flux", (), {}, NOTHING_GIVEN, "flow"),
    ],
)  # fmt: skip
def test_who_tells_the_prediction(family, keys, metadata, given, wanted, tmp_path):
    shapes = {"weight": (1,), **dict.fromkeys(keys, (0,))}
    contents = read_contents(write_shapes(tmp_path / "model.safetensors", shapes, **metadata), "m")
    prediction, told_by = told_prediction(contents, FAMILIES[family].single_file, given)
    assert prediction == wanted and bool(told_by) == bool(wanted)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_table_of_eight_bits_has_the_fingerprint_of_its_numbers(dtype, tmp_path):
    from safetensors.torch import save_file
    from tiny_families import build_family

    from ticli.models.fingerprint import fingerprint

    folder = build_family("pixart", tmp_path / "pixart")
    every = torch.arange(256).to(torch.uint8).view(dtype)
    table = every[every.float().isfinite()].repeat(2).reshape(2, -1)
    found = []
    for values in (table, table.float(), -table.float()):
        save_file({"shared.weight": values}, folder / "text_encoder" / "model.safetensors")
        found.append(fingerprint(locate(str(folder))))
    assert found[0] == found[1] != found[2]
