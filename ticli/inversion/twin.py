"""The negative twin of a learned word as a concept of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from ticli.concept import Concept, Embedding
from ticli.inversion.concluding import conclude
from ticli.inversion.learning import Learning
from ticli.inversion.names import twin_token
from ticli.inversion.vectors import NEGATIVE
from ticli.names import Token

KIND = "negative"


def words_of(learning: Learning) -> list[tuple[Concept, Embedding]]:
    """What a finished run gives the library: its word, and the word's negative twin if any.

    Raises Diverged where no try ended well.
    """
    concept, embedding = conclude(learning)
    winner = learning.attempts.winner
    twin = negative_twin(concept, winner.rows) if winner else None
    return [(concept, embedding), *([twin] if twin else [])]


def negative_twin(
    concept: Concept, rows: Mapping[str, torch.Tensor]
) -> tuple[Concept, Embedding] | None:
    """The twin that was trained beside a concept, for the library; None where there is none.

    `rows` are named as Vectors.parameters() names them.
    """
    own = {
        name.removesuffix(NEGATIVE): row.detach().float().cpu()
        for name, row in rows.items()
        if name.endswith(NEGATIVE)
    }
    if not own:
        return None
    token = twin_token(Token(concept.name, concept.token))
    twin = replace(
        concept,
        name=token.name,
        token=token.text,
        noun="",
        kind=KIND,
        init="",
        vectors=max(len(row) for row in own.values()),
        norms={key: row.norm(dim=1).tolist() for key, row in own.items()},
    )
    return twin, Embedding({key: row.numpy() for key, row in own.items()})
