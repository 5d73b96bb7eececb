"""Mutations of good files bring no surprise; benchmarks/fuzz_import.py tries many more."""

from __future__ import annotations

from pathlib import Path

import fuzzing

COUNT = 320


def test_a_mutated_file_is_read_or_refused() -> None:
    figures = fuzzing.fuzz(COUNT, 1, fuzzing.read_as_import)
    assert [(name, fault) for name, fault, _ in figures.faults] == []
    assert figures.inputs == COUNT
    # A fuzzer that never gets in, or never gets thrown out, tests nothing.
    assert 0.03 * COUNT < figures.accepted < 0.9 * COUNT


def test_every_seed_is_accepted_as_it_is() -> None:
    for seed in fuzzing.seeds():
        fuzzing.read_as_import(seed.wrap(seed.inner))


def test_the_fuzzer_sees_faults() -> None:
    def broken(data: bytes) -> None:
        raise KeyError(len(data))

    assert len(fuzzing.fuzz(3, 1, broken).faults) == 3


def test_a_mutated_file_leaves_nothing(run, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for number, (name, data) in enumerate(fuzzing.inputs(30, 2)):
        (folder / "x").write_bytes(data)
        result = run("import", "--all", "--replace", "x")
        assert result.code in (0, 1, 2, 4), (name, number, result.err)
        assert "Traceback" not in result.err
        assert [path.name for path in folder.iterdir()] == ["x"]
    assert not list((tmp_path / "home").rglob("*.tmp*"))


def test_the_same_seed_gives_the_same_files() -> None:
    first = list(fuzzing.inputs(20, 3))
    assert first == list(fuzzing.inputs(20, 3))
