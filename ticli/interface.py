"""The Python interface: learn, draw, score and keep concepts. The commands call it too.

Nothing here prints or asks. What a user should know while something runs goes to `on_event`; what
goes wrong is raised as a TiError. Torch is imported only when a model is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ticli.concept import Concept, Embedding
from ticli.errors import Conflict, TiError, Usage
from ticli.library.library import Library
from ticli.names import parse_token
from ticli.paths import places
from ticli.recipe import Recipe, load_recipe
from ticli.settings import check_value, load_settings, prepare_determinism

if TYPE_CHECKING:
    from ticli.generation.model_choice import ModelRequest
    from ticli.generation.picture_plan import PicturePlan
    from ticli.generation.pictures import Picture
    from ticli.inversion.plan import Plan, Request
    from ticli.inversion.step import Step
    from ticli.inversion.training import Training
    from ticli.library.exporting import Exported, Order, Outgoing
    from ticli.library.formats.containers import Opened
    from ticli.library.importing import LearnedOn
    from ticli.models.download import Announce, Parcel
    from ticli.models.folder import ModelSource
    from ticli.models.hardware import Hardware
    from ticli.models.single_files.recognising import Given
    from ticli.scoring.judge import Score
    from ticli.scoring.score_plan import ScorePlan

PathLike = str | Path
# Named here, since ConceptLibrary has a method called list.
Concepts = list[Concept]
Paths = list[Path]
Files = list["Outgoing"]
Photos = PathLike | Sequence[PathLike]
EventKind = Literal[
    "note", "detail", "warning", "began", "step", "learned", "failed", "picture", "score"
]


@dataclass(frozen=True)
class Event:
    """Something to know about work in progress; only what belongs to its `kind` is filled.

    `note`, `detail` and `warning` have a `text`. `began`, `step`, `learned` and `failed` are of the
    concept `token`: with its `training` (its `rows()` are the vectors as they are now), the `step`
    that was taken, the `concept` that the library has now, the `error` that ended it. A `picture`
    is finished, and so is a `score`.
    """

    kind: EventKind
    text: str = ""
    token: str = ""
    training: Training | None = None
    step: Step | None = None
    concept: Concept | None = None
    error: TiError | None = None
    picture: Picture | None = None
    score: Score | None = None

    @property
    def name(self) -> str:
        """The name of the concept it is about."""
        return parse_token(self.token).name


OnEvent = Callable[[Event], None]
Stop = Callable[[], int | None]


def nothing(_event: Event) -> None:
    """Hear an event and do nothing."""


def _teller(on_event: OnEvent, kind: EventKind = "note") -> Callable[[str], None]:
    """A function that makes an event of a text."""
    return lambda text: on_event(Event(kind, text))


class DefaultRecipe(Recipe):
    """The recipe `default` with some knobs changed: `Recipe(steps=80)`. Raises Usage."""

    def __init__(self, **knobs: Any) -> None:
        settled = load_recipe("default").with_flags(**knobs)
        for knob in fields(Recipe):
            object.__setattr__(self, knob.name, getattr(settled, knob.name))

    @staticmethod
    def named(name: str, **knobs: Any) -> Recipe:
        """The recipe of that name or YAML file, with some knobs changed. Raises NotFound, Usage."""
        return load_recipe(name).with_flags(**knobs)


def learn(
    photos: Photos,
    token: str,
    *,
    recipe: Recipe | str = "",
    model: str = "",
    seed: int = 0,
    replace: bool = False,
    fresh: bool = False,
    keep_photos: bool = False,
    components: PathLike = "",
    prediction: str = "",
    device: str = "",
    dtype: str = "",
    deterministic: bool = False,
    low_memory: bool = False,
    offline: bool = False,
    on_event: OnEvent = nothing,
    stop: Stop = lambda: None,
) -> Concept:
    """Learn a concept from photos and keep it in the library.

    `photos` is a folder, a file or several; `recipe` a Recipe, a name or a YAML file. `components`
    and `prediction` are for a model in one file. What is left open comes from the settings, as for
    `ti invert`. A run that was stopped is continued; `fresh` starts it over. `stop` is called
    between steps: if it returns a signal's number, the run keeps a checkpoint and Stopped is
    raised.

    Raises Usage, NotFound, BadContent, Conflict, ModelUnavailable, DeviceFailed and Diverged.
    """
    from ticli.inversion.plan import Request, make_plan
    from ticli.inversion.run_folder import check_run

    settings = load_settings()
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe or settings["recipe"])
    library = Library.open(write=True)
    request = Request(
        photos=tuple(map(str, [photos] if isinstance(photos, str | Path) else photos)),
        token=token,
        recipe=recipe,
        model=model or settings["model"],
        seed=seed,
        replace=replace,
        offline=offline or settings["offline"] == "true",
        announce=_announcer(on_event),
        given=given_of(components, prediction),
        find_prediction=prediction_finder(
            device, dtype, deterministic, low_memory, on_event=on_event
        ),
    )
    plan = make_plan(request, library)
    check_run(places().runs, plan.token.name, plan.identity(), fresh=fresh)
    for text in plan.notes:
        on_event(Event("note", text))
    for text in plan.warnings:
        on_event(Event("warning", text))
    learned: list[Concept] = []

    def hear(event: Event) -> None:
        if event.error is not None:
            raise event.error
        if event.concept is not None:
            learned.append(event.concept)
        on_event(event)

    hardware = choose_hardware(
        plan.source, device, dtype, deterministic, low_memory, on_event=on_event
    )
    learn_plans(
        [plan],
        plan,
        hardware,
        library,
        replace=replace,
        fresh=fresh,
        keep_photos=keep_photos,
        on_event=hear,
        stop=stop,
    )
    return learned[0]


def _announcer(on_event: OnEvent) -> Announce:
    """Tell of a download, and keep the hub's own progress bars quiet."""

    def announce(parcel: Parcel) -> None:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        size = f"{len(parcel.files)} files, {parcel.bytes:,} bytes"
        on_event(Event("note", f"downloading {parcel.id}: {size}, into {parcel.cache}"))

    return announce


def given_of(components: PathLike | None, prediction: str | None) -> Given:
    """What a user says of a model in one file: its components' folder, and "epsilon" or "v".

    Raises Usage.
    """
    from ticli.models.single_files.recognising import FLAG, PREDICTIONS, Given

    folder = Path(components).expanduser() if components else None
    if not prediction:
        return Given(folder)
    if prediction not in PREDICTIONS:
        raise Usage(f"no model predicts {prediction!r}", f"use {' or '.join(PREDICTIONS)}")
    return Given(folder, PREDICTIONS[prediction], FLAG)


def prediction_finder(
    device: str = "",
    dtype: str = "",
    deterministic: bool = False,
    low_memory: bool = False,
    *,
    on_event: OnEvent = nothing,
) -> Callable[[Plan | ModelSource], ModelSource]:
    """Make what finds out what a model predicts, on a plan's photos if there are any.

    Each model is tried once.
    """
    known: dict[str, ModelSource] = {}

    def find(asked: Plan | ModelSource) -> ModelSource:
        from ticli.inversion.plan import Plan

        source = asked.source if isinstance(asked, Plan) else asked
        if source.id not in known:
            machine = device, dtype, deterministic, low_memory
            hardware = choose_hardware(source, *machine, on_event=on_event)
            from ticli.inversion.low_memory import prediction_by_photos
            from ticli.models.single_files.probing import find_prediction

            note = _teller(on_event)
            if isinstance(asked, Plan):
                known[source.id] = prediction_by_photos(asked, hardware, note)
            else:
                known[source.id] = find_prediction(source, hardware, note)
        return known[source.id]

    return find


def model_request(
    model: str | None = "",
    components: PathLike | None = None,
    prediction: str | None = None,
    device: str | None = "",
    dtype: str | None = "",
    *,
    offline: bool = False,
    strict: bool = False,
    announce: Announce | None = None,
    try_out: bool = True,
    on_event: OnEvent = nothing,
) -> ModelRequest:
    """What is asked of the model that draws; `try_out` loads one whose prediction nothing says."""
    from ticli.generation.model_choice import ModelRequest

    find = prediction_finder(device or "", dtype or "", on_event=on_event)
    return ModelRequest(
        model or "",
        offline,
        strict,
        device or "",
        dtype or "",
        announce,
        given_of(components, prediction),
        find if try_out else None,
    )


def choose_hardware(
    source: ModelSource,
    device: str = "",
    dtype: str = "",
    deterministic: bool = False,
    low_memory: bool = False,
    *,
    on_event: OnEvent = nothing,
) -> Hardware:
    """Import torch, and choose the device and precision for a model. Raises Usage, DeviceFailed."""
    settings = load_settings()
    on_event(Event("note", f"loading {source.describe()} …"))
    if deterministic:
        prepare_determinism()
    from ticli.models.hardware import make_deterministic, pick_hardware

    if deterministic:
        make_deterministic()
    device = check_value("device", device) if device else settings["device"]
    hardware = pick_hardware(device, dtype or settings["dtype"], half_on_cpu=source.has_small_maps)
    on_event(Event("note", f"{hardware.describe()}: {hardware.why}"))
    return replace(hardware, low_memory=low_memory)


def learn_plans(
    concepts: Sequence[Plan | Request],
    heaviest: Plan,
    hardware: Hardware,
    library: Library,
    *,
    most: int | None = None,
    replace: bool = False,
    fresh: bool = False,
    keep_photos: bool = False,
    on_event: OnEvent = nothing,
    stop: Stop = lambda: None,
) -> None:
    """Learn concepts side by side, at most `most` at a time, and keep each as soon as it is done.

    `heaviest` is the plan among them that needs most memory. What is in the way of one concept is
    told by an event; what concerns all of them is raised.
    """
    from ticli.inversion.engine import open_engine
    from ticli.inversion.plan import OF_ONE_CONCEPT
    from ticli.inversion.result import concepts_of
    from ticli.inversion.run_folder import finish

    note = _teller(on_event)
    engine = open_engine(
        heaviest, hardware, library, len(concepts), most=most, tell=note, fresh=fresh
    )
    with closing(engine.learn(concepts, stop)) as events:
        for event in events:
            token, training = event.token.text, event.training
            if event.kind == "ended" and training is not None:
                try:
                    if keep_photos:
                        photos = [(p.sha256, p.path) for p in training.plan.photos.photos]
                        for path in library.keep_photos(photos):
                            said = "is gone or has changed since it was learned from"
                            on_event(Event("warning", f"{path} {said}; it is not kept"))
                    kept = library.add_all(concepts_of(training), replace=replace)
                    finish(training.run)
                except OF_ONE_CONCEPT as error:
                    on_event(Event("failed", token=token, error=error))
                else:
                    on_event(Event("learned", token=token, training=training, concept=kept[0]))
                    for twin in kept[1:]:
                        note(f'learned its negative twin too: --negative "{twin.token}"')
            elif event.kind != "ended":
                on_event(
                    Event(
                        event.kind,
                        token=token,
                        training=training,
                        step=event.step,
                        error=event.error,
                    )
                )


def draw(
    prompt: str | Sequence[str],
    *,
    seed: int | None = None,
    count: int = 1,
    negative: str = "",
    steps: int | None = None,
    guidance: float | None = None,
    size: str | int = "",
    sampler: str = "",
    nouns: bool = True,
    model: str = "",
    components: PathLike = "",
    prediction: str = "",
    device: str = "",
    dtype: str = "",
    offline: bool = False,
    on_event: OnEvent = nothing,
) -> list[Picture]:
    """Draw `count` pictures of each prompt; concepts of the library stand in it as `<name>`.

    Each picture has its `.image` and `.seed`; `.save(path)` writes a PNG that says how it was made.
    Picture i has the seed `seed` + i; without a seed it is random. Raises Usage, NotFound,
    Conflict, ModelUnavailable and DeviceFailed.
    """
    from ticli.generation.picture_plan import DrawingRequest, PictureRequest, plan_pictures

    library = Library.open()
    request = PictureRequest(
        prompts=(prompt,) if isinstance(prompt, str) else tuple(prompt or ()),
        negative=negative,
        nouns=nouns,
        count=count,
        seed=seed,
        drawing=DrawingRequest(steps, guidance, str(size), sampler),
        output=None,
        model=model_request(
            *(model, components, prediction, device, dtype),
            offline=offline,
            announce=_announcer(on_event),
            on_event=on_event,
        ),
    )
    plan = plan_pictures(request, library, load_settings())
    return list(draw_plan(plan, library, on_event))


def draw_plan(
    plan: PicturePlan, library: Library, on_event: OnEvent = nothing
) -> Iterator[Picture]:
    """Draw the pictures of a plan one by one, and write those that it has files for."""
    from ticli.generation.draw import draw_pictures
    from ticli.generation.pictures import write_pictures

    note, warn = _teller(on_event), _teller(on_event, "warning")
    note(f"loading {plan.choice.source.describe()} …")
    pictures = draw_pictures(plan, note, warn)
    for number, picture in enumerate(write_pictures(plan, pictures)):
        on_event(Event("picture", picture=picture))
        yield picture
        if number == 0:
            # A picture is not lost over a library that cannot be written.
            try:
                if not library.touch(concept.name for concept in plan.concepts):
                    text = "the library is read-only: it does not record that concepts were used"
                    on_event(Event("detail", text))
            except TiError as error:
                warn(f"the library could not record that its concepts were used: {error.message}")


def score(
    concepts: str | Sequence[str],
    *,
    photos: Photos = (),
    encoders: Sequence[str] = (),
    class_word: str = "",
    scenes: Sequence[str] = (),
    samples: int | None = None,
    scene_samples: int | None = None,
    steps: int | None = None,
    model: str = "",
    components: PathLike = "",
    prediction: str = "",
    device: str = "",
    dtype: str = "",
    offline: bool = False,
    save: bool = True,
    on_event: OnEvent = nothing,
) -> list[Mapping[str, Any]]:
    """Score concepts of the library, or embedding files: one report for each encoder.

    docs/scoring.md says what the figures mean. With `save` they are kept with the concept. Raises
    as `draw` does, and BadContent for photos that cannot be used.
    """
    from ticli.generation.picture_plan import DrawingRequest
    from ticli.scoring.score_plan import ScoreRequest, plan_scores

    library = Library.open()
    request = ScoreRequest(
        concepts=(concepts,) if isinstance(concepts, str) else tuple(concepts),
        photos=tuple(map(str, [photos] if isinstance(photos, str | Path) else photos)),
        encoders=tuple(encoders),
        class_word=class_word,
        scenes=tuple(scenes),
        samples=samples,
        scene_samples=scene_samples,
        drawing=DrawingRequest(steps),
        model=model_request(
            *(model, components, prediction, device, dtype),
            offline=offline,
            announce=_announcer(on_event),
            on_event=on_event,
        ),
    )
    plan = plan_scores(request, library, load_settings())
    scores = score_plan(plan, library, save=save, on_event=on_event)
    return [report for scored in scores for report in scored.reports]


def score_plan(
    plan: ScorePlan, library: Library, *, save: bool = True, on_event: OnEvent = nothing
) -> Iterator[Score]:
    """Score the concepts of a plan one by one, and keep the reports with those of the library."""
    from ticli.scoring.judge import score_concepts

    note, warn = _teller(on_event), _teller(on_event, "warning")
    for scored in score_concepts(plan, note):
        concept = scored.subject.concept
        if save and scored.subject.stored:
            # Reports are not lost over a library that cannot be written.
            try:
                if not library.keep_scores(concept, scored.reports):
                    warn(f"{concept.name!r} was changed or removed: its scores are not kept")
            except TiError as error:
                warn(f"the scores of {concept.name!r} are not kept: {error.message}")
        on_event(Event("score", score=scored))
        yield scored


def load_vectors(file: PathLike, token: str | None = None) -> Embedding:
    """Read the vectors of an embedding file of any known layout, without importing it.

    `token` chooses one of several concepts. Nothing in the file is run. Raises NotFound, BadContent
    and Usage.
    """
    from ticli.library.importing import Wanted, gather

    words, _ = gather([Path(file)], Wanted(token), frozenset().__contains__)
    if len(words) > 1:
        raise Usage(f"{file} holds {len(words)} concepts", "give one file")
    return words[0].embedding


def usable_widths(on_event: OnEvent = nothing) -> set[int]:
    """The widths of the encoders of every model on this machine; a broken cache counts as empty."""
    from ticli.models.locate import usable

    try:
        models = usable(load_settings()["model"])
    except (OSError, ValueError) as error:
        on_event(Event("detail", f"the hub cache cannot be read: {error}"))
        return set()
    return {width for model in models for width in model.widths.values()}


def _learned_on(name: str) -> LearnedOn:
    from ticli.concept import BaseModel
    from ticli.library.importing import LearnedOn
    from ticli.models.fingerprint import fingerprint
    from ticli.models.locate import locate

    source = locate(name, offline=load_settings()["offline"] == "true")
    base = BaseModel(source.family, source.id, source.revision, fingerprint(source))
    return LearnedOn(base, source.widths)


class ConceptLibrary(Library):
    """The personal library: list, get, find, rename, tag, remove, merge, export, import.

    `ticli.Library.open()` opens it where TI_HOME says; a concept is named as `mug` or `<mug>`.
    """

    def list(self, **query: Any) -> Concepts:
        """The concepts, by name; `query` narrows them: pattern, tag, kind, limit, as in Query."""
        from ticli.library.query import Query

        return self.concepts(Query(**query))

    def merge(
        self,
        parts: Mapping[str, float | None] | Sequence[str | tuple[str, float | None]],
        token: str,
        *,
        method: str = "mean",
        raw: bool = False,
        replace: bool = False,
        store: bool = True,
    ) -> Concept:
        """Combine concepts into a new one: weights by name, or names alone.

        `method` is mean, slerp or concat. Raises NotFound, Conflict and Usage.
        """
        from ticli.library import merging

        new = parse_token(token)
        pairs = parts.items() if isinstance(parts, Mapping) else parts
        weighed = [(pair, None) if isinstance(pair, str) else pair for pair in pairs]
        parents = [(self.get(name), weight) for name, weight in weighed]
        if not replace and (taken := self.find(new.name)):
            raise Conflict(
                f"{taken.name!r} is in the library already",
                "give --replace, or another --token",
                name=taken.name,
            )
        if parents:
            merging.merge_base([parent for parent, _ in parents])
        vectors = [(self.embedding(parent), weight) for parent, weight in parents]
        embedding = merging.merge(vectors, method, raw)
        concept = merging.merged_concept(new, parents, embedding, method, raw)
        return self.add(concept, embedding, replace=replace) if store else concept

    def export(
        self,
        names: str | Sequence[str],
        output: PathLike = "",
        *,
        program: str = "",
        format: str = "",
        force: bool = False,
        on_event: OnEvent = nothing,
    ) -> Paths:
        """Write concepts for another program, and return the paths.

        What to do with the files goes to `on_event`. Raises NotFound, Usage and Conflict.
        """
        from ticli.library.exporting import Order, Target
        from ticli.library.formats.metadata import Extras

        wanted = (names,) if isinstance(names, str) else tuple(names)
        order = Order(wanted, Target(program, format).checked(), Extras(), str(output))
        return [file.path for file in self.export_files(order, force, on_event)]

    def export_files(self, order: Order, force: bool = False, on_event: OnEvent = nothing) -> Files:
        """Write the files of an order, as `export` does, and return them."""
        from ticli.library.exporting import plan_files, write_files

        files = plan_files(self, order) if order.names else []
        write_files(files, order.output, force)
        _advise([exported for file in files for _, exported in file.parts], on_event)
        return files

    def export_content(self, order: Order, on_event: OnEvent = nothing) -> bytes:
        """The bytes of an order for a pipe: one file as it is, several as a zip."""
        from ticli.library.exporting import export_content

        content, exports = export_content(self, order)
        _advise(exports, on_event)
        return content

    def import_(
        self,
        file: PathLike | Sequence[PathLike | Opened],
        token: str | None = None,
        *,
        everything: bool = False,
        base: str | None = None,
        replace: bool = False,
        any_hash: bool = False,
        on_event: OnEvent = nothing,
    ) -> Concepts:
        """Import the concepts of one file or several, all or none.

        Of a folder or zip of many files, what is unfit is left out, and noted. `token` names the
        one concept, or chooses one of several in a file; `everything` takes all. `base` is the
        model it was learned on, where the file does not say. `any_hash` takes vectors that are not
        those of the hash in their file. Raises NotFound, BadContent, Usage, Conflict and
        ModelUnavailable.
        """
        from ticli.library.importing import Wanted, gather, store_all

        if token is not None and everything:
            raise Usage("--token takes one concept and --all takes every one", "choose one of them")
        learned_on = _learned_on(base) if base is not None else None
        wanted = Wanted(token, everything, learned_on, lambda: usable_widths(on_event), any_hash)
        files = [file] if isinstance(file, str | Path) else file
        taken = set() if replace else set(self.names())
        words, notes = gather(
            [Path(one) if isinstance(one, str) else one for one in files],
            wanted,
            taken.__contains__,
        )
        for note in notes:
            on_event(Event("note", note))
        for warning in (warning for word in words for warning in word.warnings):
            on_event(Event("warning", warning))
        return store_all(self, words, replace)


def _advise(exports: Sequence[Exported], on_event: OnEvent) -> None:
    """Say what to do with exports next, and what their layouts cannot hold."""
    for exported in dict.fromkeys(exports):
        for note in exported.notes:
            on_event(Event("note", note))
        if exported.lost:
            names, lost = ", ".join(exported.names), ", ".join(exported.lost)
            on_event(Event("detail", f"{exported.layout.name} does not hold of {names}: {lost}"))
