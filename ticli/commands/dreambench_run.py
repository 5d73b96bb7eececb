"""`ti score --dreambench`: every subject of that dataset by the concept of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ticli.commands.names import given_names
from ticli.commands.scoring_run import Ask, hardware_of, request_of, say_subjects
from ticli.errors import NotFound, Usage
from ticli.terminal.scored import show_planned, show_subjects

if TYPE_CHECKING:
    from ticli.library.library import Library
    from ticli.scoring.dreambench import BenchSubject
    from ticli.scoring.planning import Subject
    from ticli.settings import Settings


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
    from ticli.scoring.judging import Studio

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
    from ticli.scoring.planning import plan_subjects
    from ticli.scoring.protocol import Counts

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
