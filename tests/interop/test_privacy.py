"""What is its owner's alone stays with its owner: searched for in every byte of every layout."""

from __future__ import annotations

import base64
import io
import json

import pytest
from learned_words import FAMILIES, SECRETS, learned, private
from PIL import Image

from ticli.library import LAYOUTS, Extras, Target, encode_blob, export_concepts

PLACES = [
    (layout.name, next(f for f, widths in FAMILIES.items() if layout.takes(frozenset(widths))))
    for layout in LAYOUTS.values()
]


def everything_in(files: dict[str, bytes]) -> bytes:
    """All bytes of all files, and what is packed inside of pictures and thumbnails."""
    pieces = list(files.values()) + [name.encode() for name in files]
    for content in files.values():
        if content.startswith(b"\x89PNG"):
            with Image.open(io.BytesIO(content)) as picture:
                pieces += [key.encode() + str(v).encode() for key, v in picture.text.items()]
                pieces.append(base64.b64decode(picture.text["sd-ti-embedding"]))
                pieces.append(str(picture.info).encode())
        marker = b"data:image/jpeg;base64,"
        if marker in content:
            start = content.index(marker) + len(marker)
            pieces.append(base64.b64decode(content[start : content.index(b'"', start)]))
    return b"\n".join(pieces)


@pytest.mark.parametrize(("layout", "family"), PLACES)
def test_no_layout_holds_names_of_photos_or_local_paths(layout, family) -> None:
    concept, embedding = private(family)
    exported = export_concepts([(concept, embedding)], Target(format=layout), Extras())
    content = everything_in(dict(exported.files))
    assert [secret for secret in SECRETS if secret.encode() in content] == []


def test_the_search_would_find_them() -> None:
    content = encode_blob(*private("sd1"))
    assert [s for s in SECRETS if s.encode() in content] == list(SECRETS)


def test_several_in_one_file_keep_quiet_too() -> None:
    one, two = private("sd1"), private("sd1")
    exported = export_concepts([one, two], Target(format="bundle"), Extras())
    content = everything_in(dict(exported.files))
    assert [secret for secret in SECRETS if secret.encode() in content] == []


@pytest.mark.parametrize("layout", ["ti", "diffusers", "emb_params", "a1111-pt", "concept-repo"])
def test_notes_go_along_on_request(layout) -> None:
    exported = export_concepts([private("sd1")], Target(format=layout), Extras(notes=True))
    content = everything_in(dict(exported.files))
    assert b"call anna" in content
    assert b"IMG_2041_anna" not in content


def test_photos_keep_their_hashes_under_plain_names() -> None:
    exported = export_concepts([private("sd1")], Target(format="ti"), Extras())
    content = exported.files[""]
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    row = json.loads(metadata["ti.row"])
    assert row["photos"] == [{"file": "photo-1", "sha256": "ab" * 32}]
    assert row["base"]["id"] == "x"
    assert row["recipe"]["masks"] == "masks"
    assert row["recipe"]["deep"] == {"list": ["a", "b", "c"]}
    assert row["recipe"]["words"] == "from a and b"
    assert row["recipe"]["steps"] == 160


def test_a_sentence_with_a_slash_is_no_path() -> None:
    recipe = {"sentences": ["a photo of {} and/or a cat", "~5 or 6/7 of {}", "/{}"], "init": "mug"}
    concept, embedding = learned("sd1", recipe=recipe)
    exported = export_concepts([(concept, embedding)], Target(format="diffusers"), Extras())
    content = exported.files[""]
    assert all(sentence.encode() in content for sentence in recipe["sentences"])


@pytest.mark.parametrize("layout", ["diffusers", "png", "concept-repo"])
def test_a_picture_leaves_what_its_file_knew_behind(layout) -> None:
    """EXIF, ICC and comments tell places, people and cameras."""
    photo = Image.effect_noise((300, 200), 40).convert("RGB")
    photo.info.update(exif=b"Exif\0\0IMG_2041_anna", comment=b"call anna", icc_profile=b"anna-home")
    exported = export_concepts([learned("sd1")], Target(format=layout), Extras(picture=photo))
    content = everything_in(dict(exported.files))
    assert [secret for secret in SECRETS if secret.encode() in content] == []
    assert len(content) > 5000
