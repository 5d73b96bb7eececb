"""Find a base model: the starter, a folder, a file, the hub's cache or the hub. No torch here."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ticli.errors import BadContent, Conflict, ModelUnavailable, NotFound, Usage
from ticli.models.download import Announce, cached_folder, download
from ticli.models.folder import ModelSource as ModelSource
from ticli.models.folder import identify, place_of
from ticli.models.folder import vocabulary as vocabulary
from ticli.models.single_files.assembly import open_single_file, recall
from ticli.models.single_files.recognising import CONVERT, NOTHING_GIVEN, Given
from ticli.names import did_you_mean
from ticli.paths import places
from ticli.plain_text import read_mapping
from ticli.settings import change_line, written

STARTER = Path(__file__).parent / "starter"
STARTER_ID = "starter"
# From the starter's card.
STARTER_DEFAULTS = ("ddim", 25, 4.0)
# Not the starter's own id.
SHORT_NAME = re.compile(r"(?!starter$)[a-z0-9][a-z0-9._-]{0,63}")
PICKLED, SINGLE = (".ckpt", ".pt", ".pth", ".bin"), ".safetensors"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def _names_file() -> Path:
    return places().config.parent / "models.yaml"


def short_names() -> dict[str, str]:
    """Each short name with the folder or hub id it stands for. Raises BadContent."""
    path = _names_file()
    found = read_mapping(path) if path.is_file() else {}
    for name, model in found.items():
        if not isinstance(model, str) or not SHORT_NAME.fullmatch(name):
            raise BadContent(
                f"{path}: {name!r} is not a short name for a model",
                "write one `name: MODEL` a line",
            )
    return found


def add_short_name(name: str, model: str, *, replace: bool = False) -> None:
    """Give a model a short name; `to_keep` says how to write it. Raises Usage, Conflict."""
    if not SHORT_NAME.fullmatch(name):
        shape = "lower-case letters, digits, . _ and -, beginning with a letter or digit"
        hint = "the starter has it already" if name == STARTER_ID else shape
        raise Usage(f"{name!r} cannot be a short name", hint)
    if not model or "\n" in model or "\0" in model:
        raise Usage(f"{model!r} is not a model", "give a folder or a hub id")
    standing = short_names().get(name)
    if standing is not None and standing != model and not replace:
        raise Conflict(f"{name} stands for {standing} already", "give --replace, or another name")
    change_line(_names_file(), name, written(name, model), model)


def remove_short_name(name: str) -> str:
    """Remove a short name and return what it stood for. Raises NotFound."""
    known = short_names()
    if name not in known:
        raise NotFound(
            f"no short name {name!r}", did_you_mean(name, known) if known else "there are none yet"
        )
    change_line(_names_file(), name, None, None)
    return known[name]


def starter_version() -> str:
    """The version on the starter's card. Raises ModelUnavailable if it cannot be read."""
    try:
        card = (STARTER / "README.md").read_text("utf-8")
    except OSError as error:
        raise ModelUnavailable(
            f"the built-in starter cannot be read: {error.strerror or error}",
            "install ti again somewhere you may read it",
        ) from error
    version = re.search(r"^## This version\s+`([^`]+)`", card, re.MULTILINE)
    return version[1] if version else ""


def starter() -> ModelSource:
    """The small model that comes with `ti`. Raises ModelUnavailable if it cannot be read."""
    return replace(identify(STARTER, STARTER_ID, starter_version()), defaults=STARTER_DEFAULTS)


def locate(
    name: str,
    *,
    offline: bool = True,
    announce: Announce | None = None,
    given: Given = NOTHING_GIVEN,
) -> ModelSource:
    """Find the model a user named: "" or "starter", a short name, a folder, a file, or a hub id.

    A hub model is taken from the cache. If it is not there, it is downloaded after `announce`,
    unless there is none or `offline` forbids it. `given` and what is remembered are for models in
    one file. Raises ModelUnavailable, NotFound if the folder of components is missing, and Usage if
    `given` is about another kind of model.
    """
    name = short_names().get(name, name) or STARTER_ID
    path = place_of(name)
    is_file, is_folder = _looked_at(path)
    if name != STARTER_ID and is_file:
        return _from_file(path, given)
    if given != NOTHING_GIVEN:
        raise Usage(
            f"{name} is not a model in one file",
            "--components and --prediction are for those: leave them out",
        )
    if name == STARTER_ID:
        return starter()
    if is_folder:
        return identify(path.absolute(), str(path.absolute()), "")
    if is_hub_id(name):
        return _from_hub(name, None if offline else announce)
    otherwise = "ti models lists what can be used; -m starter always works"
    hint = did_you_mean(name, (STARTER_ID, *short_names()), otherwise)
    if path.suffix.lower() in PICKLED:
        hint = f"{CONVERT}\n{hint}"
    raise ModelUnavailable(f"no model folder or file {name!r}", hint)


def is_hub_id(name: str) -> bool:
    """Whether a hub model could have this name, and a file could not."""
    if not HUB_ID.fullmatch(name) or Path(name).suffix.lower() in (*PICKLED, SINGLE):
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def to_keep(model: str) -> str:
    """A model as a short name stores it: a path becomes absolute.

    The model need not exist here. Raises ModelUnavailable for a path that cannot be read, and Usage
    for a name that is not a hub id, an existing file or folder, or written as a path.
    """
    path = place_of(model)
    if model not in ("", STARTER_ID) and any(_looked_at(path)):
        return str(path.absolute())
    if model == STARTER_ID or is_hub_id(model):
        return model
    if path.is_absolute() or model.startswith(("./", "../")) or path.suffix.lower() == SINGLE:
        return str(path.absolute())
    raise Usage(
        f"{model!r} is not a model: not a hub id, and no folder or file here",
        "write AUTHOR/NAME, or a path such as ./FOLDER",
    )


def _looked_at(path: Path) -> tuple[bool, bool]:
    """Whether a path is a file, and whether a folder. Raises ModelUnavailable."""
    try:
        return path.is_file(), path.is_dir()
    except OSError as error:
        raise ModelUnavailable(
            f"{path} cannot be read: {error.strerror or error}",
            "use a path that you may read, or a hub id",
        ) from error


def _from_file(path: Path, given: Given) -> ModelSource:
    known = recall(path)
    components = given.components
    # If the folder is gone since, the parts that are missing will be named.
    if not components and known.components and known.components.is_dir():
        components = known.components
    told = given if given.prediction else known
    return open_single_file(path, replace(told, components=components))


def _from_hub(name: str, announce: Announce | None) -> ModelSource:
    folder = cached_folder(name)
    if folder is not None:
        try:
            return identify(folder, name, folder.name)
        except ModelUnavailable:
            if announce is None:
                raise
    if announce is None:
        raise ModelUnavailable(
            f"model {name} is neither a folder nor in the hub cache",
            f"go online and fetch it: ti models fetch {name}",
        )
    folder = download(name, announce)
    return identify(folder, name, folder.name)


def usable(configured: str = "") -> list[ModelSource]:
    """The starter, the configured model, those with short names and those of the hub cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    found = {STARTER_ID: starter()}
    names = [configured, *short_names().values()]
    with suppress(CacheNotFound):
        repos = scan_cache_dir().repos
        names += sorted(repo.repo_id for repo in repos if repo.repo_type == "model")
    for name in filter(None, names):
        # The cache also holds models of other kinds, and downloads that were cut off.
        with suppress(ModelUnavailable):
            source = locate(name)
            found[source.id] = source
    return list(found.values())


def unusable_names() -> list[dict[str, Any]]:
    """Models with short names that cannot be used now, with the JSON keys of usable ones.

    `here` tells whether any of it is on this machine, `problem` why it cannot be used.
    """
    problems: dict[str, dict[str, Any]] = {}
    for name, model in short_names().items():
        try:
            locate(name)
        except ModelUnavailable as error:
            here = False
            with suppress(ModelUnavailable):
                here = any(_looked_at(place_of(model)))
                here = here or (is_hub_id(model) and cached_folder(model) is not None)
            entry = {
                "id": model, "family": "", "revision": "", "widths": {}, "windows": {}, "size": 0,
                "license": "", "folder": "", "current": False, "names": [], "bytes": 0,
                "here": here, "problem": error.message,
            }  # fmt: skip
            problems.setdefault(model, entry)["names"].append(name)
    return list(problems.values())
