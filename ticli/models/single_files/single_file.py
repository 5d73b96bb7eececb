"""What is known of a model that lies in one file, and where its other parts lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# OpenAI's vocabulary, which every CLIP of these models has.
CLIP_TOKENIZER = Path(__file__).parents[1] / "clip_tokenizer"
EPSILON, VELOCITY = "epsilon", "v_prediction"
PREDICTIONS = {"epsilon": EPSILON, "v": VELOCITY}
WORDS = {EPSILON: "noise", VELOCITY: "velocity"}
UNTOLD = (
    "the model does not say whether it predicts noise, at 512 pixels, or velocity, at 768: the "
    "first run tries both, and --prediction epsilon or v settles it"
)


@dataclass(frozen=True)
class Given:
    """What was said about a single file: the folder of its other parts, its prediction.

    `prediction` is "epsilon", "v_prediction", or "" where nothing was said; `told_by` says by
    whom: the user now or earlier, or a trial.
    """

    components: Path | None = None
    prediction: str = ""
    told_by: str = ""

    @property
    def said_now(self) -> bool:
        """Whether it is this call that says what the file predicts."""
        return bool(self.prediction) and self.told_by not in (EARLIER, TRIED)


NOTHING_GIVEN = Given()
# What tells a prediction that neither the file nor its family does.
FLAG, EARLIER, TRIED = "--prediction", "an earlier --prediction", "trying both"


@dataclass(frozen=True)
class SingleFile:
    """A model in one file. `configurations` are those of its parts and of its noise schedule.

    `prefixes` says how the keys of each part begin that the file itself holds; `pads` names the
    padding token of each tokenizer that comes with `ti`. What is in neither lies in `components`.
    `prediction` is "" where it must be found out by trying; `told_by` says where it comes from.
    `stated` is what the file itself says, if anything. `absent` are the optional text encoders
    that are nowhere.
    """

    path: Path
    configurations: Mapping[str, Mapping[str, Any]]
    prefixes: Mapping[str, str]
    pads: Mapping[str, str] = field(default_factory=dict)
    components: Path | None = None
    prediction: str = EPSILON
    told_by: str = ""
    stated: str = ""
    absent: tuple[str, ...] = ()

    @property
    def said_by_user(self) -> bool:
        """Whether what it predicts comes from the user."""
        return self.told_by in (FLAG, EARLIER)

    @property
    def given(self) -> Given:
        """What must be said again of this file, or remembered, for it to be the same model."""
        kept = self.said_by_user or self.told_by == TRIED
        return Given(self.components, *((self.prediction, self.told_by) if kept else ("", "")))

    @property
    def remarks(self) -> list[str]:
        """What a user should hear before using it."""
        found = [
            f"the model does without its {part}, which the file lacks; --components DIR adds it"
            for part in self.absent
        ]
        if not self.prediction:
            found.append(UNTOLD)
        elif self.told_by == FLAG and self.stated not in ("", self.prediction):
            found.append(
                f"the file says that it predicts the {WORDS[self.stated]}: --prediction overrules "
                "it in this command alone"
            )
        return found

    def holds(self, part: str) -> bool:
        """Whether a part's weights are in the file."""
        return part in self.prefixes

    def place(self, part: str) -> Path:
        """The folder of a part that is not in the file."""
        if part in self.pads:
            return CLIP_TOKENIZER
        return (self.components or self.path) / part
