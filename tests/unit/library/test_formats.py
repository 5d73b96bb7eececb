"""Files go out as other programs read them and come back with the same word and numbers."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save as save_torch

from ticli.concept import BaseModel, Embedding
from ticli.errors import BadContent, NotFound, TiError, Usage
from ticli.library import (
    LARGEST_FILE,
    Library,
    build_tensor_file,
    choose_token,
    encode_blob,
    export_bytes,
    imported_concept,
    open_file,
    read_embedding,
)
from ticli.names import Token, parse_token


def tensor(width: int = 768, vectors: int = 1, value: float = 0.02) -> torch.Tensor:
    return torch.full((vectors, width), value)


def opened(data: bytes, tmp_path: Path):
    (tmp_path / "file.safetensors").write_bytes(data)
    return safe_open(tmp_path / "file.safetensors", "np")


@pytest.mark.parametrize("layout", ["diffusers", "emb_params"])
def test_an_export_comes_back_as_it_was(make, layout: str) -> None:
    concept, embedding = make("<Red-Mug>", 3, noun="mug")
    data = export_bytes(concept, embedding, layout)
    found = read_embedding(data, "red.safetensors")
    assert found.layout == layout and found.warnings == ()
    assert found.concept is not None and found.concept.vectors == 3
    np.testing.assert_array_equal(found.embedding.rows["clip_l"], embedding.rows["clip_l"])
    token = choose_token(found, None, "another")
    assert token == Token("red-mug", "<Red-Mug>")
    assert (found.noun, found.base) == ("mug", concept.base)
    again = imported_concept(found, token)
    assert (again.trigger, again.base, again.vectors) == ("<Red-Mug> mug", concept.base, 3)


def test_hub_ids_stay_whole_in_an_export(make) -> None:
    concept, embedding = make("mug", base=BaseModel("sd1", "org/model-1.5", "abc", ""))
    assert read_embedding(export_bytes(concept, embedding), "x").base == concept.base


def test_the_librarys_own_file_comes_back_whole(library: Library, make) -> None:
    stored = library.add(*make("<Mug>", 2, noun="mug", tags=("a",), notes="n"))
    found = read_embedding(Path(stored.path).read_bytes(), "blob")
    assert found.layout == "ti" and found.concept is not None
    outside = {"path": "", "bytes": 0, "sha256": "", "used": ""}
    assert imported_concept(found, choose_token(found, None)) == replace(stored, **outside)
    renamed = imported_concept(found, parse_token("cup"), BaseModel("sd1", "other", "", ""))
    assert (renamed.name, renamed.token, renamed.base.id) == ("cup", "<cup>", "other")


@pytest.mark.parametrize(
    ("width", "encoder", "family"),
    [
        (256, "clip_l", "sd1"),
        (768, "clip_l", "sd1"),
        (1024, "clip_h", "sd2"),
        (1280, "clip_g", ""),
        (2304, "gemma", "sana"),
        (4096, "t5", ""),
    ],
)
def test_the_encoder_follows_from_the_width(width: int, encoder: str, family: str) -> None:
    found = read_embedding(save_torch({"<mug>": tensor(width)}), "x")
    assert found.embedding.widths == {encoder: width}
    assert found.base == BaseModel(family, "", "", "")
    assert (found.key, found.layout) == ("<mug>", "diffusers")


def test_an_unknown_width_is_refused_unless_a_model_has_it() -> None:
    data = save_torch({"<mug>": tensor(512)})
    with pytest.raises(BadContent, match="vectors of 512 numbers") as caught:
        read_embedding(data, "x")
    assert "256, 768, 1024" in caught.value.hint
    assert read_embedding(data, "x", widths=[512]).embedding.widths == {"clip_l": 512}


def test_one_vector_of_2022_becomes_a_row() -> None:
    found = read_embedding(save_torch({"*": torch.ones(768) / 40}), "x")
    assert found.embedding.rows["clip_l"].shape == (1, 768)
    assert found.key == ""


def test_zero_and_huge_vectors_are_warned_of() -> None:
    zero = read_embedding(save_torch({"a": torch.cat([tensor(), tensor() * 0])}), "f")
    assert zero.warnings == ("f: 1 of 2 vectors are zero",)
    huge = read_embedding(save_torch({"a": tensor(value=50.0)}), "f")
    assert "norm of 1.39e+03" in huge.warnings[0]


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"a": tensor(value=float("nan"))}, "not finite"),
        ({"a": tensor(value=float("inf"))}, "not finite"),
        ({"a": tensor(768).double() * 1e300}, "not finite"),
        ({"a": tensor(), "b": tensor()}, "holds 2 concepts"),
        ({}, "holds no embedding, but nothing"),
        ({"a": tensor().long()}, "numbers of type 'I64'"),
        ({"a": tensor().bool()}, "numbers of type 'BOOL'"),
        ({"a": torch.zeros(1, 1, 768)}, "has the shape"),
        ({"a": torch.zeros(0, 768)}, "has the shape"),
        ({"a": torch.zeros(768, 0)}, "has the shape"),
        ({"a": torch.tensor(1.0)}, "has the shape"),
        ({"a": torch.zeros(1025, 768)}, "1,025 vectors"),
        ({"a": torch.ones(1, 999)}, "vectors of 999 numbers"),
    ],
)
def test_tensors_that_are_no_word_are_refused(tensors: dict, match: str) -> None:
    with pytest.raises(BadContent, match=match):
        read_embedding(save_torch(tensors), "file")


class Marker:
    """A pickle of this creates a file when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def torch_saved(content: object, **options) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("mug.safetensors", b"x")
    return stream.getvalue()


OTHERS = {
    "torch": (lambda m: torch_saved({"<mug>": tensor(), "m": m}), "asks for"),
    "legacy torch": (
        lambda m: torch_saved({"m": m}, _use_new_zipfile_serialization=False),
        "asks for",
    ),
    **{
        f"pickle {number}": (
            lambda m, number=number: pickle.dumps({"m": m}, protocol=number),
            "is a pickled file",
        )
        for number in range(6)
    },
    "pickle 0 of a call": (lambda m: b"cos\nsystem\n(S'true'\ntR.", "is a pickled file"),
    "nothing": (lambda m: b"", "is empty"),
    "web page": (lambda m: b"\n <!DOCTYPE html><html>404", "is a web page"),
    "lfs": (lambda m: b"version https://git-lfs.github.com/spec/v1\noid", "git-lfs pointer"),
    "png": (lambda m: b"\x89PNG\r\n\x1a\n" + bytes(99), "is damaged"),
    "jpeg": (lambda m: b"\xff\xd8\xff\xe0" + bytes(99), "is a JPEG picture"),
    "webp": (lambda m: b"RIFF\x00\x00\x00\x00WEBPVP8 ", "is a WebP picture"),
    "zip": (lambda m: zipped(), "is a zip archive"),
    "gzip": (lambda m: b"\x1f\x8b\x08" + bytes(20), "is packed with gzip"),
    "gguf": (lambda m: b"GGUF\x03" + bytes(20), "is a GGUF file: a full model"),
    "text": (lambda m: b"hello there, this is a text", "is not an embedding file"),
    "seven bytes": (lambda m: b"\x01" * 7, "is not an embedding file"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named_and_never_run(name: str, tmp_path: Path) -> None:
    build, match = OTHERS[name]
    marker = tmp_path / "marker"
    with pytest.raises(BadContent, match=f"^given.pt {match}|^given.pt .*{match}") as caught:
        read_embedding(build(Marker(marker)), "given.pt")
    assert caught.value.hint and "weights_only" not in caught.value.hint
    assert not marker.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", "many"), ("steps", 1.5), ("steps", 2**70), ("seed", []), ("token", "< >"),
        ("token", 3), ("notes", None), ("recipe", []), ("photos", [{"file": 1, "sha256": ""}]),
        ("photos", {}), ("photos", [{"file": "a", "sha256": "../.."}]), ("parents", [{}]),
        ("tags", [1]), ("tags", "kitchen"), ("versions", {"a": 1}), ("base", {}),
        ("losses", {"first": "x"}), ("losses", {"other": 1.0}), ("seconds", float("nan")),
        ("init", "\ud800"),
    ],
)  # fmt: skip
def test_a_forged_row_is_refused(make, field: str, value: object) -> None:
    concept, embedding = make("mug")
    row = {**concept.as_json(), field: value}
    data = build_tensor_file(embedding.rows, {"ti.row": json.dumps(row)})
    with pytest.raises(BadContent, match="what it says of its concept cannot be read"):
        read_embedding(data, "x")


def test_a_forged_row_cannot_bring_paths_counts_or_prompts(make) -> None:
    concept, embedding = make("mug", 2, noun="mug> {} <cat")
    row = concept.as_json() | {
        "vectors": 900, "norms": {"x": [0.1]}, "path": "/etc/passwd", "sha256": "0", "used": "x",
        "photos": [{"file": "../../etc/front.jpg", "sha256": "0" * 64}],
    }  # fmt: skip
    found = read_embedding(
        build_tensor_file(embedding.rows, {"ti.row": json.dumps(row)}), "x"
    ).concept
    assert (found.vectors, found.path, found.sha256, found.used) == (2, "", "", "")
    assert found.photos[0].file == "front.jpg" and list(found.norms) == ["clip_l"]
    assert found.noun == ""


def test_encoders_of_a_forged_file_are_checked(make) -> None:
    concept, embedding = make("mug")
    strange = Embedding({"../\x1b[31m": embedding.rows["clip_l"]})
    with pytest.raises(BadContent, match="cannot be read"):
        read_embedding(encode_blob(concept, strange), "x")


@pytest.mark.parametrize(
    ("metadata", "key", "stem", "expected"),
    [
        ({"ti.token": "<Mug>"}, "<cat-toy>", "file", "<Mug>"),
        ({}, "<Cat-Toy>", "file", "<Cat-Toy>"),
        ({}, "emb_params", "My_Mug", "<My_Mug>"),
        ({}, "emp_params", "Bad Prompt v2", "<bad-prompt-v2>"),
        ({}, "<my mug>", "file", "<my-mug>"),
        ({}, "mug_2", "file", "<mug-2>"),
        ({}, "*", "file", "<file>"),
        ({"ti.token": "con"}, "x", "file", "<my-con>"),
        ({"ti.token": "\ufffd"}, "<>", "file", "<file>"),
        ({}, "clip_g", "neg", "<neg>"),
    ],
)
def test_the_word_comes_from_metadata_key_or_stem(metadata, key, stem, expected) -> None:
    found = read_embedding(save_torch({key: tensor()}, metadata), "x")
    assert choose_token(found, None, stem).text == expected
    assert choose_token(found, "<Own>", stem).text == "<Own>"


def test_without_any_name_one_must_be_given() -> None:
    found = read_embedding(save_torch({"emb_params": tensor()}), "-")
    with pytest.raises(Usage) as caught:
        choose_token(found, None)
    assert "--token" in caught.value.hint


def test_sources_are_regular_files(tmp_path: Path) -> None:
    def opened_at(path: Path) -> None:
        with open_file(path):
            pytest.fail(f"{path} was opened")

    with pytest.raises(NotFound, match="no such file"):
        opened_at(tmp_path / "absent")
    with pytest.raises(TiError, match=r"cannot be read|not a file"):
        opened_at(tmp_path)
    with pytest.raises(BadContent, match="not a file"):
        opened_at(Path("/dev/zero"))
    with pytest.raises(BadContent, match="cannot be read"):
        opened_at(tmp_path / ("n" * 300))


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(BadContent, match="changed while it was read"), open_file(path) as opened:
        assert opened.read(LARGEST_FILE, 1) == b"\0"
        with path.open("ab") as file:
            file.write(b"more")


def test_of_a_large_file_only_parts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE * 10)
    with open_file(path) as opened:
        assert not opened.is_small
        with pytest.raises(BadContent, match="cut off"):
            opened.read(0, LARGEST_FILE + 1)
        with pytest.raises(BadContent, match="cut off"):
            opened.read(LARGEST_FILE * 10, 1)
