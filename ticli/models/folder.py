"""What a folder in the diffusers layout holds: family, widths, windows, sizes and licence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.errors import Conflict, ModelUnavailable, NotFound
from ticli.families import FAMILIES, fits, model_in_words
from ticli.families.family import KINDS, EncoderPart, Family
from ticli.models.sentencepiece import FILE, has_sentencepiece_only, read_vocabulary

if TYPE_CHECKING:
    from ticli.concept import Concept
    from ticli.models.single_files.recognising import SingleFile

PICKLED = "the download is incomplete, or the model has only pickled weights, which are never read"
AGAIN = "download the model again"


def weights(part: Path, name: str) -> tuple[list[Path], str | None]:
    """The files of a part's weights, and the diffusers variant ("fp16" or None).

    Raises ModelUnavailable if any is missing; pickled weights are never read.
    """
    file, variant = choose_weights(part.name, name, lambda file: (part / file).is_file())
    if file.endswith(".json"):
        return _shards(part / file, name), variant
    return [part / file], variant


def choose_weights(part: str, name: str, has: Callable[[str], bool]) -> tuple[str, str | None]:
    """The file of a part's weights or of their index, and the variant. Raises ModelUnavailable."""
    # Text encoders are saved by transformers.
    stem = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
    # No variant first: those are the weights the model's authors meant.
    for variant in (None, "fp16", "bf16"):
        dotted = f".{variant}" if variant else ""
        for file in (f"{stem}{dotted}.safetensors", f"{stem}.safetensors.index{dotted}.json"):
            if has(file):
                return file, variant
    raise ModelUnavailable(f"{name} has no {part}/{stem}.safetensors", PICKLED)


def _shards(index: Path, name: str) -> list[Path]:
    try:
        named = sorted({str(file) for file in read_json(index, name)["weight_map"].values()})
    except (KeyError, AttributeError) as error:
        raise ModelUnavailable(f"{index} does not say where the weights are", AGAIN) from error
    files = [index.parent / file for file in named]
    for file in files:
        if Path(file.name) != file.relative_to(index.parent) or not file.is_file():
            raise ModelUnavailable(f"{name} has no {index.parent.name}/{file.name}", PICKLED)
    return files


def place_of(name: str) -> Path:
    """A name as a path; ~ is the home folder, unless no such user has one."""
    with suppress(RuntimeError):
        return Path(name).expanduser()
    return Path(name)


def names_part(index: Mapping[str, object], part: str) -> bool:
    """Whether a model_index.json names a part; [null, null] means that it was left out."""
    entry = index.get(part)
    return isinstance(entry, list) and bool(entry and entry[0])


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Read one JSON object of a model. Raises ModelUnavailable."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelUnavailable(
            f"{name} is not a model: it has no {path.name} in {path.parent}",
            "give a folder in the diffusers layout, the one that holds model_index.json",
        ) from None
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}", AGAIN) from error
    if not isinstance(document, dict):
        raise ModelUnavailable(f"{path} holds no settings", AGAIN)
    return document


# Up to this side of latents a U-Net's whole attention map, 32⁴ numbers a head, is small.
SMALL_SIDE = 32
# The setting of a model_index.json that replaces an absent negative prompt with zeros.
ZEROED = "force_zeros_for_empty_prompt"


@dataclass(frozen=True)
class ModelSource:
    """A usable model. `id` is "starter", an absolute folder or file, or a hub id.

    `widths` and `windows` give, for each text encoder, the width of its vectors and how many
    tokens it reads, start and end included. `size` is the model's own pixels a side; sides are
    multiples of `grain`. `defaults` are the sampler, steps and guidance it draws well with.
    `zeroed_negative` means that zeros, not an empty prompt, replace a missing negative prompt.
    `single` describes a model in one file.
    """

    id: str
    folder: Path
    family: str
    widths: Mapping[str, int]
    windows: Mapping[str, int]
    size: int
    grain: int
    defaults: tuple[str, int, float]
    reads_negative: bool
    revision: str = ""
    license: str = ""
    safety_checker: bool = False
    zeroed_negative: bool = False
    single: SingleFile | None = None

    def place(self, part: str) -> Path:
        """The folder of a part; for a model in one file, of a part that the file does not hold."""
        return self.single.place(part) if self.single else self.folder / part

    @property
    def is_starter(self) -> bool:
        return self.id == "starter"

    @property
    def has_small_maps(self) -> bool:
        """Whether it is a U-Net whose largest attention map is small."""
        unet = FAMILIES[self.family].denoiser[1] == "UNet2DConditionModel"
        return unet and self.size // self.grain <= SMALL_SIDE

    def room(self, encoder: str) -> int:
        """How many tokens of a prompt an encoder reads, without its start and end."""
        (part,) = (part for part in FAMILIES[self.family].encoders if part.key == encoder)
        kind = KINDS[part.kind]
        return self.windows[encoder] - kind.start - kind.end

    def misfit(self, concept: Concept) -> str:
        """Why a concept's vectors do not belong in this model, both sides named; "" if they do."""
        base = concept.base
        if fits(base.family, concept.widths, self.family, self.widths):
            return ""
        learned = model_in_words(base.family, concept.widths)
        learned = f"was learned on {base.id} ({learned})" if base.id else f"is for {learned}"
        here = model_in_words(self.family, self.widths)
        name = "the starter" if self.is_starter else self.id
        return f"{concept.token} {learned}, and {name} is {here}"

    @property
    def is_untold(self) -> bool:
        """Whether nothing says what it predicts, which also decides its size."""
        return self.single is not None and not self.single.prediction

    @property
    def remarks(self) -> list[str]:
        """What a user should know before using it."""
        return self.single.remarks if self.single else []

    def describe(self) -> str:
        """The id, with the version of a starter or the commit of a hub model."""
        return f"{self.id} {self.revision[:8]}".strip()


def identify(folder: Path, name: str, revision: str) -> ModelSource:
    """Read a diffusers folder's configuration. Raises ModelUnavailable saying what is missing."""
    index = read_json(folder / "model_index.json", name)
    family = _family(index, folder, name)
    parts = weighty_parts(index, family)
    for part in parts:
        weights(folder / part, name)
    configurations = {part: read_json(folder / part / "config.json", name) for part in parts}
    return replace(
        from_configurations(family, configurations, name),
        folder=folder,
        revision=revision,
        license=_license(folder),
        safety_checker=names_part(index, "safety_checker"),
        zeroed_negative=family.zeroed and bool(index.get(ZEROED, True)),
    )


def from_configurations(
    family: Family, configurations: Mapping[str, Mapping[str, Any]], name: str
) -> ModelSource:
    """Read a model from the configurations of its parts, with the text encoders that are there.

    Raises ModelUnavailable if a setting is missing, or if the parts do not fit together.
    """
    texts = {p.key: configurations[p.folder] for p in family.encoders if p.folder in configurations}
    vae = configurations["vae"]
    try:
        details = family.details(configurations[family.denoiser[0]])
        widths = {
            key: int(text["d_model"] if "d_model" in text else text["hidden_size"])
            for key, text in texts.items()
        }
        windows = {
            part.key: details.windows.get(part.key, part.window)
            or int(texts[part.key]["max_position_embeddings"])
            for part in family.encoders
            if part.key in texts
        }
        # Each block of a VAE but the last halves the picture.
        blocks = vae.get("encoder_block_out_channels") or vae["block_out_channels"]
        pixels = int(2 ** (len(blocks) - 1))
        given = int(vae["latent_channels"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelUnavailable(f"{name} has a configuration without {error}", AGAIN) from error
    if details.channels != given:
        raise ModelUnavailable(
            f"{name} reads {details.channels} channels, but its VAE gives {given}: it is made for "
            "inpainting or editing",
            "use the plain model of the same family",
        )
    return ModelSource(
        id=name,
        folder=Path(name),
        family=family.name,
        widths=widths,
        windows=windows,
        size=details.side * pixels,
        grain=pixels * family.patch,
        defaults=details.defaults,
        reads_negative=details.reads_negative,
        zeroed_negative=family.zeroed,
    )


def configuration(source: ModelSource, part: str, file: str = "config.json") -> dict[str, Any]:
    """The settings of a part, from its file or a single file. Raises ModelUnavailable."""
    if source.single:
        return dict(source.single.configurations[part])
    return read_json(source.folder / part / file, source.id)


def encoder_parts(source: ModelSource) -> list[EncoderPart]:
    """The text encoders of a model, in the order of its family."""
    return [part for part in FAMILIES[source.family].encoders if part.key in source.widths]


def vocabulary(source: ModelSource) -> dict[str, int]:
    """The tokens of the first tokenizer with their ids; `</w>` marks the end of a word."""
    ids = token_ids(source, encoder_parts(source)[0])
    # SentencePiece marks where a word begins, CLIP where it ends.
    return {f"{w[1:]}</w>" if w[:1] == "▁" else w: number for w, number in ids.items()}


def token_ids(source: ModelSource, part: EncoderPart) -> dict[str, int]:
    """The tokens of an encoder's tokenizer, without those that somebody added."""
    folder = source.place(part.tokenizer)
    words: Any
    try:
        if (folder / "vocab.json").is_file():
            words = read_json(folder / "vocab.json", source.id)
        elif has_sentencepiece_only(folder):
            words = [[piece] for piece, _ in read_vocabulary(folder / FILE)[0]]
        else:
            words = read_json(folder / "tokenizer.json", source.id).get("model", {})
            words = words.get("vocab", {})
        if isinstance(words, list):
            words = {entry[0]: number for number, entry in enumerate(words)}
        return {str(word): int(number) for word, number in words.items()}
    except (LookupError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ModelUnavailable(
            f"{source.id} has no vocabulary in {folder.name}: {error}", AGAIN
        ) from error


def families_named(index: Mapping[str, Any], name: str) -> list[Family]:
    """The families whose pipeline a model_index.json names. Raises ModelUnavailable."""
    pipeline = index.get("_class_name")
    found = [family for family in FAMILIES.values() if family.pipeline == pipeline]
    if not found:
        known = ", ".join(dict.fromkeys(family.pipeline for family in FAMILIES.values()))
        raise ModelUnavailable(f"{name} is a {pipeline}, which ti cannot use", f"usable: {known}")
    return found


def _family(index: Mapping[str, Any], folder: Path, name: str) -> Family:
    found = families_named(index, name)
    if len(found) == 1:
        return found[0]
    # Where families share a pipeline, the width of the first encoder's vectors tells them apart.
    width = read_json(folder / found[0].encoders[0].folder / "config.json", name).get("hidden_size")
    return next((family for family in found if width in family.encoders[0].widths), found[0])


def weighty_parts(index: Mapping[str, Any], family: Family) -> list[str]:
    """The parts of a model that have weights; only optional encoders may be left out."""
    encoders = [p for p in family.encoders if not p.optional or names_part(index, p.folder)]
    return [*(part.folder for part in encoders), family.denoiser[0], "vae"]


def _license(folder: Path) -> str:
    """The licence a model card names: its front matter, or the starter's sentence."""
    card = folder / "README.md"
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    front = re.search(r"^license: *(\S+)", text, re.MULTILINE)
    named = re.search(r"^license_name: *(\S+)", text, re.MULTILINE)
    offered = re.search(r"offered under ([\w.-]*\w)", text)
    if front and front[1] == "other" and named:
        return named[1]
    return front[1] if front else offered[1] if offered else ""


# Where a diffusers model keeps the picture encoder that belongs to its text encoder.
FOLDER, PIXELS = "image_encoder", "preprocessor_config.json"
OWN = "model"
# CLIP's own values, for a folder that gives none (2103.00020).
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Tower:
    """A CLIP's picture half in `folder`, and the model's encoder that matches its text half.

    `text` is the folder of the text half; `size` is in pixels a side; `mean` and `spread` normalise
    pixels from 0 to 1.
    """

    part: EncoderPart
    folder: Path
    text: Path
    size: int
    mean: tuple[float, ...]
    spread: tuple[float, ...]


def find_tower(source: ModelSource, named: str) -> Tower:
    """Find the CLIP that a user named for a model: a folder, or "model" for the model's own.

    Raises NotFound, ModelUnavailable, and Conflict if its text half has another width.
    """
    clips = [part for part in FAMILIES[source.family].encoders if part.kind == "clip"]
    if named == OWN:
        return _own_tower(source, [part for part in clips if part.projected])
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise NotFound(
            f"no CLIP folder {named!r}",
            f"name a folder, or {OWN} for the model's own image encoder",
        )
    settings = read_json(folder / "config.json", named)
    text, vision = settings.get("text_config"), settings.get("vision_config")
    if not isinstance(text, dict) or not isinstance(vision, dict):
        raise ModelUnavailable(
            f"{named} is not a CLIP of text and pictures: it is {settings.get('model_type')!r}",
            "give the folder of a transformers CLIPModel",
        )
    width = text.get("hidden_size", 512)
    for part in clips:
        if source.widths[part.key] == width:
            return _tower(part, folder, folder, vision)
    widths = ", ".join(f"{source.widths[part.key]} ({part.key})" for part in clips)
    raise Conflict(
        f"{named} reads vectors of {width} numbers, and {source.id} has {widths or 'no CLIP'}",
        "give the CLIP that the model's text encoder comes from",
    )


def _own_tower(source: ModelSource, projected: list[EncoderPart]) -> Tower:
    folder = source.folder / FOLDER
    hint = "give the folder of the CLIP that its text encoder comes from, or no --warm-start"
    if not projected or not (folder / "config.json").is_file():
        raise ModelUnavailable(
            f"{source.id} has no image encoder that matches its text encoder", hint
        )
    settings = read_json(folder / "config.json", source.id)
    for part in projected:
        text = source.folder / part.folder
        own = read_json(text / "config.json", source.id)
        if own.get("projection_dim", 512) == settings.get("projection_dim", 512):
            return _tower(part, folder, text, settings)
    raise ModelUnavailable(
        f"the image encoder of {source.id} belongs to none of its text encoders", hint
    )


def _tower(part: EncoderPart, folder: Path, text: Path, vision: Mapping[str, Any]) -> Tower:
    # The settings of the pixels lie beside the weights, or where diffusers keeps them.
    places = [folder / PIXELS, folder.parent / "feature_extractor" / PIXELS]
    file = next((place for place in places if place.is_file()), None)
    pixels = read_json(file, str(folder)) if file else {}
    try:
        size = int(vision.get("image_size", 224))
        mean = tuple(float(value) for value in pixels.get("image_mean", MEAN))
        spread = tuple(float(value) for value in pixels.get("image_std", SPREAD))
        if size < 1 or len(mean) != 3 or len(spread) != 3 or not all(spread):
            raise ValueError(f"size {size}, mean {mean}, deviation {spread}")
    except (TypeError, ValueError) as error:
        raise ModelUnavailable(
            f"{folder} does not say how to prepare its pictures: {error}", AGAIN
        ) from error
    return Tower(part, folder, text, size, mean, spread)
