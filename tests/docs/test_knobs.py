"""A knob is declared once; its flag, help, YAML, completions and table in the docs follow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A copy of the package with one more knob, in a process of its own.
PROGRAM = """
import sys
from dataclasses import make_dataclass
from pathlib import Path
import ticli.recipe as recipe

sparkle = recipe._knob(
    3, "How much it sparkles.", recipe.METHOD, low=0, high=9, metavar="STARS", source="2099.00001"
)
recipe.Recipe = make_dataclass(
    "Recipe", [("sparkle", "int", sparkle)], bases=(recipe.Recipe,), frozen=True
)
what, *arguments = sys.argv[1:]
if what == "table":
    sys.path.insert(0, "docs")
    import knobs
    print(knobs.table())
elif what == "yaml":
    print(recipe.load_recipe(arguments[0]).sparkle)
else:
    from ticli.__main__ import main
    sys.exit(main(arguments))
"""


def with_one_more(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_one_more_knob_is_everywhere(tmp_path: Path) -> None:
    page = with_one_more("ti", "invert", "--help").stdout
    method = page[page.index("\nMethod:") : page.index("\nData:")]
    assert "--sparkle STARS" in method and "How much it sparkles." in method
    for shell in ("bash", "zsh", "fish"):
        assert "sparkle" in with_one_more("ti", "completion", shell).stdout
    assert "| `sparkle` | `--sparkle` | `3` | 0 to 9 | How much it sparkles. | 2099.00001 |" in (
        with_one_more("table").stdout
    )
    file = tmp_path / "bright.yaml"
    file.write_text("sparkle: 7\n")
    assert with_one_more("yaml", str(file)).stdout == "7\n"
    photos = str(ROOT / "examples" / "mug")
    call = ("ti", "invert", photos, "--token", "<mug>", "-n", "--json", "--sparkle")
    assert '"sparkle": 8' in with_one_more(*call, "8").stdout
    wrong = with_one_more(*call, "12")
    assert wrong.returncode == 2 and "sparkle must be at most 9, not 12" in wrong.stdout


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    from knobs import PAGE, renewed

    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page), "python docs/knobs.py renews it"
