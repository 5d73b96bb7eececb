"""Pictures drawn one at a time from noise that only the seed decides."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from ticli.concept import Embedding
from ticli.durable import make_folder
from ticli.errors import DeviceFailed, Usage
from ticli.families.family import Conditioning
from ticli.generation.picture_plan import Drawing, Plan, Planned, Wanted, settle
from ticli.generation.pictures import Engine, Sheet, describe, png_bytes, write_picture
from ticli.generation.prompts import ResolvedPrompt
from ticli.models.hardware import Hardware
from ticli.models.memory import memory_explained, with_less
from ticli.models.model import Model, Rows, load_text
from ticli.models.samplers import make_sampler
from ticli.models.single_files.probing import settle_prediction
from ticli.models.text_encoder import Tokenised

# Pictures from noise, through the diffusers pipeline of a model's family.

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Brush:
    """How pictures are painted: sampler, steps and guidance.

    `generator` feeds samplers that add noise on their way.
    """

    sampler: str
    steps: int
    guidance: float
    generator: torch.Generator | None = None


def condition_pair(
    model: Model, tokenised: Sequence[Mapping[str, Tokenised]], rows: Rows, *, negative: bool
) -> Conditioning:
    """What the denoiser reads of two prompts, the negative one first; rows as in Model.condition.

    Where no `negative` prompt was given, its place has what the model's own pipeline puts there:
    an encoded prompt of no words, or zeros.
    """
    pair = model.condition(tokenised, rows)
    return pair if negative or not model.source.zeroed_negative else pair.first_zeroed()


def blank(model: Model, pipeline: Any, size: tuple[int, int], generator: torch.Generator) -> Any:
    """Noise for one picture of a size (width, height) in pixels: (1, channels, h, w), float32.

    Drawn in float32 whatever the precision: half precision draws other numbers.
    """
    grain = pipeline.vae_scale_factor
    shape = (1, model.channels, size[1] // grain, size[0] // grain)
    return torch.randn(shape, generator=generator)


def paint(
    model: Model, pipeline: Any, pair: Conditioning, noise: torch.Tensor, brush: Brush
) -> Pixels:
    """Paint a picture of each noise, (pictures, height, width, 3) in [0, 1].

    `pair` is of two prompts, the negative one first. `pipeline` comes from the model; a watermark
    that it would put on its pictures is put on these. Where memory runs out they are begun anew
    with less of it, as the model tells.
    """
    generator = brush.generator
    state = None if generator is None else generator.get_state()

    def begin() -> Pixels:
        if generator is not None and state is not None:
            generator.set_state(state)
        return _painted(model, pipeline, pair, noise, brush)

    return with_less(model, 1, begin)


def _painted(
    model: Model, pipeline: Any, pair: Conditioning, noise: torch.Tensor, brush: Brush
) -> Pixels:
    height, width = noise.shape[-2:]
    grain = pipeline.vae_scale_factor
    # Fresh for each call: samplers of several steps remember what they saw last.
    pipeline.scheduler = make_sampler(brush.sampler, model.noise_schedule)
    with torch.no_grad():
        repeated = pair.repeated(len(noise))
        packed = pipeline(
            **model.family.arguments(
                repeated, noise.to(model.device, pair.hidden.dtype), brush.guidance
            ),
            generator=brush.generator,
            num_inference_steps=brush.steps,
            width=width * grain,
            height=height * grain,
            output_type="latent",
        ).images
        decoded = model.decode(pipeline.vae, model.family.unpack(packed, height, width))
        if getattr(pipeline, "watermark", None) is not None:
            decoded = pipeline.watermark.apply_watermark(decoded)
        pixels: Pixels = pipeline.image_processor.postprocess(decoded, output_type="np")
    return pixels


@dataclass(frozen=True)
class Encoded:
    """A prompt as the denoiser reads it: `conditioning` is of two, the negative one first.

    `cut` is the text of both prompts that fell outside an encoder's window.
    """

    conditioning: Conditioning
    cut: tuple[str, ...]

    @property
    def hidden(self) -> torch.Tensor:
        """The vectors of both prompts, (2, tokens, width)."""
        return self.conditioning.hidden


@dataclass(frozen=True)
class Picture:
    """One finished picture; `index` counts from 0 over the call, `seconds` is what it took."""

    image: Image.Image
    seed: int
    index: int
    seconds: float


def place_rows(embeddings: Mapping[str, Embedding]) -> Rows:
    """Turn the embeddings of the concepts, by name, into the tensors a model takes."""
    return {
        name: {key: torch.from_numpy(rows.copy()) for key, rows in embedding.rows.items()}
        for name, embedding in embeddings.items()
    }


def encode(model: Model, prompt: ResolvedPrompt, rows: Rows) -> Encoded:
    """Encode a prompt beside its negative one.

    Raises Usage naming the limit where a vector of a concept falls outside the window, since the
    concept would then be drawn wrongly.
    """
    vectors = {concept.name: concept.vectors for concept in prompt.concepts}
    tokenised = [
        model.tokenise(prompt.negative_used, vectors, negative=True),
        model.tokenise(prompt.used, vectors),
    ]
    for text in tokenised:
        for encoder, tokens in text.items():
            if tokens.lost:
                raise _lost(prompt, tokens, model.source.room(encoder))
    with torch.no_grad(), _memory():
        given = bool(prompt.negative_used)
        conditioning = condition_pair(model, tokenised, rows, negative=given)
    cut = dict.fromkeys(tokens.cut for text in tokenised for tokens in text.values() if tokens.cut)
    return Encoded(conditioning, tuple(cut))


def draw(
    model: Model, pictures: Sequence[tuple[Encoded, int]], drawing: Drawing
) -> Iterator[Picture]:
    """Draw one picture for each (encoded prompt, seed), each the same as if drawn alone.

    All noise comes from a generator on the CPU, so that every device starts from the same. Raises
    DeviceFailed where memory is short or half precision breaks down.
    """
    sampler = make_sampler(drawing.sampler, model.noise_schedule)
    with _memory(), model.pipeline(sampler) as pipeline:
        for index, (encoded, seed) in enumerate(pictures):
            began = time.monotonic()
            generator = torch.Generator("cpu").manual_seed(seed)
            noise = blank(model, pipeline, (drawing.width, drawing.height), generator)
            brush = Brush(drawing.sampler, drawing.steps, drawing.guidance, generator)
            (pixels,) = paint(model, pipeline, encoded.conditioning, noise, brush)
            yield Picture(_image(pixels, model), seed, index, time.monotonic() - began)


def _memory() -> AbstractContextManager[None]:
    return memory_explained(
        "the device ran out of memory",
        "take a smaller --size, --dtype fp16 on a GPU, or --device cpu",
    )


def _image(pixels: Pixels, model: Model) -> Image.Image:
    """Turn (height, width, 3) in [0, 1] into a picture."""
    if not np.isfinite(pixels).all():
        raise DeviceFailed(
            f"the picture came out as numbers that are not finite on {model.hardware.describe()}",
            "a concept of the prompt may be far too large: ti show NAME gives its norms"
            if model.hardware.dtype is torch.float32
            else "try again with --dtype fp32",
        )
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def _lost(prompt: ResolvedPrompt, tokens: Tokenised, room: int) -> Usage:
    names = {concept.name: concept.token for concept in prompt.concepts}
    tokens_lost = ", ".join(names[name] for name in tokens.lost)
    return Usage(
        f"{tokens_lost} falls outside the {room} tokens that the model reads",
        "move it nearer to the start, or shorten the prompt",
        prompt=prompt.typed,
    )


# One picture of a word that is still being learned.


def draw_preview(model: Model, prompt: str, rows: Rows, seed: int) -> Image.Image:
    """Draw `prompt` with the vectors as they are, with the model's defaults.

    The VAE is loaded for it and leaves again; nothing random is drawn but from `seed`, so that a
    run with previews learns the same bits. Raises DeviceFailed.
    """
    vectors = {name: len(next(iter(keys.values()))) for name, keys in rows.items()}
    tokenised = [model.tokenise("", vectors, negative=True), model.tokenise(prompt, vectors)]
    with torch.no_grad():
        conditioning = condition_pair(model, tokenised, rows, negative=False)
        drawing = settle(Wanted(), model.source)
        (picture,) = draw(model, [(Encoded(conditioning, ()), seed)], drawing)
    return picture.image


# A plan carried out: the model loaded, then pictures drawn and written one after the other.

FOLDER_MODE = 0o777


@dataclass(frozen=True)
class Studio:
    """A plan with its model loaded and every prompt encoded, in the plan's order."""

    plan: Plan
    model: Model
    engine: Engine
    encoded: tuple[Encoded, ...]


@dataclass(frozen=True)
class Made:
    """One finished file: where it went, or its bytes where it goes to standard output.

    `sheet` marks the sheet of all pictures, whose `planned` is the first of them.
    """

    planned: Planned
    shown: str
    data: bytes
    width: int
    height: int
    seconds: float
    sheet: bool = False


def prepare(
    plan: Plan, hardware: Hardware, tell: Callable[[str], None] = lambda text: None
) -> Studio:
    """Make the folder, load the model and encode every prompt.

    What was found out about a model that does not say what it predicts, and later what is given up
    for memory, is told to `tell`.
    Raises TiError where the folder cannot be made, ModelUnavailable, DeviceFailed, and Usage where
    a concept falls outside the encoder's window.
    """
    if plan.place is not None:
        make_folder(plan.place.folder, FOLDER_MODE)
    model = load_text(plan.choice.source, hardware)
    model.tell = tell
    rows = place_rows(plan.embeddings)
    encoded: dict[tuple[str, str], Encoded] = {}
    for prompt in (item.prompt for item in plan.pictures):
        if _key(prompt) not in encoded:
            encoded[_key(prompt)] = encode(model, prompt, rows)
    # Large encoders and the denoiser need not be in memory together.
    model.release_encoders()
    model.load_denoiser()
    found = settle_prediction(model)
    if found:
        tell(found)
    in_order = tuple(encoded[_key(item.prompt)] for item in plan.pictures)
    return Studio(plan, model, _engine(plan, hardware), in_order)


def cut_texts(studio: Studio) -> list[str]:
    """The words that the model does not read because a prompt is too long, each once."""
    return list(dict.fromkeys(text for encoded in studio.encoded for text in encoded.cut))


def make(studio: Studio) -> Iterator[Made]:
    """Draw and write the plan's pictures, yielding each as soon as it is safe on the disk.

    The sheet, where one is wanted, comes last. Raises DeviceFailed, Conflict and TiError.
    """
    plan = studio.plan
    seeds = [item.seed for item in plan.pictures]
    sheet = Sheet(len(seeds), plan.drawing) if plan.grid else None
    seconds = 0.0
    jobs = list(zip(studio.encoded, seeds, strict=True))
    for planned, picture in zip(plan.pictures, draw(studio.model, jobs, plan.drawing), strict=True):
        seconds += picture.seconds
        if sheet is not None:
            sheet.add(picture.image)
        yield _finished(studio, planned, picture)
    if sheet is not None and plan.grid is not None and plan.place is not None:
        image = sheet.image
        target = write_picture(png_bytes(image), plan.grid, plan.place, force=plan.force)
        size = image.width, image.height
        yield Made(plan.pictures[0], target.shown, b"", *size, seconds, sheet=True)


def _key(prompt: ResolvedPrompt) -> tuple[str, str]:
    return prompt.used, prompt.negative_used


def _finished(studio: Studio, planned: Planned, picture: Picture) -> Made:
    plan, image = studio.plan, picture.image
    description = describe(planned.prompt, picture.seed, plan.drawing, studio.engine)
    data = png_bytes(image, description)
    if planned.target is None or plan.place is None:
        return Made(planned, "-", data, image.width, image.height, picture.seconds)
    target = write_picture(data, planned.target, plan.place, force=plan.force)
    return Made(planned, target.shown, b"", image.width, image.height, picture.seconds)


def _engine(plan: Plan, hardware: Hardware) -> Engine:
    device, _, dtype = hardware.describe().partition(" ")
    versions = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "diffusers": str(diffusers.__version__),
    }
    choice = plan.choice
    return Engine(choice.source, choice.fingerprint, device, dtype.strip("()"), versions)
