"""Which model a file of weights is, by its keys and shapes, or what else it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import filter as filter_names
from pathlib import Path
from typing import Any

from ticli.errors import BadContent, ModelUnavailable
from ticli.families import FAMILIES
from ticli.families.family import Family, Shape, SingleFileLayout
from ticli.library.formats.tensor_file import TensorEntry, read_header

CONVERT = (
    "reading pickled weights can run any program: look for the same model as .safetensors, or "
    "have somebody you trust convert it"
)
# How other files begin: pickles in a zip, plain pickles, and llama.cpp's format.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
GGUF = b"GGUF"


@dataclass(frozen=True)
class WeightsFile:
    """A file's tensors by key, and its string metadata."""

    entries: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]

    def under(self, prefix: str) -> dict[str, Shape]:
        """The shapes of the tensors whose keys have a prefix, by the rest of their keys."""
        return {
            key.removeprefix(prefix): entry.shape
            for key, entry in self.entries.items()
            if key.startswith(prefix)
        }


def read_contents(path: Path, name: str) -> WeightsFile:
    """Read the header of a safetensors file. Raises ModelUnavailable if it is another kind."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            if start.startswith(PICKLES):
                raise ModelUnavailable(f"{name} is a pickle, which is never read", CONVERT)
            if start.startswith(GGUF):
                raise ModelUnavailable(
                    f"{name} is a quantised GGUF file, which ti cannot read",
                    "look for the same model as .safetensors",
                )

            def read(start: int, length: int) -> bytes:
                stream.seek(start)
                return stream.read(length)

            header = read_header(read, size, name)
    except BadContent as error:
        raise ModelUnavailable(error.message, "download the file again") from error
    except OSError as error:
        raise ModelUnavailable(
            f"{name} cannot be read: {error.strerror or error}", "check its permissions"
        ) from error
    return WeightsFile({entry.key: entry for entry in header.entries}, header.metadata)


FOLDER = "give the model's folder in the diffusers layout instead"
COMPLETE = "give the complete checkpoint of the model"


def recognise(contents: WeightsFile, name: str) -> tuple[Family, SingleFileLayout, str]:
    """The family of a file, its layout, and the prefix of its denoiser's keys.

    Raises ModelUnavailable that says what else the file is.
    """
    for family in FAMILIES.values():
        layout = family.single_file
        if layout is None:
            continue
        for prefix in layout.prefixes:
            marks = (*(f"{prefix}{mark}" for mark in layout.marks), *layout.keys)
            if all(filter_names(contents.entries, mark) for mark in marks):
                return family, layout, prefix
    for pattern, found, hint in OTHERS:
        if any(re.search(pattern, key) for key in contents.entries):
            raise ModelUnavailable(f"{name} is {found}", hint)
    shapes = [entry.shape for entry in contents.entries.values()]
    if 0 < len(shapes) <= 64 and all(len(shape) in (1, 2) for shape in shapes):
        raise ModelUnavailable(
            f"{name} is an embedding, not a model", "take it into the library: ti import FILE"
        )
    some = ", ".join(sorted(contents.entries)[:2]) or "nothing"
    raise ModelUnavailable(f"{name} is not a model that ti knows: it holds {some}", FOLDER)


def is_open_clip(keys: Iterable[str]) -> bool:
    """Whether a text encoder's tensors have OpenCLIP's names."""
    return any(key.startswith("transformer.resblocks.") for key in keys)


PLAIN = "ti learns concepts for plain models; use the one that it belongs to"
# From the most specific to the most general.
OTHERS = (
    (
        r"lora_(up|down|A|B|unet|te)|\.lora\.|hada_w|lokr_w|oft_blocks|\.dora_scale",
        "a LoRA, which changes a model but is not one",
        PLAIN,
    ),
    (
        r"^control_model\.|^controlnet_|input_hint_block|^control_add",
        "a ControlNet, which steers a model but is not one",
        PLAIN,
    ),
    (r"motion_modules|temporal_transformer|time_stack", "a video model", PLAIN),
    (
        r"^conditioner\.embedders\.0\.model\.",
        "a Stable Diffusion XL refiner, which learns no concepts of its own",
        "give the base model",
    ),
    (
        r"(^|\.)blocks\.0\.cross_attn\.(q_linear|kv_linear)|adaln_single\.linear",
        "a PixArt transformer without its text encoder and VAE, which ti reads from folders only",
        FOLDER,
    ),
    (
        r"^model\.diffusion_model\.|^(down_blocks|up_blocks|mid_block|input_blocks)\.",
        "a denoiser without its text encoder",
        COMPLETE,
    ),
    (
        r"^(single_)?transformer_blocks\.\d",
        "a transformer in the diffusers layout, without its configuration",
        FOLDER,
    ),
    (
        r"^(first_stage_model\.|vae\.)?(encoder|decoder)\.(down|up|mid|conv_in|stages)",
        "a VAE, which is one part of a model",
        COMPLETE,
    ),
    (
        r"^(text_model|encoder\.block|shared|transformer\.resblocks|vision_model|visual)\b",
        "a text or image encoder, which is one part of a model",
        COMPLETE,
    ),
)

# OpenAI's vocabulary, which every CLIP of these models uses.
CLIP_TOKENIZER = Path(__file__).parents[1] / "clip_tokenizer"
EPSILON, VELOCITY = "epsilon", "v_prediction"
PREDICTIONS = {"epsilon": EPSILON, "v": VELOCITY}
PREDICTION_WORDS = {EPSILON: "noise", VELOCITY: "velocity"}
UNTOLD = (
    "the model does not say whether it predicts noise, at 512 pixels, or velocity, at 768: the "
    "first run tries both, and --prediction epsilon or v settles it"
)


@dataclass(frozen=True)
class Given:
    """What was said about a single file: the folder of its other parts, and its prediction.

    `prediction` is "epsilon", "v_prediction", or "" if nothing was said; `told_by` says who said
    it: the user now or earlier, or a trial.
    """

    components: Path | None = None
    prediction: str = ""
    told_by: str = ""


NOTHING_GIVEN = Given()
# Who can tell the prediction besides the file and its family.
FLAG, EARLIER, TRIED = "--prediction", "an earlier --prediction", "trying both"


@dataclass(frozen=True)
class SingleFile:
    """A model in one file, with the `configurations` of its parts and of its noise schedule.

    `prefixes` gives the prefix of the keys of each part in the file; `pads` the padding token of
    each tokenizer that comes with `ti`. All other parts are in `components`. `prediction` is "" if
    it must be found by trying; `told_by` says where it comes from. `stated` is what the file itself
    says, if anything. `absent` are optional text encoders that the model does without.
    """

    path: Path
    configurations: Mapping[str, Mapping[str, Any]]
    prefixes: Mapping[str, str]
    pads: Mapping[str, str] = field(default_factory=dict)
    components: Path | None = None
    prediction: str = EPSILON
    told_by: str = ""
    stated: str = ""
    absent: tuple[str, ...] = ()

    @property
    def said_by_user(self) -> bool:
        """Whether the user said what it predicts."""
        return self.told_by in (FLAG, EARLIER)

    @property
    def given(self) -> Given:
        """What must be given again, or remembered, for this file to be the same model."""
        if self.told_by in (FLAG, EARLIER, TRIED):
            return Given(self.components, self.prediction, self.told_by)
        return Given(self.components)

    @property
    def remarks(self) -> list[str]:
        """What a user should know before using it."""
        found = [
            f"the model runs without its {part}, which is not in the file; --components DIR adds it"
            for part in self.absent
        ]
        if not self.prediction:
            found.append(UNTOLD)
        elif self.told_by == FLAG and self.stated not in ("", self.prediction):
            found.append(
                f"the file says that it predicts the {PREDICTION_WORDS[self.stated]}: "
                "--prediction overrides it in this command only"
            )
        return found

    def holds(self, part: str) -> bool:
        """Whether a part's weights are in the file."""
        return part in self.prefixes

    def has(self, part: str) -> bool:
        """Whether a part is in the file, comes with `ti`, or is in the folder of components."""
        return self.holds(part) or self.place(part).is_dir()

    def place(self, part: str) -> Path:
        """The folder of a part that the file does not hold."""
        if part in self.pads:
            return CLIP_TOKENIZER
        return (self.components or self.path) / part


STATED = {
    **dict.fromkeys(("epsilon", "eps"), EPSILON),
    **dict.fromkeys(("v", "v_prediction", "v-prediction"), VELOCITY),
}


def told_prediction(
    contents: WeightsFile, layout: SingleFileLayout, given: Given
) -> tuple[str, str]:
    """The prediction, and who told it: the user now, the file, the user earlier, or the family.

    Both are "" if nobody said anything and the family has models of either kind.
    """
    if given.prediction and given.told_by not in (EARLIER, TRIED):
        return given.prediction, given.told_by or FLAG
    if layout.prediction != "flow":
        stated, told_by = stated_prediction(contents)
        if stated:
            return stated, told_by
        if given.prediction:
            return given.prediction, given.told_by
    return layout.prediction, "its family" if layout.prediction else ""


def stated_prediction(contents: WeightsFile) -> tuple[str, str]:
    """What a file itself says that it predicts, and where it says so; "" twice if it does not."""
    if "v_pred" in contents.entries:
        return VELOCITY, "its key v_pred"
    stated = contents.metadata.get("modelspec.prediction_type", "").lower()
    if stated in STATED:
        return STATED[stated], "its metadata"
    architecture = contents.metadata.get("modelspec.architecture", "").lower()
    for variant, prediction in (("v2-768-v", VELOCITY), ("v2-512", EPSILON)):
        if variant in architecture:
            return prediction, "its metadata"
    return "", ""
