"""Words inside a LoRA: tensors called `bundle_emb.NAME.KEY` beside those of the LoRA."""

from __future__ import annotations

from collections.abc import Mapping

from ticli.library.formats.reading.content import Content, Tensor
from ticli.library.formats.reading.encoders import AFTER, is_encoder_key
from ticli.library.formats.reading.found import Found, Reading
from ticli.library.formats.reading.named_parameter import left_out_note

PREFIX = "bundle_emb."
# Where `ti` puts a concept's row; with `.NAME` behind it where a file holds several.
EXPORTED_ROW = "ti.concept"


def read_bundle(content: Content) -> Reading | None:
    """Read the bundled words; the LoRA itself is left out. A name ends at its first dot."""
    if not isinstance(content.root, Mapping):
        return None
    words: dict[str, dict[str, Tensor]] = {}
    notes: list[str] = []
    others = 0
    for key, item in content.root.items():
        if not isinstance(key, str) or not isinstance(item, Tensor):
            continue
        name, dot, part = key.removeprefix(PREFIX).partition(".")
        if not key.startswith(PREFIX) or not dot:
            others += 1
        elif is_encoder_key(part) and part.endswith(AFTER):
            notes.append(left_out_note(content.origin, key))
        else:
            words.setdefault(name, {})[part] = item
    if not words:
        return None
    if others:
        notes.append(f"{content.origin}: {others:,} tensors of a LoRA are left out")
    return Reading(
        "bundle",
        tuple(
            Found(tensors, token=name, row=content.metadata.get(f"{EXPORTED_ROW}.{name}", ""))
            for name, tensors in words.items()
        ),
        tuple(notes),
    )
