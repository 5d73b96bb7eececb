"""`ti models`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import build_tiny_model

KEYS = [
    "id", "family", "revision", "widths", "windows", "size", "license", "folder", "current",
    "names", "bytes", "here", "problem",
]  # fmt: skip
SHOWN = [
    "pipeline", "fingerprint", "grain", "defaults", "negative_prompt", "safety_checker",
    "single_file", "prediction", "components", "notes",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model"))


def test_the_starter_is_always_there(run) -> None:
    result = run("models")
    assert result.code == 0
    heading, row = (line.split("\t") for line in result.lines)
    assert heading == [
        "MODEL", "NAME", "FAMILY", "REVISION", "PIXELS", "SIZE", "LICENSE", "CURRENT",
    ]  # fmt: skip
    assert row[0] == "starter"
    assert row[-1] == "*"
    assert run("models", "-q").out == "starter\n"


def test_json(run) -> None:
    (item,) = run("models", "--json").json
    assert list(item) == KEYS
    assert item["widths"] == {"clip_l": 256}
    assert item["current"] is True
    assert item["names"] == []
    assert item["bytes"] > 10_000_000


def test_a_configured_model_that_cannot_be_had_is_named(run, monkeypatch) -> None:
    monkeypatch.setenv("TI_MODEL", "nobody/nothing")
    result = run("models", "--json")
    assert result.code == 0
    assert [item["current"] for item in result.json] == [False]
    assert "nobody/nothing" in result.err
    assert "env TI_MODEL" in result.err


def test_show(run, folder) -> None:
    shown = run("models", "show", str(folder), "--json").json
    assert list(shown) == KEYS + SHOWN
    assert shown["pipeline"] == "StableDiffusionPipeline" and shown["grain"] == 8
    assert shown["defaults"] == {"sampler": "dpm++", "steps": 30, "guidance": 7.5}
    lines = run("models", "show", "starter").lines
    assert any(line.startswith("note\tlicence: Apache-2.0") for line in lines)
    assert run("models", "show", str(folder), "-q").out == f"{folder}\n"


def test_disk_use_counts_each_file_once(run, tmp_path, folder) -> None:
    """As in the hub's cache, where a snapshot is links."""
    linked = tmp_path / "linked"
    for file in folder.rglob("*"):
        if file.is_file():
            target = linked / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    (linked / "twice.safetensors").symlink_to(folder / "unet/diffusion_pytorch_model.safetensors")
    (linked / "gone").symlink_to(tmp_path / "nowhere")
    sizes = [run("models", "show", str(path), "--json").json["bytes"] for path in (folder, linked)]
    assert sizes[0] == sizes[1] == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_a_short_name_stands_for_a_folder_everywhere(run, folder, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    added = run("models", "add", "tiny-one", folder.name, "--json").json
    assert added == {"name": "tiny-one", "model": str(folder), "added": True}
    listed = {item["id"]: item for item in run("models", "--json").json}
    assert listed[str(folder)]["names"] == ["tiny-one"]
    shown = run("models", "show", "tiny-one", "--json").json
    assert shown["id"] == str(folder) and shown["names"] == ["tiny-one"]
    plan = run("generate", "a cup", "-m", "tiny-one", "--dry-run", "--json").json
    assert plan["pictures"][0]["model"] == str(folder)
    assert run("models", "remove", "tiny-one").code == 0
    gone = run("models", "show", "tiny-one")
    assert gone.code == 5 and "tiny-one" in gone.err
    assert folder.is_dir()


def test_a_folder_of_the_same_name_chooses_no_model(run, folder, tmp_path, monkeypatch) -> None:
    """What a user named goes before what lies in the folder the command runs in."""
    run("models", "add", "mine", str(folder))
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("models", "show", "mine", "--json").json["id"] == str(folder)


def test_short_names_keep_the_files_comments(run, folder, isolated) -> None:
    file = isolated / "models.yaml"
    isolated.mkdir(parents=True, exist_ok=True)
    file.write_text("# my models\nother: someone/something\n")
    assert run("models", "add", "a.1", "someone/else").code == 0
    assert file.read_text() == "# my models\nother: someone/something\na.1: someone/else\n"
    assert run("models", "add", "axx", "third/one").code == 0
    assert run("models", "remove", "a.1").code == 0
    assert file.read_text() == "# my models\nother: someone/something\naxx: third/one\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("add", "starter", "a/b"), 2, "starter"),
        (("add", "Up", "a/b"), 2, "Up"),
        (("add", "../x", "a/b"), 2, "../x"),
        (("add", "x", ""), 2, "not a model"),
        (("add", "typo", "not a model"), 2, "not a model"),
        (("add", "typo", "foo--bar/baz"), 2, "foo--bar/baz"),
        (("add", "typo", "a/b/c"), 2, "a/b/c"),
        (("add", "typo", "~nobody-here/x"), 2, "~nobody-here/x"),
        (("show", "~nobody-here/x"), 5, "~nobody-here/x"),
        (("show", "foo--bar/baz"), 5, "foo--bar/baz"),
        (("add", "x"), 2, "NAME MODEL"),
        (("list", "x"), 2, "nothing"),
        (("show",), 2, "MODEL"),
        (("remove", "never"), 3, "never"),
        (("show", "nowhere"), 5, "nowhere"),
        (("fetch", "nobody/nothing", "--offline"), 5, "nobody/nothing"),
    ],
)
def test_refusals(run, arguments, code, words) -> None:
    result = run("models", *arguments)
    assert result.code == code and words in result.err
    error = json.loads(run("models", *arguments, "--json").out)
    assert error["exit_code"] == code


def test_every_short_name_is_listed(run, folder, tmp_path, monkeypatch) -> None:
    """Also of models that are not here, or no models at all: else nobody could take it away."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, model in (
        ("mine", str(folder)), ("on-hub", "nobody/nothing"), ("too", "nobody/nothing"),
        ("usb", "./disk/model"), ("file", "absent.safetensors"), ("photos", "photos"),
        ("small", "starter"),
    ):  # fmt: skip
        assert run("models", "add", name, model).code == 0
    listed = run("models", "--json").json
    assert all(list(item) == KEYS for item in listed)
    shown = {item["id"]: item for item in listed}
    assert {model: item["names"] for model, item in shown.items()} == {
        "starter": ["small"],
        str(folder): ["mine"],
        "nobody/nothing": ["on-hub", "too"],
        str(tmp_path / "disk/model"): ["usb"],
        str(tmp_path / "absent.safetensors"): ["file"],
        str(tmp_path / "photos"): ["photos"],
    }
    unusable = {model for model, item in shown.items() if item["problem"]}
    assert unusable == set(shown) - {"starter", str(folder)}
    assert {model for model, item in shown.items() if item["here"]} == {
        "starter", str(folder), str(tmp_path / "photos"),
    }  # fmt: skip
    rows = {row[0]: row for row in (line.split("\t") for line in run("models").lines)}
    assert rows["nobody/nothing"] == [
        "nobody/nothing", "on-hub, too", "", "", "", "not here", "", "",
    ]  # fmt: skip
    assert rows[str(tmp_path / "photos")][5] == "unusable"
    assert run("models", "-q").lines == list(shown)


@pytest.mark.parametrize("model", ["foo--bar/baz", "a/b/c", "~nobody-here/x", "x" * 5000])
def test_a_configured_model_that_cannot_be_one_stops_no_list(run, monkeypatch, model) -> None:
    monkeypatch.setenv("TI_MODEL", model)
    for words in (("list",), ("show", "starter")):
        result = run("models", *words, "--json")
        assert result.code == 0, result.err
        assert "warning: the current model (env TI_MODEL): " in result.err
        assert model[:50] in result.err
    drawn = run("generate", "a cup", "--dry-run")
    assert drawn.code == 5 and model[:50] in drawn.err


def test_a_taken_short_name_asks_for_replace(run) -> None:
    assert run("models", "add", "x", "a/b").code == 0
    assert run("models", "add", "x", "a/b").code == 0
    assert run("models", "add", "x", "a/c").code == 4
    assert run("models", "add", "x", "a/c", "--replace").code == 0
    assert run("models", "remove", "x", "--json").json["model"] == "a/c"


def test_a_damaged_file_of_short_names_is_named(run, isolated) -> None:
    isolated.mkdir(parents=True, exist_ok=True)
    (isolated / "models.yaml").write_text("UP: x/y\n")
    result = run("models")
    assert result.code == 1 and "models.yaml" in result.err
