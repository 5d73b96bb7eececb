"""The table of layouts: what each can hold, and what writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ticli.concept import Concept, Embedding
from ticli.errors import Conflict, Usage
from ticli.families import encoder_kinds, encoders_in_words, family_with
from ticli.library.formats import torch_write
from ticli.library.formats.metadata import (
    HUB_ID,
    Package,
    described,
    jpeg,
    safetensors_file,
    tensor_file,
)
from ticli.library.formats.png_write import picture_file
from ticli.library.formats.torch_write import diffusers_bin
from ticli.library.record import bare_concept
from ticli.library.store import ROW
from ticli.names import Token, did_you_mean

# The safetensors layouts: which tensor stands under which key.

EMB_PARAMS = "emb_params"
# OneTrainer spells it with a p.
EMP_PARAMS = "emp_params"
# One encoder, called `t5` by OneTrainer and diffusers' scripts, `t5xxl` by ComfyUI.
T5, T5_AT_COMFYUI = "t5", "t5xxl"
LEARNED = "learned_embeds"


def diffusers(packages: Sequence[Package]) -> bytes:
    """One tensor under the token, as `load_textual_inversion` of diffusers takes it."""
    return _single(packages[0], packages[0].token)


def emb_params(packages: Sequence[Package]) -> bytes:
    """One tensor under `emb_params`."""
    return _single(packages[0], EMB_PARAMS)


def emp_params(packages: Sequence[Package]) -> bytes:
    """One tensor under `emp_params`, OneTrainer's key."""
    return _single(packages[0], EMP_PARAMS)


def encoder_keys(packages: Sequence[Package]) -> bytes:
    """One tensor an encoder, under the encoder's key."""
    return safetensors_file(packages, packages[0].embedding.rows)


def t5(packages: Sequence[Package]) -> bytes:
    """One tensor an encoder; that of T5 under both names that readers look for."""
    rows = packages[0].embedding.rows
    return safetensors_file(packages, {**rows, T5_AT_COMFYUI: rows[T5]})


def bundle(packages: Sequence[Package]) -> bytes:
    """Words as they lie in a LoRA file, each under `bundle_emb.NAME.KEY`."""
    tensors = {}
    for package in packages:
        rows = package.embedding.rows
        for encoder, table in rows.items():
            key = EMB_PARAMS if len(rows) == 1 else encoder
            tensors[f"bundle_emb.{package.concept.name}.{key}"] = table
    return safetensors_file(packages, tensors)


def diffusers_pair(packages: Sequence[Package]) -> dict[str, bytes]:
    """One diffusers file an encoder, in the order of a pipeline's encoders, each with the token."""
    package = packages[0]
    return {
        f"{LEARNED}{'' if number == 1 else f'_{number}'}.safetensors": safetensors_file(
            packages, {package.token: package.embedding.rows[encoder]}
        )
        for number, encoder in enumerate(in_pipeline_order(package), 1)
    }


def in_pipeline_order(package: Package) -> list[str]:
    """The encoders of a word as pipelines number them: CLIP-L, CLIP-G, then T5."""
    return [encoder for encoder in encoder_kinds() if encoder in package.encoders]


def _single(package: Package, key: str) -> bytes:
    (table,) = package.embedding.rows.values()
    return safetensors_file([package], {key: table})


# A concept for another library of `ti`: the file it has here, less what concerns its owner.


def own_file(packages: Sequence[Package]) -> bytes:
    """One tensor an encoder, and the whole row as metadata. Raises Conflict (too large)."""
    package = packages[0]
    metadata = described(package)
    # The row stands in the place that a library reads it from, and once is enough.
    del metadata["ti.concept"]
    metadata[ROW] = json.dumps(package.concept.as_file_json(), sort_keys=True)
    return tensor_file(packages, package.embedding.rows, metadata)


# A concept repository: the folder that the concepts library of the hub made common.


def concept_repo(packages: Sequence[Package]) -> dict[str, bytes]:
    """The files of a repository by name.

    The vectors are there twice, as some readers know `learned_embeds.bin` alone.
    """
    package = packages[0]
    files = {
        f"{LEARNED}.safetensors": diffusers(packages),
        f"{LEARNED}.bin": diffusers_bin(packages),
        "token_identifier.txt": package.token.encode(),
        "type_of_concept.txt": _type(package).encode(),
        "README.md": _card(package).encode(),
    }
    if package.extras.picture is not None:
        files["concept_images/0.jpeg"] = jpeg(package.extras.picture)
    return files


def _type(package: Package) -> str:
    """Repositories know two types."""
    return "style" if package.concept.kind == "style" else "object"


def _card(package: Package) -> str:
    """The model card; what stands in its front matter is quoted, as anyone may have written it."""
    concept, extras = package.concept, package.extras
    base = concept.base.id
    front = ["---"]
    if extras.license:
        front.append(f"license: {json.dumps(extras.license)}")
    if "/" in base and HUB_ID.fullmatch(base):
        front.append(f"base_model: {json.dumps(base)}")
    front += ["library_name: diffusers", "tags:", "- textual_inversion", "---", ""]
    phrase = f"{package.token} {concept.noun}".strip()
    learned = f" It was learned on `{base}`." if base else ""
    text = [
        f"# {concept.name}",
        "",
        f"`{package.token}` is a textual-inversion concept ({_type(package)}) of "
        f"{concept.vectors} vector{'s' if concept.vectors > 1 else ''}.{learned}",
        "",
        "```python",
        'pipeline.load_textual_inversion("THIS_REPOSITORY")',
        f"picture = pipeline({json.dumps(f'a photo of {phrase}')}).images[0]",
        "```",
        "",
    ]
    if extras.author:
        text += [f"By {extras.author}.", ""]
    if concept.notes:
        text += [concept.notes, ""]
    return "\n".join(front + text)


SAFETENSORS, PT, BIN, PNG, FOLDER = ".safetensors", ".pt", ".bin", ".png", "/"
Files = Mapping[str, bytes]
Writer = Callable[[Sequence[Package]], bytes | Files]

# What the row of a concept says, by the word for it; the vectors are in every layout.
ASPECTS: Mapping[str, tuple[str, ...]] = {
    "name": ("name",),
    "capitals": ("token",),
    "noun": ("noun",),
    "base": ("base",),
    "training": (
        *("kind", "init", "recipe", "seed", "steps", "losses", "device", "versions"),
        *("outcome", "curves", "warnings"),
    ),
    "dates": ("seconds", "created"),
    "photos": ("photos",),
    "parents": ("parents",),
    "tags": ("tags",),
}
EVERYTHING = frozenset(ASPECTS)


# What fits into a layout, by the encoders that a concept has vectors for.


def _one(encoders: frozenset[str]) -> bool:
    return len(encoders) == 1 and encoders <= encoder_kinds().keys()


def _one_clip(encoders: frozenset[str]) -> bool:
    return len(encoders) == 1 and all(encoder_kinds().get(key) == "clip" for key in encoders)


def _several(encoders: frozenset[str]) -> bool:
    return len(encoders) > 1 and family_with(encoders) is not None


def _sdxl(encoders: frozenset[str]) -> bool:
    return encoders == {"clip_l", "clip_g"}


def _with_t5(encoders: frozenset[str]) -> bool:
    return T5 in encoders and family_with(encoders) is not None


@dataclass(frozen=True)
class Layout:
    """One way to lay a word out in a file.

    `suffix` is the file's, "/" for a folder of files. `takes` says of a set of encoders whether it
    has a place in it. `keeps` are the ASPECTS of a concept that come back. A layout with
    `several` takes many words in one file. `why` says what the layout is made for.
    """

    name: str
    title: str
    suffix: str
    takes: Callable[[frozenset[str]], bool]
    why: str
    write: Writer
    keeps: frozenset[str] = EVERYTHING
    several: bool = False


LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("ti", "ti's own", SAFETENSORS, lambda encoders: True, "any word", own_file),
        Layout(
            "diffusers",
            "diffusers, one tensor under the token",
            SAFETENSORS,
            _one,
            "the words of one encoder",
            diffusers,
        ),
        Layout(
            "diffusers-pair",
            "diffusers, one file an encoder",
            FOLDER,
            _several,
            "the words of several encoders",
            diffusers_pair,
        ),
        Layout(
            "diffusers-bin",
            "diffusers, pickled",
            BIN,
            _one,
            "the words of one encoder",
            torch_write.diffusers_bin,
            frozenset({"name"}),
        ),
        Layout(
            "emb_params",
            "`emb_params`",
            SAFETENSORS,
            _one_clip,
            "the words of one CLIP encoder",
            emb_params,
        ),
        Layout(
            "emp_params",
            "`emp_params`",
            SAFETENSORS,
            _one_clip,
            "the words of one CLIP encoder",
            emp_params,
        ),
        Layout(
            "sdxl",
            "`clip_l` and `clip_g`",
            SAFETENSORS,
            _sdxl,
            "the words of SDXL",
            encoder_keys,
        ),
        Layout(
            "t5",
            "`t5` and `t5xxl`, beside `clip_l` and `clip_g`",
            SAFETENSORS,
            _with_t5,
            "words with vectors for T5",
            t5,
        ),
        Layout(
            "encoder-keys",
            "one tensor an encoder, under its key",
            SAFETENSORS,
            lambda encoders: True,
            "any word",
            encoder_keys,
        ),
        Layout(
            "a1111-pt",
            "AUTOMATIC1111 `.pt`",
            PT,
            _one_clip,
            "the words of one CLIP encoder",
            torch_write.a1111_pt,
        ),
        Layout(
            "original-pt",
            "original repository `.pt`",
            PT,
            _one_clip,
            "the words of one CLIP encoder",
            torch_write.original_pt,
            frozenset(),
            several=True,
        ),
        Layout(
            "png",
            "AUTOMATIC1111 picture (text chunk and pixels)",
            PNG,
            lambda encoders: _one_clip(encoders) or _sdxl(encoders),
            "the words of CLIP encoders",
            picture_file,
        ),
        Layout(
            "concept-repo",
            "concept repository",
            FOLDER,
            _one,
            "the words of one encoder",
            concept_repo,
        ),
        Layout(
            "bundle",
            "`bundle_emb.*`, as in LoRA files",
            SAFETENSORS,
            lambda encoders: _one_clip(encoders) or _several(encoders),
            "the words of CLIP and T5 encoders",
            bundle,
            several=True,
        ),
    )
}


def layout_named(name: str) -> Layout:
    """The layout of that name. Raises Usage."""
    if name not in LAYOUTS:
        raise Usage(f"no format {name!r}", did_you_mean(name, LAYOUTS))
    return LAYOUTS[name]


def check_fits(layout: Layout, name: str, encoders: frozenset[str]) -> None:
    """Raise Conflict, with the reason, where a concept's vectors have no place in a layout."""
    if not layout.takes(encoders):
        raise Conflict(
            f"{name!r} has vectors for {encoders_in_words(encoders)}, and the {layout.name} layout "
            f"holds {layout.why}",
            "--for PROGRAM chooses the layout that a program reads; --for ti holds every word",
            name=name,
            layout=layout.name,
        )


def lost_of(concept: Concept, layout: Layout) -> list[str]:
    """What this concept has, and the layout cannot hold; its owner's notes are no part of it."""
    empty = bare_concept(Token("", ""), Embedding())
    said = {
        aspect: any(getattr(concept, name) != getattr(empty, name) for name in names)
        for aspect, names in ASPECTS.items()
    }
    said["capitals"] = concept.token != f"<{concept.name}>"
    return [aspect for aspect, present in said.items() if present and aspect not in layout.keeps]
