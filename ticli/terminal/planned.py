"""The plan of `ti invert` as text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticli.checkup import counted
from ticli.recipe import PRESETS, Recipe, load_recipe
from ticli.terminal.output import Output, say, write_line
from ticli.terminal.safe_text import safe_text

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan
    from ticli.inversion.running import Way
    from ticli.models.identifying import ModelSource


def say_plan(output: Output, plan: Plan, way: Way) -> None:
    """Say on stderr what a run will do, after its notes and warnings."""
    say_notes(output, plan, way)
    if not output.quiet:
        for line in _lines(plan, way):
            say(line)


def say_notes(output: Output, plan: Plan, way: Way) -> None:
    """Say on stderr what a user should know of a run before it begins."""
    say_starter(output, plan.source, way)
    for text in plan.notes:
        output.note(text)
    for text in plan.warnings:
        output.warn(text)


def say_starter(output: Output, source: ModelSource, way: Way) -> None:
    """Say on stderr that a run uses the starter, where nobody asked for it."""
    if source.is_starter and not way.model_named:
        output.note(
            f"using the built-in starter model ({source.size} pixels, simple scenes); "
            "-m MODEL or `ti config set model MODEL` chooses a real one"
        )


def show_plan(output: Output, plan: Plan, way: Way) -> None:
    """Write a dry run's plan to stdout, as text or one JSON document; notes go to stderr."""
    say_notes(output, plan, way)
    if output.json:
        output.document(json_of(plan, way))
        return
    write_plan(plan, way)


def json_of(plan: Plan, way: Way) -> dict[str, Any]:
    """A dry run's plan as one JSON document."""
    from ticli.inversion.plan import plan_as_json

    return plan_as_json(plan) | {"device": way.device, "dtype": way.dtype, "result": way.result}


def write_plan(plan: Plan, way: Way) -> None:
    """Write a dry run's plan to stdout as text."""
    for line in (*_lines(plan, way), *_details(plan)):
        write_line(line)


def _lines(plan: Plan, way: Way) -> list[str]:
    recipe, photos = plan.recipe, plan.photos.photos
    each = f"{recipe.batch} pictures"
    if recipe.accumulate > 1:
        each = f"{recipe.accumulate} × {each}"
    vectors = counted(recipe.vectors, "vector")
    return [
        safe_text(line)
        for line in (
            f"  word       {plan.trigger}, {vectors} from {recipe.init!r}",
            f"  photos     {len(photos)}: {', '.join(photo.file for photo in photos)}",
            f"  model      {plan.source.describe()}, {recipe.size} pixels",
            f"  device     {way.device_and_why}",
            f"  precision  {way.precision_and_why}",
            f"  recipe     {way.recipe_name}: {recipe.steps} steps of {each}, "
            f"lr {recipe.lr:g}, {recipe.kind}, seed {plan.seed}",
            *_options(recipe, way.recipe_name),
            f"  result     {way.result}",
        )
    ]


def _options(recipe: Recipe, name: str) -> list[str]:
    """The knobs that no other line tells and that are not as they come.

    Of a recipe that comes with `ti` only what flags changed; of a file all that it says.
    """
    known = replace(load_recipe(name) if name in PRESETS else Recipe(), kind=recipe.kind)
    # A plan has settled it by the kind, which another line tells.
    known = replace(known, timestep_low=known.least_noise, photo_words=known.own_words)
    told = {"kind", "init", "noun", "vectors", "steps", "lr", "batch", "accumulate", "size"}
    changed = [
        f"{name} {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in recipe.as_json().items()
        if name not in told | {"sentences"} and value != getattr(known, name)
    ]
    return [f"  options    {', '.join(changed)}"] if changed else []


def _details(plan: Plan) -> list[str]:
    from ticli.photos.cropping import describe_crop
    from ticli.photos.masks import describe_mask

    crops = []
    for photo in plan.photos.photos:
        mask = describe_mask(photo, plan.recipe.size)
        crops.append(f"    {describe_crop(photo)}{f', {mask}' if mask else ''}")
    texts = list(dict.fromkeys(text for texts in plan.sentences for text in texts))
    return [
        safe_text(line)
        for line in ("  crops", *crops, "  sentences", *(f"    {text}" for text in texts))
    ]
