"""stdout is data, stderr is everything else, and colour is only for who wants it."""

from __future__ import annotations

import json
import sys

import pytest

from ticli.errors import Declined, Usage
from ticli.terminal import Column, Output, json_text, open_output

COLUMNS = (Column("NAME"), Column("TAGS"))
ROWS = [("mug", "a"), ("cat", "")]


def become_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the three streams say that they are a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)


def test_a_table_in_a_pipe_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(COLUMNS, ROWS)
    assert capsys.readouterr().out == "NAME\tTAGS\nmug\ta\ncat\t\n"


def test_a_table_on_a_terminal_is_padded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    become_terminal(monkeypatch)
    Output(color=True).table(COLUMNS, ROWS)
    assert capsys.readouterr().out == "\x1b[1mNAME  TAGS\x1b[0m\nmug   a\ncat\n"


def test_quiet_prints_names_and_no_rows_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Output(quiet=True).table(COLUMNS, ROWS)
    Output().table(COLUMNS, [])
    assert capsys.readouterr().out == "mug\ncat\n"


def test_notes_warnings_and_details_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    for output in (Output(), Output(quiet=True), Output(verbose=True)):
        output.note("note")
        output.detail("detail")
        output.warn("warn\x1b[2J")
    out, err = capsys.readouterr()
    assert out == ""
    warning = "warning: warn\\x1b[2J\n"
    assert err == f"note\n{warning}{warning}note\ndetail\n{warning}"


def test_hints_are_for_people_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Output().hint("in a pipe")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    Output(json=True).hint("with json")
    Output(quiet=True).hint("when quiet")
    Output().hint("seen")
    assert capsys.readouterr().err == "seen\n"


def test_a_value_is_exact_in_a_pipe_and_safe_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Output().exact("a\u200db")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    Output().exact("a\u200db")
    assert capsys.readouterr().out == "a\u200db\na\\u200db\n"


def test_confirm_without_a_terminal_names_the_flag() -> None:
    with pytest.raises(Usage) as caught:
        Output().confirm("Remove mug?", yes=False)
    assert "--yes" in caught.value.hint


@pytest.mark.parametrize("answer", ["", "n\n", "no\n", "maybe\n"])
def test_anything_but_yes_declines(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    with pytest.raises(Declined):
        Output().confirm("Remove mug?", yes=False)
    assert capsys.readouterr().err == "Remove mug? [y/N] "


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_yes_goes_on(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    Output().confirm("Remove mug?", yes=False)


def test_json_is_ascii_and_never_holds_what_json_cannot() -> None:
    text = json_text({"a": "\x1b\u202e\ud800é", "b": [float("nan"), 1.5, float("inf")]})
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"a": "\x1b\u202e\ud800é", "b": [None, 1.5, None]}


@pytest.mark.parametrize(
    ("environment", "no_color", "wanted"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, False, True),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colour_on_a_terminal(
    environment: dict[str, str],
    no_color: bool,
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    become_terminal(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    output = open_output(False, False, False, no_color, False)
    assert (output.color, output.color_errors) == (wanted, wanted)


def test_colour_is_judged_for_each_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    output = open_output(False, False, False, False, False)
    assert (output.color, output.color_errors) == (False, True)


def test_the_config_file_can_turn_colour_off_and_on(
    isolated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    isolated.mkdir()
    (isolated / "config.yaml").write_text("color: always\n")
    assert open_output(False, False, False, False, False).color
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    (isolated / "config.yaml").write_text("color: never\n")
    assert not open_output(False, False, False, False, False).color


def test_what_cannot_be_said_on_stderr_does_not_stop_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    Output().note("nobody hears this")
