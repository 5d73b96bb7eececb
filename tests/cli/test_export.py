"""`ti export`: programs, layouts, folders, zips, pipes, and what is said beside them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import typing
import zipfile
from pathlib import Path

import pytest
from concepts import make_concept, make_embedding
from PIL import Image

from ticli.commands.export import Format, Program
from ticli.library import CONSUMERS, LAYOUTS
from ticli.library.formats import metadata


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def sdxl(library_with):
    """Put a word of SDXL into the library."""
    from ticli.concept import Embedding

    library = library_with()
    rows = {
        "clip_l": make_embedding("l", 2, 768).rows["clip_l"],
        "clip_g": make_embedding("g", 2, 1280).rows["clip_l"],
    }
    embedding = Embedding(rows)
    library.add(make_concept("big", vectors=2, widths=embedding.widths), embedding)
    return library


def metadata_of(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def manifest_of(content: bytes) -> tuple[list[str], dict]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        return archive.namelist(), json.loads(archive.read("manifest.json"))


def test_the_help_page_knows_every_program_and_layout() -> None:
    assert set(typing.get_args(Program)) == set(CONSUMERS)
    assert set(typing.get_args(Format)) == set(LAYOUTS)


@pytest.mark.parametrize("program", list(CONSUMERS))
def test_every_program_has_its_file(run, library_with, folder, program: str) -> None:
    library_with("mug", width=768)
    result = run("export", "mug", "--for", program, "--json")
    assert result.code == 0
    for item in result.json:
        content = (folder / item["path"]).read_bytes()
        assert item["for"] == program
        assert item["sha256"] == hashlib.sha256(content).hexdigest()
        assert item["bytes"] == len(content)
    stems = {Path(item["path"]).parts[0].partition(".")[0] for item in result.json}
    assert stems == {CONSUMERS[program].stem("mug")}


def test_what_to_write_in_a_prompt_is_said(run, library_with) -> None:
    library_with("mug", width=768, noun="cup")
    assert run("export", "mug", "--for", "comfyui").err == (
        "in ComfyUI, write: embedding:mug cup\n"
    )
    assert run("export", "mug", "--for", "a1111").err == "in AUTOMATIC1111, write: mug-tiq cup\n"
    assert run("export", "mug", "--for", "kohya", "-q", "--force").err == ""
    assert run("export", "mug", "--for", "invokeai", "--force").err == (
        "in InvokeAI, write: <mug> cup\n"
    )
    assert run("export", "mug", "--for", "diffusers", "--force").err == (
        "in diffusers, write: <mug> cup\n"
    )
    assert metadata_of(Path("mug-tiq.safetensors"))["modelspec.usage_hint"].endswith("mug-tiq cup")


def test_a_word_of_the_starter_is_said_to_fit_no_other_model(run, library_with) -> None:
    library_with("mug")
    result = run("export", "mug", "--for", "invokeai")
    assert result.code == 0
    assert "256" in result.err
    assert "no model of InvokeAI" in result.err


def test_the_users_own_file_name_is_the_word(run, library_with) -> None:
    library_with("mug", width=768)
    result = run("export", "mug", "--for", "comfyui", "-o", "my-cup.safetensors")
    assert result.err == "in ComfyUI, write: embedding:my-cup\n"


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("comfyui", "<mug>.safetensors"),
        ("comfyui", "my mug.safetensors"),
        ("comfyui", "a[b.safetensors"),
        ("invokeai", "<mug>.safetensors"),
        ("invokeai", "mug+.safetensors"),
        ("a1111", "<mug>.safetensors"),
    ],
)
def test_names_that_a_program_cannot_address(run, library_with, folder, program, name) -> None:
    library_with("mug", width=768)
    result = run("export", "mug", "--for", program, "-o", name)
    assert result.code == 2
    assert "could not use a file called" in result.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (("--for", "a1111"), "my-mug.pt"),
        (("--for", "png"), "my-mug.safetensors"),
        (("--format", "a1111-pt"), "mug.safetensors"),
        ((), "mug.bin"),
    ],
)
def test_an_ending_that_says_something_else(run, library_with, folder, flags, name) -> None:
    library_with("mug", width=768)
    result = run("export", "mug", *flags, "-o", name)
    assert result.code == 2
    assert "ending in" in result.err
    assert list(folder.iterdir()) == []


def test_impossible_cells(run, sdxl, folder) -> None:
    for flags in (("--for", "concept-repo"), ("--format", "emb_params")):
        result = run("export", "big", *flags)
        assert result.code == 4
        assert "Stable Diffusion XL (clip_g, clip_l)" in result.err
        assert list(folder.iterdir()) == []
    error = run("export", "big", "--format", "t5xxl", "--json").json["error"]
    assert (error["name"], error["layout"]) == ("big", "t5xxl")


def test_one_bad_cell_writes_nothing_at_all(run, library_with, sdxl, folder) -> None:
    library_with("mug", width=768)
    assert run("export", "mug", "big", "--format", "emb_params").code == 4
    assert list(folder.iterdir()) == []


def test_sdxl_for_diffusers_is_a_folder_with_the_lines_to_load_it(run, sdxl, folder) -> None:
    result = run("export", "big")
    assert result.lines == ["big/learned_embeds.safetensors", "big/learned_embeds_2.safetensors"]
    lines = result.err.splitlines()
    assert [line.split("(")[0] for line in lines[:2]] == ["pipe.load_textual_inversion"] * 2
    assert "eos_token_id" in lines[2]
    assert run("export", "big", "-o", "pair").lines[0] == "pair/learned_embeds.safetensors"
    assert run("export", "big", "-o", "in/").lines[0] == "in/big/learned_embeds.safetensors"


def test_several_go_into_a_zip_with_a_manifest(run, library_with, sdxl, folder) -> None:
    library_with("mug", "cat", width=768)
    result = run("export", "--all", "-o", "all.zip", "--json")
    assert result.code == 0
    names, manifest = manifest_of((folder / "all.zip").read_bytes())
    assert manifest["ti"] == 1
    assert manifest["concepts"] == [
        {
            "name": "big",
            "file": "big/learned_embeds.safetensors",
            "files": ["big/learned_embeds.safetensors", "big/learned_embeds_2.safetensors"],
        },
        {"name": "cat", "file": "cat.safetensors"},
        {"name": "mug", "file": "mug.safetensors"},
    ]
    assert names[0] == "manifest.json"
    assert [item["member"] for item in result.json] == ["big", "cat.safetensors", "mug.safetensors"]
    assert {item["path"] for item in result.json} == {"all.zip"}
    run("export", "--all", "-o", "again.zip")
    assert (folder / "again.zip").read_bytes() == (folder / "all.zip").read_bytes()
    assert run("export", "mug", "-o", "one.zip").out == "one.zip\n"
    assert run("export", "--all", "-o", "all.zip").code == 4


def test_a_pipe_carries_several_as_a_zip(run, library_with, sdxl) -> None:
    library_with("mug", "cat", width=768)
    sent = run("export", "mug", "cat", "--for", "a1111", "-o", "-")
    names, manifest = manifest_of(sent.out_bytes)
    assert sorted(names) == ["cat-tiq.safetensors", "manifest.json", "mug-tiq.safetensors"]
    assert [entry["name"] for entry in manifest["concepts"]] == ["mug", "cat"]
    names, _ = manifest_of(run("export", "big", "-o", "-").out_bytes)
    assert "big/learned_embeds_2.safetensors" in names
    assert run("export", "mug", "--format", "a1111-pt", "-o", "-").out_bytes[:2] == b"PK"
    assert run("export", "mug", "cat", "-o", "-", tty=True).code == 2


def test_several_words_in_one_original_file(run, library_with, folder) -> None:
    library_with("mug", "cat", width=768)
    result = run("export", "mug", "cat", "--format", "original-pt", "-o", "both.pt", "--json", "-v")
    assert [(i["name"], i["path"]) for i in result.json] == [("mug", "both.pt"), ("cat", "both.pt")]
    assert [path.name for path in folder.iterdir()] == ["both.pt"]
    assert "write * for <mug>, & for <cat>" in result.err
    assert "does not hold of mug, cat: name, base, training" in result.err
    assert run("export", "mug", "cat", "--format", "original-pt").lines == ["mug.pt", "cat.pt"]
    assert run("export", "mug", "cat", "--format", "emb_params", "-o", "both.pt").code == 2


def test_what_a_layout_cannot_hold_is_said(run, library_with) -> None:
    library_with("mug", width=768, noun="cup", token="<Mug>")
    (item,) = run("export", "mug", "--format", "diffusers-bin", "--json").json
    assert item["lost"] == ["capitals", "noun", "base", "training", "dates"]
    (item,) = run("export", "mug", "--json").json
    assert item["lost"] == []
    told = run("export", "mug", "--format", "diffusers-bin", "--force").err
    assert told.splitlines() == [
        "in a prompt, write: <mug> cup",
        "write it in lower case, as the file has it: with the capitals of <Mug>, vectors are lost",
    ]
    assert "capitals" in run("export", "mug", "--format", "diffusers-bin", "--force", "-v").err


def test_metadata_by_the_standard(run, library_with, folder) -> None:
    from ticli.concept import BaseModel, Parent

    library_with(
        "mug",
        width=768,
        noun="cup",
        notes="mine",
        tags=("a", "b,c"),
        base=BaseModel("sd2", "maker/model", "", ""),
        recipe={"size": 768},
        parents=(Parent("cat", 1.0, "ab" * 32), Parent("dog", None, "cd" * 32)),
    )
    run("export", "mug", "--author", "Ann", "--license", "cc0-1.0")
    found = metadata_of(folder / "mug.safetensors")
    content = (folder / "mug.safetensors").read_bytes()
    data = content[8 + int.from_bytes(content[:8], "little") :]
    assert {k: v for k, v in found.items() if k.startswith("modelspec.")} == {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v2-768-v/textual-inversion",
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.implementation_version": found["modelspec.implementation_version"],
        "modelspec.title": "mug",
        "modelspec.resolution": "768x768",
        "modelspec.author": "Ann",
        "modelspec.license": "cc0-1.0",
        "modelspec.date": "2026-01-02T03:04:05+00:00",
        "modelspec.trigger_phrase": "<mug> cup",
        "modelspec.usage_hint": "in diffusers, write: <mug> cup",
        "modelspec.tags": "a,b c",
        "modelspec.merged_from": "cat,dog",
        "modelspec.is_negative_embedding": "false",
        "modelspec.hash_sha256": f"0x{hashlib.sha256(data).hexdigest()}",
    }
    assert all(isinstance(value, str) for value in found.values())
    run("export", "mug", "--notes", "--force")
    assert metadata_of(folder / "mug.safetensors")["modelspec.description"] == "mine"


@pytest.mark.parametrize(
    ("family", "width", "name"),
    [
        ("sd1", 768, "stable-diffusion-v1"),
        ("sd1", 256, "ti-starter"),
        ("sd2", 1024, "stable-diffusion-v2-512"),
        ("", 768, "unknown"),
    ],
)
def test_the_architecture(run, library_with, folder, family, width, name) -> None:
    from ticli.concept import BaseModel

    library_with("mug", width=width, base=BaseModel(family, "", "", ""))
    run("export", "mug", "--format", "encoder-keys")
    found = metadata_of(folder / "mug.safetensors")
    assert found["modelspec.architecture"] == f"{name}/textual-inversion"


def test_a_thumbnail_on_request(run, library_with, folder) -> None:
    library_with("mug", width=768)
    Image.new("RGB", (900, 600), "red").save("shot.jpg", exif=b"Exif\0\0secret-place")
    assert "modelspec.thumbnail" not in _exported(run, folder)
    uri = _exported(run, folder, "--thumbnail", "shot.jpg")["modelspec.thumbnail"]
    import base64

    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(data)).size == (256, 171)
    assert b"secret-place" not in data
    run("export", "mug", "--for", "png", "--thumbnail", "shot.jpg")
    with Image.open("mug-tiq.png") as picture:
        assert picture.height == 600
        assert picture.getpixel((picture.width // 2, 300)) == pytest.approx((254, 0, 0), abs=2)
    run("export", "mug", "--for", "concept-repo", "--thumbnail", "shot.jpg")
    assert (folder / "mug" / "concept_images" / "0.jpeg").is_file()
    assert run("export", "mug", "--force", "--thumbnail", "absent.jpg").code == 3
    (folder / "text.jpg").write_text("hello")
    assert run("export", "mug", "--force", "--thumbnail", "text.jpg").code == 1


def _exported(run, folder: Path, *flags: str) -> dict[str, str]:
    assert run("export", "mug", "--force", *flags).code == 0
    return metadata_of(folder / "mug.safetensors")


def test_links_are_never_followed(run, library_with, folder, tmp_path) -> None:
    library_with("mug")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for target in (victim, tmp_path / "absent"):
        link = folder / "mug.safetensors"
        link.symlink_to(target)
        assert run("export", "mug").code == 4
        assert link.is_symlink()
        assert run("export", "mug", "--force").code == 0
        assert not link.is_symlink()
        link.unlink()
    assert victim.read_text() == "mine"
    assert not (tmp_path / "absent").exists()


def test_a_folder_in_a_files_place(run, library_with, folder) -> None:
    library_with("mug", "cat")
    (folder / "mug.safetensors").mkdir()
    for flags in ((), ("--force",)):
        result = run("export", "cat", "mug", *flags)
        assert result.code == 4
        assert "mug.safetensors" in result.err
    assert not (folder / "cat.safetensors").exists()


def test_nothing_is_left_where_writing_fails(run, library_with, folder) -> None:
    library_with("mug")
    if os.geteuid() == 0:
        result = run("export", "mug", "-o", "/proc/none/mug.safetensors")
    else:
        folder.chmod(0o500)
        result = run("export", "mug")
        folder.chmod(0o700)
    assert result.code != 0
    assert list(folder.iterdir()) == []


def test_hostile_words_in_a_repositorys_card(run, library_with, folder) -> None:
    import yaml

    from ticli.concept import BaseModel

    library_with("mug", width=768, base=BaseModel("sd1", "maker/model", "", ""))
    license = 'mit" # : {base_model: evil} &a *a !!x ---'
    run("export", "mug", "--for", "concept-repo", "--license", license)
    card = (folder / "mug" / "README.md").read_text()
    front = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    assert front == {
        "license": license,
        "base_model": "maker/model",
        "library_name": "diffusers",
        "tags": ["textual_inversion"],
    }


def test_wrong_calls(run, library_with) -> None:
    library_with("mug")
    assert run("export", "mug", "--for", "a1111", "--format", "png").code == 2
    assert run("export", "mug", "--for", "word").code == 2
    assert run("export", "mug", "mug", "-o", "-", "--json").code == 2
    assert run("export", "mug", "<mug>").lines == ["mug.safetensors"]


def test_an_empty_library_has_nothing_for_a_pipe(run, folder) -> None:
    assert run("export", "--all", "-o", "-").code == 2
    assert run("export", "--all", "-o", "all.zip").code == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31m", "\udcff", "a\u202eb"])
def test_words_that_are_no_line_of_text(run, library_with, folder, text) -> None:
    library_with("mug", width=768)
    for flag in ("--author", "--license"):
        assert run("export", "mug", flag, text).code == 2
    assert run("export", "mug", "--for", "kohya", "-o", f"{text}.safetensors").code == 2
    assert list(folder.iterdir()) == []


def test_what_would_be_too_large_to_read_back(run, library_with, folder, monkeypatch) -> None:
    library_with("mug", width=768)
    # Notes that are written later lie in the row alone.
    assert run("tag", "mug", "--note", "x" * 2000).code == 0
    monkeypatch.setattr(metadata, "LARGEST_METADATA", 4000)
    result = run("export", "mug", "--notes")
    assert result.code == 4
    assert "--notes" in result.err
    library_with("many", width=768, vectors=300)
    result = run("export", "many", "--for", "png")
    assert result.code == 4
    assert "300 vectors" in result.err
    assert list(folder.iterdir()) == []


def test_more_words_than_one_bundle_takes(run, library_with, folder) -> None:
    names = [f"w{number}" for number in range(65)]
    library_with(*names)
    result = run("export", *names, "--format", "bundle", "-o", "all.safetensors")
    assert result.code == 4
    assert "64" in result.err
    assert run("export", *names[:64], "--format", "bundle", "-o", "all.safetensors").code == 0
