"""What `ti invert` does with its flags: check, show the plan, train, keep the word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.errors import TiError, Usage
from ticli.paths import places
from ticli.recipe import Recipe, load_recipe
from ticli.settings import Settings, load_settings, prepare_determinism
from ticli.terminal.downloads import announcer
from ticli.terminal.learned import say_learned
from ticli.terminal.output import Output
from ticli.terminal.progress import Progress, ProgressMode
from ticli.terminal.signals import noted_signals
from ticli.terminal.standard_input import piped

if TYPE_CHECKING:
    from ticli.concept import Concept
    from ticli.inversion.learning import Learning
    from ticli.inversion.plan import Plan, Request
    from ticli.inversion.running import Way
    from ticli.inversion.runs import Run
    from ticli.library.library import Library
    from ticli.models.hardware import Hardware
    from ticli.models.identifying import ModelSource
    from ticli.models.single_files.single_file import Given


@dataclass(frozen=True)
class Ask:
    """All that the flags of `ti invert` said; None where a flag was not given."""

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
        """The word's token, of a call for one word."""
        return self.tokens[0] if self.tokens else ""

    @property
    def several(self) -> bool:
        """Whether each word is asked for with its photos."""
        return self.manifest is not None or any("=" in token for token in self.tokens)


def knob_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that are called like a knob of the recipe and hold its value."""
    knobs = {knob.name for knob in fields(Recipe)} - {"sentences"}
    return {name: value for name, value in flags.items() if name in knobs}


def class_word(noun: str | None, no_noun: bool) -> str | None:
    """The noun that two flags ask for, "" for none; None where neither was given. Raises Usage."""
    if noun is not None and no_noun:
        raise Usage("--noun and --no-noun contradict each other", "leave one out")
    return "" if no_noun else noun


def learn(ask: Ask) -> None:
    """Carry out a call of `ti invert` for one word. Raises the TiErrors of its parts."""
    _check_one(ask)
    from ticli.inversion.plan import make_plan
    from ticli.inversion.runs import open_run
    from ticli.library.library import Library
    from ticli.terminal.planned import say_plan, show_plan

    settings = load_settings()
    recipe = load_recipe(ask.recipe or settings["recipe"]).with_flags(**flags_of(ask))
    request = request_of(ask, settings, recipe, _stdin(ask.photos))
    plan = make_plan(request, Library.open())
    way = way_of(ask, settings, f"{plan.token.name} in {places().home}")
    if ask.dry_run:
        show_plan(ask.output, plan, way)
        return
    # Before any work: a library that cannot be written would lose the word at the very end.
    library = Library.open(write=True)
    with open_run(places().runs, plan.token.name, plan.identity(), fresh=ask.fresh) as run:
        say_plan(ask.output, plan, way)
        concept = _train(ask, plan, run, (library, way))
    if ask.output.json:
        ask.output.document(concept.as_json())
    else:
        ask.output.line(concept.name)
    ask.output.hint(f'try: ti generate "{concept.token} on the moon"')


def _check_one(ask: Ask) -> None:
    """Refuse what is no call for one word. Raises Usage."""
    several = "for several words write each one's photos: --token mug=PHOTOS --token cup=PHOTOS"
    if not ask.tokens:
        raise Usage("there is no --token", f'name the word: --token "<mug>"; {several}')
    if len(ask.tokens) > 1:
        raise Usage(f"--token is given {len(ask.tokens)} times", several)
    if ask.together is not None:
        raise Usage("--together is of several words", f"leave it out; {several}")


def _train(ask: Ask, plan: Plan, run: Run, surroundings: tuple[Library, Way]) -> Concept:
    library, way = surroundings
    hardware = hardware_of(ask, way, plan.source)
    from ticli.inversion.learning import begin

    start = library.embedding(plan.start) if plan.start else None
    learning = begin(plan, run, hardware, start, ask.output.note)
    _take_steps(ask, learning)
    return keep_word(ask, learning, library)


def hardware_of(ask: Ask, way: Way, source: ModelSource) -> Hardware:
    """Import torch and choose the device and precision; what is loaded where is said."""
    output = ask.output
    output.note(f"loading {source.describe()} …")
    if ask.deterministic:
        prepare_determinism()
    from ticli.models.hardware import make_deterministic, pick_hardware

    if ask.deterministic:
        make_deterministic()
    hardware = pick_hardware(way.device, way.dtype, half_on_cpu=source.has_small_maps)
    hardware = replace(hardware, low_memory=ask.low_memory)
    output.note(f"{hardware.describe()}: {hardware.why}")
    return hardware


def keep_word(ask: Ask, learning: Learning, library: Library) -> Concept:
    """Put what a run has learned into the library; the run is then no more."""
    from ticli.inversion.runs import finish
    from ticli.inversion.twin import words_of

    output, plan = ask.output, learning.plan
    words = words_of(learning)
    if ask.keep_photos:
        changed = library.keep_photos([(p.sha256, p.path) for p in plan.photos.photos])
        for path in changed:
            output.warn(f"{path} is gone or has changed since it was learned from; it is not kept")
    concept, *twins = library.add_all(words, replace=ask.replace)
    finish(learning.run)
    say_learned(output, concept, learning.seconds)
    for twin in twins:
        output.note(f'learned its negative twin too: --negative "{twin.token}"')
    return concept


def _take_steps(ask: Ask, learning: Learning) -> None:
    """Train to the end, with progress and previews."""
    from ticli.inversion.learning import advance

    if learning.attempts.steps:
        ask.output.note(f"continuing from step {learning.attempts.steps} of {learning.total}")
    label = learning.plan.token.text
    with noted_signals() as signalled, Progress(ask.progress, label, ask.output) as progress:
        for step in advance(learning, signalled):
            progress.update(step)
            if ask.preview_every and step.index % ask.preview_every == 0:
                preview(ask, learning, step.index)


def preview(ask: Ask, learning: Learning, step: int) -> None:
    """Write one picture of the word as it is; a full disk does not end the run."""
    from ticli.durable import make_folder, write_file
    from ticli.generation.pictures import png_bytes
    from ticli.generation.preview import draw_preview

    plan = learning.plan
    prompt = ask.preview.replace("{}", plan.trigger)
    image = draw_preview(learning.model, prompt, learning.rows(), plan.seed)
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
    """What the flags say of the recipe; None where they say nothing. Raises as read_sentences."""
    from ticli.photos.sentences import read_sentences

    own = None if ask.sentences is None else read_sentences(ask.sentences)
    return {**ask.knobs, "sentences": own}


def request_of(ask: Ask, settings: Settings, recipe: Recipe, stdin: bytes | None = None) -> Request:
    """What is asked of one word."""
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
    """What finds out by a plan's photos what its model predicts; each model once in a call."""
    known: dict[str, ModelSource] = {}

    def find(plan: Plan) -> ModelSource:
        if plan.source.id not in known:
            hardware = hardware_of(ask, way_of(ask, settings, ""), plan.source)
            from ticli.inversion.trying import prediction_by_photos

            known[plan.source.id] = prediction_by_photos(plan, hardware, ask.output.note)
        return known[plan.source.id]

    return find


def _stdin(photos: tuple[str, ...]) -> bytes | None:
    """The paths on stdin, where `-` asks for them."""
    if "-" not in photos:
        return None
    sent = piped("- reads paths from stdin, and stdin is a terminal", "pipe paths into it")
    return sent.read()


def way_of(ask: Ask, settings: Settings, result: str) -> Way:
    """How the call's runs are carried out; `result` says where their words will be."""
    from ticli.inversion.running import Way
    from ticli.settings import check_value

    return Way(
        device=check_value("device", ask.device) if ask.device else settings["device"],
        device_origin="--device" if ask.device else settings.origin("device"),
        dtype=ask.dtype or settings["dtype"],
        recipe_name=ask.recipe or settings["recipe"],
        model_named=bool(ask.model or settings["model"]),
        result=result,
    )
