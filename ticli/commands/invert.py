"""`ti invert`: photos in, concepts out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.commands import learning_options, options
from ticli.concept import Concept
from ticli.errors import TiError, Usage, counted
from ticli.manifest import Entry, pairs, read_manifest, refuse_repeats
from ticli.names import parse_token
from ticli.paths import places
from ticli.recipe import Recipe, load_recipe
from ticli.settings import Settings, load_settings
from ticli.terminal.input import noted_signals, piped
from ticli.terminal.model_views import announcer
from ticli.terminal.output import Output
from ticli.terminal.progress import Progress
from ticli.terminal.run_views import (
    Results,
    json_of,
    line_of,
    say_learned,
    say_notes_of,
    say_plans,
    say_starter,
    write_plan,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticli.interface import Event
    from ticli.inversion.plan import Plan, Request, RunSetup
    from ticli.inversion.training import Training
    from ticli.library.library import Library


@dataclass(frozen=True)
class InvertFlags:
    """Every flag of `ti invert`; None where a flag was left out."""

    output: Output
    photos: learning_options.PhotosArgument = None
    token: learning_options.NewTokenOption = None
    manifest: learning_options.ManifestOption = None
    recipe: learning_options.RecipeOption = None
    knobs: dict[str, Any] | None = None
    model: options.ModelOption = None
    device: options.DeviceOption = None
    fresh: learning_options.FreshOption = False
    replace: options.ReplaceOption = False
    dry_run: options.DryRunOption = False
    no_noun: learning_options.NoNounOption = False
    seed: learning_options.RunSeedOption = 0
    preview_every: learning_options.PreviewEveryOption = 0
    preview: learning_options.PreviewOption = "a photo of a {}"
    keep_photos: learning_options.KeepPhotosOption = False
    components: options.ComponentsOption = None
    prediction: options.PredictionOption = None
    dtype: options.DtypeOption = None
    together: learning_options.TogetherOption = None
    deterministic: learning_options.DeterministicOption = False
    low_memory: learning_options.LowMemoryOption = False
    offline: options.OfflineOption = False
    progress: learning_options.ProgressOption = "auto"

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self.token or ())

    @property
    def several(self) -> bool:
        """Whether each concept comes with its own photos."""
        return self.manifest is not None or any("=" in token for token in self.tokens)


@learning_options.with_knobs
@options.with_output
@options.with_fields(InvertFlags)
def invert(flags: InvertFlags) -> None:
    """Learn a concept from photos.

    To resume a stopped run, give the same command again. Several concepts learn side by side: give
    --token NAME=PHOTOS for each, or a manifest with a token, photos and any knob for each.
    """
    if flags.several:
        learn_several(flags)
    else:
        learn_one(flags)


def learn_one(flags: InvertFlags) -> None:
    """Carry out `ti invert` for one concept. Raises the TiErrors of its parts."""
    several = "for several concepts give each its photos: --token mug=PHOTOS --token cup=PHOTOS"
    if not flags.tokens:
        raise Usage("no --token was given", f'name the concept: --token "<mug>"; {several}')
    if len(flags.tokens) > 1:
        raise Usage(f"--token is given {len(flags.tokens)} times", several)
    if flags.together is not None:
        raise Usage("--together is for several concepts", f"leave it out; {several}")
    from ticli.inversion.plan import make_plan
    from ticli.inversion.run_folder import check_run
    from ticli.library.library import Library
    from ticli.terminal.run_views import say_plan, show_plan

    settings = load_settings()
    recipe = load_recipe(flags.recipe or settings["recipe"]).with_flags(**knobs_of(flags))
    stdin = None
    if "-" in (flags.photos or ()):
        terminal = "- reads paths from stdin, and stdin is a terminal"
        stdin = piped(terminal, "pipe paths into it").read()
    request = request_of(flags, settings, recipe, stdin)
    plan = make_plan(request, Library.open())
    setup = setup_of(flags, settings, f"{plan.token.name} in {places().home}")
    if flags.dry_run:
        show_plan(flags.output, plan, setup)
        return
    # Before any work: a library that cannot be written would lose the concept at the very end.
    library = Library.open(write=True)
    check_run(places().runs, plan.token.name, plan.identity(), fresh=flags.fresh)
    say_plan(flags.output, plan, setup)
    concepts: list[Concept] = []

    def hear(event: Event, _progress: Progress) -> None:
        if event.error is not None:
            raise event.error
        if event.concept is not None:
            concepts.append(event.concept)

    _run(flags, library, [plan], plan, setup, hear)
    (concept,) = concepts
    if flags.output.json:
        flags.output.document(concept.as_json())
    else:
        flags.output.line(concept.name)
    _say_what_to_try(flags.output, concept.token)


def learn_several(flags: InvertFlags) -> None:
    """Carry out `ti invert` for several concepts. Raises the TiErrors of its parts."""
    from ticli.inversion.plan import Refused, survey
    from ticli.library.library import Library

    settings = load_settings()
    requests = requests_of(flags, settings)
    results = Results(flags.output, [parse_token(request.token).name for request in requests])
    setup = setup_of(flags, settings, str(places().home))
    if flags.dry_run:
        _show_plans(flags, results, requests, setup)
        return
    # Before any work: a library that cannot be written would lose the concepts at the very end.
    library = Library.open(write=True)
    going: list[Request] = []
    lines: list[str] = []
    heaviest: Plan | None = None
    most = 0

    def hear(event: Event, progress: Progress) -> None:
        if event.error is not None:
            results.fail(parse_token(event.token), event.error)
        elif event.concept is not None:
            results.learned(event.concept, progress)

    try:
        plans = survey(requests, library, places().runs, flags.fresh)
        for request, found in zip(requests, plans, strict=True):
            if isinstance(found, Refused):
                results.fail(found.token, found.error)
            elif isinstance(found, Concept):
                results.known(found)
            else:
                say_notes_of(flags.output, found)
                lines.append(line_of(found))
                going.append(request)
                pixels = found.recipe.batch * found.recipe.size**2
                if pixels > most:
                    heaviest, most = found, pixels
        if heaviest is not None:
            result = f"{counted(len(going), 'concept')} in {places().home}"
            say_plans(flags.output, lines, heaviest, replace(setup, result=result))
            _run(flags, library, going, heaviest, setup, hear)
            if results.documents:
                *_, last = results.documents.values()
                _say_what_to_try(flags.output, last["token"])
    except TiError as error:
        error.details["completed"] = results.completed
        raise
    results.close()


def _say_what_to_try(output: Output, token: str) -> None:
    output.hint(f'try: ti generate "{token} on the moon"')


def _run(
    flags: InvertFlags,
    library: Library,
    concepts: Sequence[Plan | Request],
    heaviest: Plan,
    setup: RunSetup,
    hear: Callable[[Event, Progress], None],
) -> None:
    """Learn concepts with progress and previews; `hear` is told of every event."""
    from ticli.interface import choose_hardware, learn_plans

    output, count = flags.output, len(concepts) if flags.several else None
    hardware = choose_hardware(
        heaviest.source,
        setup.device,
        setup.dtype,
        flags.deterministic,
        flags.low_memory,
        on_event=output.hear,
    )

    def show(event: Event) -> None:
        output.hear(event)
        training = event.training
        if event.kind == "began" and training is not None:
            progress.join(event.name, event.token)
            if taken := training.steps:
                whose = f"{event.token}: " if flags.several else ""
                output.note(f"{whose}continuing from step {taken} of {training.total}")
        elif event.step is not None and training is not None:
            progress.update(event.name, event.step)
            if flags.preview_every and event.step.index % flags.preview_every == 0:
                preview(flags, training, event.step.index)
        elif event.concept is not None and training is not None:
            say_learned(output, event.concept, training.seconds)
        hear(event, progress)
        if event.kind in ("learned", "failed"):
            progress.leave(event.name)

    with noted_signals() as signalled, Progress(flags.progress, output, count) as progress:
        learn_plans(
            concepts,
            heaviest,
            hardware,
            library,
            most=flags.together,
            replace=flags.replace,
            fresh=flags.fresh,
            keep_photos=flags.keep_photos,
            on_event=show,
            stop=signalled,
        )


def preview(flags: InvertFlags, training: Training, step: int) -> None:
    """Write one picture of the concept as it is now; a full disk does not end the run."""
    from ticli.durable import make_folder, write_file
    from ticli.generation.draw import draw_preview
    from ticli.generation.pictures import png_bytes

    plan = training.plan
    prompt = flags.preview.replace("{}", plan.trigger)
    image = draw_preview(training.model, prompt, training.rows(), plan.seed)
    folder = Path(load_settings()["output_dir"]).expanduser() / f"{plan.token.name}-previews"
    file = folder / f"{plan.token.name}-{step:05d}.png"
    try:
        make_folder(folder, 0o777)
        write_file(file, png_bytes(image), replace=True, mode=0o666)
    except TiError as error:
        flags.output.warn(f"no preview of step {step}: {error.message}")
        return
    flags.output.note(f"preview {file}")


def knobs_of(flags: InvertFlags) -> dict[str, Any]:
    """The knobs that were given as flags, None for others. Raises Usage and as read_sentences."""
    from ticli.photos.sentences import read_sentences

    knobs = dict(flags.knobs or {})
    if flags.no_noun and knobs["noun"] is not None:
        raise Usage("--noun and --no-noun contradict each other", "leave one out")
    if flags.no_noun:
        knobs["noun"] = ""
    if knobs["sentences"] is not None:
        knobs["sentences"] = read_sentences(knobs["sentences"])
    return knobs


def request_of(
    flags: InvertFlags, settings: Settings, recipe: Recipe, stdin: bytes | None = None
) -> Request:
    """The request for one concept."""
    from ticli.interface import given_of, prediction_finder
    from ticli.inversion.plan import Request

    setup = setup_of(flags, settings, "")
    machine = setup.device, setup.dtype, flags.deterministic, flags.low_memory
    find = prediction_finder(*machine, on_event=flags.output.hear)
    return Request(
        photos=tuple(flags.photos or ()),
        token=flags.tokens[0] if flags.tokens else "",
        recipe=recipe,
        model=settings["model"] if flags.model is None else flags.model,
        seed=flags.seed,
        replace=flags.replace,
        offline=flags.offline or settings["offline"] == "true",
        stdin=stdin,
        announce=None if flags.dry_run else announcer(flags.output),
        given=given_of(flags.components, flags.prediction),
        find_prediction=None if flags.dry_run else find,
    )


def setup_of(flags: InvertFlags, settings: Settings, result: str) -> RunSetup:
    """Where and how the runs of a call take place; `result` says where their concepts will be."""
    from ticli.inversion.plan import RunSetup
    from ticli.settings import check_value

    return RunSetup(
        device=check_value("device", flags.device) if flags.device else settings["device"],
        device_origin="--device" if flags.device else settings.origin("device"),
        dtype=flags.dtype or settings["dtype"],
        recipe_name=flags.recipe or settings["recipe"],
        model_named=bool(flags.model or settings["model"]),
        result=result,
    )


def requests_of(flags: InvertFlags, settings: Settings) -> list[Request]:
    """The request for each concept; a mistake in any is found before any photo is opened."""
    entries = _entries(flags)
    name = flags.recipe or settings["recipe"]
    recipe, knobs = load_recipe(name), knobs_of(flags)
    common = request_of(flags, settings, recipe)
    return [
        replace(
            common,
            token=entry.token,
            photos=entry.photos,
            recipe=entry.settle(name, recipe, knobs),
            seed=flags.seed if entry.seed is None else entry.seed,
        )
        for entry in entries
    ]


def _entries(flags: InvertFlags) -> list[Entry]:
    if flags.photos:
        raise Usage(
            "PHOTOS stand beside a manifest or --token NAME=PHOTOS",
            "leave PHOTOS out, and give each concept its own",
        )
    entries: list[Entry] = []
    if flags.manifest is not None:
        stdin = None
        if flags.manifest == "-":
            terminal = "--manifest - reads stdin, and that is a terminal"
            stdin = piped(terminal, "pipe a manifest into it").read()
        entries += read_manifest(flags.manifest, stdin)
    entries += pairs(flags.tokens)
    refuse_repeats(entries)
    return entries


def _show_plans(
    flags: InvertFlags, results: Results, requests: Sequence[Request], setup: RunSetup
) -> None:
    """Write the plan of every concept to stdout, as text or one JSON array."""
    from ticli.inversion.plan import Refused, survey
    from ticli.library.library import Library

    output, documents, shown = flags.output, [], 0
    for found in survey(requests, Library.open(), None, flags.fresh):
        if isinstance(found, Refused):
            results.fail(found.token, found.error)
            continue
        if isinstance(found, Concept):
            results.say_known(found)
            continue
        if not shown:
            say_starter(output, found.source, setup)
        say_notes_of(output, found)
        own = replace(setup, result=f"{found.token.name} in {places().home}")
        if output.json:
            documents.append(json_of(found, own))
        else:
            output.lines([""] * bool(shown))
            write_plan(found, own)
        shown += 1
    if results.failed:
        results.close()
    if output.json:
        output.document(documents)
