"""Recipe: every knob of a training run with its unit, its range and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ticli.errors import NotFound, Usage
from ticli.names import did_you_mean

PRESETS = ("quick", "default", "thorough", "paper", "directional", "cross", "fairer")
KINDS = ("object", "style", "person")
NORMS = ("vocabulary", "free", "sphere", "pull")
INIT_FROM = ("table", "output")
CONTEXT_SETS = ("auto", "living", "things", "styles")
TIMESTEP_LAWS = ("uniform", "cubic", "logit-normal")
SCHEDULES = ("constant", "cosine", "linear", "trapezoid")
HOLD_OUT = ("auto", "never")
STOPS = ("auto", "never")
KEEPS = ("last", "best")


def _knob(default: Any, help: str, **rules: Any) -> Any:
    return field(default=default, metadata={"help": help, **rules})


@dataclass(frozen=True)
class Recipe:
    """How a word is learned. Gal et al. 2022 (arXiv 2208.01618) unless a knob says otherwise.

    Raises Usage, naming the knob and the value, where a value is out of its range.
    """

    kind: str = _knob("object", "family of neutral sentences", choices=KINDS)
    init: str = _knob("", 'word(s) to start from, "random", "mean" or "<concept>"; "" chooses')
    # Cross Initialization (2312.15905): the learned vector resembles what the encoder gives out.
    init_from: str = _knob(
        "table",
        "what the init word gives: its own vectors, or the encoder's output",
        choices=INIT_FROM,
    )
    # QuickEmbedding (ethansmith2000): first where a CLIP finds the photos; 100 steps there, and a
    # rate of 0.1 for a norm that is free.
    warm_start: str = _knob("", 'CLIP folder to find a first guess with; "model" is its own')
    warm_steps: int = _knob(100, "steps of the warm start", low=1, high=100_000)
    warm_lr: float = _knob(0.01, "learning rate of the warm start", low=1e-8, high=10.0)
    # The class word after the token, as in DreamBooth (2208.12242) and AttnDreamBooth (2406.05000).
    noun: str = _knob("auto", 'class word after the token; "auto" is the init word, "" is none')
    vectors: int = _knob(1, "vectors of the word", low=1, high=64)
    # The paper's progressive extension: 2000 steps a vector in its code.
    extend_every: int = _knob(0, "steps until each further vector joins; 0 is all at once", low=0)
    # The paper's per-image tokens: 0.25 in its code. A style is what photos share: theirs took it.
    photo_words: float = _knob(
        0.0,
        "share of sentences with a photo's own word too; -1 is 0 for styles, else 0.8",
        low=-1.0,
        high=1.0,
    )
    # DreamArtist (2211.11337): 3 to 10 vectors, and guidance of 3 to 5 inside the loss.
    negative_vectors: int = _knob(0, "vectors of a twin for negative prompts", low=0, high=64)
    negative_guidance: float = _knob(
        3.0, "guidance away from the twin in the loss", low=1.0, high=20.0
    )
    steps: int = _knob(300, "optimiser steps", low=1, high=1_000_000)
    lr: float = _knob(2e-3, "learning rate of AdamW, never scaled", low=1e-8, high=10.0)
    batch: int = _knob(4, "pictures a step", low=1, high=1024)
    accumulate: int = _knob(1, "batches a step", low=1, high=1024)
    size: int = _knob(0, "pixels a side; 0 is the model's own", low=0, high=4096)
    flip: bool = _knob(True, "mirror photos at random")
    schedule: str = _knob("cosine", "learning rate over the run", choices=SCHEDULES)
    warmup: int = _knob(0, "steps over which the learning rate rises", low=0, high=1_000_000)
    clip: float = _knob(1.0, "largest L2 norm of a step's gradient; 0 is no limit", low=0.0)
    # Directional Textual Inversion (2512.13672): large norms drown the other words of a prompt.
    norm: str = _knob("vocabulary", "hold the vocabulary's norm, or let it free", choices=NORMS)
    # A soft pull each step, as the norm priors of cloneofsimo/lora and diffusers' advanced scripts.
    norm_pull: float = _knob(0.1, 'share of the way to it a step, for "pull"', low=0.0, high=1.0)
    # The paper's von Mises-Fisher prior, its κ: 1e-4.
    prior: float = _knob(0.0, 'pull towards the start\'s direction, for "sphere"', low=0.0)
    # The paper's regularisation: closer to the class word, further from the photos. 1e-5 in Cross
    # Initialization.
    pull: float = _knob(0.0, "weight of the squared distance to the start", low=0.0)
    # CoRe's text half (2408.15914): 1.5e-4 there.
    context: float = _knob(0.0, "weight of what the word does to other words", low=0.0)
    context_set: str = _knob("auto", "sentences for that", choices=CONTEXT_SETS)
    # Colours and outlines are settled while a picture is still mostly noise (timesteps 500 to 900
    # in ZOODiP, 2503.14868); what a word learns at low noise is grain and background.
    timestep_low: int = _knob(
        -1, "least noise trained on, of 1000; -1 is 0 for styles, else 500", low=-1, high=999
    )
    timestep_high: int = _knob(1000, "most noise trained on, of 1000", low=1, high=1000)
    # T2I-Adapter's cubic law (2302.08453) and Stable Diffusion 3's logit-normal (2403.03206).
    timestep_weighting: str = _knob("uniform", "where in that range", choices=TIMESTEP_LAWS)
    # Min-SNR (2303.09556): 5 there.
    min_snr: float = _knob(0.0, "limit of the loss's weight at little noise; 0 is none", low=0.0)
    sentences: tuple[str, ...] = _knob((), "own sentences, each with {}, in place of the family's")
    # What the word is judged by while it is learned; the vectors do not depend on it.
    evaluate_every: int = _knob(0, "steps between evaluations; 0 spends a tenth", low=0)
    evaluation_timesteps: int = _knob(8, "noise levels of an evaluation", low=1, high=1000)
    hold_out: str = _knob("never", "keep one of four or more photos to judge by", choices=HOLD_OUT)
    # DVAR (2302.04841): the loss on a fixed batch stops varying long before a usual cap.
    stop: str = _knob("never", "stop once the held-out loss has settled", choices=STOPS)
    stop_window: int = _knob(10, "evaluations that must have settled", low=2, high=100_000)
    stop_ratio: float = _knob(0.15, "their variance, of all evaluations'", low=0.0, high=1.0)
    # Constant, then down to zero: the end need not be known in advance (2405.18392).
    cooldown: int = _knob(30, "last steps, over which the rate falls to zero", low=0)
    # Polynomial-decay averaging (Shamir & Zhang 2013); Karras et al. (2312.02696) choose its power.
    average: float = _knob(
        0.0, "keep the mean of about the last 1/γ of the steps; 0 keeps the last", low=0.0, high=1e3
    )
    keep: str = _knob("last", "vectors of the last step, or of the best evaluation", choices=KEEPS)
    # The cosine of CoRe's regulariser (2408.15914), used here to judge by.
    drift_limit: float = _knob(0.2, "most the prompt's other words may drift", low=0.0, high=2.0)
    restores: int = _knob(3, "times a diverging run goes back, at half the rate", low=0)
    restarts: int = _knob(
        1, "runs with seeds in a row, of which the best is kept", low=1, high=1000
    )
    init_candidates: int = _knob(150, "words that --init auto tries", low=1, high=10_000)
    # Subject masks, as in cloneofsimo/lora: what is behind the subject need not be learned.
    masks: bool = _knob(False, "weigh the loss by PHOTO.mask.png, or by transparency")
    mask_background: float = _knob(0.0, "weight of what is masked out", low=0.0, high=1.0)
    # Above 1 a mask's greys count for less, below 1 for more.
    mask_temperature: float = _knob(1.0, "power to which a mask is raised", low=0.0, high=4.0)
    captions: bool = _knob(False, "use PHOTO.txt beside each photo as its sentence")
    strict_captions: bool = _knob(False, "refuse a caption that lacks the token")

    def __post_init__(self) -> None:
        for knob in fields(self):
            _check(knob.name, getattr(self, knob.name), knob.metadata)
        if self.least_noise >= self.timestep_high:
            raise Usage(
                f"timestep_low {self.least_noise} is not below timestep_high {self.timestep_high}",
                "leave a range between them",
            )
        if -1 < self.photo_words < 0:
            raise Usage(
                f"photo_words {self.photo_words:g} is no share of the sentences",
                "give 0 to 1, or -1",
            )
        if self.extend_every * (self.vectors - 1) >= self.steps:
            raise Usage(
                f"{self.vectors} vectors, one every {self.extend_every} steps, do not come into "
                f"{self.steps} steps",
                "use more --steps, or a smaller --extend-every",
            )
        if self.prior and self.norm != "sphere":
            raise Usage(
                f"prior {self.prior:g} needs norm sphere", "give --norm sphere or --prior 0"
            )
        for sentence in self.sentences:
            if "{}" not in sentence:
                raise Usage(f"sentence {sentence!r} has no {{}}", "put {} where the token goes")

    @property
    def own_words(self) -> float:
        """The share of sentences that hold a photo's own word, where `photo_words` leaves it."""
        if self.photo_words == -1:
            return 0.0 if self.kind == "style" else 0.8
        return self.photo_words

    @property
    def least_noise(self) -> int:
        """The least noise trained on, of 1000: a style's grain is settled at little noise."""
        if self.timestep_low >= 0:
            return self.timestep_low
        return 0 if self.kind == "style" else 500

    def vectors_at(self, step: int) -> int:
        """How many vectors the word has in a step counted from 0."""
        if not self.extend_every:
            return self.vectors
        return min(self.vectors, 1 + step // self.extend_every)

    def with_texts(self, texts: Mapping[str, Any], origin: str) -> Recipe:
        """Replace knobs by values read as text, each parsed by its declared type."""
        known = {knob.name: knob for knob in fields(self)}
        values: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in known:
                raise Usage(f"{origin}: no knob named {name!r}", did_you_mean(name, known))
            values[name] = parse_value(known[name].type, text, f"{origin}: {name}")
        return replace(self, **values)

    def with_flags(self, **flags: Any) -> Recipe:
        """Replace knobs by the flags a user gave; None means not given."""
        return replace(self, **{k: v for k, v in flags.items() if v is not None})

    def as_json(self) -> dict[str, Any]:
        """Every value, lists for tuples, in declared order."""
        document = {knob.name: getattr(self, knob.name) for knob in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in document.items()}


def load_recipe(name: str) -> Recipe:
    """Load a preset by name, or a YAML file by path. Raises NotFound, BadContent and Usage."""
    from ticli.plain_text import read_mapping

    if name in PRESETS:
        path = Path(__file__).parent / "presets" / f"{name}.yaml"
    else:
        path = Path(name).expanduser()
        if not path.is_file():
            raise NotFound(
                f"no recipe named {name!r}, and no such file", did_you_mean(name, PRESETS)
            )
    return Recipe().with_texts(read_mapping(path), path.name)


def parse_value(declared: Any, text: Any, where: str) -> Any:
    """Read one value by its declared type: `010` is ten, `5e-3` a number, `no` false.

    Raises Usage naming `where`.
    """
    kind = str(declared)
    if kind.startswith("tuple"):
        if not isinstance(text, list) or not all(isinstance(item, str) for item in text):
            raise Usage(f"{where} must be a list of lines", "write each on its own line after `- `")
        return tuple(text)
    if not isinstance(text, str):
        raise Usage(f"{where} must be one value", "remove the list or mapping")
    if kind == "str":
        return text
    try:
        if kind == "int":
            return int(text, 10)
        if kind == "float":
            return float(text)
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[
            text.lower()
        ]
    except (ValueError, KeyError):
        nouns = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        raise Usage(f"{where} must be {nouns[kind]}, not {text!r}") from None


def _check(name: str, value: Any, rules: Mapping[str, Any]) -> None:
    if "choices" in rules and value not in rules["choices"]:
        raise Usage(f"{name} cannot be {value!r}", did_you_mean(str(value), rules["choices"]))
    if isinstance(value, float) and not math.isfinite(value):
        raise Usage(f"{name} must be finite, not {value}")
    if "low" in rules and value < rules["low"]:
        raise Usage(f"{name} must be at least {rules['low']}, not {value}")
    if "high" in rules and value > rules["high"]:
        raise Usage(f"{name} must be at most {rules['high']}, not {value}")
