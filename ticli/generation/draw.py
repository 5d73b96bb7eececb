"""The one place where pictures are drawn: for `ti generate`, for previews and for scores."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from ticli.concept import Embedding
from ticli.errors import DeviceFailed, Usage
from ticli.families.family import Conditioning
from ticli.generation.picture_plan import Drawing, DrawingRequest, PicturePlan, settle
from ticli.generation.pictures import Picture, describe
from ticli.models.hardware import pick_hardware
from ticli.models.memory import memory_explained, with_less
from ticli.models.model import Model, Rows, load_text
from ticli.models.samplers import make_sampler
from ticli.models.single_files.probing import settle_prediction
from ticli.names import placeholders

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Say = Callable[[str], None]


def silent(_text: str) -> None:
    """Say nothing: for callers that want no messages."""


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as the denoiser reads it: `conditioning` holds the negative prompt, then the prompt.

    `cut` lists the text of both that fell outside an encoder's window.
    """

    conditioning: Conditioning
    cut: tuple[str, ...] = ()


@dataclass(frozen=True)
class DrawingJob:
    """`count` pictures of one prompt, from one draw of noise by `seed`."""

    prompt: EncodedPrompt
    seed: int
    count: int = 1


class Studio:
    """A loaded model and the vectors of the concepts in its prompts.

    `seconds` is what the last job took.
    """

    def __init__(self, model: Model, rows: Rows) -> None:
        self.model = model
        self.rows = rows
        self.seconds = 0.0
        self._vectors = {name: len(next(iter(keys.values()))) for name, keys in rows.items()}

    def encode(self, prompt: str, negative: str = "", *, strict: bool = True) -> EncodedPrompt:
        """Encode a prompt beside its negative prompt.

        If `strict`, raises Usage for a concept with a vector outside the encoder's window, because
        it would be drawn wrongly.
        """
        model = self.model
        tokenised = [
            model.tokenise(negative, self._vectors, negative=True),
            model.tokenise(prompt, self._vectors),
        ]
        tokens = [item for text in tokenised for item in text.items()]
        for encoder, text in tokens:
            if text.lost and strict:
                typed = {token.name: token.text for token in placeholders(f"{prompt} {negative}")}
                lost = ", ".join(typed[name] for name in text.lost)
                raise Usage(
                    f"{lost} falls outside the {model.source.room(encoder)} tokens that the model "
                    f"reads in {prompt!r}",
                    "move it nearer to the start, or shorten the prompt",
                    prompt=prompt,
                )
        with torch.no_grad(), _memory():
            pair = model.condition(tokenised, self.rows)
        # Some pipelines put zeros where no negative prompt is given, others an empty prompt.
        if not negative and model.source.zeroed_negative:
            pair = pair.first_zeroed()
        return EncodedPrompt(pair, tuple(dict.fromkeys(t.cut for _, t in tokens if t.cut)))

    def draw(
        self,
        jobs: Iterable[DrawingJob],
        drawing: Drawing,
        *,
        reseed: bool = False,
        at_once: int = 1,
    ) -> Iterator[list[Image.Image]]:
        """Draw each job's pictures, yielding them when they are finished.

        All noise comes from a generator on the CPU, so that every device starts from the same. The
        noise that some samplers add goes on with it, or with `reseed` starts again from the seed.
        `at_once` pictures are drawn together. Raises DeviceFailed if memory is short or half
        precision breaks down.
        """
        model = self.model
        sampler = make_sampler(drawing.sampler, model.noise_schedule)
        with _memory(), model.pipeline(sampler) as pipeline:
            for job in jobs:
                began = time.monotonic()
                generator = torch.Generator("cpu").manual_seed(job.seed)
                noise = start_noise(model, pipeline, drawing, generator, job.count)
                if reseed:
                    generator.manual_seed(job.seed)
                pair = job.prompt.conditioning
                images = [
                    _image(pixels, model)
                    for part in torch.split(noise, at_once)
                    for pixels in paint(model, pipeline, pair, part, drawing, generator)
                ]
                self.seconds = time.monotonic() - began
                yield images


def draw_pictures(plan: PicturePlan, note: Say = silent, warn: Say = silent) -> Iterator[Picture]:
    """Load the plan's model and draw its pictures one after the other; write nothing.

    Raises ModelUnavailable, DeviceFailed, and Usage for a concept outside the encoder's window.
    """
    hardware = pick_hardware(plan.device, plan.dtype)
    note(f"{hardware.describe()}: {hardware.why}")
    model = load_text(plan.choice.source, hardware)
    model.tell = note
    studio = Studio(model, place_rows(plan.embeddings))
    encoded = {p.typed: studio.encode(p.used, p.negative_used) for p in plan.prompts}
    for text in dict.fromkeys(text for prompt in encoded.values() for text in prompt.cut):
        warn(f"the prompt is too long for the model, which does not read: {text}")
    # Large encoders and the denoiser need not be in memory together.
    model.release_encoders()
    model.load_denoiser()
    if found := settle_prediction(model):
        note(found)
    device, _, dtype = hardware.describe().partition(" ")
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    versions["diffusers"] = str(diffusers.__version__)
    machine = {"device": device, "dtype": dtype.strip("()"), "versions": versions}
    jobs = (DrawingJob(encoded[item.prompt.typed], item.seed) for item in plan.pictures)
    drawn = studio.draw(jobs, plan.drawing)
    for planned, (image,) in zip(plan.pictures, drawn, strict=True):
        yield Picture(image, planned, studio.seconds, describe(plan, planned) | machine)


def draw_preview(model: Model, prompt: str, rows: Rows, seed: int) -> Image.Image:
    """Draw `prompt` with the vectors as they are and the model's defaults.

    All that is random comes from `seed`, so that a run with previews learns the same bits. Raises
    DeviceFailed.
    """
    studio = Studio(model, rows)
    job = DrawingJob(studio.encode(prompt, strict=False), seed)
    ((image,),) = studio.draw([job], settle(DrawingRequest(), model.source))
    return image


def place_rows(embeddings: Mapping[str, Embedding]) -> Rows:
    """Turn the embeddings of concepts, by name, into the tensors a model takes."""
    return {
        name: {key: torch.from_numpy(rows.copy()) for key, rows in embedding.rows.items()}
        for name, embedding in embeddings.items()
    }


def start_noise(
    model: Model, pipeline: Any, drawing: Drawing, generator: torch.Generator, count: int = 1
) -> torch.Tensor:
    """The noise that pictures start from: (count, channels, height/grain, width/grain), float32.

    Drawn in float32 whatever the precision: half precision draws other numbers.
    """
    grain = pipeline.vae_scale_factor
    shape = (count, model.channels, drawing.height // grain, drawing.width // grain)
    return torch.randn(shape, generator=generator)


def paint(
    model: Model,
    pipeline: Any,
    pair: Conditioning,
    noise: torch.Tensor,
    drawing: Drawing,
    generator: torch.Generator | None = None,
) -> Pixels:
    """Turn each noise into a picture, (pictures, height, width, 3) in [0, 1].

    `pair` holds the negative prompt, then the prompt. `pipeline` comes from the model; its
    watermark, if any, is put on. `generator` feeds samplers that add noise. If memory runs out, the
    pictures are begun again with less of it, and the model says so.
    """
    state = None if generator is None else generator.get_state()

    def begin() -> Pixels:
        if generator is not None and state is not None:
            generator.set_state(state)
        # New for each call: samplers of several steps remember what they saw last.
        pipeline.scheduler = make_sampler(drawing.sampler, model.noise_schedule)
        with torch.no_grad():
            there = noise.to(model.device, pair.hidden.dtype)
            arguments = model.family.arguments(pair.repeated(len(noise)), there, drawing.guidance)
            packed = pipeline(
                **arguments,
                generator=generator,
                num_inference_steps=drawing.steps,
                width=drawing.width,
                height=drawing.height,
                output_type="latent",
            ).images
            latents = model.family.unpack(packed, *noise.shape[-2:])
            decoded = model.decode(pipeline.vae, latents)
            if getattr(pipeline, "watermark", None) is not None:
                decoded = pipeline.watermark.apply_watermark(decoded)
            pixels: Pixels = pipeline.image_processor.postprocess(decoded, output_type="np")
        return pixels

    return with_less(model, 1, begin)


def _memory() -> AbstractContextManager[None]:
    return memory_explained(
        "the device ran out of memory",
        "take a smaller --size, --dtype fp16 on a GPU, or --device cpu",
    )


def _image(pixels: Pixels, model: Model) -> Image.Image:
    """Turn (height, width, 3) in [0, 1] into a picture. Raises DeviceFailed."""
    if not np.isfinite(pixels).all():
        raise DeviceFailed(
            f"the picture came out as numbers that are not finite on {model.hardware.describe()}",
            "a concept of the prompt may be far too large: ti show NAME gives its norms"
            if model.hardware.dtype is torch.float32
            else "try again with --dtype fp32",
        )
    return Image.fromarray((pixels * 255).round().astype(np.uint8))
