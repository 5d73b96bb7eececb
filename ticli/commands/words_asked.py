"""Which words a call of `ti invert` asks for: those of a manifest and of --token NAME=PHOTOS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ticli.commands.learning_run import Ask, flags_of, request_of
from ticli.errors import Usage
from ticli.manifest import Entry, pairs, read_manifest, refuse_repeats
from ticli.recipe import load_recipe
from ticli.settings import Settings
from ticli.terminal.standard_input import piped

if TYPE_CHECKING:
    from ticli.inversion.plan import Request


def requests_of(ask: Ask, settings: Settings) -> list[Request]:
    """What is asked of each word; a mistake in any of them is found before any is looked at."""
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
            "PHOTOS are of one word, and several are asked for",
            "write each word's own: in the manifest, or --token NAME=PHOTOS",
        )
    entries: list[Entry] = []
    if ask.manifest is not None:
        entries += read_manifest(ask.manifest, _stdin(ask.manifest))
    entries += pairs(ask.tokens)
    refuse_repeats(entries)
    return entries


def _stdin(manifest: str) -> bytes | None:
    if manifest != "-":
        return None
    sent = piped("--manifest - reads stdin, and that is a terminal", "pipe a manifest into it")
    return sent.read()
