"""Every layout by itself: what it holds bit by bit, and what strict readers make of it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import a1111_reader
import comfyui_reader
import numpy as np
import other_readers
import pytest
import torch
from cells import CELLS, REFUSED
from learned_words import learned, same
from safetensors import safe_open
from safetensors.torch import load_file

from ticli.errors import Conflict, Usage
from ticli.library import FOLDER, LAYOUTS, Extras, Target, export_bytes, export_concepts


def file_of(folder: Path, layout: str, family: str, **changes) -> tuple[Path, dict]:
    """Write a word of one family in a layout; the file, and its rows by encoder."""
    concept, embedding = learned(family, **changes)
    path = folder / f"{concept.name}{LAYOUTS[layout].suffix}"
    path.write_bytes(export_bytes(concept, embedding, layout))
    return path, dict(embedding.rows)


@pytest.mark.parametrize(("layout", "family"), CELLS)
@pytest.mark.parametrize("vectors", [1, 4])
def test_every_cell_has_the_bits_of_the_library(layout, family, vectors) -> None:
    """Somewhere in the file stand the very bytes of every encoder's rows, or their decimals."""
    concept, embedding = learned(family, vectors)
    target = Target(format=layout).checked()
    exported = export_concepts([(concept, embedding)], target, Extras())
    content = b"".join(exported.files.values())
    for rows in embedding.rows.values():
        if layout == "png":
            word = io.BytesIO(content)
            numbers = _png_numbers(word)
            assert any(np.asarray(n, np.float32).tobytes() == rows.tobytes() for n in numbers)
        else:
            assert rows.astype("<f4").tobytes() in content
    again = export_concepts([(concept, embedding)], target, Extras())
    assert again.files == exported.files, "the same content gives the same bytes"


def _png_numbers(file: io.BytesIO) -> list:
    import base64

    from PIL import Image

    with Image.open(file) as picture:
        document = json.loads(base64.b64decode(picture.text["sd-ti-embedding"]))
    tables = [document, document.get("string_to_param", {})]
    return [
        v["TORCHTENSOR"]
        for t in tables
        for v in t.values()
        if isinstance(v, dict) and "TORCHTENSOR" in v
    ]


@pytest.mark.parametrize(("layout", "family"), REFUSED)
def test_impossible_cells_say_why(layout, family) -> None:
    concept, embedding = learned(family)
    with pytest.raises(Conflict) as refusal:
        export_concepts([(concept, embedding)], Target(format=layout), Extras())
    said = refusal.value.message
    assert all(encoder in said for encoder in embedding.rows)
    assert LAYOUTS[layout].holds.words in said


def test_keys_of_the_safetensors_layouts(tmp_path) -> None:
    def keys(layout: str, family: str) -> set[str]:
        return set(load_file(file_of(tmp_path, layout, family)[0]))

    assert keys("diffusers", "sd1") == {"<mug>"}
    assert keys("emb_params", "sd2") == {"emb_params"}
    assert keys("emp_params", "sd1") == {"emp_params"}
    assert keys("sdxl", "sdxl") == {"clip_l", "clip_g"}
    assert keys("t5xxl", "flux") == {"clip_l", "t5xxl"}
    assert keys("t5xxl", "sd3") == {"clip_l", "clip_g", "t5xxl"}
    assert keys("t5xxl", "pixart") == {"t5xxl"}
    assert keys("encoder-keys", "flux") == {"clip_l", "t5"}
    assert keys("bundle", "flux") == {"bundle_emb.mug.clip_l", "bundle_emb.mug.t5xxl"}
    assert keys("encoder-keys", "sana") == {"gemma"}
    assert keys("bundle", "sd1") == {"bundle_emb.mug.emb_params"}
    assert keys("bundle", "sdxl") == {"bundle_emb.mug.clip_l", "bundle_emb.mug.clip_g"}
    assert keys("ti", "sd3") == {"clip_l", "clip_g", "t5"}


@pytest.mark.parametrize("layout", ["a1111-pt", "diffusers-bin", "original-pt"])
def test_pickled_files_pass_the_strictest_check(tmp_path, layout) -> None:
    path, _ = file_of(tmp_path, layout, "sd1")
    a1111_reader.check_pt(path)


def test_the_strictest_check_refuses_what_torch_writes(tmp_path) -> None:
    torch.save({"<mug>": torch.zeros(1, 768)}, tmp_path / "new.pt")
    with pytest.raises(a1111_reader.Refused, match="bad file inside"):
        a1111_reader.check_pt(tmp_path / "new.pt")


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a1111_pt(tmp_path, family, vectors) -> None:
    path, embedding = file_of(tmp_path, "a1111-pt", family, vectors=vectors)
    (rows,) = embedding.values()
    saved = torch.load(path, weights_only=True)
    assert saved["string_to_token"] == {"*": 265}
    assert (saved["name"], saved["step"]) == ("mug", 160)
    assert (saved["sd_checkpoint"], saved["sd_checkpoint_name"]) == (None, "maker/model-1")
    assert same(saved["string_to_param"]["*"], rows)
    assert type(saved["string_to_param"]["*"]) is torch.Tensor
    name, tensors = a1111_reader.read_word(path)
    assert name == "mug"
    assert same(tensors["one"], rows)
    tensor, _ = comfyui_reader.load_word(tmp_path, "mug", "clip_l", rows.shape[1])
    assert same(tensor, rows)
    assert same(other_readers.invokeai(path)[2]["one"], rows)
    assert same(other_readers.sdnext(path, {rows.shape[1]: set()})[1][rows.shape[1]], rows)
    assert same(other_readers.kohya(path, set())[1][0], rows)


def test_original_pt_in_the_original_code(tmp_path) -> None:
    path, embedding = file_of(tmp_path, "original-pt", "sd1")
    manager = other_readers.OriginalManager()
    manager.load(path)
    assert list(manager.string_to_param_dict) == ["*"]
    assert same(manager.string_to_param_dict["*"], embedding["clip_l"])
    assert manager.string_to_param_dict["*"].requires_grad
    assert len(list(manager.parameters())) == 1
    ids = torch.tensor([[49406, 320, 1125, 539, 265, 49407]])
    embedded = manager.replaced(ids, torch.zeros(1, 6, 768))
    assert same(embedded[0, 4], embedding["clip_l"][:1])
    assert not embedded[0, :4].any()
    assert same(a1111_reader.read_word(path)[1]["one"], embedding["clip_l"])


def test_several_words_in_one_original_file(tmp_path) -> None:
    words = [learned("sd1", 1, name) for name in ("mug", "cat", "old-hat")]
    exported = export_concepts(words, Target(format="original-pt"), Extras())
    path = tmp_path / "all.pt"
    path.write_bytes(exported.files[""])
    manager = other_readers.OriginalManager()
    manager.load(path)
    assert list(manager.string_to_param_dict) == ["<mug>", "<cat>", "<old-hat>"]
    # What CLIP's vocabulary has for * & @ standing alone.
    ids = [int(token) for token in manager.string_to_token_dict.values()]
    assert ids == [265, 261, 287]
    for concept, embedding in words:
        assert same(manager.string_to_param_dict[f"<{concept.name}>"], embedding.rows["clip_l"])
    embedded = manager.replaced(torch.tensor([[1, 261, 287]]), torch.zeros(1, 3, 768))
    assert same(embedded[0, 1], words[1][1].rows["clip_l"])
    assert same(embedded[0, 2], words[2][1].rows["clip_l"])
    (note,) = exported.notes
    assert note.endswith("write * for <mug>, & for <cat>, @ for <old-hat>")


def test_several_words_need_one_family_and_a_layout_for_it() -> None:
    words = [learned("sd1"), learned("sd2", name="cat")]
    with pytest.raises(Conflict, match="different encoders"):
        export_concepts(words, Target(format="original-pt"), Extras())
    with pytest.raises(Usage, match="holds one concept"):
        export_concepts([words[0], words[0]], Target(format="emb_params"), Extras())
    many = [learned("sd1", 1, f"w{n}") for n in range(40)]
    with pytest.raises(Conflict, match="at most"):
        export_concepts(many, Target(format="original-pt"), Extras())


def test_several_words_in_one_bundle(tmp_path) -> None:
    words = [learned("sd1"), learned("sd1", name="cat")]
    exported = export_concepts(words, Target(format="bundle"), Extras())
    path = tmp_path / "lora.safetensors"
    path.write_bytes(exported.files[""])
    for key, tensor in load_file(path).items():
        # The parser splits at the first dot after the prefix, and reads the rest as a file.
        _, name, rest = key.split(".", 2)
        _, tensors = name, a1111_reader.tensors_of({rest: tensor})
        rows = next(e.rows["clip_l"] for c, e in words if c.name == name)
        assert same(tensors["one"], rows)
    with safe_open(path, "pt") as file:
        assert {"ti.concept.mug", "ti.concept.cat"} <= file.metadata().keys()


def test_a_bundle_addressed_in_comfyui(tmp_path) -> None:
    path, embedding = file_of(tmp_path, "bundle", "sdxl")
    tensor, _ = comfyui_reader.load_word(tmp_path, path.stem, "clip_g", 1280)
    assert same(tensor, embedding["clip_g"])


def test_zips_of_pickles_hold_nothing_of_this_moment(tmp_path) -> None:
    path, _ = file_of(tmp_path, "a1111-pt", "sd1")
    with zipfile.ZipFile(path) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_numbers_at_the_edges_survive() -> None:
    """The smallest and largest float32, and minus zero, through decimals too."""
    from ticli.concept import Embedding

    concept, _ = learned("sd1", 1)
    rows = np.zeros((1, 768), np.float32)
    rows[0, :6] = [1e-45, 3.4028235e38, -0.0, 1 / 3, 1.1754944e-38, -7.006492e-46]
    embedding = Embedding({"clip_l": rows})
    for layout in LAYOUTS.values():
        if layout.suffix == FOLDER or not layout.takes(frozenset({"clip_l"})):
            continue
        content = export_bytes(concept, embedding, layout.name)
        if layout.name == "png":
            (numbers,) = _png_numbers(io.BytesIO(content))
            assert np.asarray(numbers, np.float32).tobytes() == rows.tobytes()
        else:
            assert rows.tobytes() in content, layout.name


def test_wrong_names_of_programs_and_formats() -> None:
    with pytest.raises(Usage, match="no program"):
        Target(consumer="word").checked()
    with pytest.raises(Usage, match="no format"):
        Target(format="pickle").checked()
    with pytest.raises(Usage, match="chooses the format"):
        Target("a1111", "emb_params").checked()
