"""Neutral sentences, the families' and a user's own."""

from __future__ import annotations

import os
import re
import threading

import pytest

from ticli.errors import BadContent, NotFound, Usage
from ticli.photos import family, fill, read_sentences
from ticli.recipe import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_family_of_neutral_sentences(kind):
    sentences = family(kind)
    assert 20 <= len(sentences) <= 27
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence.count("{}") == 1
        assert re.fullmatch(r"[a-z{} -]+", sentence)


def test_families_are_those_of_the_recipe():
    with pytest.raises(Usage) as refusal:
        family("landscape")
    assert refusal.value.hint == f"choose {', '.join(KINDS)}"


def test_people_are_not_given_a_gender():
    gendered = {"he", "she", "his", "her", "him", "man", "woman", "boy", "girl", "male", "female"}
    assert not gendered & {word for sentence in family("person") for word in sentence.split()}


def test_styles_are_styles():
    assert all("in the style of {}" in sentence for sentence in family("style"))


def test_words_are_filled_in_as_text():
    assert fill("a {} of {x} {0.__class__} {}", "<mug> mug") == (
        "a <mug> mug of {x} {0.__class__} <mug> mug"
    )


def test_own_sentences_skip_blank_lines_and_comments(folder):
    path = folder / "own.txt"
    path.write_bytes("\ufeff# mine\r\n\r\na photo of {}\r\n  my  {} at\tnoon \n".encode())
    assert read_sentences(path) == ("a photo of {}", "my {} at noon")


def test_a_sentence_without_a_place_is_named_by_its_line(folder):
    path = folder / "own.txt"
    path.write_text("# mine\na photo of {}\na photo of it\n")
    with pytest.raises(Usage, match="line 3"):
        read_sentences(path)


def test_files_without_sentences(folder):
    path = folder / "own.txt"
    path.write_text("# none\n\n")
    with pytest.raises(Usage, match="no sentence"):
        read_sentences(path)
    with pytest.raises(NotFound):
        read_sentences(folder / "absent.txt")
    with pytest.raises(BadContent, match="cannot be read"):
        read_sentences(folder)
    path.write_bytes(b"a photo of {} \xff")
    with pytest.raises(BadContent, match="UTF-8"):
        read_sentences(path)
    path.write_bytes(b"{}\n" * 400_000)
    with pytest.raises(BadContent, match="128 KiB"):
        read_sentences(path)


def test_a_pipe_may_hold_the_sentences(folder, hang_guard):
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_text, args=("a photo of {}\n",))
    writer.start()
    assert read_sentences(folder / "pipe") == ("a photo of {}",)
    writer.join()
