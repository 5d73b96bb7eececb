"""`ti rm`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticli.inversion import open_run

KEYS = ["removed", "unfinished", "bytes", "dry_run"]


def test_a_yes_removes_row_and_file(run, library_with) -> None:
    library = library_with("mug", "cat")
    path = Path(library.get("mug").path)
    result = run("rm", "<Mug>", "-y")
    assert (result.code, result.out, result.err) == (0, "mug\n", "")
    assert run("list", "-q").lines == ["cat"]
    assert not path.exists()


def test_a_person_is_asked_once(run, library_with) -> None:
    library_with("mug", "cat")
    result = run("rm", "mug", "cat", stdin="y\n", tty=True)
    assert result.code == 0
    assert result.err.count("[y/N]") == 1
    assert "Remove mug, cat?" in result.err
    assert run("list", "-q").out == ""


def test_the_question_stays_short(run, library_with) -> None:
    names = [f"word-{number}" for number in range(1200)]
    library_with(*names[:12])
    asked = run("rm", *names[:12], stdin="n\n", tty=True).err
    assert "Remove word-0, word-1, " in asked
    assert "word-9, 2 more? [y/N]" in asked and "word-10" not in asked
    wrong = run("rm", "-y", *names)
    assert wrong.code == 3
    assert run("list", "-q").lines == sorted(names[:12])


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_no_leaves_everything(run, library_with, answer: str) -> None:
    library_with("mug")
    result = run("rm", "mug", stdin=answer, tty=True)
    assert (result.code, result.out) == (1, "")
    assert run("list", "-q").lines == ["mug"]


def test_without_a_terminal_the_flag_is_named(run, library_with) -> None:
    library_with("mug")
    result = run("rm", "mug", "--json")
    assert result.code == 2
    assert result.json["error"]["code"] == "usage"
    assert "--yes" in result.err
    assert run("list", "-q").lines == ["mug"]


def test_all_or_nothing(run, library_with) -> None:
    library_with("mug", "cat")
    result = run("rm", "-y", "mug", "dgo", "catt", "--json")
    assert result.code == 3
    assert result.json["error"]["names"] == ["dgo", "catt"]
    assert result.json["error"]["nearest"] == ["cat"]
    assert run("list", "-q").lines == ["cat", "mug"]


def test_a_dry_run_prints_the_plan_and_removes_nothing(run, library_with) -> None:
    library_with("mug")
    result = run("rm", "-n", "mug")
    assert (result.code, result.out) == (0, "mug\n")
    assert "nothing was removed" in result.err
    assert run("rm", "-n", "mug", "--json").json["dry_run"] is True
    assert run("list", "-q").lines == ["mug"]


def test_names_come_from_a_pipe(run, library_with) -> None:
    library_with("mug", "cat", "dog")
    result = run("rm", "--yes", "-", "--json", stdin="mug\n\n <cat> \nmug\n")
    assert list(result.json) == KEYS
    assert result.json["removed"] == ["mug", "cat"]
    assert result.json["bytes"] > 0
    assert run("list", "-q").lines == ["dog"]


def test_an_empty_pipe_removes_nothing(run, library_with) -> None:
    library_with("mug")
    result = run("rm", "-", "--json")
    assert (result.code, result.json["removed"]) == (0, [])


def test_a_dash_on_a_terminal_is_refused(run) -> None:
    assert run("rm", "-", tty=True).code == 2


def leave_run(home: Path, name: str) -> Path:
    with open_run(home / "runs", name, {"token": f"<{name}>", "steps": 160}) as begun:
        return begun.path


def test_an_unfinished_run_goes_too(run, isolated, library_with) -> None:
    library_with("mug")
    folder = leave_run(isolated, "mug"), leave_run(isolated, "cat")
    result = run("rm", "mug", "cat", "-y", "--json")
    assert result.json["removed"] == ["mug"]
    assert result.json["unfinished"] == ["mug", "cat"]
    assert not folder[0].exists()
    assert not folder[1].exists()


def test_only_the_unfinished_run(run, isolated, library_with) -> None:
    library_with("mug")
    folder = leave_run(isolated, "mug")
    result = run("rm", "--unfinished", "mug", "-y")
    assert (result.code, result.out) == (0, "mug\n")
    assert not folder.exists()
    assert run("list", "-q").lines == ["mug"]
    assert run("rm", "--unfinished", "mug", "-y").code == 3


def test_a_live_run_is_not_taken(run, isolated) -> None:
    with open_run(isolated / "runs", "mug", {"token": "<mug>", "steps": 160}) as live:
        assert run("rm", "mug", "-y").code == 4
        assert live.path.exists()
