"""Download models from the hub: which files are needed, and what can go wrong, in words."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ticli.errors import BadContent, ModelUnavailable, first_line
from ticli.models.folder import choose_weights, families_named, read_json, weighty_parts

INDEX, CARD = "model_index.json", "README.md"
SMALL = (".json", ".txt", ".model")


@dataclass(frozen=True)
class Parcel:
    """What will be downloaded: files by name with their bytes, at one commit."""

    id: str
    revision: str
    files: Mapping[str, int]
    cache: Path

    @property
    def bytes(self) -> int:
        return sum(self.files.values())


Announce = Callable[[Parcel], None]


def download(name: str, announce: Announce) -> Path:
    """Download the parts of a hub model that `ti` uses, and return the snapshot's folder.

    `announce` is called once, before anything large. Files in the cache are not fetched again, and
    an interrupted download continues. Raises ModelUnavailable, and BadContent if the disk is too
    small.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache

    with _explained(name):
        found = HfApi().model_info(name, files_metadata=True)
        sizes = {file.rfilename: int(file.size or 0) for file in found.siblings or ()}
        if INDEX not in sizes:
            raise ModelUnavailable(
                f"{name} has no {INDEX}: it is not in the diffusers layout",
                "look for a repository of the same model that is",
            )
        revision = str(found.sha)
        index = Path(hf_hub_download(name, INDEX, revision=revision))
        wanted = needed(read_json(index, name), sizes, name)
        absent = {
            file: size
            for file, size in wanted.items()
            if not isinstance(try_to_load_from_cache(name, file, revision=revision), str)
        }
        cache = Path(constants.HF_HUB_CACHE)
        parcel = Parcel(name, revision, absent, cache)
        place = next(folder for folder in (cache, *cache.parents) if folder.exists())
        free = shutil.disk_usage(place).free
        if free < parcel.bytes:
            raise BadContent(
                f"{name} takes {parcel.bytes:,} bytes, and {place} has {free:,} free",
                "make room, or set HF_HOME to a folder on a larger disk",
            )
        announce(parcel)
        for file in wanted:
            hf_hub_download(name, file, revision=revision)
        # Without a revision this records which commit the cache now holds in full.
        hf_hub_download(name, INDEX)
    return index.parent


def cached_folder(name: str) -> Path | None:
    """The folder of a hub model's snapshot in the cache, if there is one. Needs no network."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(name, INDEX)
    return Path(index).parent if isinstance(index, str) else None


def needed(index: Mapping[str, object], sizes: Mapping[str, int], name: str) -> dict[str, int]:
    """The files of a repository that its family uses, with sizes. Raises ModelUnavailable."""
    weighty = weighty_parts(index, families_named(index, name)[0])
    chosen = {INDEX, CARD} & sizes.keys()
    tokenizers = [part.replace("text_encoder", "tokenizer") for part in weighty]
    folders = {PurePosixPath(part) for part in (*weighty, *tokenizers, "scheduler")}
    chosen |= {f for f in sizes if f.endswith(SMALL) and PurePosixPath(f).parent in folders}
    for part in weighty:
        chosen |= _weights(part, sizes, name)
    return {file: sizes[file] for file in sorted(chosen)}


def _weights(part: str, sizes: Mapping[str, int], name: str) -> set[str]:
    """The weights of a part that `folder.weights` would take, whole or in shards."""
    file, _ = choose_weights(part, name, lambda file: f"{part}/{file}" in sizes)
    if not file.endswith(".json"):
        return {f"{part}/{file}"}
    shards = f"{part}/{file.replace('.safetensors.index', '').removesuffix('.json')}-"
    return {f for f in sizes if f.startswith(shards) and f.endswith(".safetensors")}


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Explain errors of the hub."""
    from huggingface_hub import errors

    # In some versions its HTTP library raises errors that are not OSErrors.
    network = (OSError, ValueError, getattr(errors, "HTTPError", OSError))
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    # It repeats the message for each of its own attempts.
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except network as error:
        raise ModelUnavailable(*_in_words(error, name)) from error
    finally:
        logger.setLevel(level)


def _in_words(error: Exception, name: str) -> tuple[str, str]:
    """What went wrong, and what to do about it."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{name}"
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        # This one blames the connection, whatever the hub answered.
        error = error.__cause__
    first = first_line(error)
    if isinstance(error, errors.GatedRepoError):
        said = f"{name} is open only to those who accepted its terms"
        return said, f"accept them at {page}, then log in: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        said = f"the hub knows no model {name}, or it is private"
        return said, "check how it is written; for a private one log in: hf auth login"
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(error.response, "status_code", 0)
        if status in (401, 403):
            said = f"the hub refused {name}: it answered {status}"
            return said, f"log in: hf auth login, and look at {page}"
        return f"the hub failed on {name}: it answered {status}", "try again later"
    if type(error).__name__.startswith("Connect"):
        said = f"the hub cannot be reached for {name}: {first}"
        return said, "go online, or use a model that ti models lists"
    said = f"the download of {name} broke off: {first}"
    return said, "the same command goes on where it ended"
