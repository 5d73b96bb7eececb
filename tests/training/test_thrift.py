"""What a run will need is known beforehand; what it gave up is said, kept and taken up again."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from learning_runs import learn, make_photos, plan_for
from mps_stand_in import mps_played_by_the_cpu
from PIL import Image

from ticli.errors import BadContent, Stopped
from ticli.inversion import FILE, encode_photos, first_stage, load_sparingly, within
from ticli.models import (
    LOW,
    NONE,
    WORKSPACE,
    Demand,
    Savings,
    free_memory,
    free_on_this_machine,
    ladder,
    load_model,
    measure_demand,
    pick_hardware,
)
from ticli.models.locate import locate
from ticli.paths import places

CPU = torch.device("cpu")
MIB = 1 << 20


def demand_of(model, dtype=torch.float32):
    return measure_demand(model.source, dtype, model.source.size, CPU)


def test_a_pass_without_numbers_counts_what_a_real_one_keeps(tiny):
    demand = demand_of(tiny)
    own = {tensor.untyped_storage().data_ptr() for tensor in tiny.denoiser.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    text = torch.randn(1, 48, 32, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        tiny.denoiser(torch.randn(1, 4, 8, 8), 500, text)
    assert demand.kept == pytest.approx(sum(kept.values()), rel=0.15)
    assert demand.denoiser == sum(p.nbytes for p in tiny.denoiser.parameters())
    assert demand.encoders == sum(p.nbytes for p in tiny.encoders[0].module.parameters())
    assert 0 < demand.largest_kept < demand.kept and 0 < demand.inputs < demand.kept


@pytest.mark.parametrize(("batch", "measured"), [(1, 3.1), (4, 5.4), (8, 8.5)])
def test_the_demand_of_a_published_model_is_about_what_was_measured(tmp_path, batch, measured):
    """Stable Diffusion 1.5 at 512 pixels in bfloat16, GiB allocated at most on an H100."""
    demand = measure_demand(settings_of_sd15(tmp_path), torch.bfloat16, 512, torch.device("cuda"))
    gib = demand.need(NONE, batch) / (1 << 30)
    assert measured <= gib <= 1.1 * measured
    # What a card of 4 GB leaves to programs.
    assert demand.need(LOW, batch) < 3.5 * (1 << 30)


def settings_of_sd15(folder):
    """A model's folder without its weights, as its source."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        from gpu_models import CLIP_L, SCHEDULE, SD15, TOKENIZER, VAE
    finally:
        sys.path.pop(0)
    from ticli.models import identify

    pixels = {"in_channels": 4, "out_channels": 4}
    parts = {
        "unet": SD15 | pixels,
        "vae": VAE | {"scaling_factor": 0.18215},
        "text_encoder": CLIP_L,
    }
    for part, settings in parts.items():
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(settings))
        name = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        (folder / part / f"{name}.safetensors").touch()
    shutil.copytree(TOKENIZER, folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULE))
    index = {"_class_name": "StableDiffusionPipeline"}
    (folder / "model_index.json").write_text(json.dumps(index))
    return identify(folder, "sd15", "")


def test_half_precision_needs_half(tiny):
    cuda = torch.device("cuda")
    whole = measure_demand(tiny.source, torch.float32, tiny.source.size, cuda)
    half = measure_demand(tiny.source, torch.bfloat16, tiny.source.size, cuda)
    assert half.denoiser * 2 == whole.denoiser and half.kept < 0.6 * whole.kept
    # CLIP stays in float32.
    assert half.encoders == whole.encoders


def test_every_rung_needs_less_than_the_one_above_it(tiny):
    """Slices apart, which help where attention is not fused: the pass takes it as fused."""
    possible = (demand_of(tiny).possible | {"offload"}) - {"slices"}
    # About those of Stable Diffusion 1.5 at 512 pixels.
    sizes = (492, 1639, 1500, 60, 500, 200, 704, 60, 80, 60)
    demand = Demand(*(size * MIB for size in sizes), possible)
    needs = [demand.need(stage, 4) for stage in ladder(4, demand.possible)]
    assert needs == sorted(needs, reverse=True) and len(set(needs)) == len(needs)
    grown = demand.need(NONE, 4) - demand.need(NONE, 3)
    assert grown == pytest.approx(WORKSPACE * (demand.kept + demand.encoding), rel=1e-6)


def test_the_first_stage_that_fits_is_taken_and_explained(tiny):
    demand = demand_of(tiny)
    assert first_stage(demand, 4, None)[0] == NONE
    assert first_stage(demand, 4, demand.need(NONE, 4))[0] == NONE
    room = demand.need(Savings(samples=2), 4)
    stage, reason = first_stage(demand, 4, room)
    assert stage == Savings(samples=2)
    assert reason == "a step would take about 0.3 GiB of the 0.3 that are free"
    *_, last = ladder(4, demand.possible)
    assert first_stage(demand, 4, 1)[0] == last
    low = within(LOW, demand)
    assert first_stage(demand, 4, 1 << 40, low)[0] == low == LOW


def test_free_memory_is_the_machines_or_the_containers(tmp_path):
    memory, group = tmp_path / "meminfo", tmp_path / "group"
    memory.write_text("MemTotal:  4096 kB\nMemAvailable:   2048 kB\n")
    group.mkdir()
    assert free_on_this_machine(memory, group) == 2 * MIB
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1\n")
    assert free_on_this_machine(memory, group) == 2 * MIB
    (group / "memory.max").write_text(f"{3 * MIB}\n")
    (group / "memory.current").write_text(f"{2 * MIB}\n")
    assert free_on_this_machine(memory, group) == MIB
    assert free_on_this_machine(tmp_path / "none", tmp_path / "none", "no such") is None
    assert free_memory(CPU) > 64 * MIB


def test_low_memory_is_said_recorded_and_learns_the_same(tmp_path, tiny_folder, run):
    photos = make_photos(tmp_path / "photos", 2)
    rows = {}
    for name, more in (("cup", ()), ("mug", ("--low-memory",))):
        result = run(
            "invert", str(photos), "--token", name, "--init", "mug", "-m", str(tiny_folder),
            "--steps", "3", "--batch", "2", "--norm", "free", "--dtype", "fp32",
            "--progress", "none", "--json", *more,
        )  # fmt: skip
        assert result.code == 0, result.err
        rows[name] = result
    assert rows["cup"].json["outcome"]["memory"] == []
    (said,) = rows["mug"].json["outcome"]["memory"]
    assert (
        said.startswith("low memory asked for: one picture at a time") and said in rows["mug"].err
    )
    from ticli.library import Library

    library = Library.open()
    learned = [
        torch.from_numpy(library.embedding(library.get(name)).rows["clip_l"]) for name in rows
    ]
    assert torch.allclose(*learned, atol=1e-5)


def test_a_continued_run_gives_up_what_it_had_given_up(tmp_path, tiny_folder):
    plan = plan_for(make_photos(tmp_path / "photos", 2), tiny_folder)

    def full(learning, _step):
        if not learning.model.given_up:
            learning.model.spare(Savings(samples=1), "cpu is out of memory")

    straight, vectors = learn(plan, watch=full)
    with pytest.raises(Stopped):
        learn(plan, stop_at=2, watch=full)
    document = json.loads((places().runs / "mug" / FILE).read_text())
    assert document["savings"]["samples"] == 1
    again, same = learn(plan)
    assert (vectors.rows["clip_l"] == same.rows["clip_l"]).all()
    said = "one picture at a time, the same batch in all"
    assert straight.outcome.memory == (f"cpu is out of memory: {said}",)
    assert again.outcome.memory == (
        f"cpu is out of memory: {said}",
        f"as before the run was stopped: {said}",
    )


def test_a_damaged_note_of_it_is_answered_in_words(tmp_path, tiny_folder):
    plan = plan_for(make_photos(tmp_path / "photos", 2), tiny_folder)
    with pytest.raises(Stopped):
        learn(plan, stop_at=2)
    for text in ("{", '{"savings": {"more": 1}, "given_up": []}', "[]"):
        (places().runs / "mug" / FILE).write_text(text)
        with pytest.raises(BadContent, match=FILE):
            learn(plan)


def test_weights_that_do_not_fit_are_loaded_further_down(tiny_folder, monkeypatch):
    """The device is full until the denoiser's blocks may stay away from it."""
    with mps_played_by_the_cpu(monkeypatch):
        monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 8 << 30)
        monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 0)
        monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
        hardware = pick_hardware("mps")
        placed = torch.nn.Module.to

        def to(module, place, *args, **kwargs):
            if type(module).__name__ == "UNet2DConditionModel" and str(place) == "mps":
                raise RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")
            return placed(module, place, *args, **kwargs)

        monkeypatch.setattr(torch.nn.Module, "to", to)
        heard: list[str] = []
        model = load_sparingly(locate(str(tiny_folder)), hardware, (64, 4), heard.append)
    assert model.savings == Savings(0, True, True, True, True)
    assert heard == model.given_up and heard[0].startswith("no room for the model: text encoders")


def test_photos_are_encoded_on_the_cpu_where_the_device_is_full(tiny_folder, monkeypatch):
    source = locate(str(tiny_folder))
    pictures = [Image.new("RGB", (64, 64), "teal")]
    expected = encode_photos(load_model(source, pick_hardware("cpu")), pictures)
    with mps_played_by_the_cpu(monkeypatch):
        monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
        model = load_model(source, pick_hardware("mps"))
        from ticli.models import load_vae

        def load(source):
            vae = load_vae(source)
            if not model.given_up:
                vae.register_forward_pre_hook(full)
                vae.encoder.register_forward_pre_hook(full)
            return vae

        def full(_module, _args):
            raise RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")

        monkeypatch.setattr("ticli.models.model.load_vae", load)
        found = encode_photos(model, pictures)
    assert torch.equal(found.mean, expected.mean)
    assert model.given_up == ["mps is out of memory: photos are encoded on the CPU"]
