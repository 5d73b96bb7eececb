"""The real diffusers loader takes our exports, and conditions on them as `ti` does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ticli.library import Library, export_bytes
from ticli.models import STARTER, load_model, pick_hardware, quiet_libraries
from ticli.models.locate import starter


@pytest.fixture(scope="module")
def fresh_pipeline():
    """Build a pipeline of tokenizer and text encoder alone, unspoilt by other words."""
    with quiet_libraries():
        from diffusers import StableDiffusionPipeline
        from transformers import CLIPTextModel, CLIPTokenizer

        def build():
            return StableDiffusionPipeline(
                vae=None,
                text_encoder=CLIPTextModel.from_pretrained(
                    STARTER, subfolder="text_encoder", dtype=torch.float32
                ),
                tokenizer=CLIPTokenizer.from_pretrained(STARTER, subfolder="tokenizer"),
                unet=None,
                scheduler=None,
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
            )

        yield build


@pytest.fixture(scope="module")
def model():
    return load_model(starter(), pick_hardware("cpu", "fp32"))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["diffusers", "emb_params"])
@pytest.mark.parametrize(("word", "vectors"), [("<mug>", 1), ("<Red-Mug>", 3)])
def test_the_loader_gets_the_same_conditioning(
    library: Library, make, tmp_path: Path, fresh_pipeline, model, layout, word, vectors
) -> None:
    concept = library.add(*make(word, vectors))
    embedding = library.embedding(concept)
    file = tmp_path / "learned.safetensors"
    file.write_bytes(export_bytes(concept, embedding, layout))
    pipeline = fresh_pipeline()
    token = f"<{concept.name}>"
    pipeline.load_textual_inversion(
        tmp_path, weight_name=file.name, token=None if layout == "diffusers" else token
    )

    prompt = f"a photo of {word} on the moon"
    # diffusers expands several vectors only where the prompt has the token as the file has it.
    loaded, _ = pipeline.encode_prompt(prompt.lower(), "cpu", 1, False)

    rows = {concept.name: {"clip_l": torch.from_numpy(embedding.rows["clip_l"])}}
    ours = model.condition([model.tokenise(prompt, {concept.name: vectors})], rows).hidden
    torch.testing.assert_close(loaded, ours, rtol=1e-5, atol=1e-5)

    plain, _ = pipeline.encode_prompt("a photo of cup on the moon", "cpu", 1, False)
    assert (plain - loaded).abs().max() > 1e-2
