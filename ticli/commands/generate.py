"""`ti generate`: prompts in, pictures out."""

from __future__ import annotations

from typing import Annotated

import typer

from ticli.commands import options
from ticli.errors import Stopped, TiError
from ticli.settings import load_settings
from ticli.terminal.input import read_prompts
from ticli.terminal.model_views import announcer
from ticli.terminal.output import Output, refuse_terminal
from ticli.terminal.picture_views import Gallery, say_plan, show_plan


@options.with_output
def generate(
    output: Output,
    prompt: Annotated[
        str | None,
        options.argument(
            metavar="PROMPT",
            help='What to draw, with tokens as "<mug>"; - or nothing reads one prompt a line.',
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=1, help="Pictures of each prompt.")
    ] = 1,
    place: Annotated[
        str,
        options.flag(
            "--output",
            "-o",
            metavar="FILE|DIR|-",
            help="Where pictures go; - writes one to stdout.",
        ),
    ] = "",
    steps: options.StepsOption = None,
    guidance: options.GuidanceOption = None,
    size: options.SizeOption = "",
    negative: Annotated[
        str,
        options.flag("--negative", metavar="TEXT", help="What the picture should not show."),
    ] = "",
    sampler: options.SamplerOption = "",
    seed: Annotated[
        int | None,
        options.flag(
            "--seed", metavar="N", help="Picture i is drawn from seed N + i; fresh by default."
        ),
    ] = None,
    grid: Annotated[
        bool, options.flag("--grid", help="Add one last picture that shows all of them.")
    ] = False,
    no_noun: options.NoNounOption = False,
    strict_base: options.StrictBaseOption = False,
    any_norm: Annotated[
        bool,
        options.flag("--any-norm", help="Use a word whose vectors are far too long all the same."),
    ] = False,
    force: options.ForceOption = False,
    # -n is --count here, so this flag has its long name only.
    dry_run: Annotated[
        bool, options.flag("--dry-run", help="Say what would be drawn, load no model.")
    ] = False,
    model: options.ModelOption = None,
    components: options.ComponentsOption = None,
    prediction: options.PredictionOption = None,
    device: options.DeviceOption = None,
    dtype: options.DtypeOption = None,
    offline: options.OfflineOption = False,
) -> None:
    """Make pictures from a prompt."""
    from ticli.generation.model_choice import ModelRequest
    from ticli.generation.picture_plan import DrawingRequest, PictureRequest, plan_pictures
    from ticli.interface import draw_plan, given_of
    from ticli.library.library import Library

    if place == "-":
        output.refuse_json("-o -")
        if not dry_run:
            refuse_terminal()
    prompts, piped = read_prompts(prompt)
    request = PictureRequest(
        prompts=tuple(prompts), negative=negative, nouns=not no_noun, count=count, seed=seed,
        drawing=DrawingRequest(steps, guidance, size, sampler), output=place, grid=grid,
        force=force, any_norm=any_norm,
        model=ModelRequest(model or "", offline, strict_base, device or "", dtype or "",
            None if dry_run else announcer(output), given_of(components, prediction),
            None if dry_run else options.prediction_finder(device, dtype, output)),
    )  # fmt: skip
    library = Library.open()
    plan = plan_pictures(request, library, load_settings())
    say_plan(output, plan)
    if dry_run:
        show_plan(output, plan)
        return
    gallery = Gallery(output, plan, per_line=piped)
    try:
        for picture in draw_plan(plan, library, output.hear):
            gallery.add(picture)
    except TiError as error:
        error.details["completed"] = gallery.paths
        raise
    except KeyboardInterrupt as error:
        stopped = Stopped(f"interrupted; finished files: {len(gallery.paths)}")
        stopped.details["completed"] = gallery.paths
        raise stopped from error
    gallery.close()
