"""`ti config`."""

from __future__ import annotations

import pytest

from ticli.settings import KEYS


def test_list_tells_where_values_come_from(run, isolated, monkeypatch) -> None:
    run("config", "set", "device", "cpu")
    monkeypatch.setenv("TI_MODEL", "some/model")
    rows = {row["key"]: (row["value"], row["origin"]) for row in run("config", "--json").json}
    assert list(rows) == list(KEYS)
    assert rows["device"] == ("cpu", str(isolated / "config.yaml"))
    assert rows["model"] == ("some/model", "env TI_MODEL")
    assert rows["dtype"] == ("auto", "built in")
    assert run("config", "list").lines[0] == "KEY\tVALUE\tORIGIN"


def test_get_set_unset(run, isolated) -> None:
    result = run("config", "set", "device", "cpu")
    assert (result.code, result.out) == (0, "")
    assert run("config", "get", "device").out == "cpu\n"
    assert list(run("config", "get", "device", "--json").json) == ["key", "value", "origin"]
    assert (isolated / "config.yaml").read_text() == "device: cpu\n"
    assert run("config", "unset", "device").code == 0
    assert run("config", "get", "device").out == "auto\n"
    assert run("config", "unset", "device").code == 0


def test_path_is_printed_without_making_it(run, isolated) -> None:
    assert run("config", "path").out == f"{isolated}/config.yaml\n"
    assert run("config", "path", "--json").json == {"path": f"{isolated}/config.yaml"}
    assert not isolated.exists()


def test_the_environment_goes_first_and_that_is_said(run, monkeypatch) -> None:
    monkeypatch.setenv("TI_DEVICE", "cpu")
    result = run("config", "set", "device", "cuda")
    assert "TI_DEVICE" in result.err
    assert run("config", "get", "device").out == "cpu\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("get",),
        ("get", "colour"),
        ("get", "device", "cpu"),
        ("set", "device"),
        ("set", "device", "toaster"),
        ("set", "colour", "red"),
        ("set", "model", "two\nlines"),
        ("unset", "colour"),
        ("unset",),
        ("path", "x"),
        ("list", "x"),
        ("reset",),
    ],
)
def test_wrong_calls(run, isolated, arguments: tuple[str, ...]) -> None:
    assert run("config", *arguments).code == 2
    assert not isolated.exists()


def test_a_broken_file_is_named_and_the_library_still_opens(run, isolated, library_with) -> None:
    library_with("mug")
    (isolated / "config.yaml").write_text("device: [cpu\n")
    result = run("config", "list")
    assert result.code == 1
    assert "config.yaml" in result.err
    assert run("config", "path").code == 0
    assert run("config", "set", "device", "cpu").code == 1
    assert run("list", "-q").out == "mug\n"
