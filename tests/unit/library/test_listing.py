"""Lists of many concepts: filters, short reads that say what the long one says, Tab keys."""

from __future__ import annotations

import fnmatch
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ticli.concept import BaseModel, Curves, Losses, Outcome, Parent, PhotoRecord
from ticli.errors import BadContent, Usage
from ticli.library import (
    LAST,
    MOST,
    QUERIES,
    Library,
    Query,
    change,
    completions,
    open_to_write,
    query,
    record,
)

KEPT = Path(__file__).parents[2] / "data" / "v1"
ODD = '\x1b[2J \u202e "quoted" \\ back \t tab \n line 👩 é \u2028 </script>'


def names(library: Library, **query) -> list[str]:
    return library.matching_names(Query(**query))


def assert_short_reads_agree(library: Library, query: Query) -> None:
    """What is read of columns says what whole concepts say, in the same order."""
    whole = library.concepts(query)
    texts = library.documents(query)
    assert [json.loads(text) for text in texts] == json.loads(
        json.dumps([concept.as_json() for concept in whole])
    )
    assert all(list(json.loads(text)) == list(whole[0].as_json()) for text in texts)
    assert all(text.isascii() and text.isprintable() for text in texts)
    assert library.matching_names(query) == [concept.name for concept in whole]
    for entry, concept in zip(library.entries(query), whole, strict=True):
        base = concept.base
        assert (entry.name, entry.token, entry.tags) == (concept.name, concept.token, concept.tags)
        assert (entry.family, entry.base, entry.revision) == (base.family, base.id, base.revision)
        assert (entry.vectors, entry.steps) == (concept.vectors, concept.steps)
        assert entry.created == concept.created


@pytest.fixture
def odd(library: Library, make) -> Library:
    """Concepts of which every field has something that a careless writer would spoil."""
    library.add(*make("plain"))
    library.add(
        *make(
            "odd",
            2,
            notes=ODD,
            init=ODD,
            noun=ODD,
            device=ODD,
            tags=(ODD, "%s", "%(name)s", '"'),
            base=BaseModel(ODD, ODD, ODD, ODD),
            recipe={ODD: [ODD, 1.5, None, True]},
            photos=(PhotoRecord(ODD, "ab" * 32),),
            parents=(Parent(ODD, None, "cd" * 32),),
            versions={ODD: ODD},
            seed=None,
            seconds=1e-9,
            losses=Losses(),
            outcome=Outcome(stopped=ODD),
            curves=Curves((1,), (0.5,), (0.25,)),
            warnings=(ODD,),
        )
    )
    return library


@pytest.mark.parametrize("sort", ["", "name:desc", "created", "used", "size:desc"])
def test_short_reads_say_what_the_long_one_says(odd: Library, sort: str) -> None:
    assert_short_reads_agree(odd, Query(sort=sort))


def test_short_reads_of_an_old_library(library: Library) -> None:
    shutil.copytree(KEPT, library.places.home)
    assert_short_reads_agree(library, Query())


def spoil(library: Library, column: str, value: object) -> None:
    with closing(sqlite3.connect(library.places.database)) as connection, connection:
        connection.execute("DROP TRIGGER tagged_update")
        connection.execute(f"UPDATE concepts SET {column} = ? WHERE name = 'odd'", (value,))


@pytest.mark.parametrize("value", ['{"steps": NaN}', '{"note": "é"}', '{"a": 1, "a": 2}'])
def test_a_recipe_written_by_another_hand_is_still_one_document(odd: Library, value: str) -> None:
    spoil(odd, "recipe", value)
    (_, text) = odd.documents(Query(sort="created"))
    assert text.isascii()
    assert json.loads(text, parse_constant=pytest.fail)["name"] == "odd"


@pytest.mark.parametrize(
    ("column", "value"),
    [("recipe", "{"), ("tags", "[1"), ("losses", "[]"), ("losses", '{"x": 1}'), ("photos", "7")],
)
def test_a_damaged_row_is_named(odd: Library, column: str, value: str) -> None:
    spoil(odd, column, value)
    for read in (odd.documents, odd.concepts):
        with pytest.raises(BadContent, match="the row of 'odd' in the library is damaged"):
            read(Query())
    assert odd.get("plain").name == "plain"
    assert names(odd) == ["odd", "plain"]


@pytest.fixture
def mixed(library: Library, make) -> Library:
    far = BaseModel("sdxl", "stabilityai/Stable-XL", "1", "f1")
    library.add(*make("red-mug", tags=("kitchen", "red"), created="2026-01-31T12:00:00Z"))
    library.add(*make("red-bowl", tags=("kitchen",), created="2026-02-01T00:30:00+02:00"))
    library.add(*make("haze", kind="style", base=far, created="2026-03-01T00:00:00Z"))
    library.add(*make("odd", created="some day", tags=("red", "Kitchen", 'a", "b')))
    return library


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"tags": ("kitchen", "red")}, ["red-mug"]),
        ({"tags": ("red",)}, ["odd", "red-mug"]),
        ({"tags": ("Kitchen",)}, ["odd"]),
        ({"tags": ('", "',)}, []),
        ({"tags": ("kitchen", "nothing")}, []),
        ({"kind": "STYLE"}, ["haze"]),
        ({"base": "stable-xl"}, ["haze"]),
        ({"base": "stabilityai/stable-xl"}, ["haze"]),
        ({"base": "xl"}, []),
        ({"base": "%"}, []),
        ({"since": "2026-01-31T22:30:00Z"}, ["haze", "red-bowl"]),
        ({"since": "2026-01-31T22:30:01Z"}, ["haze"]),
        ({"since": "2026-01-31T12:00:00Z", "tags": ("red",)}, ["red-mug"]),
        (
            {"words": "red", "kind": "object", "sort": "name:desc", "limit": 2},
            ["red-mug", "red-bowl"],
        ),
        ({"words": "red", "tags": ("kitchen",)}, ["red-bowl", "red-mug"]),
    ],
)
def test_filters_all_hold(mixed: Library, query: dict, expected: list[str]) -> None:
    found = names(mixed, **query)
    assert (found if "sort" in query else sorted(found)) == expected
    assert len(mixed.concepts(Query(**query))) == len(expected)


@pytest.mark.parametrize(
    "pattern",
    [
        "red*",
        "red-",
        "*",
        "<red*",
        "<*>",
        "r?d-[bm]*",
        "[!r]*",
        "RED-MUG",
        "red-mug>",
        "<<*",
        "[",
        "re[d",
    ],
)
def test_patterns_mean_what_the_shell_means(mixed: Library, pattern: str) -> None:
    known = ["haze", "odd", "red-bowl", "red-mug"]
    expected = [
        name
        for name in known
        if fnmatch.fnmatchcase(name, pattern.lower())
        or fnmatch.fnmatchcase(f"<{name}>", pattern.lower())
    ]
    assert names(mixed, pattern=pattern) == expected


def test_a_pattern_made_to_be_slow_is_not(mixed: Library) -> None:
    assert names(mixed, pattern="*a" * 200 + "b") == []


def test_tags_are_found_as_they_are_now(mixed: Library) -> None:
    database = mixed.places.database
    assert completions("tags", "", database) == ["Kitchen", 'a", "b', "kitchen", "red"]
    mixed.tag("haze", add=["grey"])
    mixed.tag("red-bowl", remove=["kitchen"])
    mixed.remove(["odd"])
    assert completions("tags", "", database) == ["grey", "kitchen", "red"]
    assert names(mixed, tags=("kitchen",)) == ["red-mug"]
    assert names(mixed, tags=("grey",)) == ["haze"]
    mixed.remove(["haze", "red-bowl", "red-mug"])
    assert completions("tags", "", database) == []


def fill(library: Library, make, words: list[str], tags: list[str]) -> None:
    """Add rows, and no files, in one transaction."""
    concept, _ = make("first")
    connection = open_to_write(library.places.database, library.places.blobs)
    with closing(connection), change(connection):
        for number, word in enumerate(words):
            row = replace(concept, name=word, token=f"<{word}>", tags=(tags[number],))
            record.insert(connection, replace(row, sha256=f"{number:064x}"))


def test_completion_of_many_is_bounded_and_never_misleads(library: Library, make) -> None:
    words = [f"red-{number:04}" for number in range(MOST)] + ["robot", "teal", "teal-2"]
    fill(library, make, words, [f"set {number:04}" for number in range(len(words))])
    database = library.places.database
    everything = completions("concepts", "", database)
    # The first and the last have in common what all have in common.
    assert (len(everything), everything[0], everything[-1]) == (MOST + 1, "red-0000", "teal-2")
    assert completions("concepts", "r", database)[-1] == "robot"
    assert completions("concepts", "red-", database) == words[:MOST]
    assert completions("concepts", "Te", database) == ["teal", "teal-2"]
    assert completions("concepts", "x", database) == []
    assert len(completions("tags", "", database)) == MOST + 1
    assert completions("tags", "set 100", database) == ["set 1000", "set 1001", "set 1002"]
    assert completions("tags", "\udc80", database) == []


@pytest.mark.parametrize("statement", [*QUERIES.values(), *LAST.values()])
def test_a_tab_key_reads_a_part_of_an_index(mixed: Library, statement: str) -> None:
    values = {"first": "r", "last": "s"}
    with closing(sqlite3.connect(mixed.places.database)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert not [step for step in plan if step.startswith(("SCAN concepts", "SCAN tagged"))]
    assert [step for step in plan if step.startswith("SEARCH")]


def test_a_list_reads_no_recipes_and_a_pattern_no_other_names(mixed: Library) -> None:
    asked: list[str] = []
    with closing(sqlite3.connect(mixed.places.database)) as connection:
        connection.set_trace_callback(asked.append)
        query.query_entries(connection, Query(pattern="red-*"), Path())
        assert "recipe" not in asked[-1] and "photos" not in asked[-1]
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    assert plan[0].startswith("SEARCH concepts USING INDEX") and "name>? AND name<?" in plan[0]


@pytest.mark.parametrize("query", [{"sort": "", "limit": -1}, {"sort": "size:up"}])
def test_a_wrong_query_is_wrong_however_it_is_read(library: Library, query: dict) -> None:
    for read in (library.concepts, library.entries, library.documents, library.matching_names):
        with pytest.raises(Usage):
            read(Query(**query))
