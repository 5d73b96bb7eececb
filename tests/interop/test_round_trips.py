"""Out by `ti export`, in by `ti import`: every layout with every family that has a place in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import CELLS
from concepts import make_concept
from learned_words import learned

from ticli.concept import PhotoRecord
from ticli.library import ASPECTS, EVERYTHING, FOLDER, LAYOUTS, Library


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def stored(*words):
    """Put words into the test's library; the concepts as they came to be."""
    library = Library.open(write=True)
    return [(library.add(concept, embedding), embedding) for concept, embedding in words]


def moved(run, *imported: str) -> Library:
    """Empty the library, then import into it."""
    names = Library.open().names()
    assert run("rm", "-y", *names).code == 0
    result = run("import", *imported)
    assert result.code == 0, result.err
    return Library.open()


def assert_same_bits(library: Library, name: str, embedding) -> None:
    found = library.embedding(library.get(name)).rows
    assert found.keys() == embedding.rows.keys()
    for encoder, rows in embedding.rows.items():
        assert found[encoder].dtype == rows.dtype
        assert found[encoder].tobytes() == rows.tobytes()


@pytest.mark.parametrize(("layout", "family"), CELLS)
def test_the_vectors_come_back_bit_by_bit(run, layout, family) -> None:
    ((_, embedding),) = stored(learned(family, 1))
    assert run("export", "mug", "--format", layout).code == 0
    place = f"mug{LAYOUTS[layout].suffix}".rstrip("/")
    library = moved(run, place)
    assert library.names() == ["mug"]
    assert_same_bits(library, "mug", embedding)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_table_of_what_a_layout_keeps_is_true(run, layout) -> None:
    """What the table promises comes back; what it does not promise is gone."""
    family = next(f for name, f in CELLS if name == layout)
    word = learned(family, photos=(PhotoRecord("front.jpg", "ab" * 32),))
    ((before, _),) = stored(word)
    run("export", "mug", "--format", layout)
    place = Path(f"mug{LAYOUTS[layout].suffix}".rstrip("/"))
    # A name that only the file's name tells is no part of the file.
    renamed = place.rename(place.with_name(f"other{place.suffix}"))
    library = moved(run, str(renamed))
    (after,) = library.concepts()
    public = (PhotoRecord("photo-1", "ab" * 32),)
    came_back = {
        aspect
        for aspect, names in ASPECTS.items()
        if all(
            getattr(after, name) == (public if name == "photos" else getattr(before, name))
            for name in names
        )
    }
    assert came_back == LAYOUTS[layout].keeps
    assert after.notes == ""


def test_notes_come_back_where_they_were_asked_for(run) -> None:
    stored(learned("sd1", notes="the blue one"))
    run("export", "mug", "--notes")
    assert moved(run, "mug.safetensors").get("mug").notes == "the blue one"


@pytest.mark.parametrize("program", ["a1111", "comfyui", "invokeai", "sdnext", "kohya", "png"])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_files_for_programs_come_back_under_their_own_name(run, folder, program, family) -> None:
    """Also where the file has another name than the word."""
    ((before, embedding),) = stored(learned(family))
    (path,) = run("export", "mug", "--for", program).lines
    library = moved(run, path)
    assert library.get("mug").token == before.token
    assert_same_bits(library, "mug", embedding)


@pytest.mark.parametrize("flags", [(), ("--for", "a1111"), ("--for", "ti"), ("--format", "bundle")])
def test_a_zip_brings_all_words_back(run, folder, flags) -> None:
    words = stored(learned("sd1"), learned("sd2", name="cat"), learned("sdxl", name="old-hat"))
    assert run("export", "--all", *flags, "-o", "all.zip").code == 0
    library = moved(run, "all.zip", "--all")
    assert library.names() == ["cat", "mug", "old-hat"]
    for concept, embedding in words:
        assert_same_bits(library, concept.name, embedding)


def test_a_pipe_brings_all_words_back(run) -> None:
    words = stored(learned("sd1"), learned("flux", name="cat"))
    sent = run("export", "--all", "--for", "onetrainer", "-o", "-").out_bytes
    run("rm", "-y", "mug", "cat")
    assert run("import", "-", "--all", stdin=sent).code == 0
    for concept, embedding in words:
        assert_same_bits(Library.open(), concept.name, embedding)


@pytest.mark.parametrize("layout", ["original-pt", "bundle"])
def test_one_file_brings_several_words_back(run, layout) -> None:
    words = stored(learned("sd1"), learned("sd1", name="cat"))
    file = f"both{LAYOUTS[layout].suffix}"
    assert run("export", "mug", "cat", "--format", layout, "-o", file).code == 0
    library = moved(run, file, "--all")
    for concept, embedding in words:
        assert_same_bits(library, concept.name, embedding)


def test_the_pair_of_files_given_one_by_one(run) -> None:
    ((_, embedding),) = stored(learned("sdxl"))
    files = run("export", "mug").lines
    library = moved(run, *files)
    assert_same_bits(library, "mug", embedding)


def test_the_pixels_alone_bring_a_word_back(run) -> None:
    from PIL import Image

    ((_, embedding),) = stored(learned("sd1"))
    (path,) = run("export", "mug", "--for", "png").lines
    with Image.open(path) as picture:
        picture.convert("RGB").save("bare.png")
    assert_same_bits(moved(run, "bare.png"), "mug", embedding)


def test_out_and_in_twice_is_the_same_file(run, folder) -> None:
    """Nothing gets lost a little each time."""
    for layout in ("diffusers", "emb_params", "a1111-pt", "png", "ti"):
        ((_, _),) = stored(learned("sd1"))
        suffix = LAYOUTS[layout].suffix
        run("export", "mug", "--format", layout, "-o", f"one{suffix}", "--force")
        moved(run, f"one{suffix}")
        run("export", "mug", "--format", layout, "-o", f"two{suffix}", "--force")
        assert (folder / f"one{suffix}").read_bytes() == (folder / f"two{suffix}").read_bytes()
        run("rm", "-y", "mug")


def test_the_table_is_about_all_of_a_concept() -> None:
    """A field that concepts get one day has to find its place in the table."""
    from dataclasses import fields

    elsewhere = {"vectors", "widths", "norms"} | {"used", "path", "bytes", "sha256"}
    stays_here = {"notes", "scores"}
    names = {name for aspect in ASPECTS.values() for name in aspect}
    concept = make_concept()
    assert {field.name for field in fields(concept)} == names | elsewhere | stays_here
    assert all(layout.keeps <= EVERYTHING for layout in LAYOUTS.values())
    assert {layout.suffix for layout in LAYOUTS.values()} >= {FOLDER, ".pt", ".png"}
