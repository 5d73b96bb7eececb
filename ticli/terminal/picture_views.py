"""What `ti generate` says: its plan, each finished picture, and what went wrong between."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ticli.terminal.output import Column, Output, json_text, write_line

if TYPE_CHECKING:
    from ticli.generation.draw import Made
    from ticli.generation.picture_plan import Plan, Planned


COLUMNS = (
    Column("PATH"),
    Column("SEED", right=True),
    Column("SIZE"),
    Column("STEPS", right=True),
    Column("GUIDANCE", right=True),
    Column("SAMPLER"),
    Column("MODEL"),
    Column("PROMPT"),
)


@dataclass
class Gallery:
    """The pictures of one call as they are finished; `per_line` writes JSON a line each."""

    output: Output
    plan: Plan
    per_line: bool
    finished: list[dict[str, Any]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """The finished files, as printed."""
        return [item["path"] for item in self.finished]

    def add(self, made: Made) -> None:
        """Report a finished file at once: its bytes, its path or its JSON line."""
        item = record(self.plan, made.planned, made.shown)
        item |= {"width": made.width, "height": made.height}
        item |= {"seconds": round(made.seconds, 3), "grid": made.sheet}
        self.finished.append(item)
        if made.data:
            self.output.data(made.data)
        elif not self.output.json:
            self.output.exact(made.shown)
        elif self.per_line:
            write_line(json_text(item))
        if sys.stdout is not None:
            # A pipe keeps lines back; its reader is to have each picture when it is there.
            sys.stdout.flush()
        if not made.sheet:
            done = f"{len(self.finished)} of {len(self.plan.pictures)}"
            self.output.detail(f"picture {done}, {made.seconds:.1f} s")

    def close(self) -> None:
        """Write the JSON array of all pictures, where one is wanted."""
        if self.output.json and not self.per_line:
            self.output.document(self.finished)


def say_plan(output: Output, plan: Plan) -> None:
    """Say on stderr which model draws what, and what the user may not expect."""
    for note in plan.choice.notes:
        output.note(note)
    if plan.choice.source.safety_checker:
        output.note("the safety checker that comes with this model is not used")
    for prompt in dict.fromkeys(item.prompt.typed for item in plan.pictures):
        _say_prompt(output, plan, prompt)
    drawing, count = plan.drawing, len(plan.pictures)
    first, last = plan.pictures[0].seed, plan.pictures[-1].seed
    output.note(
        f"{count} {'picture' if count == 1 else 'pictures'} of {drawing.width}x{drawing.height} · "
        f"{drawing.steps} steps of {drawing.sampler} · guidance {drawing.guidance:g} · "
        + (f"seed {first}" if first == last else f"seeds {first} to {last}")
    )


def show_plan(output: Output, plan: Plan) -> None:
    """Write the plan to stdout as a result of its own."""
    items = [
        record(plan, item, item.target.shown if item.target else "-") for item in plan.pictures
    ]
    if output.json:
        grid = plan.grid.shown if plan.grid else None
        output.document({"dry_run": True, "pictures": items, "grid": grid})
        return
    rows = [
        [
            item["path"],
            str(item["seed"]),
            f"{item['width']}x{item['height']}",
            str(item["steps"]),
            f"{item['guidance']:g}",
            item["sampler"],
            item["model"],
            item["used"],
        ]
        for item in items
    ]
    output.table(COLUMNS, rows)


def record(plan: Plan, planned: Planned, shown: str) -> dict[str, Any]:
    """One picture as JSON has it: `prompt` as typed, `used` with the nouns in place."""
    prompt, drawing = planned.prompt, plan.drawing
    return {
        "path": shown,
        "prompt": prompt.typed,
        "used": prompt.used,
        "negative": prompt.negative_used,
        "seed": planned.seed,
        "model": plan.choice.source.id,
        "concepts": [concept.name for concept in prompt.concepts],
        "width": drawing.width,
        "height": drawing.height,
        "steps": drawing.steps,
        "guidance": drawing.guidance,
        "sampler": drawing.sampler,
    }


def _say_prompt(output: Output, plan: Plan, typed: str) -> None:
    prompt = next(item.prompt for item in plan.pictures if item.prompt.typed == typed)
    if not prompt.concepts:
        output.note(f'no concept in "{typed}": a token is written "<mug>"')
    elif prompt.used != prompt.typed:
        output.note(f'drawing "{prompt.used}" (--no-noun leaves the noun out)')
