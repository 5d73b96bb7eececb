"""Every hostile file of the corpus gets its answer, runs nothing and leaves nothing."""

from __future__ import annotations

import os
from pathlib import Path

import corpus
import pytest
from crafted import Case


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", corpus.CASES, ids=lambda case: case.id)
def test_the_corpus(case: Case, run, tmp_path: Path, isolated: Path, monkeypatch) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.chdir(folder)
    *calls, last = case.build(folder)
    before = set(folder.rglob("*"))
    for call in calls:
        if call == ["!tamper"]:
            corpus.tamper(isolated)
            continue
        done = run(*call)
        fault = corpus.fault_in(case, 0, done.out, done.err) if case.answer == "S" else ""
        assert done.code in (0, *corpus.REFUSALS), done.err
        assert not fault, call
        if case.answer != "S":
            assert done.code == 0, done.err
    count = len(run("list", "-q").lines)
    result = run(*last)
    assert corpus.fault_in(case, result.code, result.out, result.err) == ""
    if case.answer == "R":
        assert len(run("list", "-q").lines) == count
        assert result.out == ""
    appeared = corpus.left_behind(folder, isolated, before)
    if last[0] == "export" and case.answer == "A":
        appeared -= {folder / last[last.index("-o") + 1]}
    assert appeared == set()
    if (folder / "precious").exists():
        assert (folder / "precious").read_bytes() == b"precious"
        assert not list((folder / "elsewhere").iterdir())


def test_every_item_has_its_cases() -> None:
    assert {case.item for case in corpus.CASES} == set(corpus.ITEMS)
    assert len({case.id for case in corpus.CASES}) == len(corpus.CASES)


def test_a_path_with_nul_is_refused(run) -> None:
    """No command line can hold one; a program that calls the product's functions can."""
    for verb in ("import", "inspect"):
        assert "cannot be read" in (run(verb, "a\0b").err + run(verb, "a\0b").out)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(run, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"x")
    path.chmod(0)
    result = run("import", str(path))
    assert result.code == 1
    assert "cannot be read" in result.err


def test_the_payloads_would_work(tmp_path: Path) -> None:
    """A marker that nothing could create would prove nothing."""
    import pickle

    from corpus_pickles import chained, touching
    from crafted import MARKER

    for payload in (touching(tmp_path), touching(tmp_path, 0)):
        pickle.loads(payload)
        (tmp_path / MARKER).unlink()
    assert callable(pickle.loads(chained(tmp_path)))
