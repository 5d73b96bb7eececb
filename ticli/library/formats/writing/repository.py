"""A concept repository: the folder that the concepts library of the hub made common."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ticli.library.formats.writing.metadata import jpeg
from ticli.library.formats.writing.package import HUB_ID, Package
from ticli.library.formats.writing.pickles import diffusers_bin
from ticli.library.formats.writing.tensors import LEARNED, diffusers


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
