"""What a single file says of its prediction: the noise, or the velocity."""

from __future__ import annotations

from ticli.models.single_files.contents import Contents
from ticli.models.single_files.single_file import EPSILON, FLAG, VELOCITY, Given

# The families of which one model predicts noise and another velocity.
PREDICTED = ("sd1", "sd2", "sdxl")
WORDS = {
    "epsilon": EPSILON,
    "eps": EPSILON,
    "v": VELOCITY,
    "v_prediction": VELOCITY,
    "v-prediction": VELOCITY,
}


def told_prediction(contents: Contents, family: str, given: Given) -> tuple[str, str]:
    """The prediction and who told it: the user now, the file, the user earlier or a trial.

    Else it is the family. Both are "" for a Stable Diffusion 2 of which nobody said anything: its
    keys are the same for either.
    """
    if given.said_now:
        return given.prediction, given.told_by or FLAG
    if family not in PREDICTED:
        return "flow", "its family"
    stated, told_by = stated_prediction(contents)
    if stated:
        return stated, told_by
    if given.prediction:
        return given.prediction, given.told_by
    return ("", "") if family == "sd2" else (EPSILON, "its family")


def stated_prediction(contents: Contents) -> tuple[str, str]:
    """What a file itself says that it predicts, and by what; "" twice where it does not."""
    if "v_pred" in contents.entries:
        return VELOCITY, "its key v_pred"
    stated = contents.metadata.get("modelspec.prediction_type", "").lower()
    if stated in WORDS:
        return WORDS[stated], "its metadata"
    architecture = contents.metadata.get("modelspec.architecture", "").lower()
    if "v2-768-v" in architecture:
        return VELOCITY, "its metadata"
    if "v2-512" in architecture:
        return EPSILON, "its metadata"
    return "", ""
