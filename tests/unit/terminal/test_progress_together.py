"""Progress of several words names each of them, in every mode."""

from __future__ import annotations

import json
import sys

import pytest
from shown import Step, Terminal

from ticli.terminal import Output, Progress, progress


def follow(shown: Progress, totals: dict[str, int]) -> None:
    """Words that sit down together and leave as each has ended."""
    for name in totals:
        shown.join(name, f"<{name}>")
    for index in range(1, max(totals.values()) + 1):
        for name, total in totals.items():
            if index <= total:
                shown.update(name, Step(index, total))
            if index == total:
                shown.leave(name)


def test_json_lines_begin_with_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("jsonl", Output(quiet=True), 2) as shown:
        follow(shown, {"mug": 4, "cup": 2})
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]
    keys = ["name", "step", "total", "loss", "norm", "seconds", "left", "held_out"]
    assert out == "" and all(list(line) == keys for line in lines)
    assert [(line["name"], line["step"]) for line in lines] == [
        *(("mug", 1), ("cup", 1), ("mug", 2), ("cup", 2), ("mug", 3), ("mug", 4)),
    ]
    assert [line["left"] for line in lines if line["name"] == "mug"] == [None, None, 0.5, 0.0]


def test_plain_lines_count_the_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.time, "monotonic", lambda: 0.0)
    with Progress("auto", Output(), 3) as shown:
        follow(shown, {"mug": 3, "cup": 2})
        shown.leave("fern")
    assert capsys.readouterr().err.splitlines() == [
        "<mug>  1/3  loss 0.081  norm 0.39",
        "<cup>  1/2  loss 0.081  norm 0.39",
        "<cup>  2/2  loss 0.081  norm 0.39",
        "concepts  1/3",
        "<mug>  3/3  loss 0.081  norm 0.39  0:00 left",
        "concepts  2/3",
        "concepts  3/3",
    ]


@pytest.mark.parametrize(("mode", "quiet"), [("auto", True), ("plain", True), ("none", False)])
def test_quiet_and_none_say_nothing(
    mode: str, quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(mode, Output(quiet=quiet), 1) as shown:
        follow(shown, {"mug": 2})
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_each_and_one_for_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("auto", Output(), 2) as shown:
        shown.join("mug", "[/mug] \x1b[2J")
        shown.join("cup", "<cup>")
        shown.update("mug", Step(3, 4))
        shown.update("cup", Step(2, 9))
        with shown.aside():
            before = len(stream.getvalue())
            sys.stdout.write("mug\n")
            assert len(stream.getvalue()) == before, "nothing is drawn beside a result"
            assert stream.getvalue().endswith("\x1b[2K"), "and no bar is in its line"
        shown.leave("mug")
    drawn = stream.getvalue()
    for part in ("3/4", "2/9", "1/2", "<cup>", "[/mug] \\x1b[2J"):
        assert part in drawn
    assert capsys.readouterr().out == "mug\n"
