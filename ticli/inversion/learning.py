"""One run from its plan to a concept: load, encode, train with checkpoints, conclude."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from ticli import __version__
from ticli.concept import BaseModel, Concept, Embedding, Losses, PhotoRecord
from ticli.errors import Stopped, Usage
from ticli.inversion.checkpoint import (
    load_latents,
    restore_checkpoint,
    save_checkpoint,
    save_latents,
)
from ticli.inversion.latents import Latents, encode_photos
from ticli.inversion.loop import Step, TrainingState, new_state, train
from ticli.inversion.objective import Examples
from ticli.inversion.plan import Plan
from ticli.inversion.runs import Run
from ticli.inversion.starting import Start
from ticli.inversion.vectors import start_vectors
from ticli.models.hardware import Hardware
from ticli.models.memory import memory_explained
from ticli.models.model import Model, load_model
from ticli.models.text import Tokenised
from ticli.photos.cropping import training_picture

CHECKPOINT_SECONDS = 5.0


@dataclass
class Learning:
    """A run in memory: everything loaded, standing at `state.step`."""

    plan: Plan
    run: Run
    model: Model
    examples: Examples
    state: TrainingState
    seconds_before: float
    began: float

    @property
    def seconds(self) -> float:
        """Time spent on this run in all, seconds."""
        return self.seconds_before + time.monotonic() - self.began

    def save(self) -> None:
        """Write a checkpoint of the step the run stands at."""
        save_checkpoint(self.run.checkpoint, self.state, self.seconds)

    def rows(self) -> dict[str, dict[str, torch.Tensor]]:
        """The vectors as they are now, by concept and encoder."""
        rows = {key: row.detach() for key, row in self.state.vectors.rows.items()}
        return {self.plan.token.name: rows}


def begin(plan: Plan, run: Run, hardware: Hardware, start: Embedding | None) -> Learning:
    """Load the model and the run's photos, and put its checkpoint back if there is one.

    `start` are the vectors of the concept to begin from, where the plan names one. Raises Usage
    where a sentence is too long for its placeholder, and ModelUnavailable, BadContent and
    DeviceFailed.
    """
    began = time.monotonic()
    with _memory(plan):
        model = load_model(plan.source, hardware)
        sentences = _tokenised(model, plan)
        recipe = plan.recipe
        vectors = start_vectors(model, _start(plan, start))
        state = new_state(vectors, recipe)
        latents = _latents(plan, run, model)
    seconds = restore_checkpoint(run.checkpoint, state) if run.checkpoint.exists() else 0.0
    examples = Examples(plan.token.name, latents, sentences)
    return Learning(plan, run, model, examples, state, seconds, began)


def advance(learning: Learning, signalled: Callable[[], int | None]) -> Iterator[Step]:
    """Train to the end, with a checkpoint every few seconds and one when a signal comes.

    Raises Stopped after that checkpoint, Diverged, and DeviceFailed where memory runs out.
    """
    plan = learning.plan
    saved = time.monotonic()
    steps = train(learning.model, learning.examples, learning.state, plan.recipe, plan.seed)
    with _memory(plan):
        for step in steps:
            yield step
            number = signalled()
            if number is not None:
                learning.save()
                raise Stopped(
                    f"stopped; {plan.token.text} is kept at step {step.index} of {step.total}",
                    "the same command again continues it",
                    signal_number=number,
                )
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                learning.save()
                saved = time.monotonic()
    learning.save()


def conclude(learning: Learning) -> tuple[Concept, Embedding]:
    """The concept and vectors of a run that has taken all its steps, for the library."""
    plan, recipe, state = learning.plan, learning.plan.recipe, learning.state
    rows = {key: row.detach().float().cpu().numpy() for key, row in state.vectors.rows.items()}
    source = plan.source
    concept = Concept(
        name=plan.token.name,
        token=plan.token.text,
        noun=recipe.noun,
        kind=recipe.kind,
        init=recipe.init,
        vectors=recipe.vectors,
        widths=dict(source.widths),
        base=BaseModel(source.family, source.id, source.revision, plan.fingerprint),
        recipe=recipe.as_json(),
        seed=plan.seed,
        steps=state.step,
        losses=_losses(state.losses),
        norms=state.vectors.norms(),
        photos=tuple(PhotoRecord(p.file, p.sha256) for p in plan.photos.photos),
        parents=(),
        tags=(),
        notes="",
        device=learning.model.hardware.describe(),
        versions=_versions(),
        seconds=round(learning.seconds, 3),
        created="",
        used="",
        path="",
        bytes=0,
        sha256="",
    )
    return concept, Embedding(rows)


def _start(plan: Plan, embedding: Embedding | None) -> Start:
    recipe = plan.recipe
    return Start(
        recipe.init,
        recipe.vectors,
        recipe.norm,
        plan.seed,
        embedding,
        init_from=recipe.init_from,
        norm_pull=recipe.norm_pull,
    )


def _latents(plan: Plan, run: Run, model: Model) -> Latents:
    """The run's latents: from its folder where it was begun before, else encoded now."""
    if run.latents.exists():
        return load_latents(run.latents)
    pictures = [training_picture(photo, plan.recipe.size) for photo in plan.photos.photos]
    latents = encode_photos(model, pictures)
    save_latents(run.latents, latents)
    return latents


def _tokenised(model: Model, plan: Plan) -> list[list[Mapping[str, Tokenised]]]:
    vectors = {plan.token.name: plan.recipe.vectors}
    known: dict[str, Mapping[str, Tokenised]] = {}
    for text in dict.fromkeys(text for texts in plan.sentences for text in texts):
        known[text] = model.tokenise(text, vectors)
        for key, tokenised in known[text].items():
            if tokenised.lost:
                raise Usage(
                    f"{plan.token.text} would be cut off from {text!r}: {model.source.id} reads "
                    f"{model.source.windows[key] - 2} tokens",
                    "shorten the sentence or caption, or use fewer --vectors",
                )
    return [[known[text] for text in texts] for texts in plan.sentences]


def _losses(losses: list[float]) -> Losses:
    if not losses:
        return Losses()
    tenth = max(1, len(losses) // 10)
    parts = [losses[i : i + tenth] for i in range(0, len(losses), tenth)]
    means = [sum(part) / len(part) for part in parts]
    return Losses(first=means[0], last=sum(losses[-tenth:]) / tenth, best=min(means))


def _versions() -> dict[str, str]:
    import diffusers
    import transformers

    return {
        "ti": __version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


def _memory(plan: Plan) -> AbstractContextManager[None]:
    recipe = plan.recipe
    return memory_explained(
        f"out of memory with {recipe.batch} pictures of {recipe.size} pixels a batch",
        f"use --batch {max(1, recipe.batch // 2)} --accumulate {recipe.accumulate * 2}, which "
        "learns the same in smaller pieces, or a smaller --size",
    )
