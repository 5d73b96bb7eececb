"""The GPU benchmark runs from end to end in small, on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Every part that takes less than some ten seconds in small.
STEPS = ("steps", "compiled", "words", "xl")


@pytest.fixture
def gpu(monkeypatch):
    """The benchmark's module, which lies outside the package; one thread."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    import gpu

    yield gpu
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Where the tiny models are written once."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def measure(gpu, tmp_path, models):
    """Measure parts in small into tmp_path/out; the numbers."""

    def call(*parts, more=()):
        out = tmp_path / "out"
        gpu.main(
            ["--out", str(out), "--models", str(models), "--tiny", "--device", "cpu", "--dtype",
             "fp32", "--batches", "1", "2", "--words", "2", "--steps", "1", "--many", "2",
             "--command-steps", "2", "--script-steps", "1", "3", "--parts", *parts, *more]
        )  # fmt: skip
        return json.loads((out / "numbers.json").read_text())

    return call


def stand_in(folder: Path, name: str, seconds: float = 0.4) -> Path:
    """A script with the example scripts' flags that trains nothing: it sleeps a while each step.

    It shows how scripts are called and how their steps are timed, nothing about diffusers' own.
    """
    path = folder / name
    path.write_text(
        "import argparse, pathlib, time\n"
        "parser = argparse.ArgumentParser()\n"
        "for flag in ('pretrained_model_name_or_path', 'train_data_dir', 'output_dir',\n"
        "             'learnable_property', 'placeholder_token', 'initializer_token',\n"
        "             'lr_scheduler', 'mixed_precision'):\n"
        "    parser.add_argument('--' + flag, required=True)\n"
        "for flag in ('resolution', 'train_batch_size', 'gradient_accumulation_steps',\n"
        "             'max_train_steps', 'save_steps', 'seed'):\n"
        "    parser.add_argument('--' + flag, type=int, required=True)\n"
        "parser.add_argument('--learning_rate', type=float, required=True)\n"
        "options = parser.parse_args()\n"
        "assert list(pathlib.Path(options.train_data_dir).glob('*.jpg'))\n"
        "assert (pathlib.Path(options.pretrained_model_name_or_path) / 'unet').is_dir()\n"
        f"time.sleep({seconds} * options.max_train_steps * options.train_batch_size)\n"
    )
    return path


@pytest.fixture
def nothing_lacks(gpu, monkeypatch):
    """The stand-in imports nothing of what the scripts do."""
    monkeypatch.setattr(gpu.gpu_script, "NEEDS", ())


def test_steps_are_measured_and_written(measure, tmp_path, capsys):
    numbers = measure(*STEPS)
    out = tmp_path / "out"
    report = capsys.readouterr().out
    assert report.strip() == (out / "report.md").read_text().strip()
    for part in ("torch: ", "product: 256³", "one sample's step, sd15", "No kernel at work"):
        assert part in report
    rows = [row for part in numbers["parts"].values() for row in part["timings"]]
    assert [(row["what"], row["batch"], row["words"]) for row in rows] == [
        *((what, batch, 1) for what in ("plain loop", "ours, eager") for batch in (1, 2)),
        ("ours, several words", 4, 2),
        ("ours, XL at 1024 pixels", 1, 1),
    ]
    assert all(row["seconds"] > 0 and row["floor"] > 0 for row in rows)
    # No card, no figure: memory is not said to be nothing.
    assert all(row["allocated"] is None for row in rows) and "| n/a | n/a |" in report
    # Twice the samples are twice the arithmetic.
    assert rows[1]["floor"] == pytest.approx(2 * rows[0]["floor"])
    for name in ("by-batch.png", "by-words.png"):
        with Image.open(out / name) as picture:
            assert len(picture.getcolors(1 << 20)) > 3


def test_calls_add_up_to_one_report(measure, tmp_path, capsys):
    first = measure("xl")
    both = measure("words")
    assert list(both["parts"]) == ["xl", "words"]
    assert both["parts"]["xl"] == first["parts"]["xl"] and both["rate"] == first["rate"]
    lines = capsys.readouterr().out.splitlines()
    assert measure() == both
    ours = next(line for line in lines if line.startswith("| XL at 1024 pixels, a step"))
    assert ours.endswith("| tried in small |")
    assert "| whole command, kernels kept | - | ≤ 25 s | not measured |" in lines
    numbers = tmp_path / "out" / "numbers.json"
    numbers.write_text(numbers.read_text().replace('"device": "', '"device": "another '))
    with pytest.raises(SystemExit, match=r"was taken with device another .* another folder"):
        measure("words")


def test_whole_commands_are_timed(measure, capsys):
    numbers = measure("command")
    figures = numbers["parts"]["command"]["figures"]
    assert figures["command/first"] > 1 and figures["command/warm"] > 1
    assert "no kernel kept: " in capsys.readouterr().out
    assert numbers["failed"] == {}


def test_words_learn_together_by_whole_commands(measure):
    part = measure("together")["parts"]["together"]
    assert set(part["figures"]) == {"together/step/2", "together/commands/2"}
    assert all(times > 0.1 for times in part["figures"].values())
    assert "by 2 commands (2 times the median of 2: " in part["lines"][1]


def test_low_memory_is_tried_on_both_models(measure):
    part = measure("low-memory")["parts"]["low-memory"]
    assert [line.split(":")[0] for line in part["lines"]] == [
        "- sd15, within 3.5 GiB",
        "- sdxl, within 5.5 GiB",
    ]
    assert part["missed"] == [] and all("n/a GiB allocated" in line for line in part["lines"])


def test_scripts_are_timed_by_the_difference_of_two_runs(measure, nothing_lacks, tmp_path, capsys):
    script = stand_in(tmp_path, "textual_inversion.py")
    large = stand_in(tmp_path, "textual_inversion_sdxl.py", 1.6)
    more = ("--script", str(script), "--script-xl", str(large))
    parts = measure("script", "script-xl", more=more)["parts"]
    by_batch = {row["batch"]: row["seconds"] for row in parts["script"]["timings"]}
    # The sleeps are exact, starting is not.
    assert 0 < by_batch[1] < by_batch[4] == pytest.approx(1.6, rel=0.4)
    (row,) = parts["script-xl"]["timings"]
    assert row["what"] == "diffusers' XL script" and row["allocated"] is None
    assert row["seconds"] == pytest.approx(1.6, rel=0.4)
    report = capsys.readouterr().out
    assert "NOT the pinned file" in report and "diffusers v0.40.0 (commit d035dcd7cc7c" in report
    assert "--max_train_steps 3 " in report
    assert "| diffusers' XL script, times its floor | " in report


def test_a_part_that_fails_leaves_the_others(gpu, measure, nothing_lacks, tmp_path, capsys):
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no such device')")
    with pytest.raises(SystemExit, match="failed: script"):
        measure("script", "xl", more=("--script", str(script)))
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert list(numbers["parts"]) == ["xl"]
    assert "no such device" in numbers["failed"]["script"]
    assert "no such device" in capsys.readouterr().out


def test_what_a_script_lacks_is_said_before_anything(gpu, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu.gpu_script, "NEEDS", ("json", "no_such_module"))
    script = tmp_path / "script.py"
    for expected in ("script.py is no file", "script.py needs no_such_module, which is not inst"):
        with pytest.raises(SystemExit) as ended:
            gpu.main(["--out", str(tmp_path / "out"), "--script", str(script)])
        assert ended.value.code == 2
        assert expected in capsys.readouterr().err
        script.touch()
    assert not (tmp_path / "out").exists()


def test_the_pinned_file_is_known_by_its_bytes(gpu, tmp_path):
    import hashlib
    from dataclasses import replace

    script = stand_in(tmp_path, "script.py")
    pinned = gpu.gpu_script.PINNED["script"]
    assert "NOT the pinned file" in gpu.gpu_script.identity(script, pinned)
    same = replace(pinned, sha256=hashlib.sha256(script.read_bytes()).hexdigest())
    assert "NOT" not in gpu.gpu_script.identity(script, same)


def test_every_bar_is_told_met_or_missed(gpu):
    from gpu_bars import BARS, figures, verdicts
    from gpu_steps import Timing

    ours = "ours, recorded"
    rows = [
        Timing(ours, 1, 1, 0.0149, 0.002, 3.0, 4.0),
        Timing("ours, recorded and compiled", 1, 1, 0.0119, 0.002, 3.2, 4.0),
        Timing(ours, 4, 1, 0.0290, 0.009, 5.0, 6.0),
        Timing(ours, 8, 1, 0.0530, 0.018, 8.0, 9.0),
        Timing("ours, XL at 1024 pixels", 1, 1, 0.060, 0.019, 9.0, 9.0),
        Timing("diffusers' script", 1, 1, 0.184, 0.002, 9.0, 9.0),
        Timing("diffusers' XL script", 1, 1, 0.380, 0.019, 9.0, 9.0),
    ]
    others = {"command/warm": 25.0, "together/commands/16": 2.1, "together/step/16": 1.3}
    lines = verdicts(figures(rows, others), ["low/sdxl"], small=False)
    told = dict(zip((bar.key for bar in BARS), lines[2:], strict=True))
    expected = {
        "ms/1": "| 11.9 ms | ≤ 15 ms (aim 12) | met, the aim too |",
        "gib/1": "| 3.2 GiB | ≤ 3.1 GiB | missed |",
        "ms/4": "| 29 ms | ≤ 30 ms (aim 27) | met, the aim missed |",
        "gib/4": "| 5 GiB | ≤ 5.4 GiB | met |",
        "ms/8": "| 53 ms | ≤ 52 ms (aim 48) | missed |",
        "gib/8": "| 8 GiB | ≤ 8.5 GiB | met |",
        "xl/floor": "| 3.16× | ≤ 3× | missed |",
        "command/warm": "| 25 s | ≤ 25 s | met |",
        "command/first": "| - | ≤ 40 s | not measured |",
        "together/commands/16": "| 2.1× | ≥ 2.2× | missed |",
        "together/step/16": "| 1.3× | ≥ 1.25× | met |",
        "low/sd15": "| - | ≤ 3.5 GiB | not measured |",
        "low/sdxl": "| - | ≤ 5.5 GiB | missed: it failed |",
        "script/1": "| 15.5× | reported | reported |",
        "script/4": "| - | reported | not measured |",
        "script/xl": "| 6.33× | reported | reported |",
        "script/xl-floor": "| 20× | reported | reported |",
    }
    assert set(told) == set(expected)
    assert [key for key, line in told.items() if not line.endswith(expected[key])] == []


def test_what_is_not_what_it_is_called_is_left_out(gpu, models, tmp_path, capsys):
    options = gpu.parse(["--out", str(tmp_path), "--models", str(models), "--tiny",
                         "--device", "cpu", "--dtype", "fp32", "--steps", "1"])  # fmt: skip
    import gpu_parts as parts
    from gpu_bench import loaded

    _, model = loaded(options, "sd15")

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    assert parts.measured(model, "ours", 64, full, options) is None
    assert "64 samples: left out, CUDA out of memory" in capsys.readouterr().err

    def with_less() -> None:
        model.spare(parts.NONE.__class__(samples=1), "cpu is out of memory")

    assert parts.measured(model, "ours", 8, with_less, options) is None
    assert "one picture at a time" in capsys.readouterr().err
    assert model.savings == parts.NONE and not model.given_up
