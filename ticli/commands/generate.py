"""`ti generate`: prompts in, pictures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticli.commands import options
from ticli.errors import Stopped, TiError, Usage
from ticli.terminal.model_views import announcer
from ticli.terminal.output import Output, open_output, refuse_terminal

if TYPE_CHECKING:
    from ticli.generation.picture_plan import PicturePlan
    from ticli.library.library import Library
    from ticli.terminal.picture_views import Gallery


def generate(
    prompt: options.PromptArgument = None,
    count: options.CountOption = 1,
    output: options.OutputOption = "",
    steps: options.StepsOption = None,
    guidance: options.GuidanceOption = None,
    size: options.SizeOption = "",
    negative: options.NegativeOption = "",
    sampler: options.SamplerOption = "",
    seed: options.DrawingSeedOption = None,
    grid: options.GridOption = False,
    no_noun: options.NoNounOption = False,
    strict_base: options.StrictBaseOption = False,
    any_norm: options.AnyNormOption = False,
    force: options.ForceOption = False,
    dry_run: options.LongDryRunOption = False,
    model: options.ModelOption = None,
    components: options.ComponentsOption = None,
    prediction: options.PredictionOption = None,
    device: options.DeviceOption = None,
    dtype: options.DtypeOption = None,
    offline: options.OfflineOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Make pictures from a prompt."""
    from ticli.generation.model_choice import ModelRequest
    from ticli.generation.picture_plan import (
        STDOUT,
        DrawingRequest,
        PictureRequest,
        plan_pictures,
    )
    from ticli.library.library import Library
    from ticli.settings import load_settings
    from ticli.terminal.input import read_prompts
    from ticli.terminal.picture_views import Gallery, say_plan, show_plan

    answers = open_output(json, quiet, verbose, no_color, debug)
    if output == STDOUT and json:
        raise Usage("-o - and --json both want stdout", "leave one of them out")
    if output == STDOUT and not dry_run:
        refuse_terminal()
    prompts, piped = read_prompts(prompt)
    request = PictureRequest(
        prompts=tuple(prompts), negative=negative, nouns=not no_noun, count=count, seed=seed,
        drawing=DrawingRequest(steps, guidance, size, sampler), output=output, grid=grid,
        force=force, any_norm=any_norm,
        model=ModelRequest(model or "", offline, strict_base, device or "", dtype or "",
            None if dry_run else announcer(answers), options.given_of(components, prediction),
            None if dry_run else options.prediction_finder(device, dtype, answers)),
    )  # fmt: skip
    library = Library.open()
    plan = plan_pictures(request, library, load_settings())
    say_plan(answers, plan)
    if dry_run:
        show_plan(answers, plan)
        return
    gallery = Gallery(answers, plan, per_line=piped)
    try:
        _draw(plan, gallery, library)
    except TiError as error:
        error.details["completed"] = gallery.paths
        raise
    except KeyboardInterrupt as error:
        stopped = Stopped(f"interrupted; finished files: {len(gallery.paths)}")
        stopped.details["completed"] = gallery.paths
        raise stopped from error
    gallery.close()


def _draw(plan: PicturePlan, gallery: Gallery, library: Library) -> None:
    """Draw and write the pictures, and show each as it is finished."""
    output = gallery.output
    output.note(f"loading {plan.choice.source.describe()} …")
    from ticli.generation.draw import draw_pictures
    from ticli.generation.pictures import write_pictures

    for picture in write_pictures(plan, draw_pictures(plan, output.note, output.warn)):
        gallery.add(picture)
        if len(gallery.finished) == 1:
            _remember(plan, library, output)


def _remember(plan: PicturePlan, library: Library, output: Output) -> None:
    """Record that the concepts were used; a picture is not lost over that."""
    try:
        if not library.touch(concept.name for concept in plan.concepts):
            output.detail("the library is read-only: it does not record that concepts were used")
    except TiError as error:
        output.warn(f"the library could not record that its concepts were used: {error.message}")
