"""A tiny random model with the starter's tokenizer, and photos to learn it nothing from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

STARTER = Path(__file__).parents[2] / "ticli" / "models" / "starter"
WIDTH = 32


def build_tiny_model(folder: Path) -> Path:
    """Write a Stable Diffusion model of 16-pixel latents and 32-wide text, weights at random."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=4096, hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=48, bos_token_id=4094, eos_token_id=4095,
        pad_token_id=4095,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32),
        layers_per_block=1, norm_num_groups=8, cross_attention_dim=WIDTH, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).save_pretrained(folder / "unet")  # fmt: skip
    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder / "vae")  # fmt: skip
    DDIMScheduler.from_pretrained(STARTER / "scheduler").save_pretrained(folder / "scheduler")
    shutil.copytree(STARTER / "tokenizer", folder / "tokenizer")
    shutil.copy(STARTER / "model_index.json", folder)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny models are slower on several threads; restore the count, which runs record."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture
def tiny(tiny_folder: Path):
    """The tiny model, loaded."""
    from ticli.models.hardware import pick_hardware
    from ticli.models.model import load_model
    from ticli.models.source import locate

    return load_model(locate(str(tiny_folder)), pick_hardware("cpu"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos of different shapes and colours."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (size, colour) in enumerate(
        [((80, 64), "red"), ((64, 96), "teal"), ((72, 72), "gold")]
    ):
        picture = Image.new("RGB", size, "white")
        picture.paste(colour, (16, 16, 48, 48))
        picture.save(folder / f"photo-{number}.png")
    return folder
