"""A run that is killed while it learns, as the system does when memory is short, loses nothing."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from learning_runs import advance, begin
from PIL import Image
from tiny import build_tiny_model

from ticli.errors import Conflict
from ticli.inversion import Plan, Request, conclude, engine, finish, make_plan, open_run, unfinished
from ticli.library import Library
from ticli.paths import places
from ticli.recipe import Recipe

STEPS = 12


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, colour in enumerate(("red", "teal", "gold")):
        Image.new("RGB", (64, 64), colour).save(folder / f"photo-{number}.png")
    return folder


@pytest.fixture
def plan(photos: Path, tiny_folder: Path, monkeypatch) -> Plan:
    """A plan whose runs save a checkpoint after every step."""
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 0.0)
    torch.set_num_threads(1)
    recipe = Recipe(steps=STEPS, lr=0.01, batch=2)
    request = Request((str(photos),), "<mug>", recipe, str(tiny_folder), 0, False, True)
    return make_plan(request, Library.open())


def learn(plan: Plan, told: int | None = None) -> bytes:
    """Run a plan to its end and return the vectors' bytes; `told` gets a byte for each step."""
    with open_run(places().runs, plan.token.name, plan.identity()) as run:
        begun = begin(plan, run)
        for _ in advance(begun, lambda: None):
            if told is not None:
                os.write(told, b".")
        _, embedding = conclude(begun)
        finish(run)
    return embedding.rows["clip_l"].tobytes()


def killed(plan: Plan, steps: int, later: float) -> None:
    """Run a plan in a child and kill it so many seconds after so many steps."""
    listening, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            learn(plan, told)
        finally:
            os._exit(1)
    os.close(told)
    for _ in range(steps):
        if not os.read(listening, 1):
            break
    time.sleep(later)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(listening)


def test_killed_anywhere_it_continues_to_the_same_bits(plan, most, record_property, run) -> None:
    straight = learn(plan)
    draw = random.Random(0)
    moments = [(steps, draw.uniform(0.0, 0.05)) for steps in range(STEPS) for _ in range(4)]
    tried = draw.sample(moments, most(1) or len(moments))
    for steps, later in tried:
        killed(plan, steps, later)
        assert Library.open().names() == []
        left = unfinished(places().runs)
        assert [found.live for found in left] in ([], [False])
        # At least what was said to be done but for the step that was under way.
        assert not left or left[0].step >= steps - 1, (steps, later)
        checks = run("doctor", "--fast", "--json").json["checks"]
        assert [c for c in checks if c["status"] == "fail" or c["id"] == "unfinished-run"] == []
        assert learn(plan) == straight, (steps, later)
    record_property("kill points", len(tried))


def test_photos_that_go_while_it_learns_change_nothing(plan, photos: Path) -> None:
    straight = learn(plan)
    with open_run(places().runs, "mug", plan.identity()) as run:
        begun = begin(plan, run)
        for step in advance(begun, lambda: None):
            if step.index == 3:
                (photos / "photo-0.png").unlink()
                (photos / "photo-1.png").write_bytes(b"another")
        assert conclude(begun)[1].rows["clip_l"].tobytes() == straight


def test_photos_that_changed_since_are_said(plan, photos: Path, tiny_folder: Path) -> None:
    killed(plan, 4, 0.0)
    Image.new("RGB", (64, 64), "white").save(photos / "photo-1.png")
    recipe = Recipe(steps=STEPS, lr=0.01, batch=2)
    request = Request((str(photos),), "<mug>", recipe, str(tiny_folder), 0, False, True)
    changed = make_plan(request, Library.open())
    with (
        pytest.raises(Conflict, match="photos"),
        open_run(places().runs, "mug", changed.identity()),
    ):
        raise AssertionError("it went on with other photos")


def test_a_half_written_checkpoint_is_no_checkpoint(plan) -> None:
    """What a killed write leaves has another name, and the last whole one is continued."""
    straight = learn(plan)
    killed(plan, 6, 0.0)
    (left,) = unfinished(places().runs)
    half = (left.path / "checkpoint.safetensors").read_bytes()[:200]
    (left.path / f".checkpoint.safetensors.{'f' * 16}.tmp").write_bytes(half)
    assert unfinished(places().runs)[0].step == left.step >= 5
    assert learn(plan) == straight
