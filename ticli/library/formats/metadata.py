"""What an exported safetensors file says of itself: the ModelSpec keys and `ti`'s own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from ticli import __version__
from ticli.concept import FACTS, BaseModel, Concept, Embedding
from ticli.errors import Conflict
from ticli.families import FAMILIES, STARTER_WIDTH
from ticli.library.formats.tensor_file import LARGEST_METADATA, MOST_TENSORS, build_tensor_file

if TYPE_CHECKING:
    from PIL.Image import Image

    from ticli.concept import Vectors


HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# How a path on this machine begins.
_BEGINS = r"(?:~\w*/|\.{0,2}/\w|\.{1,2}\\|\\\\|[A-Za-z]:[/\\]|file:)"
LOCAL_PATH = re.compile(_BEGINS)
PATH_IN_TEXT = re.compile(rf"(?<!\S){_BEGINS}\S*")


@dataclass(frozen=True, eq=False)
class Extras:
    """What goes into a file only if the user asks for it. `picture` is RGB."""

    author: str = ""
    license: str = ""
    notes: bool = False
    picture: Image | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Package:
    """A concept to export, without what concerns its owner alone.

    `word` is what stands for it in a prompt of the program it goes to, `program` that program's
    title; both are "" if it goes to no program in particular.
    """

    concept: Concept
    embedding: Embedding
    extras: Extras = Extras()
    word: str = ""
    program: str = ""

    @property
    def token(self) -> str:
        """The token in lower case: diffusers loses all vectors but one of any other."""
        return f"<{self.concept.name}>"

    @property
    def encoders(self) -> frozenset[str]:
        """The encoders it has vectors for."""
        return frozenset(self.embedding.rows)


def pack(
    concept: Concept,
    embedding: Embedding,
    extras: Extras = Extras(),  # frozen
    word: str = "",
    program: str = "",
) -> Package:
    """Take from a concept what concerns its owner alone: notes, names of photos, local paths.

    Photos keep their hash, by which their owner can prove that they are the ones.
    """
    values = {key: getattr(concept, key) for key in FACTS}
    for part in fields(Concept):
        shared, value = FACTS[part.name].shared, values[part.name]
        if shared == "no paths":
            values[part.name] = _without_paths(value)
        elif shared == "public name":
            values[part.name] = public_base(value)
        elif shared == "no names":
            values[part.name] = tuple(
                replace(photo, file=f"photo-{number}") for number, photo in enumerate(value, 1)
            )
        elif shared == "never" or (shared == "request" and not extras.notes):
            values[part.name] = part.default
    # What the maker said holds until the user says otherwise.
    said = {
        key: getattr(extras, key) or values["about"].get(key, "") for key in ("author", "license")
    }
    return Package(Concept(**values), embedding, replace(extras, **said), word, program)


def public_base(base: BaseModel) -> BaseModel:
    """The base model; a folder or file is called by its last part."""
    return base if HUB_ID.fullmatch(base.id) else replace(base, id=_last_part(base.id))


def _without_paths(value: Any) -> Any:
    """The same value, with only the last part of local paths."""
    if isinstance(value, str):
        if LOCAL_PATH.match(value):
            return _last_part(value)
        return PATH_IN_TEXT.sub(lambda found: _last_part(found[0]), value)
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_without_paths, value))
    return value


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


# Stability-AI/ModelSpec 1.0.1; the names are its own and those that trainers agree on.
SPECIFICATION = "1.0.1"
IMPLEMENTATION = "https://github.com/huggingface/diffusers"
THUMBNAIL = 256
# Bytes for the hash, which is not known before the rest.
SPARE = 256


def safetensors_file(packages: Sequence[Package], tensors: Mapping[str, Vectors]) -> bytes:
    """A safetensors file of these tensors with metadata. Raises Conflict as tensor_file does."""
    if len(packages) == 1:
        metadata = described(packages[0])
    else:
        rows = {p.concept.name: _row_text(p.concept) for p in packages}
        metadata = {"format": "pt", **{f"ti.concept.{name}": row for name, row in rows.items()}}
    return tensor_file(packages, tensors, metadata)


def tensor_file(
    packages: Sequence[Package], tensors: Mapping[str, Vectors], metadata: Mapping[str, str]
) -> bytes:
    """A safetensors file with the hash of its tensors. Raises Conflict if it is too large."""
    size = sum(len(key) + len(value.encode()) for key, value in metadata.items())
    said = ", ".join(package.concept.name for package in packages[:4])
    if size > LARGEST_METADATA - SPARE:
        raise Conflict(
            f"what is known of {said} is {size:,} bytes, and readers take at most "
            f"{LARGEST_METADATA:,}",
            "export without --notes and --thumbnail, or one concept at a time",
        )
    if len(tensors) > MOST_TENSORS:
        raise Conflict(
            f"one file holds at most {MOST_TENSORS} tensors, not the {len(tensors)} of {said} …",
            "export them to a folder or a .zip",
        )
    hashed = {**metadata, "modelspec.hash_sha256": f"0x{tensor_hash(tensors)}"}
    return build_tensor_file(tensors, hashed)


def tensor_hash(tensors: Mapping[str, Vectors]) -> str:
    """The SHA-256 of the bytes of all tensors in the order of their keys."""
    digest = hashlib.sha256()
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.astype("<f4", order="C").tobytes())
    return digest.hexdigest()


def described(package: Package) -> dict[str, str]:
    """The metadata of one concept, but for the hash of its tensors."""
    concept = package.concept
    return {
        "format": "pt",
        "ti.name": concept.name,
        "ti.token": concept.token,
        "ti.noun": concept.noun,
        "ti.base": json.dumps(asdict(concept.base), sort_keys=True),
        "ti.widths": json.dumps(dict(concept.widths), sort_keys=True),
        "ti.concept": _row_text(concept),
        **{f"modelspec.{key}": text for key, text in _modelspec(package).items() if text},
    }


def architecture(concept: Concept) -> str:
    """The ModelSpec name of the model family that a concept is for."""
    if STARTER_WIDTH in concept.widths.values():
        return "ti-starter/textual-inversion"
    family = concept.base.family
    known = FAMILIES[family].architecture(_pixels(concept)) if family in FAMILIES else family
    return f"{known or 'unknown'}/textual-inversion"


def usage_hint(package: Package) -> str:
    """Say what to write in a prompt of the program."""
    return f"in {package.program}, write: {package.word} {package.concept.noun}".strip()


def data_uri(picture: Image) -> str:
    """A thumbnail of at most 256 pixels a side, without its file's metadata."""
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(small)).decode()}"


def jpeg(picture: Image) -> bytes:
    """The pixels as JPEG, without any other bytes of their file."""
    clean = picture.convert("RGB").copy()
    clean.info.clear()
    file = io.BytesIO()
    clean.save(file, "JPEG", quality=90)
    return file.getvalue()


def _modelspec(package: Package) -> dict[str, str]:
    concept, extras = package.concept, package.extras
    size = _pixels(concept)
    negative = concept.kind == "negative" or "negative" in concept.tags
    said = concept.about
    return {
        "sai_model_spec": SPECIFICATION,
        "architecture": architecture(concept),
        "implementation": IMPLEMENTATION,
        "implementation_version": f"ti/{__version__}",
        "title": said.get("title", concept.name),
        "resolution": f"{size}x{size}" if size else said.get("resolution", ""),
        "description": concept.notes or said.get("description", ""),
        "author": extras.author,
        "license": extras.license,
        "date": said.get("date", concept.created),
        "trigger_phrase": said.get("trigger_phrase")
        or f"{package.word or package.token} {concept.noun}".strip(),
        "usage_hint": usage_hint(package) if package.word else "",
        "tags": ",".join(tag.replace(",", " ") for tag in concept.tags),
        "merged_from": ",".join(parent.name for parent in concept.parents),
        "is_negative_embedding": "true" if negative else "false",
        "thumbnail": data_uri(extras.picture) if extras.picture is not None else "",
    }


def _pixels(concept: Concept) -> int:
    """The pixels a side it was learned at; 0 if its recipe does not say."""
    size = concept.recipe.get("size", 0)
    return size if type(size) is int and size > 0 else 0


def _row_text(concept: Concept) -> str:
    return json.dumps(concept.as_file_json(), sort_keys=True)
