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


@dataclass(frozen=True)
class Given:
    """What was said about a single file: the folder of its other parts, its prediction.

    `prediction` is "epsilon", "v_prediction", or "" where nothing was said; `told_by` says by whom.
    """

    components: Path | None = None
    prediction: str = ""
    told_by: str = ""


NOTHING_GIVEN = Given()
# What tells a prediction that neither the file nor its family does.
FLAG, TRIED = "--prediction", "trying both"


@dataclass(frozen=True)
class SingleFile:
    """A model in one file. `configurations` are those of its parts and of its noise schedule.

    `prefixes` says how the keys of each part begin that the file itself holds; `pads` names the
    padding token of each tokenizer that comes with `ti`. What is in neither lies in `components`.
    `prediction` is "" where it must be found out by trying; `told_by` says where it comes from.
    """

    path: Path
    configurations: Mapping[str, Mapping[str, Any]]
    prefixes: Mapping[str, str]
    pads: Mapping[str, str] = field(default_factory=dict)
    components: Path | None = None
    prediction: str = EPSILON
    told_by: str = ""

    @property
    def given(self) -> Given:
        """What must be said again of this file, or remembered, for it to be the same model."""
        told = (self.prediction, self.told_by) if self.told_by in (FLAG, TRIED) else ("", "")
        return Given(self.components, *told)

    def holds(self, part: str) -> bool:
        """Whether a part's weights are in the file."""
        return part in self.prefixes

    def place(self, part: str) -> Path:
        """The folder of a part that is not in the file."""
        if part in self.pads:
            return CLIP_TOKENIZER
        return (self.components or self.path) / part
