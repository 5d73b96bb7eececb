"""What is looked at before a word is stored, and how it is said."""

from __future__ import annotations

import pytest
import torch
from learning_runs import learn, make_photos, plan_for

from ticli.inversion.learning import begin
from ticli.inversion.runs import open_run
from ticli.inversion.selfcheck import check_word
from ticli.models.hardware import pick_hardware
from ticli.outcome import Attempt
from ticli.paths import places


@pytest.fixture
def check(tmp_path, tiny_folder):
    """check(rows, held_out, change): warnings about rows whose run ended with that loss."""
    photos = make_photos(tmp_path / "photos", 3)
    plan = plan_for(photos, tiny_folder, vectors=2, norm="free")
    with open_run(places().runs, plan.token.name, plan.identity()) as run:
        learning = begin(plan, run, pick_hardware("cpu"), None)

    def call(rows, held_out: float = 0.0, change=lambda model: None):
        from ticli.inversion.attempts import Finished
        from ticli.inversion.stopping import Evaluation

        change(learning.model)
        kept = Evaluation(6, held_out, 0.0)
        attempt = Attempt(0, 6, "steps", 6, held_out)
        ended = Finished(attempt, kept, {}, (kept,), (), 0, 0), learning.judge.held_out_init()
        return check_word(learning.judge, learning.state.vectors, {"clip_l": rows}, ended)

    return call


def rows() -> torch.Tensor:
    return torch.randn(2, 32, generator=torch.Generator().manual_seed(7))


def test_a_good_word_is_not_warned_of(check):
    assert check(rows()) == ()


def test_a_word_that_is_no_better_than_its_class_word_is(check):
    (warning,) = check(rows(), held_out=1e9)
    assert "no better than its class word" in warning and "1e+09" in warning


def test_a_vector_that_changes_nothing_is_named(check):
    silent = rows()
    silent[1] = 0
    (warning,) = check(silent)
    assert "vector 2 of clip_l changes nothing" in warning and "--vectors" in warning


def test_a_word_that_changes_no_picture_is_said_before_all_else(check):
    def deafen(model) -> None:
        for name, weight in model.denoiser.named_parameters():
            if "attn2.to_out" in name:
                weight.zero_()

    def deafen_without_gradients(model) -> None:
        with torch.no_grad():
            deafen(model)

    (warning,) = check(rows(), held_out=1e9, change=deafen_without_gradients)
    assert "changes no picture" in warning


def test_warnings_are_stored_and_said(tmp_path, tiny_folder, run):
    photos = make_photos(tmp_path / "photos", 3)
    result = run(
        "invert", str(photos), "-t", "mug", "-m", str(tiny_folder), "--steps", "2", "--lr", "1e-8",
        "--norm", "free", "--init", "object", "--noun", "",
    )  # fmt: skip
    assert result.code == 0, result.err
    document = run("show", "mug", "--json").json
    assert document["outcome"]["held_out"] == pytest.approx(document["outcome"]["held_out_init"])
    assert len(document["warnings"]) == 1
    assert "changes no picture" in document["warnings"][0]
    assert document["warnings"][0] in result.err


def test_the_summary_says_why_it_stopped_and_what_is_kept(tmp_path, tiny_folder, run):
    photos = make_photos(tmp_path / "photos", 4)
    result = run(
        "invert", str(photos), "-t", "mug", "-m", str(tiny_folder), "--steps", "60", "--lr", "0.05",
        "--batch", "3", "--schedule", "constant", "--stop", "auto", "--stop-window", "2",
        "--stop-ratio", "1", "--evaluate-every", "2", "--cooldown", "2", "--keep", "best",
        "--hold-out", "auto", "--restarts", "2", "--json", "--drift-limit", "2",
    )  # fmt: skip
    assert result.code == 0, result.err
    document = result.json
    outcome, curves = document["outcome"], document["curves"]
    assert outcome["stopped"] == "settled" and document["steps"] < 60
    assert f"{document['steps']} steps, settled before its cap of 60" in result.err
    assert f"kept is step {outcome['kept']}" in result.err
    assert "the best of 2" in result.err and "on the photo held out" in result.err
    assert f"held-out loss {outcome['held_out']:.4f}" in result.err
    assert f"'mug' alone {outcome['held_out_init']:.4f}" in result.err
    assert len(curves["steps"]) == len(curves["held_out"]) == len(curves["drift"])
    assert outcome["kept"] in curves["steps"] and outcome["held_out"] == min(curves["held_out"])
    assert [attempt["seed"] for attempt in outcome["attempts"]] == [0, 1]
    assert 0 <= outcome["held_out_photo"] < 4
    assert run("show", "mug", "--json").json == document
    assert run("show", "mug", "--field", "outcome.kept").out == f"{outcome['kept']}\n"


def test_a_run_of_one_try_says_so_plainly(tmp_path, tiny_folder):
    concept, _ = learn(plan_for(make_photos(tmp_path / "photos", 3), tiny_folder))
    assert concept.outcome.stopped == "steps" and len(concept.outcome.attempts) == 1
    assert concept.outcome.held_out == concept.curves.held_out[-1]
