"""What a family of models says about itself. Importing this does not import torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Encoding:
    """One encoder's output for a batch: `hidden` is (batch, window, width).

    `pooled` (batch, width) is read at the end of each prompt if the family uses it; `mask`
    (batch, window) is 1 for the prompt's own tokens and 0 for padding.
    """

    hidden: Tensor
    pooled: Tensor | None
    mask: Tensor


@dataclass(frozen=True)
class Conditioning:
    """What the denoiser reads for a batch of prompts: `hidden` is (batch, tokens, width).

    `pooled` is (batch, width) and `mask` (batch, tokens); each is None if the family has none.
    """

    hidden: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None

    def part(self, rows: slice) -> Conditioning:
        """The conditioning of some of the prompts."""
        return self._each(lambda tensor: tensor[rows])

    def repeated(self, times: int) -> Conditioning:
        """Each prompt repeated in place, before the next one."""
        return self._each(lambda tensor: tensor.repeat_interleave(times, 0))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        pooled = None if self.pooled is None else change(self.pooled)
        mask = None if self.mask is None else change(self.mask)
        return Conditioning(change(self.hidden), pooled, mask)

    def first_zeroed(self) -> Conditioning:
        """The same with zeros for the first prompt and its pooled vector."""
        zeroed = self._each(lambda tensor: tensor.clone())
        zeroed.hidden[0] = 0
        if zeroed.pooled is not None:
            zeroed.pooled[0] = 0
        return zeroed

    def halves(self) -> tuple[Conditioning, Conditioning]:
        """The first half of the prompts and the second: negative and positive ones."""
        middle = len(self.hidden) // 2
        return self.part(slice(middle)), self.part(slice(middle, None))


Configuration = Mapping[str, Any]
# Tensors by name, as a file of weights holds them.
State = dict[str, "Tensor"]
Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class EncoderKind:
    """An architecture of text encoders, by its transformers classes.

    `projected` is the class that projects the pooled text. `tables` are the names its token table
    may have. `start` and `end` say which tokens stand around a prompt.
    """

    model: str
    tokenizer: str
    tables: tuple[str, ...]
    projected: str = ""
    start: bool = True
    end: bool = True


T5_TABLES = ("shared.weight", "encoder.embed_tokens.weight")
KINDS: Mapping[str, EncoderKind] = {
    "clip": EncoderKind(
        "CLIPTextModel", "CLIPTokenizer", ("token_embedding.weight",), "CLIPTextModelWithProjection"
    ),
    "t5": EncoderKind("T5EncoderModel", "T5TokenizerFast", T5_TABLES, start=False),
    "gemma": EncoderKind("Gemma2Model", "GemmaTokenizerFast", ("embed_tokens.weight",), end=False),
}


@dataclass(frozen=True)
class EncoderPart:
    """A text encoder as a family uses it; `folder` and `tokenizer` are its places in the model.

    `key` names its vectors in the library and in files; `aliases` are other names for it in files,
    `widths` those of published models, `prefix` how its tensors' names begin in a single file.
    `window` counts tokens, 0 for as many as the encoder has positions. `penultimate` reads the
    layer before the last, `projected` has a projection for pooled text, `pooled` wants that text.
    A `masked` encoder does not attend to padding; `lower` prompts are read in lower case.
    OpenCLIP's encoders are padded with "!" and use an exact GELU. `instruction` gives the text
    that stands before a prompt and is not passed on.
    """

    key: str
    folder: str = "text_encoder"
    kind: str = "clip"
    widths: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()
    prefix: str = ""
    window: int = 0
    penultimate: bool = False
    projected: bool = False
    pooled: bool = False
    masked: bool = False
    lower: bool = False
    optional: bool = False
    open_clip: bool = False
    instruction: Callable[[], str] | None = None

    @property
    def tokenizer(self) -> str:
        return self.folder.replace("text_encoder", "tokenizer")


# Encoders that several families share.
CLIP_L = EncoderPart("clip_l", widths=(768,))
POOLED_CLIP_G = EncoderPart(
    "clip_g",
    "text_encoder_2",
    widths=(1280,),
    penultimate=True,
    projected=True,
    pooled=True,
    open_clip=True,
)
T5 = EncoderPart("t5", kind="t5", widths=(4096,), aliases=("t5xxl",))


@dataclass(frozen=True)
class Law:
    """How noise is added to latents and what is predicted of it.

    Timesteps are whole numbers from 0 to the schedule's last. `times` turns them into the
    denoiser's input, for latents of a shape (batch, channels, height, width). `schedule` is a class
    of diffusers. `samplers` gives, by the names users know, diffusers' scheduler class and the
    settings that make it the sampler of that name.
    """

    schedule: str
    samplers: Mapping[str, tuple[str, dict[str, Any]]]
    times: Callable[[Any, Tensor, tuple[int, ...]], Tensor]
    add_noise: Callable[[Any, Tensor, Tensor, Tensor], Tensor]
    target: Callable[[Any, Tensor, Tensor, Tensor], Tensor]
    prediction: Callable[[Any], str]


@dataclass(frozen=True)
class Details:
    """What a model's own configuration decides: the side and channels of its latents.

    `defaults` are sampler, steps and guidance; `windows` replace those of the encoders;
    `reads_negative` is False if the denoiser takes guidance as a number instead.
    """

    side: int
    channels: int
    defaults: tuple[str, int, float]
    windows: Mapping[str, int] = field(default_factory=dict)
    reads_negative: bool = True


# How the names of a denoiser's tensors begin in a complete checkpoint.
DENOISER = "model.diffusion_model."


@dataclass(frozen=True)
class SingleFileLayout:
    """How a family's model lies in one file of weights, in its authors' names.

    `marks` are tensors of the denoiser and `keys` whole names that every such file has; a star
    stands for anything. `prefixes` are the beginnings that a denoiser's names may have. `state`
    renames the denoiser's tensors as diffusers does, given its configuration.

    `configuration` reads the denoiser's settings off its shapes, those of the text encoders by
    folder, and the prediction. `schedule` gives the noise schedule from the denoiser's shapes, all
    names in the file and the prediction. Where one is None it comes from the components' folder.
    `prediction` is what the family predicts, "" where only the model itself tells. `scaling` is
    the scale and shift of the latents. `layers` is how many of the text encoder's are read.
    `complete` files hold every part; others may leave all but the denoiser out.
    """

    marks: tuple[str, ...]
    state: Callable[[State, Configuration], State]
    configuration: Callable[[Shapes, Mapping[str, Shapes], str], dict[str, Any]] | None = None
    schedule: Callable[[Shapes, Collection[str], str], dict[str, Any]] | None = None
    keys: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = (DENOISER, "")
    prediction: str = "flow"
    scaling: tuple[float, float | None] = (1.0, None)
    layers: int | None = None
    complete: bool = False


def count(shapes: Shapes, pattern: str) -> int:
    """How many numbers in a row, from 0, a key with `{}` in it is there for; ends are left open."""
    number = 0
    while any(key.startswith(pattern.format(number)) for key in shapes):
        number += 1
    return number


@dataclass(frozen=True)
class Family:
    """One kind of model: its parts by their diffusers classes, and how they work together.

    `title` is its name for people, `architecture` the one ModelSpec has for it, for a size in
    pixels. `exports` gives, by program, the layout of files in which that program reads concepts of
    this family. `guessed` is False where vectors for its encoders alone do not tell the family.

    `patch` is how many latents a side the denoiser takes together. `condition` joins the
    encodings, by encoder; `denoise` calls the denoiser; `arguments` are those of the pipeline for
    a conditioning of negative, then positive prompts, noise and guidance; `unpack` undoes its own
    layout of latents, given their height and width. A `zeroed` family's pipeline takes zeros where
    no negative prompt is given, unless a model's index says otherwise.

    `left_out` are arguments of the pipeline for parts that are not used; `in_half` are settings of
    the denoiser in float16; `notes` are what a user should know of every such model.
    """

    name: str
    title: str
    pipeline: str
    encoders: tuple[EncoderPart, ...]
    denoiser: tuple[str, str]
    law: Law
    details: Callable[[Configuration], Details]
    condition: Callable[[Mapping[str, Encoding], Configuration], Conditioning]
    denoise: Callable[[Any, Tensor, Tensor, Conditioning], Tensor]
    arguments: Callable[[Conditioning, Tensor, float], dict[str, Any]]
    architecture: Callable[[int], str]
    vae: str = "AutoencoderKL"
    patch: int = 1
    unpack: Callable[[Tensor, int, int], Tensor] = lambda latents, height, width: latents
    exports: Mapping[str, str] = field(default_factory=dict)
    single_file: SingleFileLayout | None = None
    guessed: bool = True
    zeroed: bool = False
    left_out: Mapping[str, Any] = field(default_factory=dict)
    in_half: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """The encoders that its concepts have vectors for."""
        return [part.key for part in self.encoders]


def usual_details(defaults: tuple[str, int, float]) -> Callable[[Configuration], Details]:
    """Details of a family whose denoiser names the size and channels of its latents."""
    return lambda denoiser: Details(
        int(denoiser["sample_size"]), int(denoiser["in_channels"]), defaults
    )


def arguments(pair: Conditioning, noise: Tensor, guidance: float) -> dict[str, Any]:
    """Embeddings for the pipeline, which then reads no prompt; negative prompts come first."""
    negative, positive = pair.halves()
    found = {
        "prompt_embeds": positive.hidden,
        "negative_prompt_embeds": negative.hidden,
        "latents": noise,
        "guidance_scale": guidance,
    }
    if pair.pooled is not None:
        found["pooled_prompt_embeds"] = positive.pooled
        found["negative_pooled_prompt_embeds"] = negative.pooled
    if pair.mask is not None:
        found["prompt_attention_mask"] = positive.mask
        found["negative_prompt_attention_mask"] = negative.mask
    return found


# For pipelines that would clean prompts and snap sizes by themselves.
UNCHANGED = {"negative_prompt": None, "clean_caption": False, "use_resolution_binning": False}


def masked_condition(encodings: Mapping[str, Encoding], _: Configuration) -> Conditioning:
    """The one encoder's last layer, with its mask."""
    (encoding,) = encodings.values()
    return Conditioning(encoding.hidden, mask=encoding.mask)


def _add_noise(schedule: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Any:
    """z_t = √ᾱ_t · z + √(1 − ᾱ_t) · ε (2006.11239, eq. 4)."""
    return schedule.add_noise(latents, noise, timesteps)


def _target(schedule: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Any:
    """The noise (2006.11239), or √ᾱ_t · ε − √(1 − ᾱ_t) · z (2202.00512, appendix D)."""
    if schedule.config.prediction_type == "v_prediction":
        return schedule.get_velocity(latents, noise, timesteps)
    return noise


# Models that predict the noise or the velocity of a variance-preserving diffusion.
DIFFUSION = Law(
    "DDPMScheduler",
    {
        "ddim": ("DDIMScheduler", {}),
        "ddpm": ("DDPMScheduler", {}),
        "dpm++": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
        "dpm++-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        "euler": ("EulerDiscreteScheduler", {}),
        "euler-a": ("EulerAncestralDiscreteScheduler", {}),
        "heun": ("HeunDiscreteScheduler", {}),
        "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
        "unipc": ("UniPCMultistepScheduler", {}),
    },
    times=lambda schedule, timesteps, shape: timesteps,
    add_noise=_add_noise,
    target=_target,
    prediction=lambda schedule: str(schedule.config.prediction_type),
)


# Flow transformers read latents in patches of two a side; shifts are given for their number.
PATCH = 2


def _noise_levels(schedule: Any, timesteps: Tensor, shape: tuple[int, ...]) -> Any:
    """The share σ of noise at each timestep, spread as the model's own sampler spreads it.

    More of a larger picture survives the same noise, so σ = s·u / (1 + (s − 1)·u) with a shift s
    above 1 (2403.03206, eq. 23). Some models compute s from the number of patches.
    """
    config = schedule.config
    shift = config.shift
    if config.use_dynamic_shifting:
        patches = (shape[-2] // PATCH) * (shape[-1] // PATCH)
        slope = (config.max_shift - config.base_shift) / (
            config.max_image_seq_len - config.base_image_seq_len
        )
        shift = config.base_shift + slope * (patches - config.base_image_seq_len)
        if config.time_shift_type == "exponential":
            shift = math.exp(shift)
    uniform = (timesteps.float() + 1) / config.num_train_timesteps
    return shift * uniform / (1 + (shift - 1) * uniform)


def _flow_add_noise(schedule: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """z_t = (1 − σ) · z + σ · ε (2209.03003)."""
    levels: Tensor = _noise_levels(schedule, timesteps, tuple(latents.shape))
    sigma = levels.view(-1, *[1] * (latents.dim() - 1)).to(latents.dtype)
    return (1 - sigma) * latents + sigma * noise


# Models that predict the velocity of a straight path from photo to noise (rectified flow).
FLOW = Law(
    "FlowMatchEulerDiscreteScheduler",
    {
        "euler": ("FlowMatchEulerDiscreteScheduler", {}),
        "dpm++": ("DPMSolverMultistepScheduler", {"solver_order": 2}),
        "unipc": ("UniPCMultistepScheduler", {"solver_order": 2}),
    },
    times=lambda schedule, timesteps, shape: (
        _noise_levels(schedule, timesteps, shape) * schedule.config.num_train_timesteps
    ),
    add_noise=_flow_add_noise,
    # The path's velocity dz_t/dσ = ε − z.
    target=lambda schedule, latents, noise, timesteps: noise - latents,
    prediction=lambda schedule: "flow",
)
