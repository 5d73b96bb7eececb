"""`ti score`: how much a learned word looks like its photos, and how well it obeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.commands import options
from ticli.commands.arguments import given_names, given_words
from ticli.commands.options import prediction_finder
from ticli.errors import Conflict, NotFound, TiError, Usage
from ticli.terminal.output import Output, open_output
from ticli.terminal.score_views import show_planned, show_scores, show_subjects

if TYPE_CHECKING:
    from ticli.generation.model_choice import Wish
    from ticli.generation.picture_plan import Wanted
    from ticli.library.library import Library
    from ticli.models.hardware import Hardware
    from ticli.scoring.dreambench import BenchSubject
    from ticli.scoring.score_plan import Request, Subject
    from ticli.settings import Settings


# What `ti score` does with its flags: plan, draw, measure, show, keep.


@dataclass(frozen=True)
class Ask:
    """All that the flags of `ti score` said."""

    words: tuple[str, ...]
    photos: tuple[str, ...]
    encoders: tuple[str, ...]
    class_word: str
    prompts: Path | None
    samples: int | None
    scene_samples: int | None
    plot: Path | None
    sheet: Path | None
    dreambench: Path | None
    save: bool
    wanted: Wanted
    nouns: bool
    wish: Wish
    force: bool
    dry_run: bool
    output: Output


def score_words(ask: Ask) -> None:
    """Carry out a call that names words. Raises the TiErrors of its parts."""
    from ticli.library.library import Library
    from ticli.scoring.score_plan import plan_subjects
    from ticli.settings import load_settings

    if not ask.words:
        raise Usage("no concept named", "such as ti score mug; ti list shows all")
    settings, library = load_settings(), Library.open()
    subjects = plan_subjects(request_of(ask), library, settings)
    files = _files(ask, subjects)
    say_subjects(ask.output, subjects)
    if ask.dry_run:
        show_planned(ask.output, subjects)
        return
    reports = _judge(ask, subjects, (library, settings), files)
    if ask.plot is not None:
        from ticli.scoring.chart import chart_of, write_chart

        _write(ask, ask.plot, write_chart(chart_of(reports), ask.plot.suffix))
    show_scores(ask.output, reports)


def request_of(ask: Ask) -> Request:
    """What the scoring room needs of the flags. Raises Usage and NotFound."""
    from ticli.photos.sentences import read_sentences
    from ticli.scoring.protocol import counts_of
    from ticli.scoring.score_plan import Request

    return Request(
        words=tuple(given_words(ask.words)),
        photos=ask.photos,
        encoders=ask.encoders,
        class_word=ask.class_word,
        scenes=read_sentences(ask.prompts) if ask.prompts is not None else (),
        counts=counts_of(ask.samples, ask.scene_samples),
        wanted=ask.wanted,
        wish=ask.wish,
        nouns=ask.nouns,
    )


def say_subjects(output: Output, subjects: Sequence[Subject]) -> None:
    """Say on stderr what a user may not expect, and every protocol once."""
    for text in dict.fromkeys(note for subject in subjects for note in subject.notes):
        output.note(text)
    for path, reason in dict.fromkeys(bad for s in subjects for bad in s.photos.rejected):
        output.warn(f"left out {path.name}: {reason}")
    for text in dict.fromkeys(text for subject in subjects for text in subject.warnings):
        output.warn(text)
    lines = (protocol.describe() for subject in subjects for protocol in subject.protocols)
    for line in dict.fromkeys(lines):
        output.note(line)


def hardware_of(ask: Ask, settings: Settings) -> Hardware:
    """The device and precision that were asked for, as torch knows them."""
    from ticli.models.hardware import pick_hardware
    from ticli.settings import check_value

    hardware = pick_hardware(
        check_value("device", ask.wish.device or settings["device"]),
        check_value("dtype", ask.wish.dtype or settings["dtype"]),
    )
    ask.output.note(f"{hardware.describe()}: {hardware.why}")
    return hardware


def _judge(
    ask: Ask,
    subjects: Sequence[Subject],
    surroundings: tuple[Library, Settings],
    sheets: Sequence[Path],
) -> list[dict[str, Any]]:
    library, settings = surroundings
    ask.output.note("loading …")
    from ticli.generation.pictures import png_bytes
    from ticli.scoring.judge import Studio, judge_word, sheet_of

    studio = Studio(hardware_of(ask, settings), ask.output.note)
    reports: list[dict[str, Any]] = []
    for number, subject in enumerate(subjects):
        judged = judge_word(studio, subject)
        reports += judged.reports
        if sheets:
            prompts = subject.protocols[0].prompts
            sheet = sheet_of(judged, prompts, subject.trigger)
            _write(ask, sheets[number], png_bytes(sheet))
        if ask.save and subject.stored:
            _keep(ask, library, subject, judged.reports)
    return reports


def _keep(ask: Ask, library: Library, subject: Subject, reports: Sequence[dict[str, Any]]) -> None:
    """Store what was found; a score is not lost over a library that cannot be written."""
    name = subject.concept.name
    try:
        if not library.keep_scores(subject.concept, reports):
            ask.output.warn(f"{name!r} was changed or removed meanwhile: its scores are not kept")
    except TiError as error:
        ask.output.warn(f"the scores of {name!r} are not kept: {error.message}")


def _files(ask: Ask, subjects: Sequence[Subject]) -> list[Path]:
    """The sheets to be written, one a word. Raises Usage and Conflict before any work is done."""
    sheets: list[Path] = []
    if ask.sheet is not None:
        if ask.sheet.suffix.lower() != ".png":
            raise Usage(f"a sheet cannot be written as {ask.sheet.name!r}", "end its name in .png")
        sheets = _sheets(ask.sheet.expanduser(), [subject.label for subject in subjects])
    if ask.plot is not None:
        from ticli.scoring.chart import check_chart_file

        check_chart_file(ask.plot)
        if not any(judge.reads for subject in subjects for judge in subject.encoders):
            raise Usage("a plot needs an encoder that reads, and DINO does not", "add a CLIP")
    for path in (*sheets, *([ask.plot] if ask.plot else [])):
        if path.exists() and not ask.force:
            raise Conflict(f"{path} exists already", "give --force, or another name")
    return sheets


def _sheets(path: Path, labels: Sequence[str]) -> list[Path]:
    """One file a word; a word and a file of it may have the same name."""
    if len(labels) == 1:
        return [path]
    found = []
    for number, label in enumerate(labels):
        before = labels[:number].count(label)
        found.append(path.with_stem(f"{path.stem}-{label}{f'-{before + 1}' if before else ''}"))
    return found


def _write(ask: Ask, path: Path, data: bytes) -> None:
    from ticli.durable import make_folder, write_file

    make_folder(path.parent, 0o777)
    write_file(path, data, replace=ask.force, mode=0o666)
    ask.output.note(f"wrote {path}")


# `ti score --dreambench`: every subject of that dataset by the concept of its name.


def score_subjects(ask: Ask) -> None:
    """Carry out a call with --dreambench. Raises the TiErrors of its parts."""
    from ticli.library.library import Library
    from ticli.settings import load_settings

    _check(ask)
    settings, library = load_settings(), Library.open()
    subjects = [_planned(ask, subject, (library, settings)) for subject in _chosen(ask, library)]
    say_subjects(ask.output, subjects)
    if ask.dry_run:
        show_planned(ask.output, subjects)
        return
    ask.output.note("loading …")
    from ticli.scoring.dreambench import judge_subject, mean_figures
    from ticli.scoring.judge import Studio

    studio = Studio(hardware_of(ask, settings), ask.output.note)
    results = []
    for subject in subjects:
        results.append(judge_subject(studio, subject))
        ask.output.note(f"{len(results)} of {len(subjects)} subjects")
    protocols = {p.as_json()["id"]: p.as_json() for s in subjects for p in s.protocols}
    show_subjects(ask.output, results, mean_figures(results), list(protocols.values()))


def _check(ask: Ask) -> None:
    own = {
        "--photos": ask.photos,
        "--prompts": ask.prompts,
        "--class-word": ask.class_word,
        "--plot": ask.plot,
        "--sheet": ask.sheet,
        "--samples": ask.samples,
    }
    for flag, value in own.items():
        if value:
            raise Usage(
                f"{flag} and --dreambench contradict each other",
                "that protocol has its own photos, prompts and classes",
            )


def _chosen(ask: Ask, library: Library) -> Sequence[BenchSubject]:
    """The subjects named, else all. Raises NotFound for those that have no concept yet."""
    from ticli.scoring.dreambench import read_benchmark

    folder = ask.dreambench.expanduser() if ask.dreambench else None
    subjects = read_benchmark(folder) if folder else []
    wanted = given_names(ask.words)
    if unknown := set(wanted) - {subject.name.lower() for subject in subjects}:
        raise NotFound(f"{ask.dreambench} has no subject {', '.join(sorted(unknown))}")
    chosen = [s for s in subjects if not wanted or s.name.lower() in wanted]
    missing = [subject for subject in chosen if library.find(subject.name) is None]
    if missing:
        first = missing[0]
        raise NotFound(
            f"no concept for {', '.join(subject.name for subject in missing)}",
            f'learn each, such as ti invert {first.folder} --token "<{first.name}>" '
            f"--init {first.class_word.split()[-1]}",
            names=[subject.name for subject in missing],
        )
    return chosen


def _planned(ask: Ask, subject: BenchSubject, surroundings: tuple[Library, Settings]) -> Subject:
    from ticli.scoring.dreambench import ENCODERS, PICTURES_A_PROMPT
    from ticli.scoring.protocol import Counts
    from ticli.scoring.score_plan import plan_subjects

    request = replace(
        request_of(ask),
        words=(subject.name.lower(),),
        photos=(str(subject.folder),),
        encoders=ask.encoders or ENCODERS,
        class_word=subject.class_word,
        scenes=subject.scenes,
        counts=Counts(0, ask.scene_samples or PICTURES_A_PROMPT),
    )
    (planned,) = plan_subjects(request, *surroundings)
    # That protocol says the class of every subject after its token, whatever the concept's noun.
    token = planned.concept.token
    return replace(planned, trigger=f"{token} {subject.class_word}" if ask.nouns else token)


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
    dreambench: options.DreamBenchOption = None,
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

    The same pictures, seeds and sentences for every word, so that two scores can be compared.
    """
    from ticli.generation.model_choice import Wish
    from ticli.generation.picture_plan import Wanted

    output = open_output(json, quiet, verbose, no_color, debug)
    ask = Ask(
        words=tuple(words or ()),
        photos=tuple(photos or ()),
        encoders=tuple(encoder or ()),
        class_word=class_word.strip(),
        prompts=prompts,
        samples=samples,
        scene_samples=scene_samples,
        plot=plot,
        sheet=sheet,
        dreambench=dreambench,
        save=not no_save,
        wanted=Wanted(steps, guidance, size, sampler),
        nouns=not no_noun,
        wish=Wish(
            model or "", offline, strict_base, device or "", dtype or "",
            given=options.given_of(components, prediction),
            find_prediction=None if dry_run else prediction_finder(device, dtype, output),
        ),
        force=force,
        dry_run=dry_run,
        output=output,
    )  # fmt: skip
    if dreambench is None:
        score_words(ask)
    else:
        score_subjects(ask)
