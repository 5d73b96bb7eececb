"""What is written for a program is what that program's rules read, by its name, bit by bit."""

from __future__ import annotations

from pathlib import Path

import a1111_reader
import comfyui_reader
import numpy as np
import other_readers
import pytest
from learned_words import FAMILIES, learned, same

from ticli.concept import Embedding
from ticli.errors import Conflict
from ticli.library import CONSUMERS, FOLDER, Extras, Target, export_concepts
from ticli.models.locate import starter, vocabulary

REAL = [family for family in FAMILIES if family != "starter"]
# What each program can use; everything else is refused with a reason.
USABLE = {
    "diffusers": {"sd1", "sd2", "sdxl", "flux"},
    "a1111": {"sd1", "sd2", "sdxl"},
    "forge": {"sd1", "sd2", "sdxl", "flux"},
    "comfyui": {"sd1", "sd2", "sdxl", "sd3", "flux", "pixart"},
    "invokeai": {"sd1", "sd2", "sdxl"},
    "sdnext": {"sd1", "sd2", "sdxl"},
    "easydiffusion": {"sd1", "sd2", "sdxl"},
    "sdcpp": {"sd1", "sd2", "sdxl"},
    "kohya": {"sd1", "sd2", "sdxl"},
    "onetrainer": set(REAL),
    "concept-repo": {"sd1", "sd2"},
    "png": {"sd1", "sd2", "sdxl"},
    "ti": set(REAL),
}
COMFYUI_KEYS = {"clip_l": "clip_l", "clip_g": "clip_g", "t5": "t5xxl", "clip_h": "clip_h"}


def cases(program: str) -> list[str]:
    return [family for family in REAL if family in USABLE[program]]


def written(folder: Path, program: str, family: str, **changes) -> tuple[Path, Embedding]:
    """Write a word for a program; the path of its file or folder, and the vectors."""
    concept, embedding = learned(family, **changes)
    target = Target(consumer=program).checked()
    exported = export_concepts([(concept, embedding)], target, Extras())
    suffix = "" if exported.layout.suffix == FOLDER else exported.layout.suffix
    place = folder / f"{target.stem(concept.name)}{suffix}"
    for name, content in exported.files.items():
        path = place / name if name else place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place, embedding


def by_order(embedding: Embedding) -> list[np.ndarray]:
    return [embedding.rows[key] for key in ("clip_l", "clip_h", "clip_g") if key in embedding.rows]


def test_the_table_knows_every_program() -> None:
    assert set(USABLE) == set(CONSUMERS)


@pytest.mark.parametrize("family", REAL)
@pytest.mark.parametrize("program", list(CONSUMERS))
def test_a_word_is_written_or_refused_with_the_reason(tmp_path, program, family) -> None:
    if family in USABLE[program]:
        place, _ = written(tmp_path, program, family)
        assert place.exists()
        return
    with pytest.raises(Conflict) as refusal:
        written(tmp_path, program, family)
    assert "'mug' has vectors for" in refusal.value.message
    assert CONSUMERS[program].why in refusal.value.message
    assert refusal.value.hint
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("program", ["a1111", "png"])
@pytest.mark.parametrize("family", cases("a1111"))
def test_automatic1111(tmp_path, program, family, vectors) -> None:
    place, embedding = written(tmp_path, program, family, vectors=vectors)
    word, tensors = a1111_reader.read_word(place)
    # "mug" alone would make the word of every ordinary mug, and of the noun beside it.
    assert word == "mug-tiq"
    rows = embedding.rows
    wanted = dict(rows) if len(rows) > 1 else {"one": next(iter(rows.values()))}
    assert tensors.keys() == wanted.keys()
    assert all(same(tensors[key], wanted[key]) for key in wanted)
    assert a1111_reader.shape(tensors) == {"sd1": 768, "sd2": 1024, "sdxl": 2048}[family]


@pytest.mark.parametrize("vectors", [1, 2, 8])
@pytest.mark.parametrize("family", cases("png"))
def test_the_pixels_alone_carry_the_word(tmp_path, family, vectors) -> None:
    """Hosts strip text chunks; the picture still holds the word."""
    from PIL import Image

    place, embedding = written(tmp_path, "png", family, vectors=vectors)
    with Image.open(place) as picture:
        bare = tmp_path / "bare.png"
        picture.convert("RGB").save(bare)
    with Image.open(bare) as picture:
        assert not picture.text
    word, tensors = a1111_reader.read_word(bare)
    # The two tensors of SDXL leave no place for a name: the file's counts.
    assert word == ("bare" if family == "sdxl" else "mug-tiq")
    found = [tensors[key] for key in ("one", "clip_l", "clip_g") if key in tensors]
    assert all(same(a, b) for a, b in zip(found, by_order(embedding), strict=True))


@pytest.mark.parametrize("family", cases("comfyui"))
def test_comfyui(tmp_path, family) -> None:
    _, embedding = written(tmp_path, "comfyui", family)
    (word,) = comfyui_reader.words_in("a photo of embedding:mug cup, on the moon")
    for encoder, rows in embedding.rows.items():
        key = COMFYUI_KEYS[encoder]
        tensor, why = comfyui_reader.load_word(tmp_path, word, key, rows.shape[1])
        assert tensor is not None, why
        assert same(tensor, rows)


@pytest.mark.parametrize("family", cases("invokeai"))
def test_invokeai(tmp_path, family) -> None:
    place, embedding = written(tmp_path, "invokeai", family)
    word, base, tensors = other_readers.invokeai(place)
    assert (word, base) == ("<mug>", {"sd1": "sd-1", "sd2": "sd-2", "sdxl": "sdxl"}[family])
    rows = by_order(embedding)
    assert all(same(a, b) for a, b in zip(tensors.values(), rows, strict=True))


@pytest.mark.parametrize("family", cases("sdnext"))
def test_sdnext(tmp_path, family) -> None:
    place, embedding = written(tmp_path, "sdnext", family)
    words = set(vocabulary(starter())) | {"mug"}
    tokens, found = other_readers.sdnext(
        place, {rows.shape[1]: words for rows in embedding.rows.values()}
    )
    assert tokens == ["mug-tiq", "mug-tiq_1", "mug-tiq_2"]
    for rows in embedding.rows.values():
        assert same(found[rows.shape[1]], rows)


@pytest.mark.parametrize("family", cases("kohya"))
def test_kohya(tmp_path, family) -> None:
    place, embedding = written(tmp_path, "kohya", family)
    tokens, tensors = other_readers.kohya(place, set(vocabulary(starter())) | {"mug"})
    assert tokens == ["mug-tiq", "mug-tiq1", "mug-tiq2"]
    rows = by_order(embedding)
    assert all(same(a, b) for a, b in zip(tensors, rows, strict=True))


@pytest.mark.parametrize("family", cases("onetrainer"))
def test_onetrainer(tmp_path, family) -> None:
    place, embedding = written(tmp_path, "onetrainer", family)
    tensors = other_readers.onetrainer(place, family)
    for key, tensor in tensors.items():
        encoder = next(iter(embedding.rows)) if key == "emp_params" else key
        assert same(tensor, embedding.rows[encoder])


@pytest.mark.parametrize("family", ["sd1", "sd2"])
@pytest.mark.parametrize("vectors", [1, 3])
def test_a_concept_repository(tmp_path, family, vectors) -> None:
    place, embedding = written(tmp_path, "concept-repo", family, vectors=vectors)
    assert sorted(path.name for path in place.iterdir()) == [
        "README.md",
        "learned_embeds.bin",
        "learned_embeds.safetensors",
        "token_identifier.txt",
        "type_of_concept.txt",
    ]
    assert (place / "token_identifier.txt").read_text() == "<mug>"
    assert (place / "type_of_concept.txt").read_text() == "object"
    (rows,) = embedding.rows.values()
    for file in ("learned_embeds.safetensors", "learned_embeds.bin"):
        assert same(other_readers.invoke_training(place / file, "<mug>"), rows)
    if vectors == 1:
        base = other_readers.invokeai(place / "learned_embeds.bin")[1]
        assert base == {"sd1": "sd-1", "sd2": "sd-2"}[family]


def test_the_type_of_a_style(tmp_path) -> None:
    place, _ = written(tmp_path, "concept-repo", "sd1", kind="style")
    assert (place / "type_of_concept.txt").read_text() == "style"


def test_readers_refuse_what_they_should() -> None:
    """The readers above are no rubber stamps."""
    words = {"mug": "mug"}
    with pytest.raises(other_readers.NotRead):
        other_readers.sdnext(Path("mug.png"), {768: set(words)})
    assert comfyui_reader.words_in("embedding:<mug>") == []


def test_readers_meet_the_ordinary_word(tmp_path) -> None:
    """A file called by an ordinary word is what the other name is for."""
    place, _ = written(tmp_path, "sdnext", "sd1")
    plain = place.rename(tmp_path / "mug.safetensors")
    with pytest.raises(other_readers.NotRead):
        other_readers.sdnext(plain, {768: {"mug"}})
    with pytest.raises(other_readers.NotRead):
        other_readers.kohya(plain, {"mug"})
