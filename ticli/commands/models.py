"""`ti models`: the models that can be used, what each is, and short names for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.model_views import announcer, show_model, table_of_models
from ticli.terminal.output import Output, open_output

# What each action takes after its name.
WORDS = {"list": "", "show": "MODEL", "add": "NAME MODEL", "remove": "NAME", "fetch": "MODEL"}


def models(
    action: Annotated[
        Literal["list", "show", "add", "remove", "fetch"],
        typer.Argument(metavar="ACTION", help="list, show, add, remove or fetch."),
    ] = "list",
    first: Annotated[
        str | None,
        typer.Argument(metavar="NAME|MODEL", help="A short name or model.", show_default=False),
    ] = None,
    second: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A folder, file or hub id.", show_default=False),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let a short name stand for another model.")
    ] = False,
    components: options.ComponentsOption = None,
    prediction: options.PredictionOption = None,
    offline: options.OfflineOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """List, show, name and fetch models.

    Listed are the starter, the configured model, those of the hub's cache and those with short
    names, whether they are here or not. The current one is used where -m names no other: TI_MODEL,
    the config file, or the starter. `remove` takes a short name away and leaves the model.
    """
    from ticli.settings import load_settings

    output = open_output(json, quiet, verbose, no_color, debug)
    given = [word for word in (first, second) if word is not None]
    said = options.given_of(components, prediction)
    if len(given) != len(WORDS[action].split()):
        raise Usage(
            f"ti models {action} takes {WORDS[action] or 'nothing'} after it",
            f"ti models {action} {WORDS[action]}".rstrip(),
        )
    stay = offline or load_settings()["offline"] == "true"
    if action == "list":
        _list(output)
    elif action in ("add", "remove"):
        _name(output, given, replace, said)
    else:
        announce = announcer(output) if action == "fetch" else None
        _look(output, given[0], {"offline": stay, "announce": announce, "given": said})


def _list(output: Output) -> None:
    from ticli.models.info import listed
    from ticli.models.locate import unusable_names, usable
    from ticli.settings import load_settings

    found = usable(load_settings()["model"])
    current = _current(output)
    shown = [listed(source, source.id == current) for source in found]
    table_of_models(output, shown + unusable_names())
    output.hint("choose one with -m MODEL, TI_MODEL, or: ti config set model MODEL")


def _name(output: Output, given: list[str], replace: bool, said: Any) -> None:
    """Add or remove a short name; what is said of a model in one file is remembered of it."""
    from ticli.models.info import check_file
    from ticli.models.locate import add_short_name, remove_short_name, to_keep

    if len(given) == 2:
        model = to_keep(given[1])
        for remark in check_file(model, said):
            output.note(remark)
        add_short_name(given[0], model, replace=replace)
    else:
        model = remove_short_name(given[0])
    if output.json:
        output.document({"name": given[0], "model": model, "added": len(given) == 2})
    else:
        output.note(f"{given[0]} {'stands' if len(given) == 2 else 'stood'} for {model}")


def _look(output: Output, name: str, how: dict[str, Any]) -> None:
    from ticli.models.info import described
    from ticli.models.locate import locate

    source = locate(name, **how)
    show_model(output, described(source, source.id == _current(output)))


def _current(output: Output) -> str:
    """The id of the model that is used where none is named; "" where it cannot be had."""
    from ticli.models.info import current
    from ticli.settings import load_settings

    found, why_not = current(load_settings())
    if why_not:
        output.warn(why_not)
    return found
