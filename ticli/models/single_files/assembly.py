"""Open a single file as a model: each part is in the file, comes with `ti`, or is in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticli.durable import make_folder, write_file
from ticli.errors import ModelUnavailable, NotFound
from ticli.families.family import (
    KINDS,
    EncoderPart,
    Family,
    Shapes,
    SingleFileLayout,
    count,
)
from ticli.families.stable_diffusion import projected_width
from ticli.models.folder import ModelSource, from_configurations, read_json, weights
from ticli.models.single_files.recognising import (
    EARLIER,
    EPSILON,
    NOTHING_GIVEN,
    TRIED,
    VELOCITY,
    Given,
    SingleFile,
    WeightsFile,
    read_contents,
    recognise,
    stated_prediction,
    told_prediction,
)
from ticli.paths import places

VAE = "first_stage_model."
WORDS = 49_408
# OpenCLIP pads with "!", the first word.
PAD, OPEN_CLIP_PAD = "<|endoftext|>", "!"


@dataclass(frozen=True)
class RecognisedFile:
    """A file whose family is known, and the prefix of its denoiser's keys."""

    name: str
    contents: WeightsFile
    family: Family
    denoiser: str
    components: Path | None

    @property
    def layout(self) -> SingleFileLayout:
        if self.family.single_file is None:
            raise TypeError(f"{self.family.name} has no layout in a single file")
        return self.family.single_file

    def holds(self, part: EncoderPart) -> bool:
        """Whether the file holds a text encoder: its token table is there."""
        names = [
            f"{part.prefix}{inner}{table}"
            for inner in ("", "text_model.", "embeddings.", "text_model.embeddings.")
            for table in KINDS[part.kind].tables
        ]
        return bool(part.prefix) and any(name in self.contents.entries for name in names)

    def has_folder(self, part: str) -> bool:
        return self.components is not None and (self.components / part).is_dir()


def open_single_file(path: Path, given: Given = NOTHING_GIVEN) -> ModelSource:
    """Recognise a file of weights and find its missing parts. The id is its absolute path.

    Raises ModelUnavailable if it is not a model that `ti` knows or parts are missing, NotFound if
    the folder of components is.
    """
    name = str(path.absolute())
    if given.components is not None and not given.components.is_dir():
        raise NotFound(
            f"no folder {str(given.components)!r}", "--components takes a diffusers folder"
        )
    contents = read_contents(path, name)
    family, prefix = recognise(contents, name)
    components = given.components.absolute() if given.components else None
    file = RecognisedFile(name, contents, family, prefix, components)
    prediction, told_by = told_prediction(contents, file.layout, given)
    prefixes = _prefixes(file)
    encoders = [
        part
        for part in family.encoders
        if not part.optional or part.folder in prefixes or file.has_folder(part.folder)
    ]
    single = SingleFile(
        path=path.absolute(),
        configurations={},
        prefixes=prefixes,
        pads=_pads(file, prefixes),
        components=components,
        prediction=prediction,
        told_by=told_by,
        stated=stated_prediction(contents)[0],
        absent=tuple(part.folder for part in family.encoders if part not in encoders),
    )
    _check_parts(file, single, encoders)
    try:
        found = _configurations(file, single, encoders)
    except (KeyError, IndexError, StopIteration, ValueError) as error:
        raise ModelUnavailable(
            f"{name} looks like a {family.name} model, but has no tensor {error}",
            "download the file again, or give the model's folder",
        ) from error
    single = replace(single, configurations=found)
    parts = {part: found[part] for part in found if part != "scheduler"}
    return replace(
        from_configurations(family, parts, name),
        folder=path.absolute(),
        license=contents.metadata.get("modelspec.license", ""),
        single=single,
    )


def _prefixes(file: RecognisedFile) -> dict[str, str]:
    found = {file.family.denoiser[0]: file.denoiser}
    found |= {part.folder: part.prefix for part in file.family.encoders if file.holds(part)}
    for prefix in (VAE, "vae."):
        if f"{prefix}decoder.conv_in.weight" in file.contents.entries:
            found["vae"] = prefix
    return found


def _pads(file: RecognisedFile, prefixes: Mapping[str, str]) -> dict[str, str]:
    """The padding token of each CLIP's tokenizer that comes with `ti`.

    Encoders in the folder of components bring their own; other kinds do not come with `ti`.
    """
    return {
        part.tokenizer: OPEN_CLIP_PAD if part.open_clip else PAD
        for part in file.family.encoders
        if part.kind == "clip" and (part.folder in prefixes or not file.has_folder(part.tokenizer))
    }


def _check_parts(file: RecognisedFile, single: SingleFile, encoders: list[EncoderPart]) -> None:
    """Raise ModelUnavailable naming the parts that are missing."""
    wanted = [file.family.denoiser[0], "vae"]
    for encoder in encoders:
        wanted += [encoder.folder, encoder.tokenizer]
    if file.layout.schedule is None:
        wanted.append("scheduler")
    at_hand = {*single.prefixes, *single.pads}
    missing = [part for part in wanted if part not in at_hand and not file.has_folder(part)]
    if missing:
        where = f", nor has {file.components}" if file.components else ""
        raise ModelUnavailable(
            f"{file.name} is a {file.family.name} file without {', '.join(missing)}{where}",
            "give the complete checkpoint of the model"
            if file.layout.complete
            else "give a folder of the same model that has them: --components DIR",
            missing=missing,
        )
    for part in wanted:
        if part not in at_hand and not part.startswith(("tokenizer", "scheduler")):
            weights(single.place(part), file.name)


def _configurations(
    file: RecognisedFile, single: SingleFile, encoders: list[EncoderPart]
) -> dict[str, dict[str, Any]]:
    """The configuration of every part, and of the noise schedule."""
    layout, name, denoiser = file.layout, file.name, file.family.denoiser[0]
    shapes = file.contents.under(file.denoiser)
    texts = {
        part.folder: file.contents.under(part.prefix)
        for part in encoders
        if single.holds(part.folder)
    }
    if layout.configuration is None:
        found = {denoiser: read_json(single.place(denoiser) / "config.json", name)}
    else:
        found = {denoiser: layout.configuration(shapes, texts, single.prediction)}
    for folder in ("vae", *(part.folder for part in encoders)):
        if not single.holds(folder):
            found[folder] = read_json(single.place(folder) / "config.json", name)
    if single.holds("vae"):
        found["vae"] = vae(file.contents.under(single.prefixes["vae"]), *layout.scaling)
    for part in encoders:
        if part.folder in texts:
            found[part.folder] = _text(part, texts[part.folder], layout.layers)
            if part.kind == "clip":
                _check_words(name, found[part.folder]["vocab_size"])
    if layout.schedule is None:
        schedule = read_json(single.place("scheduler") / "scheduler_config.json", name)
    else:
        schedule = layout.schedule(shapes, file.contents.entries, single.prediction)
    return found | {"scheduler": schedule}


def _text(part: EncoderPart, shapes: Shapes, layers: int | None) -> dict[str, Any]:
    if part.kind == "t5":
        return t5(shapes)
    if any(key.startswith("transformer.resblocks.") for key in shapes):
        return open_clip(shapes, layers)
    # Some versions of transformers put a prefix before most keys.
    found = clip({key.removeprefix("text_model."): shape for key, shape in shapes.items()})
    return found | ({"hidden_act": "gelu"} if part.open_clip else {})


def _check_words(name: str, words: int) -> None:
    """Raise ModelUnavailable for a text encoder without CLIP's vocabulary."""
    if words < WORDS:
        raise ModelUnavailable(
            f"{name} has a text encoder with {words:,} tokens, and CLIP's vocabulary has {WORDS:,}",
            "give the model's folder, which has its own vocabulary",
        )


# Configurations of text encoders and VAEs, read off the shapes of their tensors.

# The tensors do not tell these; the models' authors published them (2112.10752).
GROUPS, HEAD_WIDTH = 32, 64


def vae(shapes: Shapes, scale: float, shift: float | None) -> dict[str, Any]:
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


def clip(shapes: Shapes) -> dict[str, Any]:
    """The configuration of a CLIP text encoder in transformers' naming: OpenAI's ViT-L."""
    words, width = shapes["embeddings.token_embedding.weight"]
    found = _clip(words, width, shapes["embeddings.position_embedding.weight"][0])
    return found | {
        "num_hidden_layers": count(shapes, "encoder.layers.{}."),
        "intermediate_size": shapes["encoder.layers.0.mlp.fc1.weight"][0],
        "hidden_act": "quick_gelu",
        "projection_dim": shapes.get("text_projection.weight", (width,))[0],
    }


def open_clip(shapes: Shapes, read: int | None) -> dict[str, Any]:
    """The same for an OpenCLIP text encoder, with at most `read` layers."""
    words, width = shapes["token_embedding.weight"]
    found = _clip(words, width, shapes["positional_embedding"][0])
    layers = count(shapes, "transformer.resblocks.{}.")
    projected = any(key.startswith("text_projection") for key in shapes)
    return found | {
        "num_hidden_layers": min(layers, read or layers),
        "intermediate_size": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "hidden_act": "gelu",
        "projection_dim": projected_width(shapes) if projected else width,
    }


def t5(shapes: Shapes) -> dict[str, Any]:
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


def _clip(words: int, width: int, positions: int) -> dict[str, Any]:
    return {
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "layer_norm_eps": 1e-5,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


# What is remembered about single files: the folder of their other parts, and their prediction.


def recall(path: Path) -> Given:
    """What is remembered about a file; nothing if it has changed or the note is damaged."""
    try:
        found = json.loads(_note(path).read_text("utf-8"))
        if not isinstance(found, dict) or found.get("file") != _state(path):
            return NOTHING_GIVEN
        components, prediction = found.get("components"), found.get("prediction")
    except (OSError, ValueError):
        return NOTHING_GIVEN
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
    document: dict[str, Any] = {
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
