"""`ti invert`: photos in, concepts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.commands import learning_options, options
from ticli.concept import Concept
from ticli.errors import TiError, Usage
from ticli.manifest import Entry, pairs, read_manifest, refuse_repeats
from ticli.names import parse_token
from ticli.paths import places
from ticli.recipe import Recipe, load_recipe
from ticli.settings import Settings, load_settings
from ticli.terminal.input import noted_signals, piped
from ticli.terminal.model_views import announcer
from ticli.terminal.output import Output, open_output
from ticli.terminal.progress import Progress, ProgressMode
from ticli.terminal.run_views import (
    Words,
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
    from ticli.models.folder import ModelSource
    from ticli.models.hardware import Hardware
    from ticli.models.single_files.recognising import Given


@dataclass(frozen=True)
class Ask:
    """All flags of `ti invert` as given; None where a flag was left out."""

    photos: tuple[str, ...]
    tokens: tuple[str, ...]
    manifest: str | None
    together: int | None
    recipe: str | None
    knobs: Mapping[str, Any]
    sentences: Path | None
    seed: int
    preview_every: int
    preview: str
    keep_photos: bool
    replace: bool
    fresh: bool
    dry_run: bool
    model: str | None
    given: Given
    device: str | None
    dtype: str | None
    deterministic: bool
    low_memory: bool
    offline: bool
    progress: ProgressMode
    output: Output

    @property
    def token(self) -> str:
        """The token of a call for one concept."""
        return self.tokens[0] if self.tokens else ""

    @property
    def several(self) -> bool:
        """Whether each concept comes with its own photos."""
        return self.manifest is not None or any("=" in token for token in self.tokens)


def class_word(noun: str | None, no_noun: bool) -> str | None:
    """The noun that two flags ask for, "" for none; None where neither was given. Raises Usage."""
    if noun is not None and no_noun:
        raise Usage("--noun and --no-noun contradict each other", "leave one out")
    return "" if no_noun else noun


def learn(ask: Ask) -> None:
    """Carry out a call of `ti invert` for one concept. Raises the TiErrors of its parts."""
    _check_one(ask)
    from ticli.inversion.plan import make_plan
    from ticli.inversion.run_folder import check_run
    from ticli.library.library import Library
    from ticli.terminal.run_views import say_plan, show_plan

    settings = load_settings()
    recipe = load_recipe(ask.recipe or settings["recipe"]).with_flags(**flags_of(ask))
    request = request_of(ask, settings, recipe, _stdin(ask.photos))
    plan = make_plan(request, Library.open())
    way = way_of(ask, settings, f"{plan.token.name} in {places().home}")
    if ask.dry_run:
        show_plan(ask.output, plan, way)
        return
    # Before any work: a library that cannot be written would lose the concept at the very end.
    library = Library.open(write=True)
    check_run(places().runs, plan.token.name, plan.identity(), fresh=ask.fresh)
    say_plan(ask.output, plan, way)
    concepts: list[Concept] = []

    def hear(event: Event, _progress: Progress) -> None:
        if event.error is not None:
            raise event.error
        if event.concept is not None:
            concepts.append(event.concept)

    _run(ask, library, [plan], plan, way, hear)
    (concept,) = concepts
    if ask.output.json:
        ask.output.document(concept.as_json())
    else:
        ask.output.line(concept.name)
    ask.output.hint(f'try: ti generate "{concept.token} on the moon"')


def _run(
    ask: Ask,
    library: Library,
    concepts: Sequence[Plan | Request],
    heaviest: Plan,
    way: RunSetup,
    hear: Callable[[Event, Progress], None],
) -> None:
    """Learn concepts with progress and previews; `hear` is told of every event."""
    from ticli.interface import learn_plans

    output, count = ask.output, len(concepts) if ask.several else None
    hardware = hardware_of(ask, way, heaviest.source)

    def show(event: Event) -> None:
        output.hear(event)
        training = event.training
        if event.kind == "began" and training is not None:
            progress.join(event.name, event.token)
            if taken := training.steps:
                whose = f"{event.token}: " if ask.several else ""
                output.note(f"{whose}continuing from step {taken} of {training.total}")
        elif event.step is not None and training is not None:
            progress.update(event.name, event.step)
            if ask.preview_every and event.step.index % ask.preview_every == 0:
                preview(ask, training, event.step.index)
        elif event.concept is not None and training is not None:
            say_learned(output, event.concept, training.seconds)
        hear(event, progress)
        if event.kind in ("learned", "failed"):
            progress.leave(event.name)

    with noted_signals() as signalled, Progress(ask.progress, output, count) as progress:
        learn_plans(
            concepts,
            heaviest,
            hardware,
            library,
            most=ask.together,
            replace=ask.replace,
            fresh=ask.fresh,
            keep_photos=ask.keep_photos,
            on_event=show,
            stop=signalled,
        )


def _check_one(ask: Ask) -> None:
    """Refuse a call that is not for one concept. Raises Usage."""
    several = "for several concepts give each its photos: --token mug=PHOTOS --token cup=PHOTOS"
    if not ask.tokens:
        raise Usage("there is no --token", f'name the concept: --token "<mug>"; {several}')
    if len(ask.tokens) > 1:
        raise Usage(f"--token is given {len(ask.tokens)} times", several)
    if ask.together is not None:
        raise Usage("--together is for several concepts", f"leave it out; {several}")


def hardware_of(ask: Ask, way: RunSetup, source: ModelSource) -> Hardware:
    """Import torch and choose the device and precision; what is loaded where is said."""
    from ticli.interface import choose_hardware

    return choose_hardware(
        source,
        way.device,
        way.dtype,
        ask.deterministic,
        ask.low_memory,
        on_event=ask.output.hear,
    )


def preview(ask: Ask, training: Training, step: int) -> None:
    """Write one picture of the concept as it is now; a full disk does not end the run."""
    from ticli.durable import make_folder, write_file
    from ticli.generation.draw import draw_preview
    from ticli.generation.pictures import png_bytes

    plan = training.plan
    prompt = ask.preview.replace("{}", plan.trigger)
    image = draw_preview(training.model, prompt, training.rows(), plan.seed)
    folder = Path(load_settings()["output_dir"]).expanduser() / f"{plan.token.name}-previews"
    file = folder / f"{plan.token.name}-{step:05d}.png"
    try:
        make_folder(folder, 0o777)
        write_file(file, png_bytes(image), replace=True, mode=0o666)
    except TiError as error:
        ask.output.warn(f"no preview of step {step}: {error.message}")
        return
    ask.output.note(f"preview {file}")


def flags_of(ask: Ask) -> dict[str, Any]:
    """The knobs that were given as flags, None for others. Raises as read_sentences."""
    from ticli.photos.sentences import read_sentences

    own = None if ask.sentences is None else read_sentences(ask.sentences)
    return {**ask.knobs, "sentences": own}


def request_of(ask: Ask, settings: Settings, recipe: Recipe, stdin: bytes | None = None) -> Request:
    """The request for one concept."""
    from ticli.inversion.plan import Request

    return Request(
        photos=ask.photos,
        token=ask.token,
        recipe=recipe,
        model=settings["model"] if ask.model is None else ask.model,
        seed=ask.seed,
        replace=ask.replace,
        offline=ask.offline or settings["offline"] == "true",
        stdin=stdin,
        announce=None if ask.dry_run else announcer(ask.output),
        given=ask.given,
        find_prediction=None if ask.dry_run else _finder(ask, settings),
    )


def _finder(ask: Ask, settings: Settings) -> Callable[[Plan], ModelSource]:
    """A function that tries out on a plan's photos what its model predicts, once per model."""
    known: dict[str, ModelSource] = {}

    def find(plan: Plan) -> ModelSource:
        if plan.source.id not in known:
            hardware = hardware_of(ask, way_of(ask, settings, ""), plan.source)
            from ticli.inversion.low_memory import prediction_by_photos

            known[plan.source.id] = prediction_by_photos(plan, hardware, ask.output.note)
        return known[plan.source.id]

    return find


def _stdin(photos: tuple[str, ...]) -> bytes | None:
    """The paths on stdin, where `-` asks for them."""
    if "-" not in photos:
        return None
    sent = piped("- reads paths from stdin, and stdin is a terminal", "pipe paths into it")
    return sent.read()


def way_of(ask: Ask, settings: Settings, result: str) -> RunSetup:
    """Where and how the runs of a call take place; `result` says where their concepts will be."""
    from ticli.inversion.plan import RunSetup
    from ticli.settings import check_value

    return RunSetup(
        device=check_value("device", ask.device) if ask.device else settings["device"],
        device_origin="--device" if ask.device else settings.origin("device"),
        dtype=ask.dtype or settings["dtype"],
        recipe_name=ask.recipe or settings["recipe"],
        model_named=bool(ask.model or settings["model"]),
        result=result,
    )


@learning_options.with_knobs
def invert(
    photos: learning_options.PhotosArgument = None,
    token: learning_options.NewTokenOption = None,
    manifest: learning_options.ManifestOption = None,
    recipe: learning_options.RecipeOption = None,
    model: options.ModelOption = None,
    device: options.DeviceOption = None,
    fresh: learning_options.FreshOption = False,
    replace: options.ReplaceOption = False,
    dry_run: options.DryRunOption = False,
    no_noun: learning_options.NoNounOption = False,
    seed: learning_options.RunSeedOption = 0,
    preview_every: learning_options.PreviewEveryOption = 0,
    preview: learning_options.PreviewOption = "a photo of a {}",
    keep_photos: learning_options.KeepPhotosOption = False,
    components: options.ComponentsOption = None,
    prediction: options.PredictionOption = None,
    dtype: options.DtypeOption = None,
    together: learning_options.TogetherOption = None,
    deterministic: learning_options.DeterministicOption = False,
    low_memory: learning_options.LowMemoryOption = False,
    offline: options.OfflineOption = False,
    progress: options.ProgressOption = "auto",
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
    knobs: dict[str, Any] | None = None,
) -> None:
    """Learn a concept from photos.

    To resume a stopped run, give the same command again. Several concepts learn side by side: give
    --token NAME=PHOTOS for each, or a manifest with a token, photos and any knob for each.
    """
    knobs = dict(knobs or {})
    sentences, noun = knobs.pop("sentences", None), knobs.get("noun")
    knobs["noun"] = class_word(noun, no_noun)
    ask = Ask(
        photos=tuple(photos or ()), tokens=tuple(token or ()), manifest=manifest, together=together,
        recipe=recipe, knobs=knobs, sentences=sentences, seed=seed,
        preview_every=preview_every, preview=preview, keep_photos=keep_photos,
        replace=replace, fresh=fresh, dry_run=dry_run, model=model,
        given=options.given_of(components, prediction), device=device, dtype=dtype,
        deterministic=deterministic, low_memory=low_memory, offline=offline, progress=progress,
        output=open_output(json, quiet, verbose, no_color, debug),
    )  # fmt: skip
    if ask.several:
        learn_words(ask)
    else:
        learn(ask)


def requests_of(ask: Ask, settings: Settings) -> list[Request]:
    """The request for each concept; a mistake in any is found before any photo is opened."""
    entries = _entries(ask)
    name = ask.recipe or settings["recipe"]
    recipe, flags = load_recipe(name), flags_of(ask)
    common = request_of(ask, settings, recipe)
    return [
        replace(
            common,
            token=entry.token,
            photos=entry.photos,
            recipe=entry.settle(name, recipe, flags),
            seed=ask.seed if entry.seed is None else entry.seed,
        )
        for entry in entries
    ]


def _entries(ask: Ask) -> list[Entry]:
    if ask.photos:
        raise Usage(
            "PHOTOS are for one concept, and there are several",
            "give each its own: in the manifest, or as --token NAME=PHOTOS",
        )
    entries: list[Entry] = []
    if ask.manifest is not None:
        entries += read_manifest(ask.manifest, _photos_of_stdin(ask.manifest))
    entries += pairs(ask.tokens)
    refuse_repeats(entries)
    return entries


def _photos_of_stdin(manifest: str) -> bytes | None:
    if manifest != "-":
        return None
    sent = piped("--manifest - reads stdin, and that is a terminal", "pipe a manifest into it")
    return sent.read()


@dataclass(frozen=True)
class Call:
    """A call for several concepts: what has become of them, and the library they go to."""

    ask: Ask
    words: Words
    library: Library


def learn_words(ask: Ask) -> None:
    """Carry out a call of `ti invert` for several concepts. Raises the TiErrors of its parts."""
    from ticli.library.library import Library

    requests = requests_of(ask, load_settings())
    words = Words(ask.output, [parse_token(request.token).name for request in requests])
    way = way_of(ask, load_settings(), str(places().home))
    if ask.dry_run:
        _show_plans(Call(ask, words, Library.open()), requests, way)
        return
    # Before any work: a library that cannot be written would lose the concepts at the very end.
    call = Call(ask, words, Library.open(write=True))
    try:
        going, heaviest = _survey(call, requests, way)
        if heaviest is not None:
            _learn(call, going, heaviest, way)
    except TiError as error:
        error.details["completed"] = words.completed
        raise
    words.close()


def _survey(
    call: Call, requests: Sequence[Request], way: RunSetup
) -> tuple[list[Request], Plan | None]:
    """The concepts still to be learned, and the plan among them that needs most memory."""
    from ticli.inversion.plan import Refused, survey

    going, lines, heaviest = [], [], None
    found_words = survey(requests, call.library, places().runs, call.ask.fresh)
    for request, found in zip(requests, found_words, strict=True):
        if isinstance(found, Refused):
            call.words.fail(found.token, found.error)
        elif isinstance(found, Concept):
            call.words.known(found)
        else:
            say_notes_of(call.ask.output, found)
            lines.append(line_of(found))
            going.append(request)
            heaviest = found if heaviest is None else max(heaviest, found, key=_weight)
    if heaviest is not None:
        words = "1 concept" if len(lines) == 1 else f"{len(lines)} concepts"
        way = replace(way, result=f"{words} in {places().home}")
        say_plans(call.ask.output, lines, heaviest, way)
    return going, heaviest


def _weight(plan: Plan) -> int:
    return plan.recipe.batch * plan.recipe.size**2


def _show_plans(call: Call, requests: Sequence[Request], way: RunSetup) -> None:
    """Write the plan of every concept to stdout, as text or one JSON array."""
    from ticli.inversion.plan import Refused, survey

    output, documents, shown = call.ask.output, [], 0
    for found in survey(requests, call.library, None, call.ask.fresh):
        if isinstance(found, Refused):
            call.words.fail(found.token, found.error)
            continue
        if isinstance(found, Concept):
            call.words.say_known(found)
            continue
        if not shown:
            say_starter(output, found.source, way)
        say_notes_of(output, found)
        own = replace(way, result=f"{found.token.name} in {places().home}")
        if output.json:
            documents.append(json_of(found, own))
        else:
            output.lines([""] * bool(shown))
            write_plan(found, own)
        shown += 1
    if call.words.failed:
        call.words.close()
    if output.json:
        output.document(documents)


def _learn(call: Call, going: Sequence[Request], heaviest: Plan, way: RunSetup) -> None:
    ask, words = call.ask, call.words

    def hear(event: Event, progress: Progress) -> None:
        if event.error is not None:
            words.fail(parse_token(event.token), event.error)
        elif event.concept is not None:
            words.learned(event.concept, progress)

    _run(ask, call.library, going, heaviest, way, hear)
    if words.documents:
        *_, last = words.documents.values()
        ask.output.hint(f'try: ti generate "{last["token"]} on the moon"')
