"""`ti generate`: prompts in, pictures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticli.commands import drawing_options as drawing
from ticli.commands import options as shared
from ticli.commands import single_file_options as single_file
from ticli.errors import Stopped, TiError, Usage
from ticli.terminal.downloads import announcer
from ticli.terminal.output import Output, open_output, refuse_terminal

if TYPE_CHECKING:
    from ticli.generation.planning import Plan, Request
    from ticli.library.library import Library
    from ticli.terminal.generated import Gallery


def generate(
    prompt: drawing.PromptArgument = None,
    count: drawing.CountOption = 1,
    output: drawing.OutputOption = "",
    steps: drawing.StepsOption = None,
    guidance: drawing.GuidanceOption = None,
    size: drawing.SizeOption = "",
    negative: drawing.NegativeOption = "",
    sampler: drawing.SamplerOption = "",
    seed: drawing.DrawingSeedOption = None,
    grid: drawing.GridOption = False,
    no_noun: drawing.NoNounOption = False,
    strict_base: drawing.StrictBaseOption = False,
    any_norm: drawing.AnyNormOption = False,
    force: shared.ForceOption = False,
    dry_run: drawing.LongDryRunOption = False,
    model: shared.ModelOption = None,
    components: single_file.ComponentsOption = None,
    prediction: single_file.PredictionOption = None,
    device: shared.DeviceOption = None,
    dtype: shared.DtypeOption = None,
    offline: shared.OfflineOption = False,
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Make pictures from a prompt."""
    from ticli.generation.choosing import Wish
    from ticli.generation.drawing import Wanted
    from ticli.generation.planning import Request

    answers = open_output(json, quiet, verbose, no_color, debug)
    request = Request(
        negative=negative, nouns=not no_noun, count=count, seed=seed, any_norm=any_norm,
        wanted=Wanted(steps, guidance, size, sampler), output=output, grid=grid, force=force,
        wish=Wish(model or "", offline, strict_base, device or "", dtype or "",
            None if dry_run else announcer(answers), single_file.given_of(components, prediction),
            None if dry_run else single_file.prediction_finder(device, dtype, answers)),
    )  # fmt: skip
    _answer(request, prompt, dry_run, answers)


def _answer(request: Request, prompt: str | None, dry_run: bool, output: Output) -> None:
    """Check everything that needs no model, then draw."""
    from ticli.generation.planning import STDOUT, make_plan
    from ticli.library.library import Library
    from ticli.settings import load_settings
    from ticli.terminal.generated import Gallery, say_plan, show_plan
    from ticli.terminal.prompt_input import read_prompts

    if request.output == STDOUT and output.json:
        raise Usage("-o - and --json both want stdout", "leave one of them out")
    if request.output == STDOUT and not dry_run:
        refuse_terminal()
    prompts, piped = read_prompts(prompt)
    library = Library.open()
    plan = make_plan(request, prompts, library, load_settings())
    say_plan(output, plan)
    if dry_run:
        show_plan(output, plan)
        return
    gallery = Gallery(output, plan, per_line=piped)
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


def _draw(plan: Plan, gallery: Gallery, library: Library) -> None:
    """Load the model and report each picture as it is finished."""
    output = gallery.output
    output.note(f"loading {plan.choice.source.describe()} …")
    from ticli.generation.making import cut_texts, make, prepare
    from ticli.models.hardware import pick_hardware

    hardware = pick_hardware(plan.device, plan.dtype)
    output.note(f"{hardware.describe()}: {hardware.why}")
    studio = prepare(plan, hardware, output.note)
    for text in cut_texts(studio):
        output.warn(f"the prompt is too long for the model, which does not read: {text}")
    for made in make(studio):
        gallery.add(made)
        if len(gallery.finished) == 1:
            _remember(plan, library, output)


def _remember(plan: Plan, library: Library, output: Output) -> None:
    """Record that the concepts were used; a picture is not lost over that."""
    try:
        if not library.touch(concept.name for concept in plan.concepts):
            output.detail("the library may only be read: that its words were used is not recorded")
    except TiError as error:
        output.warn(f"the library could not record that its concepts were used: {error.message}")
