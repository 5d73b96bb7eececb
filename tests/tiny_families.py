"""A tiny random model of each family, in the layout its pipeline is published in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tiny import STARTER

CLIP_L, CLIP_H, CLIP_G, T5, GEMMA = 32, 1024, 48, 40, 24
WINDOW = 48
TEXTS = (
    "a photo of a mug on the moon",
    "an image of the object on the beach, a red cat and a blue dog",
    "the mug is in a forest, next to two cups; a picture of my thing",
)


def save_clip(folder: Path, number: str, width: int, *, projected: bool, pad: str = "") -> None:
    """Write a CLIP text encoder and the starter's tokenizer; `number` is "" or "_2".

    OpenCLIP's encoders, in Stable Diffusion 2 and as second ones, are padded with "!".
    """
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )

    config = CLIPTextConfig(
        vocab_size=4096, hidden_size=width, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=WINDOW, bos_token_id=4094,
        eos_token_id=4095, pad_token_id=4095, projection_dim=width,
    )  # fmt: skip
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    encoder = kind(config)
    # Published files of large CLIPs say 2 here, and pool at the largest id for it.
    encoder.config.eos_token_id = 2
    encoder.save_pretrained(folder / f"text_encoder{number}")
    shutil.copytree(STARTER / "tokenizer", folder / f"tokenizer{number}")
    if pad:
        tokenizer = CLIPTokenizer.from_pretrained(folder / f"tokenizer{number}")
        tokenizer.pad_token = pad
        tokenizer.save_pretrained(folder / f"tokenizer{number}")


def save_t5(folder: Path, number: str) -> None:
    """Write a T5 encoder whose table is longer than its tokenizer, as T5's is."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=160, d_model=T5, d_kv=8, d_ff=37, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    T5EncoderModel(config).save_pretrained(folder / f"text_encoder{number}")
    t5_tokenizer().save_pretrained(folder / f"tokenizer{number}")


def t5_tokenizer() -> Any:
    """A unigram tokenizer of the words of TEXTS and of single letters."""
    from transformers import T5TokenizerFast

    words = sorted({word for text in TEXTS for word in text.replace(",", "").split()})
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(f"▁{word}", -2.0 - 0.01 * number) for number, word in enumerate(words)]
    known = {piece for piece, _ in pieces}
    letters = "abcdefghijklmnopqrstuvwxyz,.;'-0123456789<>_"
    pieces += [(letter, -6.0) for letter in letters if letter not in known]
    return T5TokenizerFast(vocab=pieces, extra_ids=0)


def save_gemma(folder: Path) -> None:
    """Write a Gemma 2 and a byte-pair tokenizer trained on TEXTS."""
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = gemma_tokenizer()
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=GEMMA, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=12, query_pre_attn_scalar=12,
        max_position_embeddings=4096, sliding_window=512,
    )  # fmt: skip
    Gemma2Model(config).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")


def gemma_tokenizer() -> Any:
    """A byte-pair tokenizer that falls back to bytes and marks spaces, as Gemma's does."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import GemmaTokenizerFast

    from ticli.families.sana import instruction

    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=600, show_progress=False)
    # The instruction before every prompt would else be a thousand tokens long.
    trained.train_from_iterator([*TEXTS * 8, *instruction().splitlines()], trainer)
    learned = json.loads(trained.to_str())["model"]
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    entries = special + [f"<0x{byte:02X}>" for byte in range(256)]
    entries += [word for word in learned["vocab"] if word not in entries]
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = GemmaTokenizerFast(vocab={w: n for n, w in enumerate(entries)}, merges=merges)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
    )
    return tokenizer


def save_vae(folder: Path, channels: int, **scaling: Any) -> None:
    from diffusers import AutoencoderKL

    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=channels,
        sample_size=64, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, **scaling,
    ).save_pretrained(folder / "vae")  # fmt: skip


def save_unet(folder: Path, width: int, **changes: Any) -> None:
    from diffusers import UNet2DConditionModel

    UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32),
        layers_per_block=1, norm_num_groups=8, cross_attention_dim=width, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **changes,
    ).save_pretrained(folder / "unet")  # fmt: skip


def save_noise(folder: Path, **changes: Any) -> None:
    from diffusers import DDIMScheduler

    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1, **changes,
    ).save_pretrained(folder / "scheduler")  # fmt: skip


def save_index(folder: Path, pipeline: str, **extra: Any) -> None:
    """Write model_index.json, naming every part that is there."""
    parts = {path.name: ["a", "b"] for path in sorted(folder.iterdir()) if path.is_dir()}
    document = {"_class_name": pipeline, "_diffusers_version": "0.42.1", **parts, **extra}
    (folder / "model_index.json").write_text(json.dumps(document))


def build_sd1(folder: Path) -> None:
    save_clip(folder, "", CLIP_L, projected=False)
    save_unet(folder, CLIP_L)
    save_vae(folder, 4)
    save_noise(folder)
    save_index(folder, "StableDiffusionPipeline", safety_checker=["stable_diffusion", "Checker"])


def build_sd2(folder: Path) -> None:
    """Stable Diffusion 2 in its velocity form."""
    save_clip(folder, "", CLIP_H, projected=False, pad="!")
    save_unet(folder, CLIP_H, use_linear_projection=True)
    save_vae(folder, 4)
    save_noise(folder, prediction_type="v_prediction")
    save_index(folder, "StableDiffusionPipeline")


def build_sdxl(folder: Path) -> None:
    save_clip(folder, "", CLIP_L, projected=False)
    save_clip(folder, "_2", CLIP_G, projected=True, pad="!")
    save_unet(
        folder, CLIP_L + CLIP_G, use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + CLIP_G,
        transformer_layers_per_block=(1, 2),
    )  # fmt: skip
    save_vae(folder, 4, scaling_factor=0.13025)
    save_noise(folder)
    save_index(folder, "StableDiffusionXLPipeline", force_zeros_for_empty_prompt=True)


def build_sd3(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

    save_clip(folder, "", CLIP_L, projected=True)
    save_clip(folder, "_2", CLIP_G, projected=True, pad="!")
    save_t5(folder, "_3")
    SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
        attention_head_dim=8, num_attention_heads=4, joint_attention_dim=T5,
        caption_projection_dim=32, pooled_projection_dim=CLIP_L + CLIP_G, pos_embed_max_size=16,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    save_vae(folder, 16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False)
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    save_index(folder, "StableDiffusion3Pipeline")


def build_flux(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

    save_clip(folder, "", CLIP_L, projected=False)
    save_t5(folder, "_2")
    FluxTransformer2DModel(
        patch_size=1, in_channels=16 * 4, num_layers=1, num_single_layers=1,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=T5,
        pooled_projection_dim=CLIP_L, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    ).save_pretrained(folder / "transformer")  # fmt: skip
    save_vae(folder, 16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False)
    FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True).save_pretrained(
        folder / "scheduler"
    )
    save_index(folder, "FluxPipeline")


def build_pixart(folder: Path) -> None:
    from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel

    save_t5(folder, "")
    PixArtTransformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=8, num_layers=2,
        attention_head_dim=8, num_attention_heads=4, cross_attention_dim=32, caption_channels=T5,
        use_additional_conditions=False,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    save_vae(folder, 4, scaling_factor=0.13025)
    DPMSolverMultistepScheduler(beta_end=0.02, beta_start=0.0001).save_pretrained(
        folder / "scheduler"
    )
    save_index(folder, "PixArtSigmaPipeline")


def build_sana(folder: Path) -> None:
    from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaTransformer2DModel

    save_gemma(folder)
    SanaTransformer2DModel(
        sample_size=4, patch_size=1, in_channels=8, out_channels=8, num_layers=1,
        attention_head_dim=8, num_attention_heads=2, num_cross_attention_heads=2,
        cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=GEMMA, mlp_ratio=1.0,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    blocks = (8, 8, 8, 8, 8)
    AutoencoderDC(
        latent_channels=8, encoder_block_types="ResBlock", decoder_block_types="ResBlock",
        encoder_block_out_channels=blocks, decoder_block_out_channels=blocks,
        encoder_layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
        encoder_qkv_multiscales=((),) * 5, decoder_qkv_multiscales=((),) * 5,
        scaling_factor=0.41407,
    ).save_pretrained(folder / "vae")  # fmt: skip
    DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    ).save_pretrained(folder / "scheduler")
    save_index(folder, "SanaPipeline")


BUILDERS: dict[str, Callable[[Path], None]] = {
    "sd1": build_sd1,
    "sd2": build_sd2,
    "sdxl": build_sdxl,
    "sd3": build_sd3,
    "flux": build_flux,
    "pixart": build_pixart,
    "sana": build_sana,
}


def build_family(name: str, folder: Path) -> Path:
    """Write the tiny model of a family into a folder, weights from one seed."""
    torch.manual_seed(0)
    BUILDERS[name](folder)
    return folder


class FamilyFolders(dict[str, Path]):
    """The folder of each family's tiny model below `root`, built when it is first asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, name: str) -> Path:
        (self.root / name).mkdir()
        self[name] = build_family(name, self.root / name)
        return self[name]


def load(folder: Path) -> Any:
    """Load a model from its folder onto the CPU."""
    from ticli.models import load_model, pick_hardware
    from ticli.models.locate import locate

    return load_model(locate(str(folder)), pick_hardware("cpu"))
