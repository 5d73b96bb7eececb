"""`ti models`."""

from __future__ import annotations

KEYS = ["id", "family", "revision", "widths", "windows", "size", "license", "folder", "current"]


def test_the_starter_is_always_there(run) -> None:
    result = run("models")
    assert result.code == 0
    heading, row = (line.split("\t") for line in result.lines)
    assert heading == ["MODEL", "FAMILY", "REVISION", "PIXELS", "LICENSE", "CURRENT"]
    assert row[0] == "starter"
    assert row[-1] == "*"
    assert run("models", "-q").out == "starter\n"


def test_json(run) -> None:
    (item,) = run("models", "--json").json
    assert list(item) == KEYS
    assert item["widths"] == {"clip_l": 256}
    assert item["current"] is True


def test_a_configured_model_that_cannot_be_had_is_named(run, monkeypatch) -> None:
    monkeypatch.setenv("TI_MODEL", "nobody/nothing")
    result = run("models", "--json")
    assert result.code == 0
    assert [item["current"] for item in result.json] == [False]
    assert "nobody/nothing" in result.err
    assert "env TI_MODEL" in result.err
