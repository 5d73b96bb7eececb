"""Manifests: many concepts to learn in one file, as YAML, tab-separated values or JSON lines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ticli.errors import BadContent, NotFound, TiError, Usage
from ticli.names import did_you_mean, parse_token
from ticli.plain_text import parse_document
from ticli.recipe import Recipe, load_recipe

LARGEST = 64 << 20
OWN_KEYS = ("token", "photos", "seed", "recipe")
FORM = "give each concept a token and photos, as in `ti help invert`"
# What a call sets for all its concepts at once.
OF_ALL = {
    "model": "-m MODEL",
    "device": "--device",
    "dtype": "--dtype",
    "replace": "--replace",
    "fresh": "--fresh",
}


@dataclass(frozen=True)
class Entry:
    """One concept to learn: its token, its photos, and what it sets of its recipe, as text.

    `where` names the place it was read from, for errors; `recipe` is a preset or a file.
    """

    token: str
    photos: tuple[str, ...]
    where: str
    knobs: Mapping[str, Any]
    seed: int | None = None
    recipe: str | None = None

    def settle(self, name: str, recipe: Recipe, flags: Mapping[str, Any]) -> Recipe:
        """The concept's recipe: its own, else the one called `name`; then `flags`; then its knobs.

        `recipe` is that of `name`, loaded once. Raises Usage and what load_recipe raises, naming
        the place.
        """
        try:
            chosen = recipe if self.recipe in (None, name) else load_recipe(str(self.recipe))
            return chosen.with_flags(**flags).with_texts(self.knobs, "")
        except TiError as error:
            text = error.message.removeprefix(": ")
            raise type(error)(f"{self.where}: {text}", error.hint) from error


def read_manifest(name: str, stdin: bytes | None) -> list[Entry]:
    """Read the concepts of a file, or of `stdin` if the name is `-`.

    A file's photos and recipes are relative to its folder. Raises NotFound, BadContent and Usage.
    """
    if name == "-":
        return parse_manifest(_text(stdin or b"", "stdin"), "stdin", Path(), "")
    path = Path(name)
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise NotFound(f"no such manifest: {path}", "check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadContent(f"{path} cannot be read: {reason}") from error
    return parse_manifest(_text(content, name), name, path.parent, path.suffix.lower())


def parse_manifest(text: str, origin: str, folder: Path, suffix: str) -> list[Entry]:
    """Read the concepts of a manifest's text; without a known suffix its form decides.

    Raises BadContent if it is no manifest, and Usage if one of its concepts cannot be learned so.
    """
    read = READERS.get(suffix) or _reader_of(text)
    entries = [_entry(found, where, folder) for found, where in read(text, origin)]
    if not entries:
        raise BadContent(f"{origin} names no concepts", FORM)
    refuse_repeats(entries)
    return entries


def pairs(texts: Sequence[str]) -> list[Entry]:
    """Read `mug=photos/mug`, as --token takes it several times. Raises Usage."""
    entries = []
    for text in texts:
        token, sign, photos = text.partition("=")
        where = f"--token {text}"
        if not sign:
            raise Usage(
                f"{where} names no photos",
                f"beside a manifest or other concepts, write --token {text}=PHOTOS",
            )
        entries.append(_entry({"token": token, "photos": photos}, where, Path()))
    refuse_repeats(entries)
    return entries


def refuse_repeats(entries: Iterable[Entry]) -> None:
    """Refuse to learn two concepts of one name. Raises Usage."""
    known: dict[str, str] = {}
    for entry in entries:
        name = parse_token(entry.token).name
        if name in known:
            raise Usage(
                f"{entry.where}: {entry.token!r} is already named in {known[name]}",
                "give each concept its own name",
            )
        known[name] = entry.where


def _entry(found: Mapping[str, Any], where: str, folder: Path) -> Entry:
    """Check what the manifest says about one concept."""
    given = {key: value for key, value in found.items() if value not in ("", None)}
    _refuse_unknown(found, where)
    for key in ("token", "photos"):
        if key not in given:
            raise Usage(f"{where}: there is no {key}", FORM)
    texts = {key: given[key] for key in ("token", "seed", "recipe") if key in given}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise Usage(f"{where}: {key} must be one value")
    try:
        token = parse_token(texts["token"])
    except Usage as error:
        raise Usage(f"{where}: {error.message}", error.hint) from error
    knobs = {key: value for key, value in found.items() if key not in OWN_KEYS}
    try:
        seed = int(texts["seed"], 10) if "seed" in texts else None
    except ValueError:
        said = f"{where}: seed must be a whole number, not {texts['seed']!r}"
        raise Usage(said) from None
    recipe = texts.get("recipe")
    if recipe is not None and Path(recipe).suffix.lower() in (".yaml", ".yml"):
        recipe = _within(folder, recipe)
    return Entry(
        token=token.text,
        photos=_photos(given["photos"], where, folder),
        where=where,
        knobs={key: value for key, value in knobs.items() if value is not None},
        seed=seed,
        recipe=recipe,
    )


def _refuse_unknown(found: Mapping[str, Any], where: str) -> None:
    known = [*OWN_KEYS, *(knob.name for knob in fields(Recipe))]
    for key in found:
        if key in OF_ALL:
            raise Usage(
                f"{where}: {key} is the same for all concepts", f"set it with {OF_ALL[key]}"
            )
        if key not in known:
            raise Usage(f"{where}: a concept has no {key!r}", did_you_mean(str(key), known))


def _photos(value: Any, where: str, folder: Path) -> tuple[str, ...]:
    paths = value if isinstance(value, list) else [value]
    if not all(isinstance(path, str) and path for path in paths) or not paths:
        raise Usage(f"{where}: photos must be a path or a list of paths", "name a folder or files")
    if "-" in paths:
        raise Usage(f"{where}: photos of a manifest are not read from stdin", "name a folder")
    return tuple(_within(folder, path) for path in paths)


def _within(folder: Path, text: str) -> str:
    """A path in a manifest, which no shell has expanded, from the manifest's folder."""
    path = Path(text)
    # `~name` of an unknown user is an ordinary name.
    with contextlib.suppress(RuntimeError):
        path = path.expanduser()
    return str(folder / path)


Found = Iterator[tuple[Mapping[str, Any], str]]


def _read_yaml(text: str, origin: str) -> Found:
    """A list of mappings."""
    document = parse_document(text, origin)
    if document is None:
        return
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise BadContent(
            f"{origin} holds no list of concepts", "begin each concept with `- token: NAME`"
        )
    for number, item in enumerate(document, 1):
        yield item, f"{origin}, concept {number}"


def _read_tsv(text: str, origin: str) -> Found:
    """A line of column names, then one line per concept; an empty cell sets nothing."""
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        return
    (first, heading), *rest = lines
    columns = [cell.strip() for cell in heading.split("\t")]
    if "token" not in columns or "photos" not in columns or len(set(columns)) < len(columns):
        raise BadContent(
            f"{origin}, line {first}: the first line must name columns, token and photos among "
            f"them, each once: {heading!r}",
            "write token, a tab, photos",
        )
    for number, line in rest:
        where = f"{origin}, line {number}"
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) > len(columns):
            raise Usage(f"{where}: {len(cells)} cells in {len(columns)} columns", "see its tabs")
        yield {column: cell for column, cell in zip(columns, cells, strict=False) if cell}, where


def _read_lines(text: str, origin: str) -> Found:
    """A JSON object a line; numbers are kept as they are written."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{origin}, line {number}"
        try:
            item = json.loads(
                line, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_once
            )
        except (ValueError, RecursionError) as error:
            raise BadContent(f"{where} is not JSON: {error}", "write one object a line") from error
        if not isinstance(item, dict):
            raise BadContent(f"{where} is not a JSON object", "write one object a line")
        yield (
            {k: str(v).lower() if isinstance(v, bool) else v for k, v in item.items()},
            where,
        )


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(items)) < len(items):
        raise ValueError("a key occurs twice")
    return dict(items)


READERS = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_yaml,
    ".tsv": _read_tsv,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
}


def _reader_of(text: str) -> Any:
    """The reader for a text without a known suffix, by its first line."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        return _read_lines
    columns = {cell.strip() for cell in first.split("\t")}
    return _read_tsv if {"token", "photos"} <= columns else _read_yaml


def _text(content: bytes, origin: str) -> str:
    if len(content) > LARGEST:
        raise BadContent(f"{origin} is larger than {LARGEST >> 20} MiB", "split it")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadContent(f"{origin} is not UTF-8 text: {error}", "write it in UTF-8") from error
