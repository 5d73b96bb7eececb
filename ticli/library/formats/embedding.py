"""Files of other programs as vectors, and what they say of them; nothing in them is run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from ticli.concept import UNKNOWN_BASE, BaseModel, Concept, Embedding, plain_noun, reader
from ticli.errors import BadContent, Usage
from ticli.families import FAMILIES, guess_family
from ticli.library.formats.containers import (
    LARGEST_FILE,
    Content,
    Opened,
    Tensor,
    in_memory,
    load_rows,
)
from ticli.library.formats.read_containers import read_containers
from ticli.library.formats.read_layouts import (
    ENCODER_KEY,
    FoundVectors,
    Widths,
    assign_encoders,
    find_words,
    widths_said,
)
from ticli.library.record import (
    bare_concept,
    check_vectors,
    concept_from_document,
    longest_vector,
    norms_of,
    parse_document,
)
from ticli.names import Token, parse_token, slug, without_accents

SPEC = "modelspec."
HASH = f"{SPEC}hash_sha256"
# What the maker of a file says of it, and nothing else tells. Descriptions can be long.
SAID_BY_MAKERS = (
    "title", "author", "license", "description", "date", "trigger_phrase", "resolution", "tags",
)  # fmt: skip
LONGEST_SAID = 4000
PAIR = "diffusers pair"


@dataclass(frozen=True)
class Imported:
    """One concept of a file. `token` was stored as its name; `key` is its tensor's if a word.

    `stem` is a name from beside the file, or "". `concept` is the whole row of a file of `ti`.
    """

    embedding: Embedding
    layout: str
    token: str
    key: str
    noun: str
    base: BaseModel
    concept: Concept | None
    warnings: tuple[str, ...]
    kind: str = "object"
    steps: int = 0
    about: Mapping[str, str] = field(default_factory=dict)
    stem: str = ""


@dataclass(frozen=True)
class Contents:
    """All that a file holds. `notes` say what was left out.

    A `collected` file is one of a folder or zip, and may be left out itself.
    """

    origin: str
    container: str
    layout: str
    metadata: Mapping[str, str]
    words: tuple[Imported, ...]
    notes: tuple[str, ...]
    collected: bool = False


def read_words(
    file: Opened,
    widths: Widths = Widths(),  # noqa: B008  # frozen
    any_hash: bool = False,
) -> Contents:
    """Read every concept of a file. Numbers become float32, one vector becomes a row.

    Raises BadContent if it is no plain embedding, or is damaged. With `any_hash`, vectors that
    are not those of the file's hash are a note.
    """
    words: list[Imported] = []
    notes: list[str] = []
    first: tuple[Content, str] | None = None
    for stem, content in read_containers(file):
        reading = find_words(content)
        odd = (*reading.warnings, *_check_hash(content, any_hash))
        first = first or (content, reading.layout if not stem else "zip")
        words += [
            replace(word, stem=stem, warnings=(*word.warnings, *odd))
            for word in (_imported(each, reading.layout, content, widths) for each in reading.words)
        ]
        if stem:
            words = join_words(words)
        notes += reading.notes
    if first is None:
        raise BadContent(f"{file.origin} holds no embedding", "fetch it again")
    content, layout = first
    container = "zip" if layout == "zip" else content.container
    metadata = {} if layout == "zip" else content.metadata
    return Contents(file.origin, container, layout, metadata, tuple(words), tuple(notes))


def read_embedding(data: bytes, origin: str, widths: Collection[int] = ()) -> Imported:
    """Read bytes that hold one concept; `widths` are accepted beside the known ones.

    Raises BadContent.
    """
    contents = read_words(in_memory(data, origin), Widths(usable=lambda: widths))
    if len(contents.words) != 1:
        raise BadContent(f"{origin} holds {len(contents.words)} concepts", "name one of them")
    return contents.words[0]


def choose_token(imported: Imported, given: str | None, stem: str = "") -> Token:
    """The word of an import: the one given, else the stored one, the key's, the file's stem.

    A name from the file that the grammar does not allow is put into its nearest form. Raises
    Usage if `given` is not allowed, or if there is no name at all.
    """
    if given:
        return parse_token(given)
    for name in (imported.token, imported.key, imported.stem or stem):
        if not is_name(name):
            continue
        try:
            return parse_token(name)
        except Usage:
            return parse_token(slug(name))
    raise Usage("the file does not say what its concept is called", 'give --token "<name>"')


def is_name(text: str) -> bool:
    """Whether a text can become a name without losing letters: 花の絵2 is not 2."""
    letters = [letter for letter in without_accents(text) if letter.isalnum()]
    return bool(letters) and all(letter.isascii() for letter in letters)


def imported_concept(imported: Imported, token: Token, base: BaseModel | None = None) -> Concept:
    """Describe an import for the library, with `base` in place of the file's own."""
    if imported.concept is not None:
        concept = replace(imported.concept, name=token.name, token=token.text)
    else:
        tags = [tag.strip() for tag in imported.about.get("tags", "").split(",")]
        concept = replace(
            bare_concept(token, imported.embedding, imported.base),
            noun=imported.noun,
            kind=imported.kind,
            steps=imported.steps or steps_in(imported.stem),
            tags=tuple(dict.fromkeys(tag for tag in tags if tag and tag.isprintable())),
            about={key: text for key, text in imported.about.items() if key != "tags"},
        )
    return replace(concept, base=base) if base is not None else concept


# kohya's `mug-step00000500`, diffusers' `-steps-500`, OneTrainer's `…_step_00000700`, ai-toolkit's
# nine digits.
STEPS = re.compile(r"[-_]steps?[-_]?(\d{1,9})(?!\d)|_(\d{9})$")


def steps_in(stem: str) -> int:
    """The steps that a trainer wrote into a file's name; 0 if there are none."""
    found = STEPS.search(stem)
    return int(found[1] or found[2]) if found else 0


def join_words(words: Sequence[Imported]) -> list[Imported]:
    """Join what diffusers writes apart: files of one key, each for another encoder.

    Raises BadContent if they differ in their numbers of vectors.
    """
    joined: list[Imported] = []
    for word in words:
        for number, other in enumerate(joined):
            if word.key and (word.key, word.stem) == (other.key, other.stem) and _fit(word, other):
                joined[number] = _joined(other, word)
                break
        else:
            joined.append(word)
    return joined


def _fit(word: Imported, other: Imported) -> bool:
    """Whether one model has encoders for both: concepts of SD 1 and SD 2 may share a name."""
    left, right = word.embedding.rows.keys(), other.embedding.rows.keys()
    return not left & right and any(left | right <= set(f.keys) for f in FAMILIES.values())


def _joined(first: Imported, second: Imported) -> Imported:
    rows = {**first.embedding.rows, **second.embedding.rows}
    embedding = Embedding({encoder: rows[encoder] for encoder in sorted(rows)})
    check_vectors(embedding, f"{first.key} of several files")
    base = first.base
    if not base.id:
        base = replace(base, family=guess_family(rows, named=False))
    warnings = (*first.warnings, *second.warnings)
    return replace(first, embedding=embedding, layout=PAIR, base=base, warnings=warnings)


def _imported(found: FoundVectors, layout: str, content: Content, widths: Widths) -> Imported:
    said, origin = content.said, content.origin
    if layout == "ti":
        rows = {key: load_rows(tensor, key, origin) for key, tensor in found.tensors.items()}
    else:
        known = Widths({**widths_said(said), **widths.said}, widths.usable)
        rows = assign_encoders(found.tensors, known, origin)
        if layout == "original" and rows.keys() == {"clip_g"} and "clip_g" not in known.said:
            # As wide as OpenCLIP-bigG, but the original code has no such encoder.
            rows = {"bert": rows["clip_g"]}
    embedding = Embedding(rows)
    check_vectors(embedding, origin)
    concept = _concept(found.row, embedding, origin) if found.row else None
    base = _base(said.get("ti.base", "")) if concept is None else concept.base
    if not base.id and found.checkpoint[0]:
        base = replace(base, id=found.checkpoint[0], revision=found.checkpoint[1])
    if concept is None and not base.family:
        named = layout in rows or layout.startswith("text_encoders")
        base = replace(base, family=guess_family(rows, named=named))
    about = {key: said[SPEC + key][:LONGEST_SAID] for key in SAID_BY_MAKERS if said.get(SPEC + key)}
    negative = said.get(f"{SPEC}is_negative_embedding", "").lower() == "true"
    return Imported(
        embedding=embedding,
        layout=layout,
        token=concept.token if concept else said.get("ti.token", "") or found.token,
        key=found.key,
        noun=concept.noun if concept else plain_noun(said.get("ti.noun", "")),
        base=base,
        concept=concept,
        warnings=_warnings(embedding, origin),
        kind="negative" if negative else "object",
        steps=found.steps,
        about=about,
    )


def _concept(row: str, embedding: Embedding, origin: str) -> Concept:
    """Read the row that a library of `ti` wrote. Raises BadContent."""
    try:
        if not all(ENCODER_KEY.fullmatch(key) for key in embedding.rows):
            raise ValueError("not the keys of encoders")
        return concept_from_document(parse_document(row), embedding)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Usage) as error:
        raise BadContent(
            f"{origin} is damaged: what it says of its concept cannot be read",
            "fetch or copy the file again",
        ) from error


def _check_hash(content: Content, any_hash: bool) -> list[str]:
    """Compare the vectors with their hash in a ModelSpec file.

    Programs differ in the order of the tensors, and others convert them without hashing them again:
    that is a note. Raises BadContent for any other difference, unless it is allowed.
    """
    said = content.metadata.get(HASH, "").lower().removeprefix("0x")
    tensors = [item for item in content.root.values() if isinstance(item, Tensor)] if said else []
    if not tensors or sum(tensor.bytes for tensor in tensors) > LARGEST_FILE:
        return []
    parts = [tensor.read() for tensor in tensors]
    if _sha256(parts) == said:
        return []
    why = ""
    if len(parts) <= MOST_ORDERED and any(_sha256(p) == said for p in permutations(parts)):
        why = "of the same vectors in another order"
    elif any(tensor.dtype != "F32" for tensor in tensors):
        why = "perhaps of the same vectors before they were made smaller"
    elif any(_sha256([narrow(part) for part in parts]) == said for narrow in NARROWED):
        why = "of the same vectors before they were made larger"
    if not why and not any_hash:
        raise BadContent(
            f"{content.origin} says that its vectors have the SHA-256 {said[:12]}…; they have not",
            "fetch or copy the file again; --force imports it as it is",
        )
    return [f"{content.origin}: the SHA-256 it names is {why or 'not that of its vectors'}"]


def _sha256(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _as_float16(data: bytes) -> bytes:
    import numpy as np

    with np.errstate(over="ignore"):
        return np.frombuffer(data, "<f4").astype("<f2").tobytes()


def _as_bfloat16(data: bytes) -> bytes:
    import numpy as np

    return np.frombuffer(data, "<u2")[1::2].tobytes()


MOST_ORDERED = 5
NARROWED = (_as_float16, _as_bfloat16)


def _base(text: str) -> BaseModel:
    """The base model that metadata names, or UNKNOWN_BASE."""
    try:
        base: BaseModel = reader(BaseModel)(parse_document(text)) if text else UNKNOWN_BASE
        return base
    except (ValueError, KeyError, RecursionError):
        return UNKNOWN_BASE


def _warnings(embedding: Embedding, origin: str) -> tuple[str, ...]:
    warnings = []
    if "bert" in embedding.rows:
        warnings.append(
            f"{origin}: 1280 numbers in the original code's layout are words of its BERT encoder, "
            "which no model here has; if they are not, name the model with --base"
        )
    found = norms_of(embedding)
    for norms in found.values():
        if zeros := sum(norm == 0 for norm in norms):
            warnings.append(f"{origin}: {zeros} of {len(norms)} vectors are zero")
    if (norm := longest_vector(found)) is not None:
        warnings.append(
            f"{origin}: the largest vector has a norm of {norm:.3g}, where words have about 0.4; "
            "it would drown the rest of a prompt"
        )
    return tuple(warnings)
