"""Whether an encoder that reports took part in learning the word; no torch here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ticli.concept import Concept
from ticli.errors import ModelUnavailable
from ticli.models.image_towers import FOLDER, OWN
from ticli.models.judging import JudgeSource
from ticli.models.source import ModelSource


def warmed_by(
    concept: Concept,
    model: ModelSource,
    judge: JudgeSource,
    judge_named: Callable[[str], JudgeSource],
) -> bool | None:
    """Whether a word's warm start was by this encoder: the same folder, or the same weights.

    None where that cannot be told, since what warmed it is not there or no whole CLIP.
    """
    named = str(concept.recipe.get("warm_start", ""))
    if not named or not judge.reads:
        return False
    folder = model.folder / FOLDER if named == OWN else Path(named).expanduser()
    if folder.resolve() == judge.folder.resolve():
        return True
    if not folder.is_dir():
        return None
    try:
        return judge_named(str(folder.absolute())).sha256 == judge.sha256
    except ModelUnavailable:
        return None


def say_warmed(token: str, encoder: str, warmed: bool | None) -> str:
    """What a user must know of a word's figures by an encoder; "" for nothing."""
    if warmed is False:
        return ""
    which = "is" if warmed else "may be"
    return (
        f"{encoder} {which} the CLIP that {token} was warmed up by (--warm-start): its figures "
        "flatter the word; judge it by another --encoder"
    )
