"""A call of `ti generate` thought through before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ticli.concept import Concept, Embedding
from ticli.errors import Usage
from ticli.generation.choosing import Choice, Wish, choose_model
from ticli.generation.drawing import Drawing, Wanted, check_wanted, first_seed, settle
from ticli.generation.naming import Place, Target, find_place, plan_grid, plan_targets
from ticli.generation.prompts import ResolvedPrompt, Wording, check_norms, resolve
from ticli.settings import Settings, check_value

if TYPE_CHECKING:
    from ticli.library.library import Library

STDOUT = "-"


@dataclass(frozen=True)
class Request:
    """All that a user asked for: `count` pictures of each prompt; `output` is -o as typed."""

    negative: str
    nouns: bool
    count: int
    seed: int | None
    wanted: Wanted
    wish: Wish
    output: str
    grid: bool
    force: bool
    any_norm: bool = False


@dataclass(frozen=True)
class Planned:
    """One picture to come; no target means standard output."""

    prompt: ResolvedPrompt
    seed: int
    target: Target | None


@dataclass(frozen=True)
class Plan:
    """Everything decided: what is drawn, with which model, and where each picture goes."""

    pictures: tuple[Planned, ...]
    choice: Choice
    drawing: Drawing
    place: Place | None
    grid: Target | None
    force: bool
    device: str
    dtype: str
    embeddings: Mapping[str, Embedding]

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts of all prompts, each once, in order."""
        found = {
            concept.name: concept for item in self.pictures for concept in item.prompt.concepts
        }
        return tuple(found.values())


def make_plan(
    request: Request, prompts: Sequence[str], library: Library, settings: Settings
) -> Plan:
    """Check and decide everything that needs no model in memory; nothing is written.

    Picture i of the call takes seed + i. Raises the TiErrors of prompts, choosing, drawing and
    naming, and those of a concept whose file is damaged.
    """
    check_wanted(request.wanted)
    total = request.count * len(prompts)
    seed = first_seed(request.seed, total)
    if request.output == STDOUT and (total > 1 or request.grid):
        raise Usage("-o - writes one picture to stdout", "give -o a folder for several")
    wordings = [Wording(prompt, request.negative, request.nouns) for prompt in prompts]
    resolved = resolve(wordings, library)
    drawn = [prompt for prompt in resolved for _ in range(request.count)]
    seeds = range(seed, seed + total)
    place, targets, grid = _places(request, drawn, seeds, settings["output_dir"])
    concepts = {concept.name: concept for prompt in resolved for concept in prompt.concepts}
    if not request.any_norm:
        check_norms(concepts.values())
    choice = choose_model(tuple(concepts.values()), request.wish, settings)
    if request.negative and not choice.source.reads_negative:
        raise Usage(f"{choice.source.id} reads no negative prompt", "leave --negative out")
    return Plan(
        pictures=tuple(map(Planned, drawn, seeds, targets)),
        choice=choice,
        drawing=settle(request.wanted, choice.source),
        place=place,
        grid=grid,
        force=request.force,
        device=check_value("device", request.wish.device or settings["device"]),
        dtype=check_value("dtype", request.wish.dtype or settings["dtype"]),
        embeddings={name: library.embedding(concept) for name, concept in concepts.items()},
    )


def _places(
    request: Request, drawn: list[ResolvedPrompt], seeds: range, configured: str
) -> tuple[Place | None, list[Target] | list[None], Target | None]:
    if request.output == STDOUT:
        return None, [None], None
    place = find_place(request.output, configured, several=len(drawn) > 1)
    typed = [prompt.typed for prompt in drawn]
    force = request.force
    targets = plan_targets(place, list(zip(typed, seeds, strict=True)), force=force)
    grid = plan_grid(place, typed[0], seeds[0], force=force) if request.grid else None
    return place, targets, grid
