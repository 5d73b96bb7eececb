"""`ti generate`: prompts in, pictures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticli.commands import options
from ticli.errors import Stopped, TiError, Usage
from ticli.terminal.model_views import announcer
from ticli.terminal.output import open_output, refuse_terminal

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
    from ticli.interface import draw_plan

    for picture in draw_plan(plan, library, gallery.output.hear):
        gallery.add(picture)
