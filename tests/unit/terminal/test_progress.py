"""Progress is a bar for people, plain lines for logs, JSON lines for programs."""

from __future__ import annotations

import json
import sys

import pytest
from shown import Step, Terminal

from ticli.terminal import Output, Progress, progress


def follow(mode: str, output: Output = Output(), total: int = 6, first: int = 1) -> None:  # noqa: B008
    with Progress(mode, output) as shown:
        shown.join("mug", "<mug>")
        for index in range(first, total + 1):
            shown.update("mug", Step(index, total, seconds=9.0 if index == first else 0.5))


def test_json_lines_have_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    follow("jsonl", Output(quiet=True))
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]
    assert out == ""
    assert len(lines) == 6
    keys = ["step", "total", "loss", "norm", "seconds", "left", "held_out"]
    assert all(list(line) == keys for line in lines)


def test_time_left_comes_after_three_steps_and_forgets_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    follow("jsonl")
    left = [json.loads(line)["left"] for line in capsys.readouterr().err.splitlines()]
    assert left == [None, None, 1.5, 1.0, 0.5, 0.0]


def test_a_continued_run_measures_its_own_steps(capsys: pytest.CaptureFixture[str]) -> None:
    follow("jsonl", total=104, first=101)
    left = [json.loads(line)["left"] for line in capsys.readouterr().err.splitlines()]
    assert left == [None, None, 0.5, 0.0]


def test_a_pipe_gets_the_first_and_last_line_and_some_between(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 4.0, 9.0, 10.5, 12.0, 13.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    follow("auto")
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "<mug>  1/6  loss 0.081  norm 0.39",
        "<mug>  4/6  loss 0.081  norm 0.39  0:01 left",
        "<mug>  6/6  loss 0.081  norm 0.39  0:00 left",
    ]


@pytest.mark.parametrize(("mode", "quiet"), [("auto", True), ("plain", True), ("none", False)])
def test_quiet_and_none_say_nothing(
    mode: str, quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(mode, Output(quiet=quiet))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_that_leaves_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("auto", Output()) as shown:
        shown.join("mug", "[/mug] \x1b[2J :mug:")
        for index in range(1, 5):
            shown.update("mug", Step(index, 4))
        sys.stdout.write("data\n")
    drawn = stream.getvalue()
    assert "4/4" in drawn
    assert "[/mug] \\x1b[2J :mug:" in drawn
    assert drawn.endswith("\x1b[2K"), "the bar's line is cleared at the end"
    assert capsys.readouterr().out == "data\n"


def test_the_last_evaluation_is_shown_until_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("jsonl", Output()) as shown:
        shown.join("mug", "<mug>")
        shown.update("mug", Step(1, 2, held_out=0.25))
        shown.update("mug", Step(2, 2))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["held_out"] for line in lines] == [0.25, None]
    with Progress("plain", Output()) as shown:
        shown.join("mug", "<mug>")
        shown.update("mug", Step(1, 2, held_out=0.25))
        shown.update("mug", Step(2, 2))
    first, last = capsys.readouterr().err.splitlines()
    assert "held out 0.2500" in first and "held out 0.2500" in last
