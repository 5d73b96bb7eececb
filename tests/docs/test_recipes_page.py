"""The page on recipes names every knob and every recipe, and its examples are ones `ti` takes."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from ticli.plain_text import parse_mapping
from ticli.recipe import PRESETS, Recipe, load_recipe

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_every_knob_is_explained():
    named = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert {knob.name for knob in fields(Recipe)} - named == set()


def test_every_recipe_is_listed():
    assert re.findall(r"^\| `([a-z]+)` \| ", PAGE, re.MULTILINE)[: len(PRESETS)] == list(PRESETS)


def test_the_yaml_example_is_a_recipe():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    recipe = Recipe().with_texts(parse_mapping(text, "page"), "page")
    assert recipe.with_flags(prior=1e-4).norm == "sphere"


def test_the_named_methods_are_what_they_say():
    paper, cross = load_recipe("paper"), load_recipe("cross")
    directional, fairer = load_recipe("directional"), load_recipe("fairer")
    assert (paper.norm, paper.vectors, paper.noun, paper.timestep_low) == ("free", 1, "", 0)
    assert (cross.init_from, cross.norm, cross.pull) == ("output", "free", 1e-5)
    assert (directional.norm, directional.prior, directional.lr) == ("sphere", 1e-4, 0.01)
    assert fairer.noun == "" and all("{}" in text for text in fairer.sentences)


def test_every_knob_has_a_flag_of_its_name(run):
    result = run("invert", "--help")
    assert result.code == 0
    flags = set(re.findall(r"--([a-z][a-z-]+)", result.out))
    knobs = {knob.name.replace("_", "-") for knob in fields(Recipe)}
    assert knobs - flags == set()
