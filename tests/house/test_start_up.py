"""What is called all day long starts without the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

BANNED = """
torch numpy diffusers transformers sqlite_utils pydantic rich PIL yaml safetensors pandas
importlib.metadata click
""".split()  # noqa: SIM905
# `ti __complete` is answered before the parser is there.
FOR_COMPLETION = [*BANNED, "typer"]
PROGRAM = """
import json, sys
from ticli.__main__ import main
code = main(sys.argv[2:])
sys.stdout.flush()
banned = json.loads(sys.argv[1])
print(json.dumps({"code": code, "found": [m for m in banned if m in sys.modules]}))
"""


def modules_after(*arguments: str, banned: list[str] = BANNED) -> dict:
    """Run `ti` in a fresh interpreter; return its exit code and what it should not have loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(banned), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--help",),
        ("--version",),
        ("list",),
        ("list", "-q", "--tag", "a"),
        ("list", "--json"),
        ("list", "m*", "--since", "7d", "--kind", "object", "--sort", "used:desc"),
        ("search", "no such word"),
        ("rm", "--dry-run", "mug"),
        ("show", "mug"),
        ("tag", "mug"),
        ("config", "list"),
        ("completion", "bash"),
        ("invert", "--help"),
    ],
    ids=" ".join,
)
def test_a_light_command_loads_nothing_heavy(library_with, arguments) -> None:
    library_with("mug", tags=("a",))
    assert modules_after(*arguments) == {"code": 0, "found": []}


@pytest.mark.parametrize("kind", ["concepts", "tags", "recipes", "nothing"])
def test_completion_loads_not_even_the_parser(library_with, kind: str) -> None:
    library_with("mug", tags=("a",))
    after = modules_after("__complete", kind, banned=FOR_COMPLETION)
    assert after == {"code": 0, "found": []}


@pytest.mark.parametrize("kind", ["concepts", "tags"])
def test_a_tab_key_loads_only_what_reads_names(library_with, kind: str) -> None:
    library_with("mug", tags=("a",))
    banned = ["dataclasses", "inspect", "json", "ticli.concept", "ticli.library.library"]
    # An installation for development may load some of these before ti begins.
    program = "import sys; print(*sys.modules)"
    before = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    banned = [name for name in banned if name not in before.stdout.split()]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; from ticli.__main__ import main; main(['__complete', {kind!r}]);"
            f"print(*(name for name in {banned!r} if name in sys.modules))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [{"concepts": "mug", "tags": "a"}[kind], ""]


def test_completion_of_models_loads_no_model(isolated) -> None:
    # The hub's own library, which knows where its cache lies, loads importlib.metadata.
    banned = [name for name in FOR_COMPLETION if name != "importlib.metadata"]
    assert modules_after("__complete", "models", banned=banned) == {"code": 0, "found": []}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("generate", "--steps", "many", "a cat"), 2),
        (("invert", "photos"), 2),
        (("merge", "mug:much", "mug", "--token", "x"), 2),
        (("show", "nothing"), 3),
    ],
)
def test_a_wrong_call_is_told_before_anything_heavy(isolated, arguments, code: int) -> None:
    assert modules_after(*arguments) == {"code": code, "found": []}


def test_photos_are_looked_at_before_torch(isolated) -> None:
    banned = ["torch", "diffusers", "transformers"]
    after = modules_after("invert", "nowhere", "--token", "mug", banned=banned)
    assert after == {"code": 3, "found": []}


def test_importing_the_package_is_free() -> None:
    program = "import sys; before = set(sys.modules); import ticli; print(set(sys.modules)-before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "{'ticli'}\n"


def test_the_guard_sees_what_is_loaded() -> None:
    assert modules_after("--version", banned=["ticli.app", "torch"])["found"] == ["ticli.app"]
