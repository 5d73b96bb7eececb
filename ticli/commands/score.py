"""`ti score`: how much a concept looks like its photos, and how well it obeys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.commands import options
from ticli.commands.arguments import given_words
from ticli.commands.options import prediction_finder
from ticli.terminal.output import Output, open_output
from ticli.terminal.score_views import say_plan, show_planned, show_scores

if TYPE_CHECKING:
    pass


def score(
    words: options.WordsArgument = None,
    photos: options.PhotosOption = None,
    encoder: options.EncoderOption = None,
    class_word: options.ClassWordOption = "",
    prompts: options.PromptsOption = None,
    samples: options.SamplesOption = None,
    scene_samples: options.SceneSamplesOption = None,
    plot: options.PlotOption = None,
    sheet: options.SheetOption = None,
    no_save: options.NoSaveOption = False,
    steps: options.StepsOption = None,
    guidance: options.GuidanceOption = None,
    size: options.SizeOption = "",
    sampler: options.SamplerOption = "",
    no_noun: options.NoNounOption = False,
    strict_base: options.StrictBaseOption = False,
    force: options.ForceOption = False,
    dry_run: options.DryRunOption = False,
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
    """Measure likeness and obedience of concepts.

    Every concept gets the same prompts and seeds, so that two scores can be compared.
    """
    from ticli.generation.model_choice import ModelRequest
    from ticli.generation.picture_plan import DrawingRequest
    from ticli.library.library import Library
    from ticli.photos.sentences import read_sentences
    from ticli.scoring.score_plan import ScoreRequest, plan_scores
    from ticli.settings import load_settings

    output = open_output(json, quiet, verbose, no_color, debug)
    request = ScoreRequest(
        concepts=tuple(given_words(words or ())),
        photos=tuple(photos or ()),
        encoders=tuple(encoder or ()),
        class_word=class_word.strip(),
        scenes=read_sentences(prompts) if prompts is not None else (),
        samples=samples,
        scene_samples=scene_samples,
        drawing=DrawingRequest(steps, guidance, size, sampler),
        model=ModelRequest(
            model or "", offline, strict_base, device or "", dtype or "",
            given=options.given_of(components, prediction),
            find_prediction=None if dry_run else prediction_finder(device, dtype, output),
        ),
        nouns=not no_noun,
        plot=plot,
        sheet=sheet,
        force=force,
    )  # fmt: skip
    library = Library.open()
    plan = plan_scores(request, library, load_settings())
    say_plan(output, plan.subjects)
    if dry_run:
        show_planned(output, plan.subjects)
        return
    output.note("loading …")
    from ticli.generation.pictures import png_bytes
    from ticli.interface import score_plan

    reports: list[dict[str, Any]] = []
    scores = score_plan(plan, library, save=not no_save, on_event=output.hear)
    for number, scored in enumerate(scores):
        reports += scored.reports
        if plan.sheets:
            _write(plan.sheets[number], png_bytes(scored.sheet()), force, output)
    if plan.plot is not None:
        from ticli.scoring.chart import chart_of, write_chart

        _write(plan.plot, write_chart(chart_of(reports)), force, output)
    show_scores(output, reports)


def _write(path: Path, data: bytes, force: bool, output: Output) -> None:
    from ticli.durable import make_folder, write_file

    make_folder(path.parent, 0o777)
    write_file(path, data, replace=force, mode=0o666)
    output.note(f"wrote {path}")
