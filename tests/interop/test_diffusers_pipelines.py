"""The real diffusers loader takes every file that is written for it, offline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from concepts import make_concept
from learned_words import same

from ticli.concept import Embedding
from ticli.library import Exported, Extras, Target, export_concepts
from ticli.models import STARTER, quiet_libraries

WIDTHS = {"clip_l": 32, "clip_g": 48, "t5": 40}
CUP = "a photo of cup"


def text_encoder(width: int, projected: bool = False, pooled_at: int = 2) -> torch.nn.Module:
    """A tiny random CLIP for the starter's tokenizer; 2 pools as published encoders do."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=4096, hidden_size=width, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=48, projection_dim=width,
        bos_token_id=4094, eos_token_id=pooled_at, pad_token_id=4095,
    )  # fmt: skip
    torch.manual_seed(width)
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def tokenizer():
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(STARTER, subfolder="tokenizer")


def t5_tokenizer():
    """A T5 tokenizer of a few words, built here."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import T5TokenizerFast

    pieces = [
        "<pad>",
        "</s>",
        "<unk>",
        *(f"▁{w}" for w in ["a", "photo", "of", "on", "the", "moon", "cup"]),
    ]
    model = models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2)
    plain = Tokenizer(model)
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    return T5TokenizerFast(tokenizer_object=plain, extra_ids=0)


@pytest.fixture
def sd1():
    with quiet_libraries():
        from diffusers import StableDiffusionPipeline

        yield StableDiffusionPipeline(
            vae=None, unet=None, scheduler=None, safety_checker=None, feature_extractor=None,
            tokenizer=tokenizer(), text_encoder=text_encoder(32), requires_safety_checker=False,
        )  # fmt: skip


@pytest.fixture
def sdxl():
    with quiet_libraries():
        from diffusers import StableDiffusionXLPipeline

        yield StableDiffusionXLPipeline(
            vae=None, unet=None, scheduler=None, add_watermarker=False,
            tokenizer=tokenizer(), text_encoder=text_encoder(32),
            tokenizer_2=tokenizer(), text_encoder_2=text_encoder(48, projected=True),
        )  # fmt: skip


@pytest.fixture
def flux():
    with quiet_libraries():
        from diffusers import FluxPipeline
        from transformers import T5Config, T5EncoderModel

        config = T5Config(
            vocab_size=64, d_model=40, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
            is_gated_act=True,
        )  # fmt: skip
        yield FluxPipeline(
            vae=None, transformer=None, scheduler=None,
            tokenizer=tokenizer(), text_encoder=text_encoder(32),
            tokenizer_2=t5_tokenizer(), text_encoder_2=T5EncoderModel(config).eval(),
        )  # fmt: skip


def word(*encoders: str, vectors: int = 3, token: str = "<Red-Mug>"):
    """A concept of tiny encoders, and its vectors."""
    draw = torch.Generator().manual_seed(vectors)
    rows = {key: torch.randn((vectors, WIDTHS[key]), generator=draw).numpy() for key in encoders}
    concept = make_concept("red-mug", token=token, vectors=vectors, widths=Embedding(rows).widths)
    return concept, Embedding(rows)


def written(folder: Path, target: Target, concept, embedding) -> Exported:
    exported = export_concepts([(concept, embedding)], target, Extras())
    for name, content in exported.files.items():
        (folder / (name or f"mug{exported.layout.suffix}")).write_bytes(content)
    return exported


def row(encoder, tokenizer, token: str) -> torch.Tensor:
    """The row of a token that was added."""
    return encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(token)]


def assert_loaded(pipeline, end: str, rows) -> None:
    encoder = getattr(pipeline, f"text_encoder{end}")
    words = getattr(pipeline, f"tokenizer{end}")
    names = ["<red-mug>", *(f"<red-mug>_{n}" for n in range(1, len(rows)))]
    found = torch.stack([row(encoder, words, name) for name in names])
    assert same(found, rows)


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("layout", ["diffusers", "diffusers-bin", "a1111-pt", "emb_params"])
def test_one_encoder(tmp_path, sd1, layout, vectors) -> None:
    concept, embedding = word("clip_l", vectors=vectors)
    exported = written(tmp_path, Target(format=layout), concept, embedding)
    named = None if layout.startswith("diffusers") else "<red-mug>"
    sd1.load_textual_inversion(
        tmp_path, weight_name=f"mug{exported.layout.suffix}", token=named, local_files_only=True
    )
    assert_loaded(sd1, "", embedding.rows["clip_l"])
    spelt = sd1.maybe_convert_prompt("a photo of <red-mug>", sd1.tokenizer)
    assert spelt.split()[3:] == ["<red-mug>", *(f"<red-mug>_{n}" for n in range(1, vectors))]


def test_a_concept_repository_loads_as_a_folder(tmp_path, sd1) -> None:
    concept, embedding = word("clip_l")
    written(tmp_path, Target(consumer="concept-repo"), concept, embedding)
    sd1.load_textual_inversion(tmp_path, local_files_only=True)
    assert_loaded(sd1, "", embedding.rows["clip_l"])


def loaded_by_the_lines(pipe, folder: Path, exported: Exported, monkeypatch) -> list[str]:
    """Run the lines that the export said, those that load; return the rest."""
    monkeypatch.chdir(folder)
    lines = [note for note in exported.notes if note.startswith("pipe.")]
    for line in lines:
        exec(line, {"pipe": pipe})
    return [note for note in exported.notes if note.startswith("getattr(")]


def test_sdxl_by_the_lines_that_are_said(tmp_path, sdxl, monkeypatch) -> None:
    concept, embedding = word("clip_l", "clip_g")
    exported = written(tmp_path, Target(consumer="diffusers"), concept, embedding)
    assert list(exported.files) == ["learned_embeds.safetensors", "learned_embeds_2.safetensors"]
    rest = loaded_by_the_lines(sdxl, tmp_path, exported, monkeypatch)
    assert_loaded(sdxl, "", embedding.rows["clip_l"])
    assert_loaded(sdxl, "_2", embedding.rows["clip_g"])

    def pooled(prompt: str) -> torch.Tensor:
        return sdxl.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)[2]

    beach, moon = "a photo of <red-mug> on the beach", "a photo of <red-mug> on the moon"
    # The fault that the line mends.
    torch.testing.assert_close(pooled(beach), pooled(moon))
    plain = pooled(CUP)
    (line,) = rest
    exec(line, {"pipe": sdxl})
    assert (pooled(beach) - pooled(moon)).abs().max() > 1e-3
    torch.testing.assert_close(pooled(CUP), plain)


def test_flux_by_the_lines_that_are_said(tmp_path, flux, monkeypatch) -> None:
    concept, embedding = word("clip_l", "t5")
    exported = written(tmp_path, Target(consumer="diffusers"), concept, embedding)
    rest = loaded_by_the_lines(flux, tmp_path, exported, monkeypatch)
    assert_loaded(flux, "", embedding.rows["clip_l"])
    assert_loaded(flux, "_2", embedding.rows["t5"])

    def pooled(prompt: str) -> torch.Tensor:
        return flux.encode_prompt(prompt, None, device="cpu", max_sequence_length=32)[1]

    beach, moon = "a photo of <red-mug> on the beach", "a photo of <red-mug> on the moon"
    torch.testing.assert_close(pooled(beach), pooled(moon))
    (line,) = rest
    exec(line, {"pipe": flux})
    assert (pooled(beach) - pooled(moon)).abs().max() > 1e-3


def test_sd3_by_hand_says_both_encoders_that_pool() -> None:
    concept, embedding = word("clip_l", "clip_g", "t5")
    exported = export_concepts([(concept, embedding)], Target(format="diffusers-pair"), Extras())
    assert len(exported.files) == 3
    assert [note.split(" = ")[0] for note in exported.notes if note.startswith("get")] == [
        'getattr(pipe.text_encoder, "text_model", pipe.text_encoder).eos_token_id',
        'getattr(pipe.text_encoder_2, "text_model", pipe.text_encoder_2).eos_token_id',
    ]
