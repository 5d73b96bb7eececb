"""How much can any word do? Held-out losses of a set's photos under ever freer conditioning.

    python benchmarks/ceiling.py CONCEPTS [--sets a,b] [--free-steps 60] [--threads N] [--knobs A=B]

CONCEPTS holds one folder of photos a set and concepts.json with each set's kind and class word.
Knobs are those of a recipe, as steps=300. One photo is held out of every set. The losses are means
over the same noise at timesteps of the trained range: an empty prompt; the class word; the learned
word that the run kept; and *free*: in place of any words the encoder's whole output is learned, for
each of --parts equal parts of the range apart. A word of any number of vectors reaches the denoiser
through that output alone, so that this is freer than any word. It is an estimate and no bound:
some dozens of steps of Adam from where the kept word stands, on the photos that are trained on,
judged on the one that is not. It may be stuck, or have learned the trained photos by heart.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from protocol import PhotoSet, chosen, read_sets

from ticli.inversion.draws import Draw, DrawRule, draw
from ticli.inversion.engine import open_engine
from ticli.inversion.evaluation import held_out_loss
from ticli.inversion.examples import Examples
from ticli.inversion.loss import draw_rule
from ticli.inversion.plan import Request, make_plan
from ticli.inversion.result import conclude
from ticli.inversion.run_folder import finish
from ticli.inversion.training import Training
from ticli.library.library import Library
from ticli.models.hardware import pick_hardware
from ticli.recipe import Recipe, load_recipe

COLUMNS = ("set", "no word", "class word", "learned", "free", "of the way")


def learn(photo_set: PhotoSet, recipe: Recipe) -> tuple[Training, dict[str, float]]:
    """Learn a set's word; the finished run, and the losses of words on the photo held out."""
    request = Request(
        (str(photo_set.folder),), f"<ceiling-{photo_set.name}>", recipe, "starter", 0, False, True
    )
    plan = make_plan(request, Library.open())
    engine = open_engine(plan, pick_hardware("cpu"), Library.open(), fresh=True)
    for event in engine.learn([plan]):
        if event.error is not None:
            raise event.error
        if event.kind == "ended":
            training = event.training
            concept, _ = conclude(training)
            finish(training.run)
    judge = training.judge
    empty = training.model.tokenise("", {})
    nothing = replace(judge.plain, sentences=[[empty]] * len(judge.plain.sentences))
    losses = {
        "no word": held_out_loss(judge.model, nothing, judge.stand_in, judge.draw, judge.batch),
        "class word": concept.outcome.held_out_init,
        "learned": concept.outcome.held_out,
    }
    return training, losses


def free_loss(training: Training, parts: int, steps: int, rate: float) -> float:
    """Mean held-out loss with conditioning learned freely for each part of the timesteps."""
    judge, recipe = training.judge, training.plan.recipe
    rule = draw_rule(training.model, training.examples, recipe)
    low, high = rule.timesteps
    total = 0.0
    for number in range(parts):
        bounds = low + (high - low) * number // parts, low + (high - low) * (number + 1) // parts
        hidden = _learn_conditioning(training, replace(rule, timesteps=bounds), steps, rate)
        t = judge.draw.timesteps
        inside = ((t >= bounds[0]) & (t < bounds[1])).nonzero().flatten()
        with torch.no_grad():
            for one in inside.split(recipe.batch):
                total += float(_losses(training, judge.examples, judge.draw, one, hidden).sum())
    return total / len(judge.draw.timesteps)


def _learn_conditioning(
    training: Training, rule: DrawRule, steps: int, rate: float
) -> torch.nn.Parameter:
    """Start from the conditioning of the word that was kept, and let all of it go where it will."""
    prompt = training.examples.prompt(0, 0)
    kept = training.winner.rows
    word = {training.plan.token.name: {key: kept[key] for key in training.state.vectors.rows}}
    with torch.no_grad():
        start = training.model.condition([prompt], word).hidden
    hidden = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([hidden], lr=rate)
    every = torch.arange(rule.batch)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        drawn = draw(training.plan.seed, step, rule)
        optimizer.zero_grad()
        _losses(training, training.examples, drawn, every, hidden).mean().backward()
        optimizer.step()
    return hidden


def _losses(
    training: Training, examples: Examples, drawn: Draw, part: torch.Tensor, hidden: torch.Tensor
) -> torch.Tensor:
    """Denoising losses of some samples under the same conditioning for all, (samples,)."""
    model = training.model
    z = examples.latents.sample(drawn.photos[part], drawn.mirrored[part], drawn.spread[part])
    eps, t = drawn.noise[part], drawn.timesteps[part]
    base = model.condition([model.tokenise("", {})] * len(part), {})
    conditioning = replace(base, hidden=hidden.expand(len(part), -1, -1))
    prediction = model.denoise(model.add_noise(z, eps, t), t, conditioning)
    return (prediction - model.target(z, eps, t)).square().flatten(1).mean(1)


def row(name: str, losses: Mapping[str, float]) -> str:
    """One line of the table: the losses, and how much of what can be had the word has."""
    figures = [losses[column] for column in COLUMNS[1:-1]]
    gained = losses["class word"] - losses["learned"]
    possible = losses["class word"] - losses["free"]
    share = f"{gained / possible:.2f}" if possible > 0 else "–"
    return f"| {name} | {' | '.join(f'{figure:.4f}' for figure in figures)} | {share} |"


def wanted_sets(folder: Path, names: str) -> list[PhotoSet]:
    """The sets of a folder that are named, or all."""
    known = read_sets(folder)
    return [known[name] for name in chosen(names, list(known))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=Path)
    parser.add_argument("--sets", default="")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--free-steps", type=int, default=60)
    parser.add_argument("--free-rate", type=float, default=0.02)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--knobs", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ["TI_HOME"] = tempfile.mkdtemp(prefix="ti-ceiling-")
    knobs = dict(knob.split("=", 1) for knob in options.knobs)
    recipe = load_recipe(options.recipe).with_texts(knobs, "command line")
    recipe = recipe.with_flags(hold_out="auto", evaluation_timesteps=options.samples)
    print(f"| {' | '.join(COLUMNS)} |\n|---|{'--:|' * (len(COLUMNS) - 1)}", flush=True)
    for photo_set in wanted_sets(options.concepts, options.sets):
        own = recipe.with_flags(init=photo_set.word, kind=photo_set.kind)
        training, losses = learn(photo_set, own)
        losses["free"] = free_loss(training, options.parts, options.free_steps, options.free_rate)
        print(row(photo_set.name, losses), flush=True)


if __name__ == "__main__":
    sys.exit(main())
