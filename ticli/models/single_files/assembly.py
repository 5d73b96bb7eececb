"""Open a single file as a model: each part is in the file, comes with `ti`, or is in a folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ticli.durable import make_folder, write_file
from ticli.errors import ModelUnavailable, NotFound
from ticli.families.family import KINDS, EncoderPart, Family, Shapes, SingleFileLayout, count
from ticli.families.stable_diffusion import GROUPS, HEAD_WIDTH, projected_width
from ticli.models.folder import ModelSource, from_configurations, read_json, weights
from ticli.models.single_files.recognising import (
    COMPLETE,
    EARLIER,
    EPSILON,
    NOTHING_GIVEN,
    TRIED,
    VELOCITY,
    Given,
    SingleFile,
    WeightsFile,
    is_open_clip,
    read_contents,
    recognise,
    stated_prediction,
    told_prediction,
)
from ticli.paths import places

VAES = ("first_stage_model.", "vae.")
WORDS = 49_408
# OpenCLIP pads with "!", the first word.
PAD, OPEN_CLIP_PAD = "<|endoftext|>", "!"


def open_single_file(path: Path, given: Given = NOTHING_GIVEN) -> ModelSource:
    """Recognise a file of weights and find its missing parts. The id is its absolute path.

    Raises ModelUnavailable if it is not a model that `ti` knows or parts are missing, NotFound if
    the folder of components is.
    """
    path = path.absolute()
    if given.components is not None and not given.components.is_dir():
        raise NotFound(
            f"no folder {str(given.components)!r}", "--components takes a diffusers folder"
        )
    contents = read_contents(path, str(path))
    family, layout, prefix = recognise(contents, str(path))
    prefixes = {family.denoiser[0]: prefix}
    prefixes |= {part.folder: part.prefix for part in family.encoders if _holds(contents, part)}
    for vae in VAES:
        if f"{vae}decoder.conv_in.weight" in contents.entries:
            prefixes["vae"] = vae
    prediction, told_by = told_prediction(contents, layout, given)
    single = SingleFile(
        path=path,
        configurations={},
        prefixes=prefixes,
        components=given.components.absolute() if given.components else None,
        prediction=prediction,
        told_by=told_by,
        stated=stated_prediction(contents)[0],
    )
    encoders = [p for p in family.encoders if not p.optional or single.has(p.folder)]
    # Encoders in the folder of components bring their own; only CLIP's comes with `ti`.
    pads = {
        part.tokenizer: OPEN_CLIP_PAD if part.open_clip else PAD
        for part in family.encoders
        if part.kind == "clip" and (single.holds(part.folder) or not single.has(part.tokenizer))
    }
    absent = tuple(part.folder for part in family.encoders if part not in encoders)
    single = replace(single, pads=pads, absent=absent)
    _check_parts(family, layout, single, encoders)
    try:
        found = _configurations(contents, family, layout, single, encoders)
    except (KeyError, IndexError, StopIteration, ValueError) as error:
        raise ModelUnavailable(
            f"{path} looks like a {family.name} model, but has no tensor {error}",
            "download the file again, or give the model's folder",
        ) from error
    parts = {part: settings for part, settings in found.items() if part != "scheduler"}
    return replace(
        from_configurations(family, parts, str(path)),
        license=contents.metadata.get("modelspec.license", ""),
        single=replace(single, configurations=found),
    )


def _holds(contents: WeightsFile, part: EncoderPart) -> bool:
    """Whether the file holds a text encoder: its token table is there."""
    inner = ("", "text_model.", "embeddings.", "text_model.embeddings.")
    names = {f"{part.prefix}{i}{table}" for i in inner for table in KINDS[part.kind].tables}
    return bool(part.prefix) and not names.isdisjoint(contents.entries)


def _check_parts(
    family: Family, layout: SingleFileLayout, single: SingleFile, encoders: list[EncoderPart]
) -> None:
    """Raise ModelUnavailable naming the parts that are missing."""
    weighty = [family.denoiser[0], "vae", *(part.folder for part in encoders)]
    wanted = [*weighty[:2]]
    for encoder in encoders:
        wanted += [encoder.folder, encoder.tokenizer]
    if layout.schedule is None:
        wanted.append("scheduler")
    if missing := [part for part in wanted if not single.has(part)]:
        where = f", nor has {single.components}" if single.components else ""
        raise ModelUnavailable(
            f"{single.path} is a {family.name} file without {', '.join(missing)}{where}",
            COMPLETE
            if layout.complete
            else "give a folder of the same model that has them: --components DIR",
            missing=missing,
        )
    for part in weighty:
        if not single.holds(part):
            weights(single.place(part), str(single.path))


def _configurations(
    contents: WeightsFile,
    family: Family,
    layout: SingleFileLayout,
    single: SingleFile,
    encoders: list[EncoderPart],
) -> dict[str, dict[str, Any]]:
    """The configuration of every part, and of the noise schedule."""
    name, denoiser = str(single.path), family.denoiser[0]
    shapes = {part: contents.under(prefix) for part, prefix in single.prefixes.items()}
    found = {
        folder: read_json(single.place(folder) / "config.json", name)
        for folder in ("vae", *(part.folder for part in encoders))
        if not single.holds(folder)
    }
    for part in encoders:
        if single.holds(part.folder):
            found[part.folder] = text = _text(part, shapes[part.folder], layout.layers)
            if part.kind == "clip" and text["vocab_size"] < WORDS:
                raise ModelUnavailable(
                    f"{name} has a text encoder with {text['vocab_size']:,} tokens, and CLIP's "
                    f"vocabulary has {WORDS:,}",
                    "give the model's folder, which has its own vocabulary",
                )
    if single.holds("vae"):
        found["vae"] = _vae(shapes["vae"], *layout.scaling)
    if layout.configuration is None:
        found[denoiser] = read_json(single.place(denoiser) / "config.json", name)
    else:
        found[denoiser] = layout.configuration(shapes[denoiser], shapes, single.prediction)
    if layout.schedule is None:
        schedule = read_json(single.place("scheduler") / "scheduler_config.json", name)
    else:
        schedule = layout.schedule(shapes[denoiser], contents.entries, single.prediction)
    return found | {"scheduler": schedule}


def _vae(shapes: Shapes, scale: float, shift: float | None) -> dict[str, Any]:
    """The configuration of an AutoencoderKL. Raises KeyError naming a tensor that is missing."""
    levels = max(1, count(shapes, "encoder.down.{}."))
    widths = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    quantised = "quant_conv.weight" in shapes
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": count(shapes, "encoder.down.0.block.{}."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "norm_num_groups": GROUPS,
        "scaling_factor": scale,
        "shift_factor": shift,
        "use_quant_conv": quantised,
        "use_post_quant_conv": quantised,
    }


def _text(part: EncoderPart, shapes: Shapes, read: int | None) -> dict[str, Any]:
    """The configuration of a text encoder, of which at most `read` layers are read."""
    if part.kind == "t5":
        return _t5(shapes)
    if joined := is_open_clip(shapes):
        table, positions = "token_embedding.weight", "positional_embedding"
        layer, inner = "transformer.resblocks.{}.", "mlp.c_fc.weight"
    else:
        # Some versions of transformers put a prefix before most keys.
        shapes = {key.removeprefix("text_model."): shape for key, shape in shapes.items()}
        table, positions = (f"embeddings.{kind}_embedding.weight" for kind in ("token", "position"))
        layer, inner = "encoder.layers.{}.", "mlp.fc1.weight"
    words, width = shapes[table]
    layers = count(shapes, layer)
    projected = any(key.startswith("text_projection") for key in shapes)
    return {
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": shapes[positions][0],
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "num_hidden_layers": min(layers, read or layers),
        "intermediate_size": shapes[f"{layer.format(0)}{inner}"][0],
        "hidden_act": "gelu" if joined or part.open_clip else "quick_gelu",
        "projection_dim": projected_width(shapes) if projected else width,
        "layer_norm_eps": 1e-5,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


def _t5(shapes: Shapes) -> dict[str, Any]:
    """The configuration of a T5 1.1 encoder, whose feed-forward part is gated."""
    table = "shared.weight" if "shared.weight" in shapes else "encoder.embed_tokens.weight"
    first = "encoder.block.0.layer.0.SelfAttention"
    heads = shapes[f"{first}.relative_attention_bias.weight"][1]
    return {
        "vocab_size": shapes[table][0],
        "d_model": shapes[table][1],
        "num_layers": count(shapes, "encoder.block.{}."),
        "num_heads": heads,
        "d_kv": shapes[f"{first}.q.weight"][0] // heads,
        "d_ff": shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }


def recall(path: Path) -> Given:
    """What is remembered about a file; nothing if it has changed or the note is damaged."""
    try:
        found = json.loads(_note(path).read_text("utf-8"))
        if not isinstance(found, dict) or found.get("file") != _state(path):
            return NOTHING_GIVEN
    except (OSError, ValueError):
        return NOTHING_GIVEN
    components, prediction = found.get("components"), found.get("prediction")
    return Given(
        Path(components) if isinstance(components, str) else None,
        prediction if prediction in (EPSILON, VELOCITY) else "",
        TRIED if found.get("told_by") == TRIED else EARLIER,
    )


def remember(path: Path, given: Given) -> None:
    """Remember what was given for a file until it changes. Raises TiError."""
    if given in (NOTHING_GIVEN, recall(path)):
        return
    note = _note(path)
    make_folder(note.parent)
    document = {
        "file": _state(path),
        "components": str(given.components) if given.components else None,
        "prediction": given.prediction,
        "told_by": given.told_by,
    }
    write_file(note, json.dumps(document).encode(), replace=True)


def _note(path: Path) -> Path:
    name = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    return places().config.parent / "single-files" / f"{name}.json"


def _state(path: Path) -> list[Any]:
    known = path.stat()
    return [str(path.absolute()), known.st_size, known.st_mtime_ns]
