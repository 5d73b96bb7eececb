"""The page that bare `ti` and `ti --help` print: examples first, then the commands by purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HEAD = """\
Usage: ti [-h] [-V] COMMAND [ARGUMENTS]

Teach a text-to-image model something new from a few photos, keep it in a
library, and use it in prompts.

Examples:
  ti invert examples/mug --token "<mug>"     learn <mug> from five photos
  ti generate "a photo of <mug> on the moon" make a picture with it
  ti list                                    see what the library holds
"""
FOOT = """\
ti help COMMAND explains a command; every command ends its help with an example.
Quote tokens: to a shell, < and > mean files. Elsewhere the bare name will do: mug.
"""


def overview(groups: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Lay out groups of (command, what it does) as the page of `ti --help`."""
    width = max(len(name) for rows in groups.values() for name, _ in rows)
    blocks = [
        "\n".join([f"{group}:", *(f"  {name:<{width}}  {text}" for name, text in rows)]) + "\n"
        for group, rows in groups.items()
    ]
    return "\n".join([HEAD, *blocks, FOOT])
