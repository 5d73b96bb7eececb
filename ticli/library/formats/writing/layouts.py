"""The table of layouts: what each can hold, and what writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ticli.concept import Concept, Embedding
from ticli.errors import Conflict, Usage
from ticli.library.describe import bare_concept
from ticli.library.formats.writing import pickles, tensors
from ticli.library.formats.writing.own import own_file
from ticli.library.formats.writing.package import Package
from ticli.library.formats.writing.picture import picture_file
from ticli.library.formats.writing.repository import concept_repo
from ticli.names import Token

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
SD1, SD2, SDXL = frozenset({"clip_l"}), frozenset({"clip_h"}), frozenset({"clip_l", "clip_g"})
SD3, FLUX = frozenset({"clip_l", "clip_g", "t5"}), frozenset({"clip_l", "t5"})
PIXART, SANA, CASCADE = frozenset({"t5"}), frozenset({"gemma"}), frozenset({"clip_g"})
FAMILIES: Mapping[frozenset[str], str] = {
    SD1: "Stable Diffusion 1",
    SD2: "Stable Diffusion 2",
    SDXL: "SDXL",
    SD3: "Stable Diffusion 3",
    FLUX: "Flux",
    PIXART: "PixArt",
    SANA: "Sana",
    CASCADE: "Stable Cascade",
}
ONE = frozenset({SD1, SD2, PIXART, SANA, CASCADE})
CLIP = frozenset({SD1, SD2, CASCADE})
SEVERAL = frozenset({SDXL, SD3, FLUX})


@dataclass(frozen=True)
class Layout:
    """One way to lay a word out in a file.

    `suffix` is the file's, "/" for a folder of files. `holds` are the sets of encoders that have
    a place in it, None for any. `keeps` are the ASPECTS of a concept that come back. A layout with
    `several` takes many words in one file. `why` says what the layout is made for.
    """

    name: str
    title: str
    suffix: str
    holds: frozenset[frozenset[str]] | None
    why: str
    write: Writer
    keeps: frozenset[str] = EVERYTHING
    several: bool = False


LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("ti", "ti's own", SAFETENSORS, None, "any word", own_file),
        Layout(
            "diffusers",
            "diffusers, one tensor under the token",
            SAFETENSORS,
            ONE,
            "the words of one encoder",
            tensors.diffusers,
        ),
        Layout(
            "diffusers-pair",
            "diffusers, one file an encoder",
            FOLDER,
            SEVERAL,
            "the words of several encoders",
            tensors.diffusers_pair,
        ),
        Layout(
            "diffusers-bin",
            "diffusers, pickled",
            BIN,
            ONE,
            "the words of one encoder",
            pickles.diffusers_bin,
            frozenset({"name"}),
        ),
        Layout(
            "emb_params",
            "`emb_params`",
            SAFETENSORS,
            CLIP,
            "the words of one CLIP encoder",
            tensors.emb_params,
        ),
        Layout(
            "emp_params",
            "`emp_params`",
            SAFETENSORS,
            CLIP,
            "the words of one CLIP encoder",
            tensors.emp_params,
        ),
        Layout(
            "sdxl",
            "`clip_l` and `clip_g`",
            SAFETENSORS,
            frozenset({SDXL}),
            "the words of SDXL",
            tensors.encoder_keys,
        ),
        Layout(
            "t5",
            "`t5` and `t5xxl`, beside `clip_l` and `clip_g`",
            SAFETENSORS,
            frozenset({SD3, FLUX, PIXART}),
            "words with vectors for T5",
            tensors.t5,
        ),
        Layout(
            "encoder-keys",
            "one tensor an encoder, under its key",
            SAFETENSORS,
            None,
            "any word",
            tensors.encoder_keys,
        ),
        Layout(
            "a1111-pt",
            "AUTOMATIC1111 `.pt`",
            PT,
            CLIP,
            "the words of one CLIP encoder",
            pickles.a1111_pt,
        ),
        Layout(
            "original-pt",
            "original repository `.pt`",
            PT,
            CLIP,
            "the words of one CLIP encoder",
            pickles.original_pt,
            frozenset(),
            several=True,
        ),
        Layout(
            "png",
            "AUTOMATIC1111 picture (text chunk and pixels)",
            PNG,
            CLIP | {SDXL},
            "the words of CLIP encoders",
            picture_file,
        ),
        Layout(
            "concept-repo",
            "concept repository",
            FOLDER,
            ONE,
            "the words of one encoder",
            concept_repo,
        ),
        Layout(
            "bundle",
            "`bundle_emb.*`, as in LoRA files",
            SAFETENSORS,
            CLIP | SEVERAL,
            "the words of CLIP and T5 encoders",
            tensors.bundle,
            several=True,
        ),
    )
}


def layout_named(name: str) -> Layout:
    """The layout of that name. Raises Usage."""
    if name not in LAYOUTS:
        raise Usage(f"no format {name!r}", f"choose {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def check_fits(layout: Layout, name: str, encoders: frozenset[str]) -> None:
    """Raise Conflict, with the reason, where a concept's vectors have no place in a layout."""
    if layout.holds is not None and encoders not in layout.holds:
        raise Conflict(
            f"{name!r} has vectors for {family_in_words(encoders)}, and the {layout.name} layout "
            f"holds {layout.why}",
            "--for PROGRAM chooses the layout that a program reads; --for ti holds every word",
            name=name,
            layout=layout.name,
        )


def family_in_words(encoders: frozenset[str]) -> str:
    """The model family that takes these encoders' vectors, and the encoders."""
    held = ", ".join(sorted(encoders))
    return f"{FAMILIES[encoders]} ({held})" if encoders in FAMILIES else held


def lost_of(concept: Concept, layout: Layout) -> list[str]:
    """What this concept has, and the layout cannot hold; its owner's notes are no part of it."""
    empty = bare_concept(Token("", ""), Embedding())
    said = {
        aspect: any(getattr(concept, name) != getattr(empty, name) for name in names)
        for aspect, names in ASPECTS.items()
    }
    said["capitals"] = concept.token != f"<{concept.name}>"
    return [aspect for aspect, present in said.items() if present and aspect not in layout.keeps]
