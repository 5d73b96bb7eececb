"""Models are found and described without torch, and what is no model is refused in words."""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from ticli.errors import ModelUnavailable
from ticli.models import STARTER, usable
from ticli.models.fingerprint import fingerprint
from ticli.models.locate import locate, starter, vocabulary


@pytest.fixture
def copy(tmp_path) -> Path:
    """A folder like the starter's, its large files linked."""
    return Path(shutil.copytree(STARTER, tmp_path / "model", copy_function=link))


def link(source: str, target: str) -> str:
    Path(target).symlink_to(source)
    return target


def test_the_starter_is_always_there():
    found = starter()
    assert (found.id, found.family, found.size) == ("starter", "sd1", 128)
    assert dict(found.widths) == {"clip_l": 256} and dict(found.windows) == {"clip_l": 48}
    assert found.license == "Apache-2.0" and found.revision
    assert locate("") == locate("starter") == found
    assert [source.id for source in usable()] == ["starter"]
    assert vocabulary(found)["mug</w>"] > 0


def test_a_folder_is_a_model(copy):
    found = locate(str(copy))
    assert found.id == str(copy) and found.family == "sd1" and not found.is_starter
    assert [source.id for source in usable(str(copy))] == ["starter", str(copy)]


def rewrite(file: Path, **changes) -> None:
    document = json.loads(file.read_text()) | changes
    file.unlink()
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / "model_index.json").unlink(), "model_index.json"),
        (lambda f: (f / "unet" / "config.json").unlink(), "no config.json in"),
        (lambda f: (f / "vae" / "diffusion_pytorch_model.safetensors").unlink(), "safetensors"),
        (lambda f: rewrite(f / "model_index.json", _class_name="MarigoldPipeline"), "Marigold"),
        (lambda f: rewrite(f / "unet" / "config.json", sample_size=None), "configuration"),
        (lambda f: rewrite(f / "unet" / "config.json", sample_size=math.inf), "configuration"),
    ],
)
def test_what_is_no_model_is_refused_by_name(copy, harm, words):
    harm(copy)
    with pytest.raises(ModelUnavailable) as caught:
        locate(str(copy))
    assert words in caught.value.message and caught.value.exit_code == 5


@pytest.mark.parametrize("bare", [True, 3, "checker", {}])
def test_an_index_with_bare_values_is_read(copy, bare):
    """Only a pair of a library and a class names a part."""
    rewrite(copy / "model_index.json", safety_checker=bare, unet=bare)
    assert locate(str(copy)).safety_checker is False
    rewrite(copy / "model_index.json", safety_checker=["a", "b"])
    assert locate(str(copy)).safety_checker is True


@pytest.mark.parametrize("words", [{"mug</w>": "x"}, {"mug</w>": []}])
def test_a_vocabulary_that_is_none_is_refused(copy, words):
    rewrite(copy / "tokenizer" / "vocab.json", **words)
    with pytest.raises(ModelUnavailable, match="vocabulary"):
        vocabulary(locate(str(copy)))


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "some/model", "a/b/c", "model.ckpt"])
def test_absent_models(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable) as caught:
        locate(name)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["nosuch.ckpt", "models/nosuch.pt"])
def test_an_absent_pickle_is_told_of_before_it_is_fetched(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable, match="no model folder or file") as caught:
        locate(name)
    assert "pickle" in caught.value.hint and ".safetensors" in caught.value.hint


def write_table(folder: Path, table: np.ndarray, dtype: str) -> None:
    """Write a text encoder that is its token table alone."""
    data = table.tobytes()
    header = json.dumps(
        {
            "text_model.embeddings.token_embedding.weight": {
                "dtype": dtype,
                "shape": list(table.shape),
                "data_offsets": [0, len(data)],
            }
        }
    ).encode()
    file = folder / "text_encoder" / "model.safetensors"
    file.unlink()
    file.write_bytes(struct.pack("<Q", len(header)) + header + data)


def test_the_fingerprint_is_of_the_table_rounded_to_half(copy):
    table = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    found = locate(str(copy))
    prints = []
    for values, dtype in ((table, "F32"), (table.astype(np.float16), "F16")):
        write_table(copy, values, dtype)
        prints.append(fingerprint(found))
    assert prints[0] == prints[1]
    short = (table.view(np.uint32) >> 16).astype(np.uint16)
    write_table(copy, short, "BF16")
    rounded = fingerprint(found)
    write_table(copy, (short.astype(np.uint32) << 16).view(np.float32), "F32")
    assert rounded == fingerprint(found) != prints[0]
    write_table(copy, -table, "F32")
    assert fingerprint(found) != prints[0]
    (copy / "text_encoder" / "model.safetensors").write_bytes(b"<html>")
    with pytest.raises(ModelUnavailable):
        fingerprint(found)


def test_the_starters_fingerprint_covers_its_whole_text_encoder(copy):
    assert fingerprint(starter()) != fingerprint(locate(str(copy)))
