"""`ti import` of foreign files: several words, folders, pairs, all or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

ROWS = torch.linspace(-0.02, 0.03, 1536).reshape(2, 768)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def test_one_of_several_words_is_named(run) -> None:
    save_file({"<Cat>": ROWS, "<dog>": ROWS.clone()}, "two.safetensors")
    result = run("import", "two.safetensors", "--json")
    assert result.code == 2
    assert result.json["error"]["tokens"] == ["<Cat>", "<dog>"]
    assert run("import", "two.safetensors", "-t", "bird").code == 2
    assert run("import", "two.safetensors", "-t", "cat").out == "cat\n"
    assert run("import", "two.safetensors", "--all").lines == ["cat", "dog"]
    assert run("import", "two.safetensors", "--all", "-t", "x").code == 2


def test_a_torch_file_is_read(run, library_with) -> None:
    torch.save({"<mug>": ROWS}, "learned_embeds.bin")
    assert run("import", "learned_embeds.bin").out == "mug\n"
    library = library_with()
    np.testing.assert_array_equal(
        library.embedding(library.get("mug")).rows["clip_l"], ROWS.numpy()
    )
    assert run("show", "mug", "--field", "base.id").out.strip() == ""


def test_what_a1111_says_is_kept(run) -> None:
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": ROWS}, "name": "Neg v2",
                "step": 500, "sd_checkpoint": "4c86efd062", "sd_checkpoint_name": "sd15"},
               "x.pt")  # fmt: skip
    assert run("import", "x.pt").out == "neg-v2\n"
    assert run("show", "neg-v2", "--field", "steps").out == "500\n"
    assert run("show", "neg-v2", "--field", "base.id").out == "sd15\n"
    assert run("show", "neg-v2", "--field", "base.revision").out == "4c86efd062\n"


def test_a_concept_folder_tells_token_and_kind(run, folder) -> None:
    (folder / "repository").mkdir()
    torch.save({"*": ROWS}, "repository/learned_embeds.bin")
    (folder / "repository" / "token_identifier.txt").write_text("<Marc_Allante>")
    (folder / "repository" / "type_of_concept.txt").write_text("style")
    assert run("import", "repository").out == "marc_allante\n"
    assert run("show", "marc_allante", "--field", "kind").out == "style\n"
    save_file({"<own>": ROWS}, "repository/learned_embeds.safetensors")
    assert run("import", "repository").out == "own\n"
    (folder / "repository" / "token_identifier.txt").unlink()
    save_file({"emb_params": ROWS * 2}, "repository/learned_embeds.safetensors")
    assert run("import", "repository").out == "repository\n"


def test_a_broken_safetensors_file_is_not_passed_over_for_a_pickle(run, folder) -> None:
    (folder / "repository").mkdir()
    torch.save({"<mug>": ROWS}, "repository/learned_embeds.bin")
    (folder / "repository" / "learned_embeds.safetensors").write_bytes(bytes(99))
    assert run("import", "repository").code == 1
    assert run("import", str(folder)).code == 1


def test_the_pair_of_sdxl_is_one_word(run, folder) -> None:
    save_file({"<x>": ROWS}, "learned_embeds.safetensors")
    save_file({"<x>": torch.ones(2, 1280) / 40}, "learned_embeds_2.safetensors")
    result = run("import", "learned_embeds_2.safetensors", "learned_embeds.safetensors", "-t", "y",
                 "--json")  # fmt: skip
    (item,) = result.json
    assert item["widths"] == {"clip_g": 1280, "clip_l": 768}
    assert (item["name"], item["base"]["family"]) == ("y", "sdxl")
    assert run("import", ".").out == "x\n"


def test_one_name_for_two_models_is_no_pair(run) -> None:
    save_file({"<x>": ROWS}, "sd1.safetensors")
    save_file({"<x>": torch.ones(2, 1024) / 40}, "sd2.safetensors")
    result = run("import", "sd1.safetensors", "sd2.safetensors")
    assert result.code == 4
    assert "several files hold a concept called 'x'" in result.err


def test_a_pair_of_unequal_vectors_is_refused(run) -> None:
    save_file({"<x>": ROWS}, "learned_embeds.safetensors")
    save_file({"<x>": torch.ones(3, 1280) / 40}, "learned_embeds_2.safetensors")
    result = run("import", ".")
    assert result.code == 1
    assert "unequal" in result.err


def test_the_same_file_twice_is_one_word(run) -> None:
    save_file({"<mug>": ROWS}, "mug.safetensors")
    assert run("import", "mug.safetensors").code == 0
    before = run("show", "mug", "--json").json
    assert run("import", "mug.safetensors").out == "mug\n"
    assert run("show", "mug", "--json").json == before
    assert run("import", "mug.safetensors", "mug.safetensors").code == 4


def test_several_files_are_all_taken_or_none(run, isolated) -> None:
    for name, factor in (("a", 1), ("b", 2), ("c", 3)):
        save_file({f"<{name}>": ROWS * factor}, f"{name}.safetensors")
    assert run("import", "b.safetensors").code == 0
    save_file({"<b>": ROWS * 5}, "b2.safetensors")
    blobs = sorted(isolated.glob("blobs/*/*"))
    assert run("import", "a.safetensors", "b2.safetensors", "c.safetensors").code == 4
    assert run("list", "-q").lines == ["b"]
    assert sorted(isolated.glob("blobs/*/*")) == blobs
    assert run("import", "a.safetensors", "b2.safetensors", "c.safetensors", "--replace").lines == [
        "a",
        "b",
        "c",
    ]
    assert len(list(isolated.glob("blobs/*/*"))) == 3


def test_no_room_for_one_of_several_leaves_none(run, isolated, monkeypatch) -> None:
    """A limit on the size of files stands for a full disk: the third word is too large."""
    import resource

    save_file({"<a>": ROWS}, "a.safetensors")
    save_file({"<b>": ROWS * 2}, "b.safetensors")
    save_file({"<c>": torch.full((900, 768), 0.01)}, "c.safetensors")
    assert run("import", "a.safetensors", "-t", "first").code == 0
    import signal

    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        result = run("import", "a.safetensors", "b.safetensors", "c.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, usual)
    assert result.code == 1
    assert run("list", "-q").lines == ["first"]
    assert len(list(isolated.glob("blobs/*/*.safetensors"))) == 1


def test_what_is_left_out_is_said(run) -> None:
    save_file({"clip_l": ROWS, "clip_l_out": ROWS.clone()}, "x.safetensors")
    result = run("import", "x.safetensors")
    assert result.out == "x\n"
    assert "'clip_l_out' is left out" in result.err
    assert run("import", "x.safetensors", "-t", "y", "-q").err == ""


def test_a_zip_of_words_is_taken_with_all(run, library_with, folder) -> None:
    library = library_with("mug", "cat")
    before = {name: library.embedding(library.get(name)).rows["clip_l"] for name in ("mug", "cat")}
    assert run("export", "mug", "cat", "-o", "words.zip").code == 0
    run("rm", "-y", "mug", "cat")
    assert run("import", "words.zip").code == 2
    assert sorted(run("import", "words.zip", "--all").lines) == ["cat", "mug"]
    for name, rows in before.items():
        np.testing.assert_array_equal(library.embedding(library.get(name)).rows["clip_l"], rows)


def test_a_cache_that_cannot_be_read_stops_no_import(run, tmp_path, monkeypatch) -> None:
    """A width that no table knows asks for the models of this machine."""
    cache = tmp_path / "cache"
    cache.write_text("a file where a folder should be")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(cache))
    save_file({"<mug>": ROWS}, "mug.safetensors")
    save_file({"<odd>": torch.ones(1, 40)}, "odd.safetensors")
    assert run("import", "mug.safetensors").code == 0
    result = run("import", "odd.safetensors", "-v")
    assert result.code == 1
    assert "40 numbers" in result.err
    assert "the hub cache cannot be read" in result.err
