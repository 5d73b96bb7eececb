"""Every failure is two lines on stderr, one JSON document if asked, and an exit code."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from ticli.errors import (
    BadContent,
    Conflict,
    Declined,
    DeviceFailed,
    Diverged,
    ExitCode,
    ModelUnavailable,
    NoSpace,
    NotFound,
    Stopped,
    TiError,
    Usage,
)
from ticli.library import Library


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Make `ti list` meet an exception from below."""

    def fail(error: BaseException) -> None:
        def raise_it(*_: object) -> None:
            raise error

        for read in ("entries", "documents"):
            monkeypatch.setattr(Library, read, raise_it)

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TiError("what", "how"), 1),
        (BadContent("what", "how"), 1),
        (NoSpace("what", "how"), 1),
        (Diverged("what", "how"), 1),
        (Declined("what", "how"), 1),
        (Usage("what", "how"), 2),
        (NotFound("what", "how"), 3),
        (Conflict("what", "how"), 4),
        (ModelUnavailable("what", "how"), 5),
        (DeviceFailed("what", "how"), 6),
        (Stopped("what", "how"), 130),
        (Stopped("what", "how", signal_number=15), 143),
        (Stopped("what", "how", signal_number=1), 129),
    ],
    ids=lambda value: type(value).__name__,
)
def test_two_lines_and_the_code(run, failing, error: TiError, code: int) -> None:
    failing(error)
    result = run("list")
    assert (result.code, result.out, result.err) == (code, "", "error: what\n  how\n")


def test_the_json_document_carries_the_details(run, failing) -> None:
    failing(Conflict("what", "how", completed=["a.png"]))
    result = run("list", "--json")
    assert result.err == "error: what\n  how\n"
    assert result.json == {
        "error": {"code": "conflict", "message": "what", "hint": "how", "completed": ["a.png"]},
        "exit_code": 4,
    }


@pytest.mark.parametrize(
    "error", [NoSpace("what", "how"), OSError(errno.ENOSPC, "No space left on device", "a.png")]
)
def test_a_full_disk_has_a_code_of_its_own(run, failing, error: Exception) -> None:
    failing(error)
    result = run("list", "--json")
    assert (result.json["error"]["code"], result.json["exit_code"]) == ("no_space", 1)


def test_an_error_without_a_hint_is_one_line(run, failing) -> None:
    failing(NotFound("what"))
    assert run("list").err == "error: what\n"


def test_hostile_text_in_an_error_is_shown_not_obeyed(run, failing) -> None:
    failing(NotFound("no \x1b[2J\n[/red] :mug:", "try \x9b\u202e"))
    assert run("list", tty=True, ).err.endswith(
        "no \\x1b[2J\\n[/red] :mug:\n  try \\x9b\\u202e\n"
    )  # fmt: skip


def test_an_endless_message_is_cut(run) -> None:
    result = run("show", "x" * 1_000_000)
    assert result.code == 3
    assert len(result.err) < 1500


def test_debug_shows_where(run, failing, monkeypatch) -> None:
    failing(NotFound("what", "how"))
    assert "Traceback" not in run("list").err
    shown = run("list", "--debug").err
    assert "Traceback" in shown
    assert shown.endswith("error: what\n  how\n")
    monkeypatch.setenv("TI_DEBUG", "1")
    assert "Traceback" in run("list").err


def test_what_nobody_expected_is_one_line_and_advice(run, failing) -> None:
    failing(KeyError("secret"))
    result = run("list", "--json")
    assert result.code == 1
    assert result.err.splitlines() == [
        "error: unexpected KeyError: 'secret'",
        "  run again with --debug to see where it happened, and report it",
    ]
    assert result.json["error"]["code"] == "unexpected"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), 1, "make room on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 1, "check who may"),
        (MemoryError(), 6, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RecursionError("deep"), 1, "unexpected RecursionError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failures_of_the_machine(run, failing, error, code: int, words: str) -> None:
    failing(error)
    result = run("list", "--json")
    assert result.code == code
    assert words in result.err
    assert "Traceback" not in result.err
    assert result.json["exit_code"] == code
    if isinstance(error, OSError):
        assert "a/b" in result.err


def test_a_reader_that_left_is_no_error(run, failing) -> None:
    failing(BrokenPipeError())
    result = run("list", "--json")
    assert (result.code, result.out, result.err) == (ExitCode.BROKEN_PIPE, "", "")


def test_no_stdout_at_all_ends_like_a_reader_that_left(monkeypatch, library_with) -> None:
    from ticli.__main__ import main

    library_with("mug")
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["list"]) == ExitCode.BROKEN_PIPE
    assert main(["list", "--json"]) == ExitCode.BROKEN_PIPE
    assert main(["export", "mug", "-o", "-"]) == ExitCode.BROKEN_PIPE
    assert main(["tag", "mug"]) == ExitCode.OK, "nothing was to be written"


@pytest.mark.parametrize(
    "arguments",
    [
        ("lst",),
        ("list", "--colour"),
        ("list", "--limit"),
        ("list", "--limit", "x"),
        ("show",),
        ("show", "a", "b"),
        ("merge", "a", "b"),
        ("completion", "tcsh"),
        ("--colour",),
        ("help", "lst"),
        ("config", "get"),
        ("invert", "x", "--kind", "cloud", "-t", "y"),
        ("generate", "x", "--count", "0"),
    ],
    ids=" ".join,
)
def test_usage_errors_exit_2_in_both_forms(run, arguments: tuple[str, ...]) -> None:
    plain = run(*arguments)
    assert (plain.code, plain.out) == (2, "")
    first, second = plain.err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("  ")
    asked = run(*arguments, "--json")
    assert asked.code == 2
    assert asked.json["error"]["code"] == "usage"
    assert asked.json["exit_code"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("invert", "x", "--token", "mug="), "PHOTOS stand beside"),
        (("invert", "x", "--token", "mug", "--seed", str(1 << 64)), "0 to 2^63 - 1"),
        (("invert", "--manifest", "/", "--token", "x"), "Is a directory\n"),
        (("generate", "a cat", "--seed", "9" * 23, "--dry-run"), "use 0 to 9223372036854775806"),
        (("generate", "a cat", "-m", "/usr", "--dry-run"), "no model_index.json in /usr"),
        (("list", "--kind", "dog"), "'object', 'style', 'person'"),
        (("models", "add", "starter", "/usr"), "the starter has it already"),
        (("config", "get"), "takes KEY after it"),
        (("completion",), "Choose from: bash, zsh, fish"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_and_what_to_do(run, arguments, said: str) -> None:
    result = run(*arguments)
    assert result.code and not result.out and said in result.err
    assert "Errno" not in result.err


def test_a_setting_out_of_range_names_its_place(run, monkeypatch, isolated) -> None:
    monkeypatch.setenv("TI_DEVICE", "tpu")
    assert "TI_DEVICE cannot be 'tpu'" in run("generate", "a cat", "--dry-run").err
    monkeypatch.delenv("TI_DEVICE")
    file = Path(run("config", "path").out.strip())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("device: tpu\n")
    assert f"{file}: device cannot be 'tpu'" in run("generate", "a cat", "--dry-run").err


def test_the_nearest_command_and_flag_are_named(run) -> None:
    assert "'list'" in run("lst").err
    assert "--unfinished" in run("list", "--unfinishd").err
    assert "did you mean 'merge'" in run("help", "mrege").err
    assert "ti show --help" in run("show").err


@pytest.mark.parametrize("flag", ["--json", "-q", "--verbose", "--no-color", "--debug"])
def test_shared_flags_before_the_command_are_explained(run, flag: str) -> None:
    result = run(flag, "list")
    assert result.code == 2
    assert f"ti COMMAND {flag}" in result.err


NO_TEXT = "m\udcffg"


@pytest.mark.parametrize(
    "arguments",
    [
        ("tag", "mug", "--note", NO_TEXT),
        ("tag", "mug", "--add", NO_TEXT),
        ("list", NO_TEXT),
        ("list", "--tag", NO_TEXT),
        ("search", NO_TEXT),
        ("generate", "--dry-run", NO_TEXT),
        ("rename", "mug", NO_TEXT),
    ],
    ids=ascii,
)
def test_bytes_that_are_no_text_are_named(run, library_with, arguments) -> None:
    library_with("mug")
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "\\udcff" in result.err or "UTF-8" in result.err
    assert "unexpected" not in result.err


def test_names_on_stdin_that_are_no_text(run, library_with) -> None:
    library_with("mug")
    result = run("rm", "-y", "-", stdin=b"m\xffg\n")
    assert result.code == 2
    assert "UTF-8" in result.err


def test_a_path_that_is_no_text_comes_out_byte_by_byte(run, library_with, tmp_path) -> None:
    library_with("mug")
    result = run("export", "mug", "-o", f"{tmp_path}/{NO_TEXT}/")
    assert result.code == 0
    assert result.out_bytes.endswith(b"/m\xffg/mug.safetensors\n")


def test_json_after_two_dashes_is_text(run) -> None:
    result = run("show", "--", "--json")
    assert (result.code, result.out) == (3, "")
