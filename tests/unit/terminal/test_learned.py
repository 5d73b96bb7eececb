"""The last lines of `ti invert`: why a run stopped, what it kept, and what went wrong."""

from __future__ import annotations

import pytest
from concepts import make_concept

from ticli.concept import Attempt, Outcome
from ticli.terminal import Output, say_learned

ENDED = Outcome(
    stopped="settled", kept=120, held_out=0.0212, held_out_init=0.0305, drift=0.031, skipped=2,
    restores=1, attempts=(
        Attempt(4, 160, "settled", 120, 0.0212), Attempt(5, 10, "diverged", None, None),
    ),
)  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], **changes) -> str:
    concept = make_concept("mug", recipe={"steps": 300}, **{"outcome": ENDED, **changes})
    say_learned(Output(), concept, 41.6)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_everything_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, noun="cup", warnings=("it changes nothing",))
    assert "learned <mug> cup in 42 s: 160 steps, settled before its cap of 300" in text
    assert "it kept step 120 of seed 4, the best of 2" in text
    assert "held-out loss 0.0212 on other crops, 'cup' in its place 0.0305" in text
    assert "other words drifted 0.031" in text
    assert "2 steps had no finite gradient" in text and "went back 1 time" in text
    assert "seed 5 diverged" in text and "it changes nothing" in text


@pytest.mark.parametrize(
    ("init", "words"),
    [("cup", "'cup' in its place"), ("random", "where it started"), ("<old>", "where it started")],
)
def test_the_loss_is_compared_with_what_there_is(capsys, init, words) -> None:
    assert words in said(capsys, init=init, noun="")


def test_quiet_leaves_the_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    concept = make_concept("mug", recipe={"steps": 300}, outcome=ENDED, warnings=("no use",))
    say_learned(Output(quiet=True), concept, 1.0)
    assert "no use" in capsys.readouterr().err
