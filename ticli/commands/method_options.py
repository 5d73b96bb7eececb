"""Flags of `ti invert` that choose between published methods; docs/recipes.md explains each."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ticli.commands.learning_options import knob

InitFromOption = Annotated[
    Literal["table", "output"] | None,
    knob("--init-from", "Start at the words' vectors or at their output.", "table|output"),
]
NormOption = Annotated[
    Literal["vocabulary", "free", "sphere", "pull"] | None,
    knob(
        "--norm",
        "Hold the vocabulary's norm, free it, turn only, or pull softly.",
        "vocabulary|free|sphere|pull",
    ),
]
NormPullOption = Annotated[
    float | None, knob("--norm-pull", "Share of the way a step, with --norm pull.", "SHARE")
]
PriorOption = Annotated[
    float | None, knob("--prior", "Pull to the start's direction, with --norm sphere.", "WEIGHT")
]
PullOption = Annotated[
    float | None, knob("--pull", "Weight of the distance to the start.", "WEIGHT")
]
WarmStartOption = Annotated[
    str | None,
    knob("--warm-start", "First guess by a CLIP folder, or the model's own.", "FOLDER|model"),
]
WarmStepsOption = Annotated[int | None, knob("--warm-steps", "Steps of the warm start.")]
WarmRateOption = Annotated[
    float | None, knob("--warm-lr", "Learning rate of the warm start.", "RATE")
]
ContextOption = Annotated[
    float | None, knob("--context", "Weight of what the word does to other words.", "WEIGHT")
]
ContextSetOption = Annotated[
    Literal["auto", "living", "things", "styles"] | None,
    knob("--context-set", "Sentences for --context.", "auto|living|things|styles"),
]
ExtendEveryOption = Annotated[
    int | None, knob("--extend-every", "Steps until each further vector joins; 0: at once.")
]
PhotoWordsOption = Annotated[
    float | None,
    knob(
        "--photo-words", "Share of sentences with a photo's own word; -1 goes by --kind.", "SHARE"
    ),
]
NegativeVectorsOption = Annotated[
    int | None, knob("--negative-vectors", "Vectors of a twin NAME-neg for negative prompts.")
]
NegativeGuidanceOption = Annotated[
    float | None, knob("--negative-guidance", "Guidance away from the twin.", "SCALE")
]
MasksOption = Annotated[
    bool | None,
    typer.Option(
        "--masks",
        help="Weigh the loss by PHOTO.mask.png or by transparency.",
        show_default=False,
    ),
]
MaskBackgroundOption = Annotated[
    float | None, knob("--mask-background", "Weight of what is masked out.", "WEIGHT")
]
MaskTemperatureOption = Annotated[
    float | None, knob("--mask-temperature", "Power to which a mask is raised.", "POWER")
]
TimestepWeightingOption = Annotated[
    Literal["uniform", "cubic", "logit-normal"] | None,
    knob(
        "--timestep-weighting", "Where timesteps fall in their range.", "uniform|cubic|logit-normal"
    ),
]
MinSnrOption = Annotated[
    float | None, knob("--min-snr", "Min-SNR weighting's γ, 5 in its paper; 0 is none.", "GAMMA")
]
