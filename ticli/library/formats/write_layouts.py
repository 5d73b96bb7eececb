"""The table of layouts: what each can hold, and what writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ticli.concept import Concept, Embedding
from ticli.errors import Conflict, Usage
from ticli.families import encoder_kinds, encoders_in_words, exports_of, family_with
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
from ticli.library.formats.read_layouts import T5, T5_AT_COMFYUI
from ticli.library.record import bare_concept
from ticli.library.store import ROW
from ticli.names import Token, did_you_mean

EMB_PARAMS = "emb_params"
# OneTrainer spells it with a p.
EMP_PARAMS = "emp_params"
COMFYUI_KEYS = {T5: T5_AT_COMFYUI}
LEARNED = "learned_embeds"
SAFETENSORS, PT, BIN, PNG, FOLDER = ".safetensors", ".pt", ".bin", ".png", "/"
Files = Mapping[str, bytes]
Writer = Callable[[Sequence[Package]], bytes | Files]


def one_tensor(key: str = "") -> Callable[[Sequence[Package]], bytes]:
    """A writer of one tensor under `key`, or under the token as diffusers takes it."""

    def write(packages: Sequence[Package]) -> bytes:
        (table,) = packages[0].embedding.rows.values()
        return safetensors_file(packages, {key or packages[0].token: table})

    return write


def encoder_keys(packages: Sequence[Package]) -> bytes:
    """One tensor for each encoder, under its key."""
    return safetensors_file(packages, packages[0].embedding.rows)


def comfyui_keys(packages: Sequence[Package]) -> bytes:
    """One tensor for each encoder, under ComfyUI's key."""
    rows = packages[0].embedding.rows
    return safetensors_file(packages, {COMFYUI_KEYS.get(key, key): rows[key] for key in rows})


def bundle(packages: Sequence[Package]) -> bytes:
    """Concepts as in a LoRA file, each under `bundle_emb.NAME.KEY`."""
    tensors = {}
    for package in packages:
        rows = package.embedding.rows
        for encoder, table in rows.items():
            key = EMB_PARAMS if len(rows) == 1 else COMFYUI_KEYS.get(encoder, encoder)
            tensors[f"bundle_emb.{package.concept.name}.{key}"] = table
    return safetensors_file(packages, tensors)


def diffusers_pair(packages: Sequence[Package]) -> dict[str, bytes]:
    """One diffusers file for each encoder, in the order of a pipeline's encoders."""
    package = packages[0]
    return {
        f"{LEARNED}{'' if number == 1 else f'_{number}'}.safetensors": safetensors_file(
            packages, {package.token: package.embedding.rows[encoder]}
        )
        for number, encoder in enumerate(in_pipeline_order(package), 1)
    }


def in_pipeline_order(package: Package) -> list[str]:
    """The encoders as pipelines number them: CLIP-L, CLIP-G, then T5."""
    return [encoder for encoder in encoder_kinds() if encoder in package.encoders]


def own_file(packages: Sequence[Package]) -> bytes:
    """The file of `ti`'s own library, less what concerns its owner. Raises Conflict (too large)."""
    package = packages[0]
    metadata = described(package)
    # The row stands where a library reads it, and once is enough.
    del metadata["ti.concept"]
    metadata[ROW] = json.dumps(package.concept.as_file_json(), sort_keys=True)
    return tensor_file(packages, package.embedding.rows, metadata)


def concept_repo(packages: Sequence[Package]) -> dict[str, bytes]:
    """The files of a repository as in the hub's concepts library, by name.

    The vectors are there twice, because some readers know `learned_embeds.bin` alone.
    """
    package = packages[0]
    files = {
        f"{LEARNED}.safetensors": one_tensor()(packages),
        f"{LEARNED}.bin": torch_write.diffusers_bin(packages),
        "token_identifier.txt": package.token.encode(),
        "type_of_concept.txt": _type(package).encode(),
        "README.md": _card(package).encode(),
    }
    if package.extras.picture is not None:
        files["concept_images/0.jpeg"] = jpeg(package.extras.picture)
    return files


def _type(package: Package) -> str:
    return "style" if package.concept.kind == "style" else "object"


def _card(package: Package) -> str:
    """The model card; values in its front matter are quoted, since anyone may have written them."""
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


# What the row of a concept says; every layout has the vectors.
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
    "about": ("about",),
}
EVERYTHING = frozenset(ASPECTS)


@dataclass(frozen=True)
class Holds:
    """Which concepts fit into a layout: a test of the encoders they have vectors for, in words."""

    takes: Callable[[frozenset[str]], bool]
    words: str


def _one_clip(encoders: frozenset[str]) -> bool:
    return len(encoders) == 1 and all(encoder_kinds().get(key) == "clip" for key in encoders)


def _several(encoders: frozenset[str]) -> bool:
    return len(encoders) > 1 and family_with(encoders) is not None


ANY = Holds(lambda encoders: True, "any concept")
ONE = Holds(lambda e: len(e) == 1 and e <= encoder_kinds().keys(), "concepts of one encoder")
ONE_CLIP = Holds(_one_clip, "concepts of one CLIP encoder")
SEVERAL = Holds(_several, "concepts of several encoders")
SDXL = Holds(lambda encoders: encoders == {"clip_l", "clip_g"}, "concepts of SDXL")
CLIPS = Holds(lambda e: ONE_CLIP.takes(e) or SDXL.takes(e), "concepts of CLIP encoders")
WITH_T5 = Holds(lambda e: T5 in e and bool(exports_of(e)), "concepts with vectors for T5")
BUNDLED = Holds(lambda e: _one_clip(e) or _several(e), "concepts of CLIP and T5 encoders")


@dataclass(frozen=True)
class Layout:
    """One way to lay a concept out in a file.

    `suffix` is the file's, "/" for a folder of files. `keeps` are the ASPECTS of a concept that
    come back. A layout with `several` takes many concepts in one file.
    """

    name: str
    title: str
    suffix: str
    holds: Holds
    write: Writer
    keeps: frozenset[str] = EVERYTHING
    several: bool = False

    def takes(self, encoders: frozenset[str]) -> bool:
        """Whether it has a place for vectors of these encoders."""
        return self.holds.takes(encoders)


_PAIR = "diffusers, one file an encoder"
_T5 = "`t5xxl`, beside `clip_l` and `clip_g`"
_PICTURE = "AUTOMATIC1111 picture (text chunk and pixels)"
_BUNDLE = "`bundle_emb.*`, as in LoRA files"
_KEYS = "one tensor an encoder, under its key"
_BIN, _PT, _ORIGINAL = torch_write.diffusers_bin, torch_write.a1111_pt, torch_write.original_pt
_ALL = (
    Layout("ti", "ti's own", SAFETENSORS, ANY, own_file),
    Layout("diffusers", "diffusers, one tensor under the token", SAFETENSORS, ONE, one_tensor()),
    Layout("diffusers-pair", _PAIR, FOLDER, SEVERAL, diffusers_pair),
    Layout("diffusers-bin", "diffusers, pickled", BIN, ONE, _BIN, frozenset({"name"})),
    Layout("emb_params", "`emb_params`", SAFETENSORS, ONE_CLIP, one_tensor(EMB_PARAMS)),
    Layout("emp_params", "`emp_params`", SAFETENSORS, ONE_CLIP, one_tensor(EMP_PARAMS)),
    Layout("sdxl", "`clip_l` and `clip_g`", SAFETENSORS, SDXL, encoder_keys),
    Layout("t5xxl", _T5, SAFETENSORS, WITH_T5, comfyui_keys),
    Layout("encoder-keys", _KEYS, SAFETENSORS, ANY, encoder_keys),
    Layout("a1111-pt", "AUTOMATIC1111 `.pt`", PT, ONE_CLIP, _PT),
    Layout("original-pt", "original repository `.pt`", PT, ONE_CLIP, _ORIGINAL, frozenset(), True),
    Layout("png", _PICTURE, PNG, CLIPS, picture_file),
    Layout("concept-repo", "concept repository", FOLDER, ONE, concept_repo),
    Layout(
        "bundle", "`bundle_emb.*`, as in LoRA files", SAFETENSORS, BUNDLED, bundle, several=True
    ),
)
LAYOUTS: Mapping[str, Layout] = {layout.name: layout for layout in _ALL}


def layout_named(name: str) -> Layout:
    """The layout of that name. Raises Usage."""
    if name not in LAYOUTS:
        raise Usage(f"no format {name!r}", did_you_mean(name, LAYOUTS))
    return LAYOUTS[name]


def check_fits(layout: Layout, name: str, encoders: frozenset[str]) -> None:
    """Raise Conflict if a concept's vectors have no place in a layout."""
    if not layout.takes(encoders):
        raise Conflict(
            f"{name!r} has vectors for {encoders_in_words(encoders)}, and the {layout.name} layout "
            f"holds {layout.holds.words}",
            "--for PROGRAM chooses the layout that a program reads; --for ti holds every concept",
            name=name,
            layout=layout.name,
        )


def lost_of(concept: Concept, layout: Layout) -> list[str]:
    """The ASPECTS that this concept has and the layout cannot hold."""
    empty = bare_concept(Token("", ""), Embedding())
    said = {
        aspect: any(getattr(concept, name) != getattr(empty, name) for name in names)
        for aspect, names in ASPECTS.items()
    }
    said["capitals"] = concept.token != f"<{concept.name}>"
    return [aspect for aspect, present in said.items() if present and aspect not in layout.keeps]
