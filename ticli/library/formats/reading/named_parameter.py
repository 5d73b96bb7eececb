"""One tensor under a fixed key: `emb_params`, OneTrainer's `emp_params`, a lone `*`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ticli.library.formats.reading.content import Content, Tensor
from ticli.library.formats.reading.encoders import AFTER
from ticli.library.formats.reading.found import Found, Reading

KEYS = ("emb_params", "emp_params", "*")


def read_named_parameter(content: Content) -> Reading | None:
    """Read a file whose one tensor has a key that is no name.

    ai-toolkit puts name and step as JSON into the metadata.
    """
    if not isinstance(content.root, Mapping):
        return None
    tensors = {key: item for key, item in content.root.items() if isinstance(item, Tensor)}
    for key in KEYS:
        if key in tensors and tensors.keys() <= {key, key + AFTER}:
            left_out = (left_out_note(content.origin, key + AFTER),) if len(tensors) == 2 else ()
            step = _plain(content.metadata, "step")
            found = Found(
                {key: tensors[key]},
                token=_plain(content.metadata, "name"),
                steps=int(step) if step.isdecimal() and len(step) < 10 else 0,
            )
            return Reading(key if key != "*" else "diffusers", (found,), left_out)
    return None


def left_out_note(origin: str, key: str) -> str:
    """What to say of vectors that stand behind a text encoder."""
    return (
        f"{origin}: {key!r} is left out: these vectors were trained behind the text encoder, "
        "where only OneTrainer puts them"
    )


def _plain(metadata: Mapping[str, str], field: str) -> str:
    """A field that may be JSON or plain text."""
    text = metadata.get(field, "")[:200]
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if isinstance(value, str) else ""
    return text
