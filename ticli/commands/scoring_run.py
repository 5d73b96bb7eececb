"""What `ti score` does with its flags: plan, draw, measure, show, keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.commands.names import given_words
from ticli.errors import Conflict, TiError, Usage
from ticli.terminal.output import Output
from ticli.terminal.scored import show_planned, show_scores

if TYPE_CHECKING:
    from ticli.generation.choosing import Wish
    from ticli.generation.drawing import Wanted
    from ticli.library.library import Library
    from ticli.models.hardware import Hardware
    from ticli.scoring.planning import Request, Subject
    from ticli.settings import Settings


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
    from ticli.scoring.planning import plan_subjects
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
        from ticli.scoring.comparing import chart_of
        from ticli.scoring.tradeoff import write_chart

        _write(ask, ask.plot, write_chart(chart_of(reports), ask.plot.suffix))
    show_scores(ask.output, reports)


def request_of(ask: Ask) -> Request:
    """What the scoring room needs of the flags. Raises Usage and NotFound."""
    from ticli.photos.sentences import read_sentences
    from ticli.scoring.planning import Request
    from ticli.scoring.protocol import counts_of

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
    from ticli.scoring.judging import Studio, judge_word
    from ticli.scoring.sheet import sheet_of

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
        from ticli.scoring.tradeoff import check_chart_file

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
