"""Stable Diffusion 1, 2 and XL: one or two CLIPs and a U-Net."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    CLIP_L,
    DENOISER,
    DIFFUSION,
    POOLED_CLIP_G,
    Conditioning,
    Configuration,
    EncoderPart,
    Encoding,
    Family,
    Shapes,
    SingleFileLayout,
    State,
    arguments,
    count,
    usual_details,
)

if TYPE_CHECKING:
    from torch import Tensor


# The width of the vectors of the model that comes with `ti`.
STARTER_WIDTH = 256


def _condition(encodings: Mapping[str, Encoding], _unet: Configuration) -> Conditioning:
    """The last layer of the one encoder there is."""
    (encoding,) = encodings.values()
    return Conditioning(encoding.hidden)


def _denoise(unet: Any, noisy: Tensor, times: Tensor, conditioning: Conditioning) -> Any:
    return unet(noisy, times, conditioning.hidden).sample


# No tensor tells these; they are what the models' authors published (2112.10752, 2307.01952).
GROUPS = 32
HEADS_OF_SD1 = 8
HEAD_WIDTH = 64
# Latents a side that the models were trained at; Stable Diffusion 2 has two, one per prediction.
SIDE, SIDE_OF_VELOCITY, SIDE_OF_SDXL = 64, 96, 128
NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def _levels(shapes: Shapes) -> list[tuple[int, int, int]]:
    """Channels, blocks and transformer depth of each resolution of a U-Net, the largest first."""
    levels: list[tuple[int, int, int]] = []
    channels = blocks = depth = 0
    for number in range(1, count(shapes, "input_blocks.{}.")):
        block = f"input_blocks.{number}"
        if f"{block}.0.op.weight" in shapes:
            levels.append((channels, blocks, depth))
            channels = blocks = depth = 0
            continue
        channels, blocks = shapes[f"{block}.0.in_layers.2.weight"][0], blocks + 1
        depth = count(shapes, f"{block}.1.transformer_blocks.{{}}.")
    return [*levels, (channels, blocks, depth)]


def _unet(shapes: Shapes, side: int) -> dict[str, Any]:
    """The configuration of a UNet2DConditionModel. Raises KeyError naming a missing tensor."""
    levels = _levels(shapes)
    widths = [channels for channels, _, _ in levels]
    depths = [depth for _, _, depth in levels]
    attended = [depth > 0 for depth in depths]
    # A last level without attention has the depth of the middle block.
    last = depths[-1] or count(shapes, "middle_block.1.transformer_blocks.{}.")
    attention = next(key for key in shapes if key.endswith("attn2.to_k.weight"))
    return {
        "sample_size": side,
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": levels[0][1],
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attended],
        "up_block_types": [
            "CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attended)
        ],
        "cross_attention_dim": shapes[attention][1],
        "attention_head_dim": [max(1, width // HEAD_WIDTH) for width in widths],
        "transformer_layers_per_block": [*(depth or 1 for depth in depths[:-1]), last],
        "use_linear_projection": len(shapes["middle_block.1.proj_in.weight"]) == 2,
        "norm_num_groups": GROUPS,
    }


def _unet_of_sdxl(shapes: Shapes, texts: Mapping[str, Shapes], _prediction: str) -> dict[str, Any]:
    """Pooled text and six numbers of the picture's size, each spread over as many channels."""
    width, pooled = shapes["label_emb.0.0.weight"][1], projected_width(texts["text_encoder_2"])
    return _unet(shapes, SIDE_OF_SDXL) | {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - pooled) // 6,
        "projection_class_embeddings_input_dim": width,
    }


def projected_width(shapes: Shapes) -> int:
    """How wide an OpenCLIP encoder's pooled text is. Raises KeyError if it has no projection."""
    if "text_projection.weight" in shapes:
        return shapes["text_projection.weight"][0]
    return shapes["text_projection"][1]


def _schedule(_shapes: Shapes, names: Collection[str], prediction: str) -> dict[str, Any]:
    found = NOISE | {"prediction_type": prediction or "v_prediction"}
    if "ztsnr" in names:
        found |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return found


def _state(tensors: State, unet: Configuration) -> Any:
    from diffusers.loaders.single_file_utils import LDM_UNET_KEY, convert_ldm_unet_checkpoint

    whole = {f"{LDM_UNET_KEY}{key}": tensor for key, tensor in tensors.items()}
    return convert_ldm_unet_checkpoint(whole, unet)


# What programs of Stable Diffusion read: one tensor, or one an encoder.
# Programs that take one file for the encoders of each of these families.
LIKE_A1111 = ("a1111", "forge", "sdnext", "easydiffusion", "kohya", "sdcpp")
ONE_TENSOR = {
    "diffusers": "diffusers",
    **dict.fromkeys((*LIKE_A1111, "comfyui", "invokeai"), "emb_params"),
    "onetrainer": "emp_params",
    "concept-repo": "concept-repo",
    "png": "png",
}
SD1_FILE = SingleFileLayout(
    marks=("input_blocks.0.0.weight",),
    keys=("cond_stage_model.transformer.*embeddings.token_embedding.weight",),
    prefixes=(DENOISER,),
    state=_state,
    configuration=lambda shapes, texts, prediction: (
        _unet(shapes, SIDE) | {"attention_head_dim": HEADS_OF_SD1}
    ),
    schedule=_schedule,
    prediction="epsilon",
    scaling=(0.18215, None),
    complete=True,
)
SD1 = Family(
    name="sd1",
    title="Stable Diffusion 1",
    pipeline="StableDiffusionPipeline",
    encoders=(
        replace(CLIP_L, widths=(768, STARTER_WIDTH), prefix="cond_stage_model.transformer."),
    ),
    denoiser=("unet", "UNet2DConditionModel"),
    law=DIFFUSION,
    # What users of Stable Diffusion take.
    details=usual_details(("dpm++", 30, 7.5)),
    condition=_condition,
    denoise=_denoise,
    arguments=arguments,
    architecture=lambda pixels: "stable-diffusion-v1",
    exports=ONE_TENSOR,
    single_file=SD1_FILE,
    left_out={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
)


# An OpenCLIP ViT-H; it predicts noise or velocity.
SD2 = replace(
    SD1,
    name="sd2",
    title="Stable Diffusion 2",
    # diffusers' files of ViT-H leave its last layer out, so that the last one is the one to read.
    encoders=(
        EncoderPart("clip_h", widths=(1024,), prefix="cond_stage_model.model.", open_clip=True),
    ),
    # Both variants have the same encoder; only the pixels of a run tell them apart.
    architecture=lambda pixels: f"stable-diffusion-{'v2-768-v' if pixels >= 768 else 'v2-512'}",
    single_file=replace(
        SD1_FILE,
        keys=("cond_stage_model.model.token_embedding.weight",),
        configuration=lambda shapes, texts, prediction: _unet(
            shapes, SIDE_OF_VELOCITY if prediction == "v_prediction" else SIDE
        ),
        # The names are the same whether a model predicts noise or velocity.
        prediction="",
        # ViT-H has 24 layers and the last one is not read; files made of folders have 23.
        layers=23,
    ),
    # Its attention overflows in float16 unless it is computed in float32 (diffusers, SD 2.1).
    in_half={"upcast_attention": True},
)


# Sizes are given in pixels, and the VAE of Stable Diffusion XL halves a picture three times.
PIXELS = 8


def _condition_of_sdxl(encodings: Mapping[str, Encoding], _unet: Configuration) -> Conditioning:
    """Both encoders' vectors side by side; the pooled text is the second one's (2307.01952)."""
    import torch

    small, large = encodings["clip_l"], encodings["clip_g"]
    return Conditioning(torch.cat([small.hidden, large.hidden], dim=-1), large.pooled)


def size_conditioning(noisy: Tensor) -> Tensor:
    """Original size, crop and target size of whole pictures, pixels: (batch, 6)."""
    import torch

    # In half precision some sizes would be rounded. Filled, not copied from the host: a copy has
    # no place in a CUDA graph.
    sizes = noisy.new_zeros(noisy.shape[0], 6, dtype=torch.float32)
    sizes[:, 0::4] = noisy.shape[-2] * PIXELS
    sizes[:, 1::4] = noisy.shape[-1] * PIXELS
    return sizes


def _denoise_of_sdxl(unet: Any, noisy: Tensor, times: Tensor, conditioning: Conditioning) -> Any:
    added = {"text_embeds": conditioning.pooled, "time_ids": size_conditioning(noisy)}
    return unet(noisy, times, conditioning.hidden, added_cond_kwargs=added).sample


# CLIP ViT-L beside OpenCLIP ViT-bigG, pooled text, the picture's size.
SDXL = replace(
    SD1,
    name="sdxl",
    title="Stable Diffusion XL",
    pipeline="StableDiffusionXLPipeline",
    encoders=(
        replace(CLIP_L, prefix="conditioner.embedders.0.transformer.", penultimate=True),
        replace(POOLED_CLIP_G, prefix="conditioner.embedders.1.model."),
    ),
    # The pipeline's own guidance; steps and sampler as users take them.
    details=usual_details(("dpm++", 30, 5.0)),
    condition=_condition_of_sdxl,
    denoise=_denoise_of_sdxl,
    architecture=lambda pixels: "stable-diffusion-xl-v1-base",
    exports={
        "diffusers": "diffusers-pair",
        **dict.fromkeys((*LIKE_A1111, "comfyui", "invokeai", "onetrainer"), "sdxl"),
        "png": "png",
    },
    single_file=replace(
        SD1_FILE,
        marks=("input_blocks.0.0.weight", "label_emb.0.0.weight"),
        keys=(
            "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
            "conditioner.embedders.1.model.token_embedding.weight",
        ),
        configuration=_unet_of_sdxl,
        scaling=(0.13025, None),
    ),
    zeroed=True,
    left_out={},
    notes=(
        "its pipeline marks pictures invisibly where the package invisible-watermark is "
        "installed, and ti does so too",
    ),
)
