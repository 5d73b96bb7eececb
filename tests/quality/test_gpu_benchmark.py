"""The GPU benchmark runs from end to end in small, on the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gpu():
    """The benchmark's module, which lies outside the package; one thread."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        import gpu
    finally:
        sys.path.pop(0)
    yield gpu
    torch.set_num_threads(before)


def test_everything_is_measured_and_written(gpu, tmp_path, capsys):
    out = tmp_path / "out"
    gpu.main(
        ["--out", str(out), "--models", str(tmp_path / "models"), "--tiny", "--device", "cpu",
         "--dtype", "fp32", "--batches", "1", "2", "--words", "2", "--steps", "1",
         "--no-command"]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert printed.strip() == (out / "report.md").read_text().strip()
    for part in ("torch: ", "256³ product", "one sample's step", "## Profile", "No kernel at work"):
        assert part in printed
    rows = json.loads((out / "numbers.json").read_text())
    measured = [(row["what"], row["batch"], row["words"]) for row in rows]
    assert measured == [
        *((what, batch, 1) for what in ("plain loop", "ours, eager") for batch in (1, 2)),
        ("ours, several words", 4, 2),
        ("ours, XL at 1024 pixels", 1, 1),
    ]
    assert all(row["seconds"] > 0 and row["floor"] > 0 for row in rows)
    # Twice the samples are twice the arithmetic.
    assert rows[1]["floor"] == pytest.approx(2 * rows[0]["floor"])
    for name in ("by-batch.png", "by-words.png"):
        with Image.open(out / name) as picture:
            assert len(picture.getcolors(1 << 20)) > 3


def test_what_is_not_what_it_is_called_is_left_out(gpu, tmp_path, capsys):
    options = gpu.parse(["--out", str(tmp_path), "--models", str(tmp_path / "models"), "--tiny",
                         "--device", "cpu", "--dtype", "fp32", "--steps", "1"])  # fmt: skip
    _, model = gpu.loaded(options, "sd15")

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    assert gpu.measured(model, "ours", 64, full, options) is None
    assert "64 samples: left out, CUDA out of memory" in capsys.readouterr().err

    def with_less() -> None:
        model.spare(gpu.NONE.__class__(samples=1), "cpu is out of memory")

    assert gpu.measured(model, "ours", 8, with_less, options) is None
    assert "one picture at a time" in capsys.readouterr().err
    assert model.savings == gpu.NONE and not model.given_up


def test_the_script_is_called_as_the_report_says(gpu, tmp_path):
    script, seen = tmp_path / "script.py", tmp_path / "seen"
    script.write_text(f"import sys\nopen({str(seen)!r}, 'a').write(' '.join(sys.argv) + '\\n')\n")
    gpu.script_step(script, tmp_path / "model", 512, 4, (20, 60))
    lines = seen.read_text().splitlines()
    assert "--max_train_steps 20 " in lines[0] and "--max_train_steps 60 " in lines[1]
    assert all("--train_batch_size 4 " in line and "--output_dir" in line for line in lines)
    script.write_text("raise SystemExit('no accelerate')")
    with pytest.raises(SystemExit, match="no accelerate"):
        gpu.script_step(script, tmp_path / "model", 512, 4, (20, 60))
