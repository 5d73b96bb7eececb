"""Files as other programs really write them, and names as they really look for them."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

import a1111_reader
import numpy as np
import pytest
import torch
from learned_words import learned, same
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ticli.errors import Usage
from ticli.library import CONSUMERS, Extras, Target, export_concepts
from ticli.library.formats.programs import MARK, check_stem

WORDS = Path(__file__).parents[1] / "data" / "words-in-ti.txt"


def rows(count: int = 2, width: int = 768, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=draw) * 0.02


def widths(run, name: str) -> dict[str, int]:
    return json.loads(run("show", name, "--json").out)["widths"]


@pytest.fixture(autouse=True)
def here(run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


# What is written.


def test_a_picture_of_sdxl_holds_nothing_but_tensors_where_programs_look() -> None:
    concept, embedding = learned("sdxl")
    content = export_concepts([(concept, embedding)], Target("png"), Extras()).files[""]
    with Image.open(io.BytesIO(content)) as picture:
        shown = json.loads(base64.b64decode(picture.text["sd-ti-embedding"]))
        hidden = a1111_reader.read_pixels(np.asarray(picture.convert("RGB")))
        own = json.loads(base64.b64decode(picture.text["ti-concept"]))
    assert shown.keys() == hidden.keys() == {"clip_l", "clip_g"}
    assert own["ti.token"] == concept.token


@pytest.mark.parametrize("size", [(300, 1), (1, 300), (1, 1), (5000, 2)])
def test_a_picture_of_hardly_any_size_carries_the_word_too(size) -> None:
    picture = Image.new("RGB", size, "red")
    word = learned("sd1")
    content = export_concepts([word], Target("png"), Extras(picture=picture)).files[""]
    with Image.open(io.BytesIO(content)) as written:
        found = a1111_reader.tensors_of(a1111_reader.read_pixels(np.asarray(written)))
    assert same(found["one"], word[1].rows["clip_l"])


@pytest.mark.parametrize(
    ("program", "family", "keys"),
    [
        ("onetrainer", "flux", {"clip_l", "t5"}),
        ("comfyui", "flux", {"clip_l", "t5xxl"}),
        ("onetrainer", "hidream", {"clip_l", "clip_g", "t5", "llama"}),
        ("comfyui", "hidream", {"clip_l", "clip_g", "t5xxl", "llama"}),
        ("onetrainer", "hunyuanvideo", {"clip_l", "llama"}),
        ("comfyui", "hunyuanvideo", {"clip_l", "llama"}),
        ("comfyui", "cascade", {"clip_g"}),
        ("forge", "flux", {"emb_params"}),
        ("easydiffusion", "sdxl", {"clip_l", "clip_g"}),
        ("sdcpp", "sd2", {"emb_params"}),
    ],
)
def test_each_program_gets_its_own_keys(tmp_path, program, family, keys) -> None:
    word = learned(family)
    exported = export_concepts([word], Target(program), Extras())
    path = tmp_path / "x.safetensors"
    path.write_bytes(exported.files[""])
    found = load_file(path)
    assert set(found) == keys
    if program == "forge":
        assert same(found["emb_params"], word[1].rows["clip_l"])
        assert any("vectors for t5 are left out" in note for note in exported.notes)


def test_the_trigger_phrase_is_what_the_program_takes(tmp_path) -> None:
    word = learned("sd1", name="real-mug")
    for program, phrase in (("a1111", "real-mug cup"), ("diffusers", "<real-mug> cup")):
        exported = export_concepts([word], Target(program), Extras())
        header = exported.files[""][8:2000].decode("latin-1")
        assert f'"modelspec.trigger_phrase":"{phrase}"' in header
    assert "write it in lower case" in exported.notes[1]


def test_no_english_word_begins_with_the_mark() -> None:
    lines = WORDS.read_text().split("\n")
    words = [word for word in lines[1:] if word]
    assert len(words) > 800 and "time" in words
    assert not any(word.startswith(MARK) for word in words)


@pytest.mark.parametrize("program", CONSUMERS)
@pytest.mark.parametrize("name", ["mug", "tea", "a(b)", "Größe", "mug2", "blue-mug", "Real-Mug"])
def test_a_refused_name_comes_with_one_that_is_taken(program, name) -> None:
    consumer = CONSUMERS[program]
    try:
        check_stem(consumer, name)
    except Usage as refusal:
        better = refusal.hint.removeprefix("call it ").partition(",")[0]
        check_stem(consumer, better)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("kohya", "mug"), ("sdnext", "mug"), ("a1111", "mug"), ("a1111", "a(b)"),
        ("invokeai", "Größe"), ("easydiffusion", "v1.5"), ("sdcpp", "blue-mug"),
    ],
)  # fmt: skip
def test_a_name_that_a_program_cannot_use_needs_force(run, library_with, program, name) -> None:
    library_with("mug", width=768)
    refused = run("export", "mug", "--for", program, "-o", f"{name}.safetensors")
    assert refused.code == 2
    assert "call it " in refused.err and "--force" in refused.err
    assert run("export", "mug", "--for", program, "-o", f"{name}.safetensors", "--force").code == 0


# What is read.


def test_words_that_are_signs_are_numbered_after_their_file(run) -> None:
    table = {sign: rows(seed=number) for number, sign in enumerate("*&@")}
    torch.save({"string_to_token": {}, "string_to_param": table}, "merged.pt")
    refused = run("import", "merged.pt")
    assert "<merged-1> (*), <merged-2> (&), <merged-3> (@)" in refused.err
    assert run("import", "merged.pt", "--token", "&").out == "merged-2\n"
    assert run("import", "merged.pt", "--all", "--replace").out.split() == [
        "merged-1", "merged-2", "merged-3",
    ]  # fmt: skip


def test_ai_toolkit_says_name_and_step_in_its_metadata(run) -> None:
    said = {"name": '"xlchar"', "step": "1250", "sd_checkpoint_name": "null"}
    save_file({"clip_l": rows(), "clip_g": rows(width=1280)}, "job_000000900.safetensors", said)
    result = run("import", "job_000000900.safetensors", "--json")
    assert [(item["name"], item["steps"]) for item in result.json] == [("xlchar", 1250)]
    assert "imported as <xlchar>, as it says inside" in result.err


@pytest.mark.parametrize(
    ("stem", "steps"),
    [
        ("mug-step00000500", 500), ("checkpoint-2024_step_00000700", 700), ("job_000001250", 1250),
        ("learned_embeds-steps-300", 300), ("mug-500", 0), ("mug", 0),
    ],
)  # fmt: skip
def test_steps_in_a_files_name(run, stem, steps) -> None:
    save_file({"emb_params": rows()}, f"{stem}.safetensors")
    (item,) = run("import", f"{stem}.safetensors", "--json").json
    assert item["steps"] == steps


def test_what_the_maker_says_is_kept_found_and_written_again(run) -> None:
    said = {
        "title": "Bad Anatomy", "author": "Jane", "license": "MIT", "description": "against hands",
        "tags": "quality,hands", "date": "2024-02-03T10:00:00", "trigger_phrase": "badanat",
        "resolution": "512x512", "is_negative_embedding": "true",
    }  # fmt: skip
    save_file(
        {"emb_params": rows()}, "x1.safetensors", {f"modelspec.{k}": v for k, v in said.items()}
    )
    (item,) = run("import", "x1.safetensors", "--json").json
    assert item["tags"] == ["quality", "hands"] and item["kind"] == "negative"
    assert item["about"] == {k: said[k] for k in said if k not in ("tags", "is_negative_embedding")}
    assert "Jane" in run("show", "x1").out
    assert run("search", "anatomy", "-q").out == "x1\n"
    run("export", "x1", "-o", "again.safetensors")
    with safe_open("again.safetensors", "np") as file:
        written = file.metadata()
    assert {key: written[f"modelspec.{key}"] for key in said} == said


def test_a_repositorys_card_names_the_base_and_the_licence(run) -> None:
    Path("repo").mkdir()
    torch.save({"<cat>": rows(1)[0]}, "repo/learned_embeds.bin")
    Path("repo/README.md").write_text("---\nlicense: mit\nbase_model: maker/model\n---\n# cat\n")
    (item,) = run("import", "repo", "--json").json
    assert (item["base"]["id"], item["about"]) == ("maker/model", {"license": "mit"})


def test_unequal_counts_are_no_damage(run) -> None:
    save_file({"clip_l": rows(2), "t5": rows(4, 4096)}, "auto.safetensors")
    refused = run("import", "auto.safetensors")
    assert refused.code == 1
    assert "2 for clip_l and 4 for t5" in refused.err
    assert "damaged" not in refused.err and "fetch" not in refused.err


def test_an_output_embedding_is_refused_by_its_kind(run) -> None:
    zeros = torch.zeros(2, 768)
    save_file({"emp_params": zeros, "emp_params_out": rows()}, "one.safetensors")
    both = {"clip_l": zeros, "clip_l_out": rows(), "clip_g": torch.zeros(2, 1280)}
    save_file({**both, "clip_g_out": rows(width=1280)}, "two.safetensors")
    for file in ("one", "two"):
        refused = run("import", f"{file}.safetensors")
        assert refused.code == 1 and "output embedding of OneTrainer" in refused.err


def test_names_with_dots_in_a_bundle(run) -> None:
    tensors = {"bundle_emb.my.char v1.5.emb_params": rows(), "lora_unet_x.lora_up.weight": rows()}
    save_file(tensors, "lora.safetensors")
    assert run("import", "lora.safetensors").out == "my-char-v1-5\n"


def hashed(name: str, tensors: dict[str, torch.Tensor], parts: list[torch.Tensor]) -> str:
    import hashlib

    digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
    save_file(tensors, name, {"modelspec.hash_sha256": f"0x{digest}"})
    return name


def test_a_hash_of_another_order_or_dtype_is_a_warning(run) -> None:
    left, right = rows(), rows(width=1280)
    half = rows().half()
    for number, name in enumerate((
        hashed("a.safetensors", {"clip_l": left, "clip_g": right}, [left, right]),
        hashed("b.safetensors", {"emb_params": half}, [rows()]),
        hashed("c.safetensors", {"emb_params": half.float()}, [half]),
    )):  # fmt: skip
        result = run("import", name)
        assert result.code == 0, result.err
        assert "warning: " in result.err and "SHA-256" in result.err, number


def test_any_other_hash_is_refused_and_can_be_overridden(run) -> None:
    hashed("a.safetensors", {"emb_params": rows()}, [rows(seed=1)])
    refused = run("import", "a.safetensors")
    assert refused.code == 1 and "--force" in refused.err
    assert run("import", "a.safetensors", "--force").out == "a\n"


@pytest.mark.parametrize("side_by_side", [True, False])
def test_both_forms_of_hcp_diffusion(run, side_by_side) -> None:
    left, right = rows(), rows(width=1280)
    table = torch.cat([left, right], 1) if side_by_side else {"clip_L": left, "clip_bigG": right}
    torch.save({"string_to_param": {"*": table}, "name": "word"}, "word-500.pt")
    run("import", "word-500.pt")
    assert widths(run, "word") == {"clip_g": 1280, "clip_l": 768}


@pytest.mark.parametrize("kind", ["webp", "avif"])
def test_lossless_pictures_carry_a_word_too(run, kind) -> None:
    word = learned("sd1")
    content = export_concepts([word], Target("png"), Extras()).files[""]
    with Image.open(io.BytesIO(content)) as picture:
        options = {"lossless": True} if kind == "webp" else {"quality": 100, "subsampling": "4:4:4"}
        if kind == "avif":
            options["matrix_coefficients"] = 0
        try:
            picture.convert("RGB").save(f"mug.{kind}", **options)
        except (OSError, KeyError, TypeError, ValueError):
            pytest.skip(f"this Pillow writes no lossless {kind}")
        with Image.open(f"mug.{kind}") as again:
            if again.convert("RGB").tobytes() != picture.convert("RGB").tobytes():
                pytest.skip(f"this Pillow writes no lossless {kind}")
    assert run("import", f"mug.{kind}").code == 0


def test_words_of_the_bert_encoder_are_not_called_openclips(run) -> None:
    table = torch.nn.ParameterDict({"*": rows(1, 1280)})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": table}, "old.pt")
    result = run("import", "old.pt")
    assert "BERT" in result.err
    assert widths(run, "old") == {"bert": 1280}


def test_further_vectors_under_numbered_keys_are_one_concept(run) -> None:
    parts = {
        "<frida>": rows(1)[0],
        "<frida>_1": rows(1, seed=1)[0],
        "<frida>_2": rows(1, seed=2)[0],
    }
    torch.save(parts, "frida.bin")
    (item,) = run("import", "frida.bin", "--json").json
    assert (item["name"], item["vectors"]) == ("frida", 3)
    run("export", "frida", "-o", "again.safetensors")
    torch.testing.assert_close(
        load_file("again.safetensors")["<frida>"], torch.stack([*parts.values()]), rtol=0, atol=0
    )


def test_words_of_pivotal_tuning_come_without_their_lora(run) -> None:
    lora = {f"unet:{n}:up": torch.zeros(4, 1) for n in range(90)}
    save_file({"<s1>": rows(1)[0], "<s2>": rows(1)[0], **lora}, "pti.safetensors")
    result = run("import", "pti.safetensors", "--all")
    assert result.out.split() == ["s1", "s2"]
    assert "90 tensors of a LoRA are left out" in result.err


@pytest.mark.parametrize(
    ("stem", "name"), [("Größe", "grosse"), ("Bad Prompt v2", "bad-prompt-v2"), ("花の絵2", "")]
)
def test_a_name_that_would_lose_itself_is_asked_for(run, stem, name) -> None:
    save_file({"emb_params": rows()}, f"{stem}.safetensors")
    result = run("import", f"{stem}.safetensors")
    assert result.out.strip() == name
    if not name:
        assert result.code == 2 and "--token" in result.err


def fill(folder: Path) -> None:
    (folder / "more").mkdir(parents=True)
    save_file({"emb_params": rows()}, folder / "one.safetensors")
    torch.save({"<two>": rows(1)[0]}, folder / "more" / "learned_embeds.bin")
    (folder / "broken.pt").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("mine")


def test_a_folder_of_embeddings_leaves_the_unfit_out(run) -> None:
    fill(Path("embeddings"))
    result = run("import", "embeddings")
    assert sorted(result.out.split()) == ["one", "two"]
    assert "left out: embeddings/broken.pt is not an embedding file" in result.err
    again = run("import", "embeddings")
    assert (again.code, again.out) == (0, "")
    assert "it is in the library already" in again.err


def test_a_zip_as_downloaded(run) -> None:
    fill(Path("embeddings"))
    with zipfile.ZipFile("pack.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in Path("embeddings").rglob("*.*"):
            archive.write(path, path.name)
    result = run("import", "pack.zip")
    assert sorted(result.out.split()) == ["one", "two"]
    assert "left out: pack.zip:broken.pt" in result.err
