"""`ti models`: the models that can be used, what each is, and short names for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.settings import load_settings
from ticli.terminal.model_views import announcer, show_model, table_of_models
from ticli.terminal.output import Output

# What each action takes after its name.
WORDS = {"list": "", "show": "MODEL", "add": "NAME MODEL", "remove": "NAME", "fetch": "MODEL"}


@options.with_output
def models(
    output: Output,
    action: Annotated[
        Literal["list", "show", "add", "remove", "fetch"],
        typer.Argument(metavar="ACTION", help="list, show, add, remove or fetch."),
    ] = "list",
    first: Annotated[
        str | None, options.argument(metavar="NAME|MODEL", help="A short name or model.")
    ] = None,
    second: Annotated[
        str | None, options.argument(metavar="MODEL", help="A folder, file or hub id.")
    ] = None,
    replace: Annotated[
        bool, options.flag("--replace", help="Let a short name stand for another model.")
    ] = False,
    components: options.ComponentsOption = None,
    prediction: options.PredictionOption = None,
    offline: options.OfflineOption = False,
) -> None:
    """List, show, name and fetch models.

    Listed are the starter, the configured model, those of the hub's cache and those with short
    names, whether they are here or not. The current one is used where -m names no other: TI_MODEL,
    the config file, or the starter. `remove` takes a short name away and leaves the model.
    """
    from ticli.interface import given_of
    from ticli.models.info import described
    from ticli.models.locate import locate

    words = [word for word in (first, second) if word is not None]
    given = given_of(components, prediction)
    if len(words) != len(WORDS[action].split()):
        raise Usage(
            f"ti models {action} takes {WORDS[action] or 'nothing'} after it",
            f"ti models {action} {WORDS[action]}".rstrip(),
        )
    offline = offline or load_settings()["offline"] == "true"
    if action == "list":
        _list(output)
    elif action in ("add", "remove"):
        _name(output, words, replace, given)
    else:
        announce = announcer(output) if action == "fetch" else None
        source = locate(words[0], offline=offline, announce=announce, given=given)
        show_model(output, described(source, source.id == _current(output)))


def _list(output: Output) -> None:
    from ticli.models.info import listed
    from ticli.models.locate import unusable_names, usable

    found = usable(load_settings()["model"])
    current = _current(output)
    shown = [listed(source, source.id == current) for source in found]
    table_of_models(output, shown + unusable_names())
    output.hint("choose one with -m MODEL, TI_MODEL, or: ti config set model MODEL")


def _name(output: Output, words: list[str], replace: bool, given: Any) -> None:
    """Add or remove a short name; what is said of a model in one file is remembered of it."""
    from ticli.models.info import check_file
    from ticli.models.locate import add_short_name, remove_short_name, to_keep

    name, adds = words[0], len(words) == 2
    if adds:
        model = to_keep(words[1])
        for remark in check_file(model, given):
            output.note(remark)
        add_short_name(name, model, replace=replace)
    else:
        model = remove_short_name(name)
    if output.json:
        output.document({"name": name, "model": model, "added": adds})
    else:
        output.note(f"{name} {'stands' if adds else 'stood'} for {model}")


def _current(output: Output) -> str:
    """The id of the model that is used where none is named; "" where it cannot be had."""
    from ticli.models.info import current

    found, why_not = current(load_settings())
    if why_not:
        output.warn(why_not)
    return found
