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
TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false"}
TYPES |= {"str": "text", "tuple": "a tuple"}
KINDS = ("object", "style", "person")
NORMS = ("vocabulary", "free", "sphere", "pull")
INIT_FROM = ("table", "output")
CONTEXT_SETS = ("auto", "living", "things", "styles")
TIMESTEP_LAWS = ("uniform", "cubic", "logit-normal")
SCHEDULES = ("constant", "cosine", "linear", "trapezoid")
HOLD_OUT = ("auto", "never")
STOPS = ("auto", "never")
KEEPS = ("last", "best")


# Where `ti invert --help` and the docs list a knob.
FIRST, METHOD, DATA, STOPPING = "Options", "Method", "Data", "Stopping"
RARE = "Rarely needed"


def _knob(default: Any, help: str, group: str = FIRST, **rules: Any) -> Any:
    """Declare a knob; flags, help pages, completions and the table in the docs are made from it.

    `rules` are `choices`, or `low` and `high`; `metavar` for the help page; `source`, the paper or
    program it comes from; `switch`, whether its flag only turns it on.
    """
    return field(default=default, metadata={"help": help, "group": group, **rules})


@dataclass(frozen=True)
class Recipe:
    """How a concept is learned. Gal et al. 2022 (arXiv 2208.01618) unless a knob says otherwise.

    Raises Usage for a value that is out of its range.
    """

    kind: str = _knob("object", "What the photos show.", choices=KINDS)
    init: str = _knob(
        "", 'Start from these words, a "<concept>", random, mean or auto.', metavar="WORDS"
    )
    init_from: str = _knob(
        "table",
        "Start at the words' own vectors, or at the encoder's output.",
        METHOD,
        choices=INIT_FROM,
        source="Cross Initialization (2312.15905)",
    )
    warm_start: str = _knob(
        "",
        "First guess by a CLIP folder, or by the model's own.",
        METHOD,
        metavar="FOLDER|model",
        source="QuickEmbedding (ethansmith2000)",
    )
    warm_steps: int = _knob(100, "Steps of the warm start.", RARE, low=1, high=100_000)
    warm_lr: float = _knob(
        0.01, "Learning rate of the warm start.", RARE, low=1e-8, high=10.0, metavar="RATE"
    )
    noun: str = _knob(
        "auto",
        "Class word beside the token; by default the init word.",
        METHOD,
        metavar="WORD",
        source="DreamBooth (2208.12242), AttnDreamBooth (2406.05000)",
    )
    vectors: int = _knob(1, "Vectors of the concept.", METHOD, low=1, high=64)
    extend_every: int = _knob(
        0,
        "Steps until each further vector joins; 0: all at once.",
        RARE,
        low=0,
        source="the paper's progressive extension; 2000 in its code",
    )
    photo_words: float = _knob(
        0.0,
        "Share of sentences with a word of the photo's own; -1: by --kind.",
        METHOD,
        low=-1.0,
        high=1.0,
        metavar="SHARE",
        source="the paper's per-image tokens; 0.25 in its code",
    )
    negative_vectors: int = _knob(
        0,
        "Vectors of a twin NAME-neg for negative prompts.",
        METHOD,
        low=0,
        high=64,
        source="DreamArtist (2211.11337); 3 to 10 there",
    )
    negative_guidance: float = _knob(
        3.0,
        "Guidance away from the twin in the loss.",
        RARE,
        low=1.0,
        high=20.0,
        metavar="SCALE",
        source="DreamArtist (2211.11337); 3 to 5 there",
    )
    steps: int = _knob(300, "Steps at most.", low=1, high=1_000_000)
    lr: float = _knob(
        2e-3, "Learning rate of AdamW, never scaled.", METHOD, low=1e-8, high=10.0, metavar="RATE"
    )
    batch: int = _knob(4, "Pictures in each batch.", METHOD, low=1, high=1024)
    accumulate: int = _knob(1, "Batches in each step.", RARE, low=1, high=1024)
    size: int = _knob(0, "Pixels a side; 0: the model's own.", DATA, low=0, high=4096)
    flip: bool = _knob(True, "Mirror photos at random.", DATA)
    schedule: str = _knob("cosine", "Course of the learning rate.", METHOD, choices=SCHEDULES)
    warmup: int = _knob(0, "Steps over which the learning rate rises.", RARE, low=0, high=1_000_000)
    clip: float = _knob(
        1.0, "Largest norm of a gradient; 0: no limit.", RARE, low=0.0, metavar="NORM"
    )
    norm: str = _knob(
        "vocabulary",
        "Hold the vocabulary's norm, free it, only turn, or pull softly.",
        METHOD,
        choices=NORMS,
        source="Directional Textual Inversion (2512.13672)",
    )
    norm_pull: float = _knob(
        0.1,
        "Share of the way in each step, with --norm pull.",
        RARE,
        low=0.0,
        high=1.0,
        metavar="SHARE",
        source="norm priors of cloneofsimo/lora and diffusers' scripts",
    )
    prior: float = _knob(
        0.0,
        "Pull to the start's direction, with --norm sphere.",
        RARE,
        low=0.0,
        metavar="WEIGHT",
        source="Directional Textual Inversion (2512.13672); 1e-4 there",
    )
    pull: float = _knob(
        0.0,
        "Weight of the squared distance to the start.",
        RARE,
        low=0.0,
        metavar="WEIGHT",
        source="the paper's regularisation; 1e-5 in Cross Initialization (2312.15905)",
    )
    context: float = _knob(
        0.0,
        "Weight of keeping the prompt's other words as they are.",
        METHOD,
        low=0.0,
        metavar="WEIGHT",
        source="CoRe's text half (2408.15914); 1.5e-4 there",
    )
    context_set: str = _knob("auto", "Sentences for --context.", RARE, choices=CONTEXT_SETS)
    timestep_low: int = _knob(
        -1,
        "Least noise to train on, of 1000; -1: by --kind.",
        DATA,
        low=-1,
        high=999,
        source="ZOODiP (2503.14868)",
    )
    timestep_high: int = _knob(1000, "Most noise to train on, of 1000.", DATA, low=1, high=1000)
    timestep_weighting: str = _knob(
        "uniform",
        "Where timesteps fall in their range.",
        RARE,
        choices=TIMESTEP_LAWS,
        source="T2I-Adapter (2302.08453), Stable Diffusion 3 (2403.03206)",
    )
    min_snr: float = _knob(
        0.0,
        "Min-SNR weighting's γ; 0: none.",
        RARE,
        low=0.0,
        metavar="GAMMA",
        source="Min-SNR (2303.09556); 5 there",
    )
    sentences: tuple[str, ...] = _knob(
        (), "Your own training sentences, one a line with {}.", DATA, metavar="FILE"
    )
    evaluate_every: int = _knob(
        0, "Steps between evaluations; 0: a tenth of the time.", STOPPING, low=0
    )
    evaluation_timesteps: int = _knob(8, "Noise levels of an evaluation.", RARE, low=1, high=1000)
    hold_out: str = _knob(
        "never", "Evaluate on one photo of four or more.", STOPPING, choices=HOLD_OUT
    )
    stop: str = _knob(
        "never",
        "Stop once the held-out loss has settled.",
        STOPPING,
        choices=STOPS,
        source="DVAR (2302.04841)",
    )
    stop_window: int = _knob(10, "Evaluations that must have settled.", RARE, low=2, high=100_000)
    stop_ratio: float = _knob(
        0.15,
        "Their variance, as a share of all evaluations'.",
        RARE,
        low=0.0,
        high=1.0,
        metavar="SHARE",
    )
    cooldown: int = _knob(
        30, "Steps at the end while the rate falls to zero.", RARE, low=0, source="2405.18392"
    )
    average: float = _knob(
        0.0,
        "Keep the mean of about the last 1/G of the steps; 0: the last.",
        STOPPING,
        low=0.0,
        high=1e3,
        metavar="G",
        source="Shamir & Zhang 2013; its power in Karras et al. (2312.02696)",
    )
    keep: str = _knob(
        "last", "Keep the last vectors, or those of the best evaluation.", STOPPING, choices=KEEPS
    )
    drift_limit: float = _knob(
        0.2,
        "Most that kept vectors may move other words.",
        RARE,
        low=0.0,
        high=2.0,
        metavar="DISTANCE",
        source="the cosine of CoRe's regulariser (2408.15914)",
    )
    restores: int = _knob(3, "Times a diverging run goes back, at half the rate.", RARE, low=0)
    restarts: int = _knob(1, "Learn with N seeds and keep the best.", STOPPING, low=1, high=1000)
    init_candidates: int = _knob(150, "Words that --init auto tries.", RARE, low=1, high=10_000)
    masks: bool = _knob(
        False,
        "Weigh the loss by PHOTO.mask.png, or by transparency.",
        DATA,
        switch=True,
        source="subject masks as in cloneofsimo/lora",
    )
    mask_background: float = _knob(
        0.0, "Weight of what is masked out.", RARE, low=0.0, high=1.0, metavar="WEIGHT"
    )
    # Above 1 a mask's greys count for less, below 1 for more.
    mask_temperature: float = _knob(
        1.0, "Power to which a mask is raised.", RARE, low=0.0, high=4.0, metavar="POWER"
    )
    captions: bool = _knob(False, "Use PHOTO.txt as the photo's sentence.", DATA, switch=True)
    strict_captions: bool = _knob(False, "Refuse a caption without the token.", DATA, switch=True)

    def __post_init__(self) -> None:
        for knob in fields(self):
            _check(knob.name, getattr(self, knob.name), type(knob.default), knob.metadata)
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
        """The share of sentences with a photo's own word; `photo_words` -1 goes by the kind."""
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
        """How many vectors the concept has in a step counted from 0."""
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

    if not isinstance(name, str | Path):
        raise Usage(f"{name!r} is no recipe", "give its name, a YAML file or a Recipe")
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
        raise Usage(f"{where} must be {TYPES[kind]}, not {text!r}") from None


def _check(name: str, value: Any, kind: type, rules: Mapping[str, Any]) -> None:
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise Usage(f"{name} must be {TYPES[kind.__name__]}, not {value!r}")
    if "choices" in rules and value not in rules["choices"]:
        raise Usage(f"{name} cannot be {value!r}", did_you_mean(str(value), rules["choices"]))
    if isinstance(value, float) and not math.isfinite(value):
        raise Usage(f"{name} must be finite, not {value}")
    if "low" in rules and value < rules["low"]:
        raise Usage(f"{name} must be at least {rules['low']}, not {value}")
    if "high" in rules and value > rules["high"]:
        raise Usage(f"{name} must be at most {rules['high']}, not {value}")


def more_than_room(text: str, count: int, vectors: int) -> Usage:
    """The refusal of a start that has more vectors than the concept."""
    return Usage(
        f"init {text!r} has {count} vectors, and the concept only {vectors}",
        f"use --vectors {count}, or --vectors 1 for their mean",
    )
