"""How a run went is kept whole: in the row, in the file, and read with care from a stranger's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ticli.concept import Attempt, Curves, Outcome, WordLoss
from ticli.library import Library, concept_from_document, read_embedding

OUTCOME = Outcome(
    stopped="settled",
    kept=40,
    held_out=0.25,
    held_out_init=0.5,
    drift=0.125,
    held_out_photo=3,
    skipped=1,
    restores=2,
    attempts=(Attempt(0, 50, "settled", 40, 0.25), Attempt(1, 9, "diverged", None, None)),
    init_words=(WordLoss("cup", 0.5), WordLoss("vase", 0.75)),
)
CURVES = Curves(steps=(0, 10, 20), held_out=(0.5, 0.3, 0.25), drift=(0.0, 0.1, 0.125))


def test_row_and_file_give_it_back(library: Library, make) -> None:
    concept, embedding = make("mug", outcome=OUTCOME, curves=CURVES, warnings=("it drifted",))
    added = library.add(concept, embedding)
    found = library.get("mug")
    assert (found.outcome, found.curves, found.warnings) == (OUTCOME, CURVES, ("it drifted",))
    path = Path(added.path)
    imported = read_embedding(path.read_bytes(), path.name).concept
    assert imported is not None
    assert (imported.outcome, imported.curves, imported.warnings) == (
        OUTCOME,
        CURVES,
        ("it drifted",),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outcome", []),
        ("outcome", {"stopped": 1}),
        ("curves", {"steps": [0.5], "held_out": [1], "drift": [0]}),
        ("curves", {"steps": [1], "held_out": [None], "drift": [0]}),
        ("warnings", "text"),
        ("warnings", [3]),
    ],
)
def test_what_a_stranger_wrote_is_checked(make, field, value) -> None:
    concept, embedding = make("mug", outcome=OUTCOME, curves=CURVES)
    document = json.loads(json.dumps(concept.as_json()))
    assert concept_from_document(document, embedding).outcome == OUTCOME
    with pytest.raises((ValueError, KeyError, TypeError)):
        concept_from_document(document | {field: value}, embedding)
