"""A single file as a usable model: every part found in it, with `ti`, or in a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticli.errors import ModelUnavailable, NotFound
from ticli.families import FAMILIES
from ticli.families.family import EncoderPart, Family
from ticli.models.folder import ModelSource, from_configurations, read_json, weights
from ticli.models.single_files import configurations
from ticli.models.single_files.recognising import (
    NOTHING_GIVEN,
    T5_WORDS,
    VAE,
    VELOCITY,
    Contents,
    Given,
    Layout,
    SingleFile,
    Text,
    read_contents,
    recognise,
    stated_prediction,
    told_prediction,
)

# Latents' scale and shift (2112.10752, 2307.01952, 2403.03206, and Flux.1's published one).
SCALES: Mapping[str, tuple[float, float | None]] = {
    "sd1": (0.18215, None),
    "sd2": (0.18215, None),
    "sdxl": (0.13025, None),
    "sd3": (1.5305, 0.0609),
    "flux": (0.3611, 0.1159),
}
# Latents a side that the models were trained at; Stable Diffusion 2 has two, one per prediction.
SIDES = {"sd1": 64, "sd2": 64, "sdxl": 128}
SIDE_OF_VELOCITY = 96
# ViT-H has 24 layers and the last one is not read; files made of folders have 23.
LAYERS_READ = {"sd2": 23}
WORDS = 49_408
# OpenCLIP pads with "!", the first word.
PAD, OPEN_CLIP_PAD = "<|endoftext|>", "!"


@dataclass(frozen=True)
class Opened:
    """A recognised file: its contents, layout and the prefix of its denoiser's keys."""

    name: str
    contents: Contents
    layout: Layout
    denoiser: str
    components: Path | None

    @property
    def family(self) -> Family:
        return FAMILIES[self.layout.family]

    def prefix_of(self, text: Text) -> str | None:
        """How the keys of a text encoder begin, if the file holds it."""
        names = [f"{inner}{word}" for inner in ("", "text_model.") for word in text.words]
        found = any(f"{text.prefix}{name}" in self.contents.entries for name in names)
        return text.prefix if found else None


def open_single_file(path: Path, given: Given = NOTHING_GIVEN) -> ModelSource:
    """Recognise a file of weights and find the parts that it lacks. The id is its absolute path.

    Raises ModelUnavailable where it is no model that `ti` knows or parts are missing, NotFound
    where there is no folder of components.
    """
    name = str(path.absolute())
    if given.components is not None and not given.components.is_dir():
        raise NotFound(
            f"no folder {str(given.components)!r}", "--components takes a diffusers folder"
        )
    contents = read_contents(path, name)
    layout, prefix = recognise(contents, name)
    components = given.components.absolute() if given.components else None
    opened = Opened(name, contents, layout, prefix, components)
    prediction, told_by = told_prediction(contents, layout.family, given)
    prefixes = _prefixes(opened)
    single = SingleFile(
        path=path.absolute(),
        configurations={},
        prefixes=prefixes,
        pads=_pads(opened, prefixes),
        components=components,
        prediction=prediction,
        told_by=told_by,
        stated=stated_prediction(contents)[0],
    )
    single = replace(single, absent=_absent(opened, single))
    _check_parts(opened, single)
    try:
        found = _configurations(opened, single)
    except (KeyError, IndexError, StopIteration, ValueError) as error:
        raise ModelUnavailable(
            f"{name} looks like a {layout.family} model, and has no tensor {error}",
            "download the file again, or give the model's folder",
        ) from error
    single = replace(single, configurations=found)
    parts = {part: found[part] for part in found if part != "scheduler"}
    return replace(
        from_configurations(opened.family, parts, name),
        folder=path.absolute(),
        license=contents.metadata.get("modelspec.license", ""),
        single=single,
    )


def _prefixes(opened: Opened) -> dict[str, str]:
    found = {opened.family.denoiser[0]: opened.denoiser}
    for text in opened.layout.texts:
        prefix = opened.prefix_of(text)
        if prefix is not None:
            found[text.folder] = prefix
    for prefix in (VAE, "vae."):
        if f"{prefix}decoder.conv_in.weight" in opened.contents.entries:
            found["vae"] = prefix
    return found


def _pads(opened: Opened, prefixes: Mapping[str, str]) -> dict[str, str]:
    """The padding of each CLIP's tokenizer that is taken from `ti`.

    An encoder of the components' brings its own; tokenizers of other kinds do not come with `ti`.
    """
    return {
        part.tokenizer: PAD if part.key == "clip_l" else OPEN_CLIP_PAD
        for part in opened.family.encoders
        if part.kind == "clip"
        and (part.folder in prefixes or not _has_folder(opened, part.tokenizer))
    }


def _has_folder(opened: Opened, part: str) -> bool:
    return opened.components is not None and (opened.components / part).is_dir()


def _encoders(opened: Opened, single: SingleFile) -> list[EncoderPart]:
    """The text encoders that the model will have; optional ones only where they are at hand."""
    return [
        part
        for part in opened.family.encoders
        if not part.optional or single.holds(part.folder) or _has_folder(opened, part.folder)
    ]


def _absent(opened: Opened, single: SingleFile) -> tuple[str, ...]:
    """The folders of the text encoders that the model will do without."""
    there = _encoders(opened, single)
    return tuple(part.folder for part in opened.family.encoders if part not in there)


def _check_parts(opened: Opened, single: SingleFile) -> None:
    """Refuse a model of which parts lie nowhere. Raises ModelUnavailable naming them."""
    wanted = [opened.family.denoiser[0], "vae"]
    for encoder in _encoders(opened, single):
        wanted += [encoder.folder, encoder.tokenizer]
    if opened.layout.family == "sana":
        wanted.append("scheduler")
    at_hand = {*single.prefixes, *single.pads}
    missing = [p for p in wanted if p not in at_hand and not _has_folder(opened, p)]
    if missing:
        where = f", nor has {opened.components}" if opened.components else ""
        raise ModelUnavailable(
            f"{opened.name} is a {opened.layout.family} file without {', '.join(missing)}{where}",
            "give a folder of the same model that has them: --components DIR"
            if not opened.layout.plain
            else "give the complete checkpoint of the model",
            missing=missing,
        )
    for part in wanted:
        if part not in at_hand and not part.startswith(("tokenizer", "scheduler")):
            weights(single.place(part), opened.name)


def _configurations(opened: Opened, single: SingleFile) -> dict[str, dict[str, Any]]:
    """The configuration of every part, and of the noise schedule."""
    found = {opened.family.denoiser[0]: _denoiser(opened, single)}
    for part in ("vae", *(encoder.folder for encoder in _encoders(opened, single))):
        if not single.holds(part):
            found[part] = read_json(single.place(part) / "config.json", opened.name)
    if single.holds("vae"):
        shapes = opened.contents.under(single.prefixes["vae"])
        found["vae"] = configurations.vae(shapes, *SCALES[opened.layout.family])
    for text in opened.layout.texts:
        if single.holds(text.folder):
            found[text.folder] = _text(opened, text, single.prefixes[text.folder])
            if text.words != T5_WORDS:
                _check_words(opened.name, found[text.folder]["vocab_size"])
    return found | {"scheduler": _schedule(opened, single)}


def _text(opened: Opened, text: Text, prefix: str) -> dict[str, Any]:
    shapes = opened.contents.under(prefix)
    if text.words == T5_WORDS:
        return configurations.t5(shapes)
    if text.open_clip:
        return configurations.open_clip(shapes, LAYERS_READ.get(opened.layout.family))
    # Some versions of transformers have one more word before most keys.
    found = configurations.clip({k.removeprefix("text_model."): v for k, v in shapes.items()})
    return found | ({"hidden_act": "gelu"} if text.folder == "text_encoder_2" else {})


def _check_words(name: str, words: int) -> None:
    """Refuse a text encoder that has not CLIP's vocabulary. Raises ModelUnavailable."""
    if words < WORDS:
        raise ModelUnavailable(
            f"{name} has a text encoder of {words:,} words, and CLIP's vocabulary has {WORDS:,}",
            "give the model's folder, which has its own vocabulary",
        )


def _denoiser(opened: Opened, single: SingleFile) -> dict[str, Any]:
    family, shapes = opened.layout.family, opened.contents.under(opened.denoiser)
    if family == "sana":
        return read_json(single.place("transformer") / "config.json", opened.name)
    if family in configurations.CONFIGURATIONS:
        return configurations.CONFIGURATIONS[family](shapes)
    side = SIDES[family]
    if family == "sd2" and single.prediction == VELOCITY:
        side = SIDE_OF_VELOCITY
    texts = {text.folder: prefix for text, prefix in _texts(opened)}
    if "text_encoder_2" in texts:
        text = opened.contents.under(texts["text_encoder_2"])
        shapes["text"] = (configurations.projected_width(text),)
    return configurations.unet(shapes, family, side)


def _texts(opened: Opened) -> list[tuple[Text, str]]:
    found = [(text, opened.prefix_of(text)) for text in opened.layout.texts]
    return [(text, prefix) for text, prefix in found if prefix is not None]


def _schedule(opened: Opened, single: SingleFile) -> dict[str, Any]:
    family = opened.layout.family
    if family not in (*configurations.SCHEDULES, *SIDES):
        path = single.place("scheduler") / "scheduler_config.json"
        return read_json(path, opened.name)
    if family in configurations.SCHEDULES:
        return configurations.SCHEDULES[family](opened.contents.under(opened.denoiser))
    ending = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return {
        **configurations.NOISE,
        "prediction_type": single.prediction or VELOCITY,
        **(ending if "ztsnr" in opened.contents.entries else {}),
    }
