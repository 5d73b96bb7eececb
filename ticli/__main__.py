"""The entry point: completion before anything heavy, and the boundary where errors become text."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ticli.errors import ExitCode, Stopped, Usage

COMPLETE = "__complete"
SHARED = ("--json", "-q", "--quiet", "-v", "--verbose", "--no-color", "--debug")


class Signalled(SystemExit):
    """A signal asks the process to end. No Exception: libraries catch those while imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ti` with these arguments (those of the process by default); return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _guard_streams()
    if argv is None:
        _unwind_on_signals()
    if arguments[:1] == [COMPLETE]:
        return _complete(arguments[1:])
    try:
        code = _run(arguments)
        _flush()
        return code
    except BrokenPipeError:
        _abandon_stdout()
        return int(ExitCode.BROKEN_PIPE)
    except Signalled as ended:
        number = int(str(ended.code)) - 128
        name = signal.Signals(number).name
        return _fail(Stopped(f"ended by {name}", signal_number=number), arguments)
    except (Exception, KeyboardInterrupt) as error:
        return _fail(error, arguments)


def _run(arguments: list[str]) -> int:
    """Parse and call one command, without the exits and catches of Typer's own main()."""
    import typer

    from ticli.app import build, needed

    try:
        command: Any = typer.main.get_command(build(needed(arguments)))
        # The parser empties the list it is given.
        with command.make_context("ti", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as leave:
        return int(leave.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # The class of usage errors is public in no version of Typer; what it can do is.
        if callable(getattr(error, "format_message", None)):
            raise _usage(error) from error
        raise
    return int(ExitCode.OK)


def _usage(error: Any) -> Usage:
    """Say a parser's error in our own two lines."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "ti"
    option = getattr(error, "option_name", None)
    if path == "ti" and option in SHARED:
        return Usage(f"{option} stands before the command", f"write: ti COMMAND {option}")
    message = " ".join(error.format_message().split())
    hint = f"{path} --help explains its arguments and options"
    kind = getattr(getattr(error, "param", None), "type", None)
    if choices := getattr(kind, "choices", None):
        from ticli.names import did_you_mean

        return Usage(
            message, did_you_mean(message.partition(": '")[2].partition("'")[0], choices, hint)
        )
    return Usage(message, "ti --help lists the commands" if path == "ti" else hint)


def _fail(error: BaseException, arguments: list[str]) -> int:
    """Report a failure in two lines and as JSON where asked; return its exit code."""
    from ticli.settings import debugging
    from ticli.terminal.failure import explain, show

    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    # What a command had printed comes first, and a full disk must not hide the first error.
    failure = explain(error)
    if "--debug" in flags or debugging():
        import traceback

        traceback.print_exception(error)
    try:
        show(failure, json="--json" in flags, no_color="--no-color" in flags)
        _flush()
    except OSError:
        _abandon_stdout()
    return int(failure.exit_code)


def _complete(arguments: list[str]) -> int:
    """Print what the shells ask for; on any trouble print nothing, a Tab is no place for errors."""
    try:
        for value in _completions(*arguments[:2]) if arguments else ():
            sys.stdout.write(value + "\n")
        _flush()
    except (Exception, KeyboardInterrupt):
        _abandon_stdout()
    return int(ExitCode.OK)


def _completions(kind: str, start: str = "") -> list[str]:
    """Return what the Tab key offers for a kind: concepts, tags, recipes or models.

    `start` is what was typed so far; it only narrows long lists. Text that would not survive a
    shell as one line is left out.
    """
    found: list[str] = []
    if kind in ("concepts", "tags"):
        from ticli.library.completing import completions
        from ticli.paths import places

        found = completions(kind, start, places().database)
    elif kind == "recipes":
        from ticli.recipe import PRESETS

        found = list(PRESETS)
    elif kind == "models":
        from ticli.models.locate import short_names, usable
        from ticli.settings import load_settings

        found = [*short_names(), *(source.id for source in usable(load_settings()["model"]))]
    return [word for word in found if word and word.isprintable()]


def _guard_streams() -> None:
    """Keep closed descriptors from being taken by files, and odd letters from ending a command."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _unwind_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the process as an error does, so that temporary files go."""

    def unwind(number: int, _frame: object) -> None:
        raise Signalled(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, unwind)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush has nowhere to fail."""
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    except (OSError, AttributeError, ValueError):
        return


if __name__ == "__main__":
    sys.exit(main())
