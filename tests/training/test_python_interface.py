"""docs/python.md is a session that runs, and the interface is silent and lazy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from learning_runs import make_photos

import ticli

ROOT = Path(__file__).parents[2]
FEW = {"steps=80": "steps=4", "steps=20": "steps=3"}


def test_importing_it_costs_nothing() -> None:
    program = (
        "import sys; before = set(sys.modules); import ticli; "
        "print(sorted(m for m in set(sys.modules) - before if m.split('.')[0] != 'ticli'))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True)
    assert done.stdout.strip() == b"['__future__']", done.stdout + done.stderr


def test_every_name_is_there_and_no_other() -> None:
    for name in ticli.__all__:
        assert getattr(ticli, name) is not None
    assert set(ticli.__all__) <= set(dir(ticli))
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        ticli.train  # noqa: B018


def test_a_recipe_is_the_default_with_changes() -> None:
    from ticli.recipe import load_recipe

    default, quick = load_recipe("default"), load_recipe("quick")
    assert ticli.Recipe(steps=80).as_json() == default.with_flags(steps=80).as_json()
    assert ticli.Recipe.named("quick") == quick
    with pytest.raises(ticli.TiError, match="steps"):
        ticli.Recipe(steps=0)


def test_a_concept_goes_from_photos_to_a_picture_in_silence(
    tiny_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photos, model = make_photos(tmp_path / "photos", 2), str(tiny_folder)
    events: list[ticli.Event] = []
    recipe = ticli.Recipe(steps=3, batch=2, init="mug")
    concept = ticli.learn(photos, "<mug>", recipe=recipe, model=model, on_event=events.append)
    kinds = [event.kind for event in events if event.kind not in ("note", "warning")]
    assert kinds == ["began", "step", "step", "step", "learned"]
    assert events[-1].concept == concept

    library = ticli.Library.open()
    assert [found.name for found in library.list()] == ["mug"]
    pictures = ticli.draw("a <mug>", seed=3, count=2, steps=2, size="64", model=model)
    assert [picture.seed for picture in pictures] == [3, 4]
    pictures[0].save(tmp_path / "mug.png")
    assert (tmp_path / "mug.png").read_bytes().startswith(b"\x89PNG")

    (path,) = library.export("mug", tmp_path / "mug.safetensors")
    kept = library.embedding(library.get("mug")).rows["clip_l"]
    assert (ticli.load_vectors(path).rows["clip_l"] == kept).all()
    (again,) = library.import_(path, token="<again>")
    with pytest.raises(ticli.TiError, match="several files"):
        library.import_([path, path], token="<again>")
    heard: list[ticli.Event] = []
    library.export("mug", path, program="comfyui", force=True, on_event=heard.append)
    assert [(event.kind, event.text.partition(":")[0]) for event in heard[:1]] == [
        ("note", "in ComfyUI, write")
    ]
    both = library.merge(["mug", "again"], token="<both>", method="concat")
    assert (again.name, both.vectors) == ("again", 2 * concept.vectors)
    assert capfd.readouterr() == ("", "")


def test_what_is_wrong_is_raised(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ticli.TiError) as raised:
        ticli.learn(tmp_path / "nothing", "<mug>", model=str(tiny_folder))
    assert raised.value.code == "not_found" and raised.value.hint
    with pytest.raises(ticli.TiError, match="<nobody>"):
        ticli.draw("a <nobody>", model=str(tiny_folder))


def test_a_value_of_another_type_is_refused_as_wrong_use(tmp_path: Path) -> None:
    for changes in ({"token": None}, {"seed": "a"}, {"recipe": 5}):
        with pytest.raises(ticli.TiError) as raised:
            ticli.learn(tmp_path, **{"token": "<mug>", **changes})
        assert raised.value.code == "usage"
    for changes in ({"prompt": None}, {"seed": "b"}):
        with pytest.raises(ticli.TiError) as raised:
            ticli.draw(**{"prompt": "a cat", **changes})
        assert raised.value.code == "usage"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = "\n".join(blocks)
    for many, few in FEW.items():
        assert many in program
        program = program.replace(many, few)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "moon.png").exists() and (tmp_path / "mug.safetensors").exists()


def test_a_name_that_is_taken_is_refused_before_a_model_is_loaded(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, model = make_photos(tmp_path / "photos", 2), str(tiny_folder)
    recipe = ticli.Recipe(steps=1, batch=1, init="mug")
    ticli.learn(photos, "<mug>", recipe=recipe, model=model)
    monkeypatch.setattr("ticli.interface.learn_plans", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(ticli.TiError) as raised:
        ticli.learn(photos, "<mug>", recipe=recipe, model=model)
    assert raised.value.code == "conflict"
