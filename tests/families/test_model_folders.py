"""Folders as they are published: in shards, in half precision, with parts left out."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_families import BUILDERS, load

from ticli.errors import ModelUnavailable, Usage
from ticli.families import FAMILIES
from ticli.generation import Drawing, paint, start_noise
from ticli.models import (
    Hardware,
    TextEncoder,
    encoder_dtype,
    load_denoiser,
    load_encoder,
    make_sampler,
    read_vocabulary,
    samplers_for,
)
from ticli.models.fingerprint import fingerprint
from ticli.models.locate import locate, vocabulary


@pytest.fixture
def copy(family_folders, tmp_path):
    """A copy of a family's folder that a test may change: copy("sd3")."""
    return lambda name: Path(shutil.copytree(family_folders[name], tmp_path / f"{name}-copy"))


def shard(part: Path, stem: str) -> None:
    """Write the weights of a part again as two files and an index."""
    from safetensors.torch import load_file, save_file

    whole = part / f"{stem}.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    names = sorted(tensors)
    files = {}
    for number, chosen in enumerate((names[::2], names[1::2]), 1):
        file = f"{stem}-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in chosen}, part / file, {"format": "pt"})
        files |= dict.fromkeys(chosen, file)
    index = {"metadata": {}, "weight_map": files}
    (part / f"{stem}.safetensors.index.json").write_text(json.dumps(index))


def test_weights_in_shards_are_the_same_model(copy, models):
    folder = copy("sd3")
    before = models["sd3"]
    for part, stem in (
        ("text_encoder_3", "model"),
        ("text_encoder", "model"),
        ("transformer", "diffusion_pytorch_model"),
    ):
        shard(folder / part, stem)
    assert fingerprint(locate(str(folder))) == fingerprint(before.source)
    tokens = [before.tokenise("a mug", {})]
    now = load(folder)
    assert torch.equal(now.condition(tokens, {}).hidden, before.condition(tokens, {}).hidden)
    wanted = before.denoiser.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in now.denoiser.state_dict().items())


@pytest.mark.parametrize(
    ("name", "part", "tensor"),
    [
        ("sdxl", "text_encoder_2", "text_projection.weight"),
        ("sdxl", "unet", "conv_in.weight"),
        ("flux", "transformer", "proj_out.bias"),
        ("flux", "text_encoder_2", "final_layer_norm.weight"),
        ("sana", "vae", "decoder.conv_out.bias"),
        ("sana", "text_encoder", "norm.weight"),
    ],
)
def test_weights_that_lack_a_tensor_are_refused(copy, name, part, tensor):
    """The libraries would fill it up at random and say nothing."""
    from safetensors.torch import load_file, save_file

    folder = copy(name)
    (file,) = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    (gone, *_) = [key for key in sorted(tensors) if key.endswith(tensor)]
    del tensors[gone]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelUnavailable, match="lacks") as caught:
        model = load(folder)
        with model.vae():
            pass
    assert tensor in caught.value.message and part in caught.value.message


@pytest.mark.parametrize("harm", ["missing", "elsewhere", "nothing"])
def test_an_index_that_lies_is_refused(copy, harm):
    folder = copy("sd3")
    part = folder / "transformer"
    shard(part, "diffusion_pytorch_model")
    index = part / "diffusion_pytorch_model.safetensors.index.json"
    if harm == "missing":
        next(part.glob("*-00002-*")).unlink()
    else:
        files = {"a": "../../x.safetensors"} if harm == "elsewhere" else [1]
        index.write_text(json.dumps({"weight_map": files}))
    with pytest.raises(ModelUnavailable) as caught:
        locate(str(folder))
    assert "transformer" in caught.value.message or "index" in caught.value.message


def test_a_half_precision_variant_is_the_same_model(copy, models):
    folder = copy("sdxl")
    for part in ("text_encoder", "text_encoder_2", "unet", "vae"):
        (file,) = (folder / part).glob("*.safetensors")
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    assert fingerprint(locate(str(folder))) == fingerprint(models["sdxl"].source)
    assert len(load(folder).encoders) == 2


def test_padding_is_the_tokenizers_own(models):
    ends = {}
    for name, key in (("sd1", "clip_l"), ("sd2", "clip_h"), ("sdxl", "clip_l"), ("sdxl", "clip_g")):
        tokens = models[name].tokenise("a mug", {})[key]
        ends[name, key] = tokens.ids[-1]
        assert tokens.ids[tokens.end] == 4095
    assert ends == {
        ("sd1", "clip_l"): 4095, ("sd2", "clip_h"): 0, ("sdxl", "clip_l"): 4095,
        ("sdxl", "clip_g"): 0,
    }  # fmt: skip


def test_a_fingerprint_is_kept_until_the_files_change(copy, isolated):
    folder = copy("sd3")
    source = locate(str(folder))
    first = fingerprint(source)
    (note,) = (isolated / "cache" / "fingerprints").iterdir()
    assert note.read_text() == first
    note.write_text("f" * 64)
    assert fingerprint(source) == "f" * 64, "the note is what is read"
    note.write_text("damaged")
    assert fingerprint(source) == first and note.read_text() == first
    from safetensors.torch import load_file, save_file

    file = folder / "text_encoder_3" / "model.safetensors"
    tensors = load_file(file)
    tensors["shared.weight"][5] += 1
    save_file(tensors, file, {"format": "pt"})
    assert fingerprint(source) not in (first, "f" * 64)


def test_a_library_that_cannot_be_written_computes_it_each_time(copy, isolated):
    source = locate(str(copy("sd1")))
    isolated.mkdir()
    (isolated / "cache").write_text("no folder")
    assert fingerprint(source) == fingerprint(source)


def test_rows_that_somebody_added_change_no_fingerprint(copy, models):
    from transformers import CLIPTextModel

    folder = copy("sd1")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
    encoder.resize_token_embeddings(4098, mean_resizing=False)
    encoder.save_pretrained(folder / "text_encoder")
    assert fingerprint(locate(str(folder))) == fingerprint(models["sd1"].source)


def test_stable_diffusion_3_without_its_t5(copy):
    folder = copy("sd3")
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(folder / part)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    model = load(folder)
    assert set(model.source.widths) == {"clip_l", "clip_g"}
    hidden = model.condition([model.tokenise("a mug", {})], {}).hidden
    assert hidden.shape == (1, 48 + 256, 40) and (hidden[:, 48:] == 0).all()


def test_flux_that_is_told_no_guidance(copy):
    folder = copy("flux")
    config = json.loads((folder / "transformer" / "config.json").read_text())
    config["guidance_embeds"] = False
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    found = locate(str(folder))
    assert found.defaults == ("euler", 4, 0.0) and found.windows["t5"] == 256


def varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def sentencepiece_file(pieces, kind: int = 1) -> bytes:
    """A vocabulary as the SentencePiece library writes it."""

    def field(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    written = b"".join(
        field(1, field(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18\x01")
        for piece, score in pieces
    )
    return written + field(2, b"\x18" + varint(kind)) + field(3, field(1, b"nmt_nfkc"))


TEXTS_TO_READ = ("a photo of a mug, on the moon", "  two   mugs!", "<mug> mug", "", "1-2; <3")


def test_a_model_with_only_a_sentencepiece_vocabulary(copy, models):
    """As PixArt is published: read to the same ids as its tokenizer.json."""
    folder = copy("pixart")
    known = models["pixart"].encoders[0].tokenizer
    shutil.rmtree(folder / "tokenizer")
    (folder / "tokenizer").mkdir()
    content = json.loads(known.backend_tokenizer.to_str())["model"]["vocab"]
    (folder / "tokenizer" / "spiece.model").write_bytes(sentencepiece_file(content))
    source = locate(str(folder))
    assert vocabulary(source) == vocabulary(models["pixart"].source)
    model = load(folder)
    for text in TEXTS_TO_READ:
        assert model.tokenise(text, {}) == models["pixart"].tokenise(text, {})
        assert model.encoders[0].tokenizer(text).input_ids == known(text).input_ids
    placed = model.tokenise("a <mug> here", {"mug": 2})
    assert placed == models["pixart"].tokenise("a <mug> here", {"mug": 2})


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 40, sentencepiece_file([("a", 0.0)])[:-3], sentencepiece_file([("a", 0.0)], 2)],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, content):
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"spiece\.model"):
        read_vocabulary(tmp_path / "spiece.model")


def test_models_for_inpainting_are_refused(copy):
    folder = copy("sd1")
    config = json.loads((folder / "unet" / "config.json").read_text())
    config["in_channels"] = 9
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match="inpainting"):
        locate(str(folder))


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("---\nlicense: openrail++\n---\n", "openrail++"),
        ("---\nlicense: other\nlicense_name: flux-dev\n---\n", "flux-dev"),
        ("---\nlicense: other\n---\n", "other"),
        ("no front matter", ""),
    ],
)
def test_the_licence_is_read_from_the_card(copy, card, name):
    folder = copy("sd1")
    (folder / "README.md").write_text(card)
    assert locate(str(folder)).license == name


def test_half_precision_by_family(family_folders):
    half = Hardware(torch.device("cpu"), torch.float16, "")
    short = Hardware(torch.device("cpu"), torch.bfloat16, "")
    full = Hardware(torch.device("cpu"), torch.float32, "")
    kinds = {part.kind: part for family in FAMILIES.values() for part in family.encoders}
    assert {encoder_dtype(kinds["clip"], h) for h in (half, short, full)} == {torch.float32}
    assert [encoder_dtype(kinds["t5"], h) for h in (half, short)] == [half.dtype, short.dtype]
    assert [encoder_dtype(kinds["gemma"], h) for h in (half, short)] == [torch.bfloat16] * 2
    assert encoder_dtype(kinds["gemma"], full) is torch.float32
    for name, upcast in (("sd1", False), ("sd2", True)):
        source = locate(str(family_folders[name]))
        unet = load_denoiser(source, torch.float16)
        assert unet.dtype is torch.float16 and unet.config.upcast_attention is upcast
        assert load_denoiser(source, torch.float32).config.upcast_attention is False


@pytest.mark.parametrize("name", ["flux", "sana"])
def test_rows_keep_their_gradient_in_half_precision_encoders(family_folders, name):
    """Rows are float32 whatever the encoder is, and so is what comes back to them."""
    source = locate(str(family_folders[name]))
    part = FAMILIES[name].encoders[-1]
    whole = load(family_folders[name])
    module = load_encoder(source, part, torch.bfloat16)
    tokenizer = whole.encoders[-1].tokenizer
    encoder = TextEncoder(part.key, module, tokenizer, source.windows[part.key], part)
    row = torch.nn.Parameter(torch.full((1, encoder.table.shape[1]), 0.1))
    tokens = whole.tokenise("a <mug>", {"mug": 1}, negative=True)[part.key]
    encoder.encode([tokens], {"mug": {part.key: row}}).hidden.float().square().sum().backward()
    assert row.grad.dtype is torch.float32 and row.grad.abs().sum() > 0
    assert all(value.grad is None for value in module.parameters())


@pytest.mark.parametrize("name", ["sd3", "flux", "sana", "pixart", "sd2"])
def test_every_sampler_of_a_family_draws(models, name):
    model = models[name]
    known = samplers_for(model.source.family)
    tokens = [model.tokenise("", {}, negative=True), model.tokenise("a mug", {})]
    with torch.no_grad(), model.pipeline(None) as pipeline:
        pair = model.condition(tokens, {})
        for sampler in known:
            drawing = Drawing(sampler, 3, 2.0, 64, 64)
            noise = start_noise(model, pipeline, drawing, torch.Generator().manual_seed(3))
            generator = torch.Generator().manual_seed(0)
            pixels = paint(model, pipeline, pair, noise, drawing, generator)
            assert np.isfinite(pixels).all() and pixels.std() > 0.01, sampler
    if name == "sd3":
        with pytest.raises(Usage, match="for this model"):
            make_sampler("ddim", model.noise_schedule)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("flux", "text_encoder_2/model.safetensors"),
        ("flux", "transformer/diffusion_pytorch_model.safetensors"),
        ("sana", "vae/diffusion_pytorch_model.safetensors"),
        ("sana", "tokenizer/tokenizer.json"),
        ("sdxl", "text_encoder_2/config.json"),
        ("sd3", "scheduler/scheduler_config.json"),
    ],
)
@pytest.mark.parametrize("harm", ["cut", "other"])
def test_damaged_files_are_named(copy, name, file, harm):
    path = copy(name) / file
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if harm == "cut" else b'"<html>"')
    with pytest.raises(ModelUnavailable) as caught:
        model = load(path.parents[1])
        with model.vae():
            pass
    assert path.parent.name in caught.value.message and caught.value.exit_code == 5


@pytest.mark.parametrize("name", BUILDERS)
def test_the_denoiser_is_loaded_in_the_precision_asked_for(family_folders, name):
    denoiser = load_denoiser(locate(str(family_folders[name])), torch.bfloat16)
    assert {parameter.dtype for parameter in denoiser.parameters()} == {torch.bfloat16}
