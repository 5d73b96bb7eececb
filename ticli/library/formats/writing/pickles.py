"""The pickled layouts: AUTOMATIC1111's, the original repository's, and diffusers' .bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ticli.errors import Conflict
from ticli.library.formats.writing.metadata import described
from ticli.library.formats.writing.package import Package
from ticli.library.formats.writing.pickled import (
    Built,
    Called,
    empty_dict,
    float_tensor,
    pickled_file,
    whole_tensor,
)

if TYPE_CHECKING:
    from ticli.concept import Vectors

STAR = "*"
# What may stand for a word in the original code: signs that CLIP's vocabulary holds as they are.
SIGNS = "*&@#$%^+=~|`'\";:?!,.-_/<>()[]{}\\"


def a1111_pt(packages: Sequence[Package]) -> bytes:
    """AUTOMATIC1111's .pt of one encoder, in plain tensors that every reader's rules allow."""
    return pickled_file(a1111_document(packages[0], float_tensor))


def a1111_document(package: Package, as_tensor: Any) -> dict[str, Any]:
    """The fields that AUTOMATIC1111 writes, then `ti`'s own, which it does not look at.

    `as_tensor` turns rows of shape (vectors, width) into what the file holds for them.
    """
    concept, rows = package.concept, package.embedding.rows
    said = {key: text for key, text in described(package).items() if key.startswith("ti.")}
    common = {
        "name": package.word or concept.name,
        "step": concept.steps,
        "sd_checkpoint": None,
        "sd_checkpoint_name": concept.base.id or None,
    }
    if len(rows) > 1:
        return {**{key: as_tensor(table) for key, table in rows.items()}, **common, **said}
    (table,) = rows.values()
    return {
        "string_to_token": {STAR: clip_id(STAR)},
        "string_to_param": {STAR: as_tensor(table)},
        **common,
        **said,
    }


def diffusers_bin(packages: Sequence[Package]) -> bytes:
    """diffusers' older file: the tensor under the token, and nothing else.

    One vector has one dimension, as in 2022: InvokeAI takes the first of two for the width.
    """
    (table,) = packages[0].embedding.rows.values()
    tensor = float_tensor(table[0] if len(table) == 1 else table)
    return pickled_file({packages[0].token: tensor})


def original_pt(packages: Sequence[Package]) -> bytes:
    """The original repository's .pt of one or several words, as parameters of torch.

    One word is called `*` as every reader expects; several go by their tokens, and each has a
    sign that stands for it in a prompt of the original code. Raises Conflict for more words than
    there are signs, or of different encoders.
    """
    if len({package.encoders for package in packages}) > 1:
        raise Conflict(
            "these concepts have vectors for different encoders, and one original .pt holds "
            "words of one",
            "export them one by one",
        )
    if len(packages) > len(SIGNS):
        raise Conflict(
            f"an original .pt holds at most {len(SIGNS)} words, not {len(packages)}",
            "export them to several files",
        )
    tables = {
        _placeholder(package, packages): next(iter(package.embedding.rows.values()))
        for package in packages
    }
    signs = zip(tables, SIGNS, strict=False)
    return pickled_file(
        {
            "string_to_token": {word: whole_tensor(clip_id(sign)) for word, sign in signs},
            "string_to_param": _parameters(tables),
        }
    )


def signs_of(packages: Sequence[Package]) -> dict[str, str]:
    """The sign that stands for each token in a prompt of the original code."""
    return {
        package.token: sign for package, sign in zip(packages, SIGNS, strict=False)
    }  # fewer words than signs


def clip_id(sign: str) -> int:
    """The number of one ASCII sign standing alone in CLIP's vocabulary.

    The vocabulary begins with the 256 bytes, printable ones first, then the same as ends of words.
    """
    return 256 + ord(sign) - ord("!")


def _placeholder(package: Package, packages: Sequence[Package]) -> str:
    return STAR if len(packages) == 1 else package.token


def _parameters(tables: Mapping[str, Vectors]) -> Built:
    """A torch ParameterDict: `_parameters` is read by old versions, `_keys` by later ones."""
    parameters = {
        word: Called("torch._utils _rebuild_parameter", (float_tensor(table), True, empty_dict()))
        for word, table in tables.items()
    }
    state: dict[str, Any] = {
        "training": True,
        "_parameters": parameters,
        "_keys": dict.fromkeys(tables),
    }
    for unused in ("_buffers", "_modules", "_backward_hooks", "_forward_hooks"):
        state[unused] = empty_dict()
    for unused in ("_forward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks"):
        state[unused] = empty_dict()
    return Built("torch.nn.modules.container ParameterDict", state)
