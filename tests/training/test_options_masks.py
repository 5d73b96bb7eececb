"""Masks in a run: weights on the latents' grid, in the plan, and in what makes a run the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_runs import begin
from PIL import Image
from test_runs import learn, request_for

from ticli.errors import Conflict, Stopped
from ticli.inversion import evaluate, make_plan, mask_weights, open_run, predict
from ticli.library import Library
from ticli.paths import places
from ticli.photos import find_masks, open_photo, training_mask
from ticli.recipe import Recipe


def draw_masks(folder, left: int = 20) -> None:
    for path in sorted(folder.glob("photo-?.png")):
        mask = Image.new("L", Image.open(path).size, 0)
        mask.paste(255, (left, 16, 44, 48))
        mask.save(path.with_suffix(".mask.png"))


@pytest.mark.parametrize(("background", "temperature"), [(0.0, 1.0), (0.25, 2.0), (0.1, 0.0)])
def test_weights_are_the_masks_shares_on_the_grid(tmp_path, background, temperature):
    values = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "b.png")
    Image.fromarray(values).save(tmp_path / "a.mask.png")
    photos = find_masks([open_photo(tmp_path / name, 64) for name in ("a.png", "b.png")], 64).photos
    recipe = Recipe(size=64, mask_background=background, mask_temperature=temperature)
    weights = mask_weights([training_mask(photo, recipe.size) for photo in photos], recipe, (8, 8))
    assert weights.shape == (2, 2, 1, 8, 8)
    share = values.reshape(8, 8, 8, 8).mean((1, 3)) / 255
    wanted = torch.from_numpy(background + (1 - background) * share**temperature).float()
    # Levels of grey are whole numbers, so a mean of them is rounded.
    assert torch.allclose(weights[0, 0, 0], wanted, atol=0.005)
    assert torch.equal(weights[0, 1, 0], weights[0, 0, 0].flip(-1))
    assert torch.equal(weights[1], torch.ones(2, 1, 8, 8))


def test_masks_change_what_is_learned_and_resume(photos, tiny_folder):
    plain = learn(make_plan(request_for(photos, tiny_folder), Library.open()))
    draw_masks(photos)
    unused = make_plan(request_for(photos, tiny_folder), Library.open())
    assert torch.equal(plain, learn(unused)), "masks that are not asked for change nothing"
    assert any("3 of the files are masks" in note for note in unused.notes)
    plan = make_plan(request_for(photos, tiny_folder, masks=True), Library.open())
    assert "masks: 3 found" in plan.notes
    straight = learn(plan)
    assert not torch.equal(plain, straight)
    with pytest.raises(Stopped):
        learn(plan, 3)
    assert torch.equal(straight, learn(plan))


def test_other_masks_are_another_run(photos, tiny_folder):
    draw_masks(photos)
    with pytest.raises(Stopped):
        learn(make_plan(request_for(photos, tiny_folder, masks=True), Library.open()), 3)
    draw_masks(photos, left=24)
    with pytest.raises(Conflict, match="masked"):
        learn(make_plan(request_for(photos, tiny_folder, masks=True), Library.open()))


def test_a_dry_run_shows_the_masks(photos, tiny_folder, run):
    draw_masks(photos)
    (photos / "photo-1.mask.png").unlink()
    arguments = ("invert", str(photos), "--token", "<mug>", "-m", str(tiny_folder), "--masks", "-n")
    result = run(*arguments)
    assert result.code == 0, result.err
    assert "mask photo-0.mask.png, subject" in result.out
    assert "no mask for photo-1.png" in result.err
    found = run(*arguments, "--json").json["photos"]
    assert [photo["mask"] is None for photo in found] == [False, True, False]
    assert found[0]["mask"]["file"] == "photo-0.mask.png" and 0 < found[0]["mask"]["subject"] < 100


def test_what_is_held_out_is_judged_where_its_mask_is(photos, tiny_folder):
    draw_masks(photos)
    plan = make_plan(request_for(photos, tiny_folder, masks=True), Library.open())
    with open_run(places().runs, plan.token.name, plan.identity()) as run:
        training = begin(plan, run)
    judge, vectors = training.judge, training.state.vectors
    masks = judge.examples.masks
    assert masks.shape[:3] == (3, 2, 1) and 0 < masks.mean() < 0.9
    whole = slice(0, len(judge.draw.timesteps))
    with torch.no_grad():
        prediction, target = predict(training.model, judge.examples, vectors, judge.draw, whole)
    own = masks[judge.draw.photos, 0].expand_as(prediction)
    errors = (prediction - target).square()
    by_hand = (errors * own).sum((1, 2, 3)) / own.sum((1, 2, 3))
    assert judge.held_out(vectors) == pytest.approx(float(by_hand.mean()), rel=1e-4)
    (together, _) = evaluate(training.model, [(judge, vectors, 0)] * 2)
    assert together.held_out == pytest.approx(float(by_hand.mean()), rel=1e-4)


def test_a_crop_that_misses_the_subject_is_judged_whole(photos, tiny_folder):
    for path in sorted(photos.glob("photo-?.png")):
        mask = Image.new("L", Image.open(path).size, 0)
        mask.putpixel((0, 0), 255)
        mask.save(path.with_suffix(".mask.png"))
    plan = make_plan(request_for(photos, tiny_folder, masks=True), Library.open())
    with open_run(places().runs, plan.token.name, plan.identity()) as run:
        training = begin(plan, run)
    masks = training.judge.examples.masks
    assert (masks.flatten(1).sum(1) > 0).all()
    assert np.isfinite(training.judge.held_out(training.state.vectors))
