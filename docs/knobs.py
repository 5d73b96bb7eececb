"""Write the table of knobs into docs/recipes.md: `python docs/knobs.py`.

The table is made from the declarations in ticli/recipe.py and stands between two marks.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import ticli.recipe

PAGE = Path(__file__).parent / "recipes.md"
BEGIN, END = "<!-- knobs: made by docs/knobs.py -->", "<!-- end of knobs -->"


def table() -> str:
    """Every knob with its flag, built-in value, range, meaning and source."""
    rows = [
        "| knob | flag | built in | range | what it does | source |",
        "|---|---|---|---|---|---|",
    ]
    for knob in fields(ticli.recipe.Recipe):
        rules, value = knob.metadata, knob.default
        flag = f"--{knob.name.replace('_', '-')}"
        limits = ", ".join(f"`{choice}`" for choice in rules.get("choices", ()))
        low, high = rules.get("low"), rules.get("high")
        if low is not None:
            limits = f"{low:,g} to {high:,g}" if high is not None else f"from {low:,g}"
        shown = "" if value in ("", (), MISSING) else f"`{str(value).lower()}`"
        cells = (
            f"`{knob.name}`",
            f"`{flag}`",
            shown,
            limits,
            rules["help"],
            rules.get("source", ""),
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def renewed(page: str) -> str:
    """The page with the table of today's knobs."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
