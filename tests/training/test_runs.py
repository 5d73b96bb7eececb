"""A run that was stopped anywhere continues to the same bits; runs never mix."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learning_runs import advance, begin

from ticli.errors import BadContent, Conflict, Stopped, Usage
from ticli.inversion import (
    Request,
    check_run,
    conclude,
    discard,
    finish,
    make_plan,
    open_run,
    unfinished,
)
from ticli.library import Library
from ticli.paths import places
from ticli.recipe import Recipe

STEPS = 6


def request_for(photos: Path, model: Path, **changes) -> Request:
    seed = changes.pop("seed", 0)
    recipe = Recipe(steps=STEPS, lr=0.01, batch=3).with_flags(**changes)
    return Request((str(photos),), "<mug>", recipe, str(model), seed, False, True)


def learn(plan, stop_at: int | None = None) -> torch.Tensor:
    """Run a plan in this process, stopping after a step as a signal would."""
    with open_run(places().runs, plan.token.name, plan.identity()) as run:
        training = begin(plan, run)
        state = training.state
        for _ in advance(training, lambda: 2 if state.step == stop_at else None):
            pass
        _, embedding = conclude(training)
        finish(run)
    return torch.from_numpy(embedding.rows["clip_l"])


def test_resumed_equals_uninterrupted_wherever_it_stopped(photos, tiny_folder):
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    straight = learn(plan)
    for stop_at in range(1, STEPS):
        with pytest.raises(Stopped) as caught:
            learn(plan, stop_at)
        assert caught.value.exit_code == 130
        (left,) = unfinished(places().runs)
        assert (left.name, left.step, left.total, left.live) == ("mug", stop_at, STEPS, False)
        # Nobody else may look into the folders of runs.
        assert {path.stat().st_mode & 0o777 for path in (places().runs, left.path)} == {0o700}
        assert torch.equal(straight, learn(plan)), stop_at
    assert not unfinished(places().runs)


def test_other_settings_refuse_to_continue_and_name_the_difference(photos, tiny_folder):
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    with pytest.raises(Stopped):
        learn(plan, stop_at=2)
    other = make_plan(request_for(photos, tiny_folder, lr=0.02, batch=2), Library.open())
    said = r"lr was 0\.01, is now 0\.02; batch was 3, is now 2"
    with pytest.raises(Conflict, match=said) as caught:
        learn(other)
    assert "--fresh" in caught.value.hint
    with open_run(places().runs, "mug", other.identity(), fresh=True) as run:
        assert run.step == 0 and not run.checkpoint.exists()


def test_changed_photos_refuse_to_continue(photos, tiny_folder):
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    with pytest.raises(Stopped):
        learn(plan, stop_at=2)
    (photos / "photo-0.png").unlink()
    with pytest.raises(Conflict, match="photos"):
        learn(make_plan(request_for(photos, tiny_folder), Library.open()))


def test_a_second_live_run_of_a_name_is_refused(photos, tiny_folder):
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    with open_run(places().runs, "mug", plan.identity()):
        (live,) = unfinished(places().runs)
        assert live.live
        with (
            pytest.raises(Conflict, match=str(os.getpid())),
            open_run(places().runs, "mug", plan.identity()),
        ):
            pass
        with pytest.raises(Conflict):
            discard(live)
    discard(live)
    assert not unfinished(places().runs)


def test_a_damaged_checkpoint_is_refused_and_fresh_starts_over(photos, tiny_folder):
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    with pytest.raises(Stopped):
        learn(plan, stop_at=3)
    checkpoint = places().runs / "mug" / "checkpoint.safetensors"
    data = bytearray(checkpoint.read_bytes())
    data[-3] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(BadContent, match="damaged") as caught:
        learn(plan)
    assert "--fresh" in caught.value.hint


def test_a_sentence_that_cuts_the_word_off_is_refused(photos, tiny_folder):
    long = "a photo of " + "a very " * 30 + "{}"
    plan = make_plan(request_for(photos, tiny_folder, sentences=(long,)), Library.open())
    with pytest.raises(Usage, match="cut off") as caught:
        learn(plan)
    assert "46 tokens" in caught.value.message


def command(photos: Path, model: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "ticli", "invert", str(photos), "--token", "<mug>", "-m", str(model),
        "--steps", "60", "--lr", "0.01", "--batch", "3", "--progress", "jsonl", *more,
    ]  # fmt: skip


def start_and_signal(arguments: list[str], number: int, after: int) -> tuple[int, str]:
    """Start a run, send a signal once it reports step `after`; its exit code and stderr."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("{") and json.loads(line)["step"] == after:
            process.send_signal(number)
    process.wait()
    assert process.stdout.read() == ""
    return process.returncode, "".join(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_keep_the_run_and_the_same_command_continues(photos, tiny_folder, number, code):
    arguments = command(photos, tiny_folder)
    returned, said = start_and_signal(arguments, number, after=7)
    assert returned == code, said
    assert "Traceback" not in said and "the same command again continues it" in said
    (left,) = unfinished(places().runs)
    assert left.step >= 7
    if number == signal.SIGINT:
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"continuing from step {left.step} of 60" in done.stderr
        assert done.stdout == "mug\n" and not unfinished(places().runs)
        assert Library.open().get("mug").steps == 60


def test_a_run_is_looked_at_without_being_changed(photos, tiny_folder):
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    folder = places().runs
    check_run(folder, "mug", plan.identity(), fresh=False)
    assert not folder.exists()
    with pytest.raises(Stopped):
        learn(plan, stop_at=2)
    before = sorted((path.name, path.read_bytes()) for path in (folder / "mug").iterdir())
    check_run(folder, "mug", plan.identity(), fresh=False)
    other = make_plan(request_for(photos, tiny_folder, lr=0.02), Library.open())
    with pytest.raises(Conflict, match=r"lr was 0\.01"):
        check_run(folder, "mug", other.identity(), fresh=False)
    check_run(folder, "mug", other.identity(), fresh=True)
    after = sorted((path.name, path.read_bytes()) for path in (folder / "mug").iterdir())
    assert before == after
    with (
        open_run(folder, "mug", plan.identity()),
        pytest.raises(Conflict, match="learned by another process"),
    ):
        check_run(folder, "mug", plan.identity(), fresh=False)


def test_a_damaged_run_can_be_begun_anew(photos, tiny_folder):
    plan = make_plan(request_for(photos, tiny_folder), Library.open())
    with pytest.raises(Stopped):
        learn(plan, stop_at=2)
    (places().runs / "mug" / "run.json").write_text("{")
    with pytest.raises(BadContent, match="cannot be read") as caught:
        learn(plan)
    assert "--fresh" in caught.value.hint
    with open_run(places().runs, "mug", plan.identity(), fresh=True) as run:
        assert run.step == 0
