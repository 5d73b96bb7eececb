"""The layouts of AUTOMATIC1111 and of the original repository: tensors under `string_to_param`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticli.library.formats.reading.content import Content, Tensor
from ticli.library.formats.reading.found import Found, Reading

KEY = "string_to_param"
# The original repository's placeholder, which says nothing.
NAMELESS = "*"
OWN_FIELDS = ("name", "step", "sd_checkpoint", "sd_checkpoint_name")
LONGEST_REMARK = 200


def read_string_to_param(content: Content) -> Reading | None:
    """Read `string_to_param`: one word in AUTOMATIC1111's files, one or several in the original's.

    AUTOMATIC1111 adds a name, a step and the checkpoint, which are kept.
    """
    root = content.root
    table = root.get(KEY) if isinstance(root, Mapping) else None
    if not isinstance(table, Mapping):
        return None
    tensors = {str(key): item for key, item in table.items() if isinstance(item, Tensor)}
    if not tensors:
        return None
    layout = "a1111" if any(field in root for field in OWN_FIELDS) else "original"
    if len(tensors) > 1:
        return Reading(
            layout, tuple(Found({key: tensor}, key=key) for key, tensor in tensors.items())
        )
    ((key, tensor),) = tensors.items()
    name, steps, remarks = trained(root)
    nameless = key == NAMELESS
    return Reading(
        layout,
        (Found({key: tensor}, name, "" if nameless else key, steps=steps, remarks=remarks),),
    )


def trained(root: Mapping[Any, Any]) -> tuple[str, int, str]:
    """Name, steps and a remark from the fields that AUTOMATIC1111 writes beside tensors."""
    step = root.get("step")
    return (
        _text(root, "name"),
        step if type(step) is int and 0 <= step < 1 << 40 else 0,
        _checkpoint(root),
    )


def _checkpoint(root: Mapping[Any, Any]) -> str:
    """The checkpoint it was trained on, which no other tool can look up by that name."""
    name, short_hash = _text(root, "sd_checkpoint_name"), _text(root, "sd_checkpoint")
    if not name and not short_hash:
        return ""
    return f"trained on checkpoint {name or 'unknown'}" + (f" [{short_hash}]" if short_hash else "")


def _text(root: Mapping[Any, Any], field: str) -> str:
    value = root.get(field)
    return value[:LONGEST_REMARK] if isinstance(value, str) else ""
