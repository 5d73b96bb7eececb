"""What `ti generate` says: its plan, each finished picture, and what went wrong between."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ticli.errors import counted
from ticli.terminal.output import Output, columns, json_text, write_line

if TYPE_CHECKING:
    from ticli.generation.picture_plan import PicturePlan, PlannedPicture
    from ticli.generation.pictures import Picture


COLUMNS = columns("PATH", ">SEED", "SIZE", ">STEPS", ">GUIDANCE", "SAMPLER", "MODEL", "PROMPT")


@dataclass
class Gallery:
    """The pictures of one call as they are finished; `per_line` writes JSON a line each."""

    output: Output
    plan: PicturePlan
    per_line: bool
    finished: list[dict[str, Any]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """The finished files, as printed."""
        return [item["path"] for item in self.finished]

    def add(self, picture: Picture) -> None:
        """Report a finished file at once: its bytes, its path or its JSON line."""
        item = record(self.plan, picture.planned, picture.path)
        item |= {"width": picture.image.width, "height": picture.image.height}
        item |= {"seconds": round(picture.seconds, 3), "grid": picture.sheet}
        self.finished.append(item)
        if self.plan.place is None:
            self.output.data(picture.png())
        elif not self.output.json:
            self.output.exact(picture.path)
        elif self.per_line:
            write_line(json_text(item))
        if sys.stdout is not None:
            # A pipe holds lines back; its reader should get each picture when it is there.
            sys.stdout.flush()
        if not picture.sheet:
            done = f"{len(self.finished)} of {len(self.plan.pictures)}"
            self.output.detail(f"picture {done}, {picture.seconds:.1f} s")

    def close(self) -> None:
        """Write the JSON array of all pictures, if one is wanted."""
        if self.output.json and not self.per_line:
            self.output.document(self.finished)


def say_plan(output: Output, plan: PicturePlan) -> None:
    """Say on stderr which model draws what, and what may surprise the user."""
    for note in plan.choice.notes:
        output.note(note)
    if plan.choice.source.safety_checker:
        output.note("the safety checker that comes with this model is not used")
    for name in dict.fromkeys(name for prompt in plan.prompts for name in prompt.bare):
        output.note(f'"{name}" is read as a plain word: write <{name}> for your concept')
    for prompt in plan.prompts:
        if not prompt.concepts and not prompt.bare:
            output.note(f'no concept in "{prompt.typed}": a token is written "<mug>"')
        elif prompt.used != prompt.typed:
            output.note(f'drawing "{prompt.used}" (--no-noun leaves the noun out)')
    drawing = plan.drawing
    first, last = plan.pictures[0].seed, plan.pictures[-1].seed
    output.note(
        f"{counted(len(plan.pictures), 'picture')} of {drawing.width}x{drawing.height} · "
        f"{counted(drawing.steps, 'step')} of {drawing.sampler} · guidance {drawing.guidance:g} · "
        + (f"seed {first}" if first == last else f"seeds {first} to {last}")
    )


def show_plan(output: Output, plan: PicturePlan) -> None:
    """Write the plan to stdout as a result of its own."""
    items = [record(plan, item, item.file.shown if item.file else "-") for item in plan.pictures]
    if output.json:
        grid = plan.grid.shown if plan.grid else None
        output.document({"dry_run": True, "pictures": items, "grid": grid})
        return
    size, guidance = f"{plan.drawing.width}x{plan.drawing.height}", f"{plan.drawing.guidance:g}"
    middle = (size, str(plan.drawing.steps), guidance, plan.drawing.sampler, plan.choice.source.id)
    rows = [(item["path"], str(item["seed"]), *middle, item["used"]) for item in items]
    output.table(COLUMNS, rows)


def record(plan: PicturePlan, planned: PlannedPicture, shown: str) -> dict[str, Any]:
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
