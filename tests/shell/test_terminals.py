"""`ti` on a real terminal: colours, questions, Ctrl-C."""

from __future__ import annotations

import sys

import pytest


def shown(terminal, *arguments: str, **environment: str) -> str:
    started = terminal("ti", *arguments, **environment)
    started.finish()
    return started.shown


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ((), {"NO_COLOR": "1"}),
        ((), {"NO_COLOR": "1", "FORCE_COLOR": "1"}),
        ((), {"TERM": "dumb"}),
        (("--no-color",), {}),
        (("--no-color",), {"FORCE_COLOR": "1"}),
    ],
)
def test_colour_can_be_refused(terminal, library_with, arguments, environment) -> None:
    library_with("mug")
    assert "\x1b" not in shown(terminal, "show", "mgu", *arguments, **environment)
    assert "\x1b" not in shown(terminal, "list", *arguments, **environment)


def test_an_empty_no_color_refuses_nothing(terminal) -> None:
    assert "\x1b[" in shown(terminal, "show", "mug", NO_COLOR="")


def test_a_pipe_has_colour_only_where_it_is_forced(shell, monkeypatch) -> None:
    assert "\x1b" not in shell("ti show mug").err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in shell("ti show mug").err


def test_each_stream_is_judged_by_itself(terminal, library_with, tmp_path) -> None:
    library_with("mug")
    started = terminal("bash", "-c", f"ti list >{tmp_path}/out; ti show nothing")
    started.finish()
    assert "\x1b[" in started.shown
    assert (tmp_path / "out").read_text().startswith("NAME\tTOKEN\t")


def test_control_c_at_a_question_leaves_everything(terminal, library_with) -> None:
    library = library_with("mug")
    started = terminal("ti", "rm", "mug")
    started.wait_for("[y/N]")
    started.send("\x03")
    assert started.finish() == 130
    assert "Traceback" not in started.shown
    assert [concept.name for concept in library.concepts()] == ["mug"]


def test_control_c_in_the_instant_before_the_answer_is_read(terminal, tmp_path) -> None:
    # A signal that another thread takes is noted and wakes no read, as in that instant.
    program = tmp_path / "ask.py"
    program.write_text(
        "import signal, threading\n"
        "from ticli.terminal.output import Output\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "try:\n"
        "    Output().confirm('Remove?', False)\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )
    started = terminal(sys.executable, str(program))
    started.wait_for("[y/N]")
    started.send("\x03")
    assert started.finish() == 0
    assert "stopped" in started.shown


def test_a_table_fits_a_narrow_terminal(terminal, library_with) -> None:
    library_with("mug", tags=("a-tag-that-is-rather-long", "and-another-one-of-those"))
    started = terminal("bash", "-c", "stty cols 60; ti list --no-color")
    started.finish()
    lines = started.shown.split("\r\n")
    assert max(len(line) for line in lines) <= 60
    assert lines[1].startswith("mug")


def test_hostile_text_does_not_reach_the_terminal(terminal, library_with) -> None:
    library_with("mug", notes="\x1b[2J\x1b]0;gone\x07 \u202e", tags=("a",), init="\x9b2J")
    text = shown(terminal, "show", "mug", "--no-color")
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\\x1b[2J" in text
