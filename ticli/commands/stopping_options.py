"""Flags of `ti invert` for how a word is judged while it is learned, and when that ends."""

from __future__ import annotations

from typing import Annotated, Literal

from ticli.commands.learning_options import knob

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
