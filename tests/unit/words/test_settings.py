"""Settings: where a value comes from, and which values are refused."""

from __future__ import annotations

import pytest

from ticli.errors import BadContent, Usage
from ticli.paths import places
from ticli.settings import color_wanted, load_settings


def write_config(text: str) -> None:
    path = places().config
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_environment_beats_file_beats_built_in(monkeypatch):
    assert load_settings()["model"] == "" and load_settings().origin("model") == "built in"
    write_config("model: ./a\nrecipe: quick\n")
    assert load_settings()["model"] == "./a"
    assert load_settings().origin("model") == str(places().config)
    monkeypatch.setenv("TI_MODEL", "./b")
    settings = load_settings()
    assert (settings["model"], settings.origin("model")) == ("./b", "env TI_MODEL")
    assert settings["recipe"] == "quick"


def test_offline_follows_the_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_settings()["offline"] == "true"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert load_settings()["offline"] == "false"


@pytest.mark.parametrize(
    "text", ["colour: always", "device: tpu", "dtype: int8", "color: sometimes", "model: [a]"]
)
def test_wrong_settings_are_refused(text):
    write_config(text)
    with pytest.raises(Usage):
        load_settings()


def test_a_broken_config_file_is_named():
    write_config("model: [")
    with pytest.raises(BadContent, match=r"config\.yaml"):
        load_settings()


def test_places_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TI_HOME", str(tmp_path / "a b"))
    assert places().database == tmp_path / "a b" / "library.db"
    monkeypatch.setenv("TI_CONFIG", str(tmp_path / "c.yaml"))
    assert places().config == tmp_path / "c.yaml"
    monkeypatch.delenv("TI_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if "linux" in __import__("sys").platform:
        assert places().home == tmp_path / "data" / "ti"
        assert places().runs == tmp_path / "state" / "ti" / "runs"
    assert not (tmp_path / "data").exists()


def test_colour(monkeypatch):
    assert color_wanted(True, False) and not color_wanted(False, False)
    assert not color_wanted(True, True) and not color_wanted(True, False, "never")
    monkeypatch.setenv("TERM", "dumb")
    assert not color_wanted(True, False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert color_wanted(False, False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not color_wanted(True, False, "always")
