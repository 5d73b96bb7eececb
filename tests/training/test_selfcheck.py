"""What is looked at before a word is stored, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from learning_runs import begin, learn, make_photos, plan_for

from ticli.concept import Attempt
from ticli.inversion import Evaluation, Finished, check_vectors, open_run
from ticli.paths import places


@dataclass
class Check:
    """check(rows, …): warnings about rows whose run ended with that loss."""

    photos: Path
    model: Path

    def __call__(self, rows, held_out: float = 0.0, change=None, twin=None, own=None, **knobs):
        training = self.begun(**knobs)
        if change:
            change(training.model)
        every = {"clip_l": rows} | ({} if twin is None else {"clip_l.negative": twin})
        every |= {} if own is None else {"clip_l.private": own}
        kept = Evaluation(6, held_out, 0.0)
        attempt = Attempt(0, 6, "steps", 6, held_out)
        ended = Finished(attempt, kept, every, (kept,), (), 0, 0)
        judge = training.judge
        start = training.vectors_at_start(0)
        return check_vectors(judge, start, ended, judge.held_out_init(start))

    def losses(self, **knobs) -> tuple[float, float]:
        """The held-out losses of the start and of the class word."""
        training = self.begun(**knobs)
        judge, start = training.judge, training.vectors_at_start(0)
        return judge.held_out(start), judge.held_out_init(start)

    def begun(self, **knobs):
        plan = plan_for(self.photos, self.model, vectors=2, norm="free", **knobs)
        with open_run(places().runs, plan.token.name, plan.identity(), fresh=True) as run:
            return begin(plan, run)


@pytest.fixture
def check(tmp_path, tiny_folder) -> Check:
    return Check(make_photos(tmp_path / "photos", 3), tiny_folder)


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


def test_a_vector_of_the_twin_that_changes_nothing_is_named(check):
    twin = torch.zeros(1, 32)
    (warning,) = check(rows(), twin=twin, negative_vectors=1)
    assert "vector 1 of the negative twin in clip_l changes nothing" in warning


def test_photos_own_words_are_no_change_of_the_word(check):
    """What they do they do beside the class word too, and an idle one is not missed."""
    own = torch.randn(3, 32, generator=torch.Generator().manual_seed(8))
    start = check.begun(photo_words=1.0, noun="").vectors_at_start(0)
    idle = start.rows["clip_l"].detach().clone()
    (warning,) = check(idle, own=own, photo_words=1.0, noun="")
    assert "changes no picture" in warning
    assert check(rows(), own=torch.zeros(3, 32), photo_words=1.0) == ()


def test_a_word_must_be_better_than_its_start_too(check):
    """Two words stand in the sentence where the class word stood alone: that is no learning."""
    start, class_word = check.losses(noun="mug")
    assert start < class_word, "else this shows nothing"
    (warning,) = check(rows(), held_out=(start + class_word) / 2, noun="mug")
    assert "no better than its start" in warning and f"against {start:.4g}" in warning
    assert check(rows(), held_out=start * 0.99, noun="mug") == ()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("--noun", "", "--norm", "free"), "what its class word predicts"),
        (("--noun", "object"), "what it predicted at its start"),
        (("--noun", "object", "--dtype", "bf16"), "what it predicted at its start"),
    ],
)
def test_warnings_are_stored_and_said(tmp_path, tiny_folder, run, told, said):
    photos = make_photos(tmp_path / "photos", 3)
    result = run(
        "invert", str(photos), "-t", "mug", "-m", str(tiny_folder), "--steps", "1", "--lr", "1e-8",
        "--init", "object", *told,
    )  # fmt: skip
    assert result.code == 0, result.err
    document = run("show", "mug", "--json").json
    held_out = document["curves"]["held_out"]
    assert held_out[-1] == pytest.approx(held_out[0], rel=1e-3)
    assert len(document["warnings"]) == 1
    assert "changes no picture" in document["warnings"][0] and said in document["warnings"][0]
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
    assert f"it kept step {outcome['kept']}" in result.err
    assert "the best of 2" in result.err and "on the photo held out" in result.err
    assert f"held-out loss {outcome['held_out']:.4f}" in result.err
    assert f"'mug' in its place {outcome['held_out_init']:.4f}" in result.err
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
