"""The grammar of names and tokens."""

from __future__ import annotations

import pytest

from ticli.errors import Usage
from ticli.names import (
    Placeholder,
    did_you_mean,
    lookup_name,
    nearest,
    parse_token,
    placeholders,
    slug,
    split_prompt,
)


@pytest.mark.parametrize(
    ("text", "name", "token"),
    [
        ("<Mug>", "mug", "<Mug>"),
        ("Mug", "mug", "<Mug>"),
        ("mug-2", "mug-2", "<mug-2>"),
        ("a" * 64, "a" * 64, f"<{'a' * 64}>"),
        ("3d_cat", "3d_cat", "<3d_cat>"),
    ],
)
def test_tokens_are_read_with_and_without_brackets(text, name, token):
    assert (parse_token(text).name, parse_token(text).text) == (name, token)


@pytest.mark.parametrize(
    "text",
    ["", "<>", "a b", "-rf", "_x", "../x", "mug_1", "CON", "lpt9", "all", "é", "a/b", "a\0b", "<a",
     "a" * 65, "<<mug>>", "mug\n", "[red]", "a.b", "~", "Kelvin\u212a"],
)  # fmt: skip
def test_what_is_no_token_is_refused_with_a_way_out(text):
    with pytest.raises(Usage) as caught:
        parse_token(text)
    assert caught.value.hint and caught.value.exit_code == 2


def test_the_way_out_is_itself_allowed():
    for text in ("a b", "mug_1", "CON", "../x", "é"):
        with pytest.raises(Usage) as caught:
            parse_token(text)
        parse_token(caught.value.hint.split('"')[1])


def test_lookup_ignores_case_and_brackets():
    assert lookup_name("<MUG>") == lookup_name("mug") == lookup_name("Mug") == "mug"


def test_only_tokens_are_cut_out_of_a_prompt():
    prompt = "I <3 a <Mug>, <lora:x:1> < b > and <cat-2>'s"
    assert split_prompt(prompt) == [
        "I <3 a ",
        Placeholder("mug", "<Mug>"),
        ", <lora:x:1> < b > and ",
        Placeholder("cat-2", "<cat-2>"),
        "'s",
    ]
    assert [p.name for p in placeholders("<a><A> a")] == ["a", "a"]
    assert split_prompt("") == []


def test_what_is_near_is_offered_and_else_what_there_is():
    assert nearest("mgu", ["mug", "cat"]) == ["mug"]
    assert nearest(["mgu", "zzz", "ct"], ["mug", "cat"]) == ["mug", "cat"]
    assert did_you_mean("mgu", ["mug", "cat"]) == "did you mean 'mug'?"
    assert did_you_mean("zzz", ["mug", "cat"]) == "choose mug, cat"
    assert did_you_mean("zzz", ["mug"], "ti list shows all") == "ti list shows all"
    hint = did_you_mean(["mgu", "ct"], ["mug", "cat"], "ti list shows all", "<{}>".format)
    assert hint == "did you mean <mug> or <cat>? (ti list shows all)"


def test_slugs():
    assert slug("A Mug/on the moon!") == "a-mug-on-the-moon"
    assert slug("../..") == "concept" and slug("con") == "my-con"
    assert len(slug("a" * 200)) == 64
