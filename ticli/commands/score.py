"""`ti score`: how much a concept looks like its photos, and how well it obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from ticli.commands import options
from ticli.commands.arguments import given_words
from ticli.settings import load_settings
from ticli.terminal.output import Output
from ticli.terminal.score_views import say_plan, show_planned, show_scores


@options.with_output
def score(
    output: Output,
    concepts: Annotated[
        list[str] | None,
        options.argument(
            metavar="NAME...",
            help="Concepts, as mug or <mug>, or embedding files; - reads names from stdin.",
        ),
    ] = None,
    photos: Annotated[
        list[str] | None,
        options.flag(
            "--photos",
            metavar="PATH",
            help="Photos to compare with, a folder or a file; can be repeated. "
            "Kept ones by default.",
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        options.flag(
            "--encoder",
            metavar="ENCODER",
            help="A CLIP or DINO: starter, a folder, or a hub id in the cache; can be repeated.",
        ),
    ] = None,
    class_word: Annotated[
        str,
        options.flag(
            "--class-word",
            metavar="WORD",
            help="The word to compare with; the concept's noun or init word by default.",
        ),
    ] = "",
    prompts: Annotated[
        Path | None,
        options.flag(
            "--prompts",
            metavar="FILE",
            help="Scenes of your own, one a line, each with {} for the concept.",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        options.flag("--samples", metavar="N", help="Pictures of the plain prompt; 16."),
    ] = None,
    scene_samples: Annotated[
        int | None,
        options.flag(
            "--scene-samples", metavar="N", help="Pictures of each scene; an eighth of --samples."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        options.flag(
            "--plot",
            metavar="FILE",
            help="Draw image similarity against obedience into a .png.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        options.flag(
            "--sheet",
            metavar="FILE",
            help="Write a sheet of photos and pictures as a .png, one for each concept.",
        ),
    ] = None,
    no_save: Annotated[
        bool, options.flag("--no-save", help="Do not keep the scores with the concept.")
    ] = False,
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
) -> None:
    """Measure likeness and obedience of concepts.

    Every concept gets the same prompts and seeds, so that two scores can be compared.
    """
    from ticli.generation.picture_plan import DrawingRequest
    from ticli.interface import model_request, score_plan
    from ticli.library.library import Library
    from ticli.photos.sentences import read_sentences
    from ticli.scoring.score_plan import ScoreRequest, plan_scores

    request = ScoreRequest(
        concepts=tuple(given_words(concepts or ())),
        photos=tuple(photos or ()),
        encoders=tuple(encoder or ()),
        class_word=class_word.strip(),
        scenes=read_sentences(prompts) if prompts is not None else (),
        samples=samples,
        scene_samples=scene_samples,
        drawing=DrawingRequest(steps, guidance, size, sampler),
        model=model_request(
            model, components, prediction, device, dtype, offline=offline, strict=strict_base,
            try_out=not dry_run, on_event=output.hear,
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

    reports: list[dict[str, Any]] = []
    scores = score_plan(plan, library, save=not no_save, on_event=output.hear)
    for number, scored in enumerate(scores):
        reports += scored.reports
        if plan.sheets:
            _write(plan.sheets[number], png_bytes(scored.sheet()), force, output)
    if plan.plot is not None:
        from ticli.scoring.chart import chart_of, write_chart

        chart = chart_of(reports)
        if chart.points:
            _write(plan.plot, write_chart(chart), force, output)
        else:
            output.warn("there is no plot: no concept has an obedience to draw")
    show_scores(output, reports)


def _write(path: Path, data: bytes, force: bool, output: Output) -> None:
    from ticli.durable import make_folder, write_file

    make_folder(path.parent, 0o777)
    write_file(path, data, replace=force, mode=0o666)
    output.note(f"wrote {path}")
