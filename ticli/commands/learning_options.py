"""Flags of `ti invert` alone: the recipe's knobs and what becomes of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def knob(flag: str, help: str, metavar: str = "N") -> typer.models.OptionInfo:
    """A flag for a knob of the recipe; without it the recipe's own value holds."""
    option: typer.models.OptionInfo = typer.Option(
        flag, metavar=metavar, help=help, show_default=False
    )
    return option


PhotosArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PHOTOS...", help="A folder, files, or - for paths on stdin.", show_default=False
    ),
]
NewTokenOption = Annotated[
    list[str] | None,
    typer.Option(
        "--token",
        "-t",
        metavar="TOKEN",
        help='The new word, as "<mug>" or mug; for several, mug=PHOTOS each time.',
        show_default=False,
    ),
]
RecipeOption = Annotated[
    str | None, knob("--recipe", "quick, default, thorough …, or a YAML file.", "NAME|FILE")
]
KindOption = Annotated[
    Literal["object", "style", "person"] | None, knob("--kind", "What the photos show.", "KIND")
]
InitOption = Annotated[
    str | None,
    knob("--init", 'Start from WORDS, "<concept>", random, mean or auto.', "WORDS"),
]
NounOption = Annotated[
    str | None, knob("--noun", "Class word beside the token; the init word by default.", "WORD")
]
NoNounOption = Annotated[bool, typer.Option("--no-noun", help="No class word beside the token.")]
VectorsOption = Annotated[int | None, knob("--vectors", "Vectors of the word.")]
StepsOption = Annotated[int | None, knob("--steps", "Optimiser steps.")]
RateOption = Annotated[float | None, knob("--lr", "Learning rate, never scaled.", "RATE")]
BatchOption = Annotated[int | None, knob("--batch", "Pictures a batch.")]
AccumulateOption = Annotated[int | None, knob("--accumulate", "Batches a step.")]
SizeOption = Annotated[int | None, knob("--size", "Pixels a side; the model's own by default.")]
FlipOption = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Mirror photos at random.", show_default=False),
]
ScheduleOption = Annotated[
    Literal["constant", "cosine", "linear", "trapezoid"] | None,
    knob("--schedule", "Learning rate: constant, cosine, linear, trapezoid.", "LAW"),
]
WarmupOption = Annotated[int | None, knob("--warmup", "Steps until the full learning rate.")]
ClipOption = Annotated[
    float | None, knob("--clip", "Largest norm of a gradient; 0 is no limit.", "NORM")
]
TimestepLowOption = Annotated[
    int | None, knob("--timestep-low", "Least noise trained on, of 1000; -1 goes by --kind.")
]
TimestepHighOption = Annotated[
    int | None, knob("--timestep-high", "Most noise trained on, of 1000.")
]
SentencesOption = Annotated[
    Path | None, knob("--sentences", "Own training sentences, one a line with {}.", "FILE")
]
CaptionsOption = Annotated[
    bool | None,
    typer.Option("--captions", help="Use PHOTO.txt beside each photo.", show_default=False),
]
StrictCaptionsOption = Annotated[
    bool | None,
    typer.Option(
        "--strict-captions", help="Refuse a caption without the token.", show_default=False
    ),
]
RunSeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of all draws.")]
PreviewEveryOption = Annotated[
    int,
    typer.Option(
        "--preview-every", metavar="N", min=0, help="Write a picture every N steps; 0 is none."
    ),
]
PreviewOption = Annotated[
    str,
    typer.Option("--preview", metavar="PROMPT", help="What a preview shows; {} is the token."),
]
KeepPhotosOption = Annotated[
    bool, typer.Option("--keep-photos", help="Keep copies of the photos in the library.")
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Throw an unfinished run of this name away.")
]
LowMemoryOption = Annotated[
    bool, typer.Option("--low-memory", help="Begin as on a card of 4 to 6 GB, more slowly.")
]
DeterministicOption = Annotated[
    bool, typer.Option("--deterministic", help="Equal bits on CUDA too, more slowly.")
]


# Flags of `ti invert` that choose between published methods; docs/recipes.md explains each.

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


# Flags of `ti invert` for how a word is judged while it is learned, and when that ends.

HoldOutOption = Annotated[
    Literal["auto", "never"] | None,
    knob("--hold-out", "Judge by one photo of four or more, untrained.", "auto|never"),
]
EvaluateEveryOption = Annotated[
    int | None, knob("--evaluate-every", "Steps between evaluations; 0 spends a tenth.")
]
EvaluationTimestepsOption = Annotated[
    int | None, knob("--evaluation-timesteps", "Noise levels of an evaluation.")
]
StopOption = Annotated[
    Literal["auto", "never"] | None,
    knob("--stop", "Stop once the held-out loss has settled.", "auto|never"),
]
StopWindowOption = Annotated[
    int | None, knob("--stop-window", "Evaluations that must have settled.")
]
StopRatioOption = Annotated[
    float | None, knob("--stop-ratio", "Their variance, of all evaluations'.", "SHARE")
]
CooldownOption = Annotated[
    int | None, knob("--cooldown", "Last steps, over which the rate falls to zero.")
]
AverageOption = Annotated[
    float | None,
    knob("--average", "Keep the mean of about the last 1/G of the steps; 0: the last.", "G"),
]
KeepOption = Annotated[
    Literal["last", "best"] | None,
    knob("--keep", "Vectors of the last step, or of the best evaluation.", "last|best"),
]
DriftLimitOption = Annotated[
    float | None, knob("--drift-limit", "Most a kept word may move other words.", "DISTANCE")
]
RestoresOption = Annotated[
    int | None, knob("--restores", "Times a diverging run goes back, at half the rate.")
]
RestartsOption = Annotated[
    int | None, knob("--restarts", "Learn with N seeds, keep the best word.")
]
InitCandidatesOption = Annotated[
    int | None, knob("--init-candidates", "Words that --init auto tries.")
]


# Flags of `ti invert` for several words.

ManifestOption = Annotated[
    str | None,
    knob("--manifest", "Words and their photos in a file; - reads stdin.", "FILE"),
]
TogetherOption = Annotated[
    int | None,
    typer.Option(
        "--together",
        metavar="N",
        min=1,
        help="Words that learn at a time; as many as pay and fit by default.",
        show_default=False,
    ),
]
