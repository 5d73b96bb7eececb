"""What a single file says of its prediction: the noise, or the velocity."""

from __future__ import annotations

from ticli.models.single_files.contents import Contents
from ticli.models.single_files.single_file import EPSILON, FLAG, VELOCITY, Given

WORDS = {
    "epsilon": EPSILON,
    "eps": EPSILON,
    "v": VELOCITY,
    "v_prediction": VELOCITY,
    "v-prediction": VELOCITY,
}


def told_prediction(contents: Contents, family: str, given: Given) -> tuple[str, str]:
    """The prediction and who told it: the user, a marker or the metadata, else the family.

    Both are "" for a Stable Diffusion 2 that does not say: its keys are the same for either.
    """
    if given.prediction:
        return given.prediction, given.told_by or FLAG
    if family not in ("sd1", "sd2", "sdxl"):
        return "flow", "its family"
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
    return ("", "") if family == "sd2" else (EPSILON, "its family")
