"""Transformers in one file, completed by a folder of the same model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import original_transformers as original
import pytest
import torch
from everyday import everyday
from original_layout import clip, joined, save, vae
from PIL import Image
from tiny_families import CLIP_G, CLIP_L, T5

from ticli.errors import ModelUnavailable
from ticli.families.flux import flux_state
from ticli.models import Given, encoder_parts, load_denoiser, load_encoder, load_scheduler
from ticli.models.fingerprint import fingerprint
from ticli.models.locate import locate

FAMILIES = ("sd3", "flux", "sana")
DENOISER = "model.diffusion_model."


def save_transformer(family: str, folder: Path):
    """Put a transformer whose heads are as wide as the published ones' into a model's folder."""
    from diffusers import FluxTransformer2DModel, SanaTransformer2DModel, SD3Transformer2DModel

    torch.manual_seed(1)
    if family == "sd3":
        module = SD3Transformer2DModel(
            sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
            attention_head_dim=64, num_attention_heads=1, joint_attention_dim=T5,
            caption_projection_dim=64, pooled_projection_dim=CLIP_L + CLIP_G,
            pos_embed_max_size=64,
        )  # fmt: skip
    elif family == "flux":
        module = FluxTransformer2DModel(
            patch_size=1, in_channels=64, num_layers=2, num_single_layers=2,
            attention_head_dim=128, num_attention_heads=1, joint_attention_dim=T5,
            pooled_projection_dim=CLIP_L, guidance_embeds=True,
        )  # fmt: skip
    else:
        return SanaTransformer2DModel.from_pretrained(folder / "transformer").eval()
    shutil.rmtree(folder / "transformer")
    module.save_pretrained(folder / "transformer")
    return module.eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory, family_folders):
    """For each family a folder, its transformer in one file, and the transformer."""
    found = {}
    for family in FAMILIES:
        place = tmp_path_factory.mktemp(family)
        folder = Path(shutil.copytree(family_folders[family], place / "folder"))
        module = save_transformer(family, folder)
        path = place / "model.safetensors"
        state = getattr(original, family)(module)
        save(path, joined({DENOISER if family == "sd3" else "": state}))
        found[family] = folder, path, module
    return found


def complete(models, family: str):
    folder, path, _ = models[family]
    return locate(str(path), given=Given(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_transformer_comes_back_equal(family, models):
    folder, _, wanted = models[family]
    source = complete(models, family)
    found = load_denoiser(source, torch.float32)
    one, other = found.state_dict(), wanted.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in other)
    for key, value in wanted.config.items():
        if not key.startswith("_") and key != "axes_dims_rope":
            mine = found.config[key]
            assert (tuple(mine) if isinstance(mine, list) else mine) == (
                tuple(value) if isinstance(value, list) else value
            ), key
    whole = locate(str(folder))
    assert dict(source.widths) == dict(whole.widths) and source.windows == whole.windows
    assert source.defaults == whole.defaults and source.reads_negative == whole.reads_negative
    assert fingerprint(source) == fingerprint(whole)
    schedules = load_scheduler(source).config, load_scheduler(whole).config
    for key in ("shift", "use_dynamic_shifting", "base_shift", "max_shift", "num_train_timesteps"):
        assert schedules[0][key] == schedules[1][key], key


@pytest.mark.parametrize("family", everyday(FAMILIES, "sana"))
def test_a_word_is_learned_and_drawn_as_on_the_folder(
    family, models, photos, run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder, path, _ = models[family]
    small = ["--init", "mug", "--steps", "2", "--batch", "1", "--size", "64"]
    learned = run(
        "invert", str(photos), "--token", "<thing>", "-m", str(path), "--components", str(folder),
        *small, "--json",
    )  # fmt: skip
    assert learned.code == 0, learned.err
    assert learned.json["base"]["id"] == str(path)
    assert run("export", "thing", "--for", "ti", "-o", "thing.safetensors").code == 0
    assert run("import", "thing.safetensors", "--token", "<back>").code == 0
    pictures = []
    for word, model in (
        ("<thing>", []),
        ("<back>", ["-m", str(path)]),
        ("<thing>", ["-m", folder]),
    ):
        drawn = run(
            "generate", word, "--no-noun", *map(str, model), "--steps", "2", "--size", "64",
            "--seed", "1",
        )  # fmt: skip
        assert drawn.code == 0, drawn.err
        pictures.append(np.asarray(Image.open(drawn.lines[0])))
    # The folder has the rest of both, and the flag was needed once.
    assert np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])


def test_what_is_in_the_file_is_not_taken_from_the_folder(models, tmp_path):
    folder, _, module = models["sd3"]
    from diffusers import AutoencoderKL
    from safetensors.torch import load_file
    from tiny_single_files import text
    from transformers import T5EncoderModel

    torch.manual_seed(2)
    small, large = text(64, projected=True, act="quick_gelu"), text(128, projected=True)
    mine = AutoencoderKL(
        block_out_channels=(32,) * 4, latent_channels=16, use_quant_conv=False,
        use_post_quant_conv=False, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    # The small CLIP of these files has no projection: what it pools is taken as it is.
    texts = {f"text_model.{k}": v for k, v in clip(small).items() if "projection" not in k}
    others = {k if "projection" in k else f"text_model.{k}": v for k, v in clip(large).items()}
    alone = save(
        tmp_path / "incl_clips.safetensors",
        joined({
            DENOISER: original.sd3(module), "first_stage_model.": vae(mine),
            "text_encoders.clip_l.transformer.": texts,
            "text_encoders.clip_g.transformer.": others,
        }),
    )  # fmt: skip
    source = locate(str(alone))
    # Stable Diffusion 3 may come without its T5.
    assert dict(source.widths) == {"clip_l": 64, "clip_g": 128}
    first, second = (load_encoder(source, part, torch.float32) for part in encoder_parts(source))
    assert torch.equal(first.text_projection.weight, torch.eye(64))
    assert torch.equal(second.text_projection.weight, large.text_projection.weight)
    assert first.config.hidden_act == "quick_gelu" and second.config.hidden_act == "gelu"
    long = T5EncoderModel.from_pretrained(folder / "text_encoder_3")
    tensors = load_file(alone)
    for key, tensor in long.state_dict().items():
        tensors[f"text_encoders.t5xxl.transformer.{key}"] = tensor.half()
    # A T5 in the file needs the vocabulary, which is in no file, and is not left out silently.
    all_in_one = save(tmp_path / "incl_t5.safetensors", tensors)
    with pytest.raises(ModelUnavailable, match=r"without tokenizer_3$"):
        locate(str(all_in_one))
    (tmp_path / "words").mkdir()
    shutil.copytree(folder / "tokenizer_3", tmp_path / "words" / "tokenizer_3")
    complete = locate(str(all_in_one), given=Given(tmp_path / "words"))
    third = load_encoder(complete, encoder_parts(complete)[2], torch.float32)
    assert third.config.d_model == T5 and third.config.num_heads == long.config.num_heads
    for key, tensor in long.state_dict().items():
        assert torch.equal(third.state_dict()[key], tensor.half().float()), key
    ids = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            third(ids).last_hidden_state, long(ids).last_hidden_state, atol=1e-2, rtol=0
        )
    assert len(fingerprint(complete)) == 64
    with_t5 = locate(str(alone), given=Given(folder))
    assert dict(with_t5.widths) == {"clip_l": 64, "clip_g": 128, "t5": T5}


def test_flux_is_renamed_as_diffusers_does():
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

    width, mlp = 3072, 12288
    rows = {
        "img_in": width, "txt_in": width, "time_in.in_layer": width, "time_in.out_layer": width,
        "vector_in.in_layer": width, "vector_in.out_layer": width, "guidance_in.in_layer": width,
        "guidance_in.out_layer": width, "final_layer.linear": 64,
        "final_layer.adaLN_modulation.1": 2 * width,
    }  # fmt: skip
    for layer in range(2):
        for side in ("img", "txt"):
            block = f"double_blocks.{layer}.{side}"
            rows |= {
                f"{block}_mod.lin": 6 * width, f"{block}_attn.qkv": 3 * width,
                f"{block}_attn.proj": width, f"{block}_mlp.0": mlp, f"{block}_mlp.2": width,
            }  # fmt: skip
        rows |= {f"single_blocks.{layer}.linear1": 3 * width + mlp,
                 f"single_blocks.{layer}.linear2": width,
                 f"single_blocks.{layer}.modulation.lin": 3 * width}  # fmt: skip
    tensors = {}
    for name, number in rows.items():
        tensors[f"{name}.weight"] = torch.randn(number, 1)
        tensors[f"{name}.bias"] = torch.randn(number)
    for layer in range(2):
        for place in ("query_norm", "key_norm"):
            for block in (f"double_blocks.{layer}.img_attn.norm", f"single_blocks.{layer}.norm",
                          f"double_blocks.{layer}.txt_attn.norm"):  # fmt: skip
                tensors[f"{block}.{place}.scale"] = torch.randn(128)
    mine = flux_state(dict(tensors), {"attention_head_dim": 128, "num_attention_heads": 24})
    theirs = convert_flux_transformer_checkpoint_to_diffusers(dict(tensors))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_a_short_name_remembers_the_components(models, run, monkeypatch):
    folder, path, _ = models["flux"]
    refused = run("models", "add", "short", str(path))
    assert refused.code == 5 and "text_encoder_2" in refused.err
    assert run("models", "show", str(path)).code == 5
    other = run("models", "add", "short", str(folder), "--prediction", "v")
    assert other.code == 2 and "not a model in one file" in other.err
    shown = run("models", "show", str(path), "--components", str(folder), "--json")
    assert shown.json["components"] == str(folder)
    # Looking changes nothing.
    assert run("models", "show", str(path)).code == 5
    monkeypatch.chdir(folder.parent)
    added = run("models", "add", "short", path.name, "--components", folder.name)
    assert added.code == 0, added.err
    shown = run("models", "show", "short", "--json").json
    assert shown["id"] == str(path) and shown["components"] == str(folder)
    assert shown["names"] == ["short"] and shown["prediction"] == "flow"
    # What is taken from the folder is part of the model; the folder's own transformer is not.
    parts = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae")
    taken = [file for part in parts for file in (folder / part).iterdir()]
    assert shown["bytes"] == sum(file.stat().st_size for file in (path, *taken))
