"""`ti list`."""

from __future__ import annotations

import json
import sqlite3

KEYS = (
    "name token noun kind init vectors widths base recipe seed steps losses norms photos parents "
    "tags notes device versions seconds created used path bytes sha256 outcome curves "
    "warnings about scores"
)


def test_an_empty_library_prints_nothing_and_creates_nothing(run, isolated) -> None:
    result = run("list")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert run("list", "--json").json == []
    assert not isolated.exists()


def test_an_empty_library_tells_a_person_what_to_do(run) -> None:
    result = run("list", tty=True)
    assert result.out == ""
    assert "ti invert" in result.err


def test_a_pipe_gets_tab_separated_lines(run, library_with) -> None:
    library_with("mug", "cat", tags=("kitchen", "blue"))
    result = run("list")
    assert result.lines == [
        "NAME\tTOKEN\tBASE\tVECTORS\tSTEPS\tTAGS\tCREATED",
        "cat\t<cat>\tstarter 0.1\t1\t160\tkitchen,blue\t2026-01-02T03:04:05+00:00",
        "mug\t<mug>\tstarter 0.1\t1\t160\tkitchen,blue\t2026-01-02T03:04:05+00:00",
    ]


def test_a_terminal_gets_columns_and_ages(run, library_with) -> None:
    library_with("mug")
    heading, row = run("list", "--no-color", tty=True).lines
    assert heading.split() == ["NAME", "TOKEN", "BASE", "VECTORS", "STEPS", "TAGS", "CREATED"]
    assert row.startswith("mug ")
    assert row.endswith(" ago")
    assert heading.index("TOKEN") == row.index("<mug>")


def test_json_has_the_promised_keys_and_types(run, library_with) -> None:
    library_with("mug", tags=("a",))
    (item,) = run("list", "--json").json
    assert " ".join(item) == KEYS
    assert item["widths"] == {"clip_l": 256}
    assert list(item["base"]) == ["family", "id", "revision", "fingerprint"]
    assert item["tags"] == ["a"]
    assert item["photos"] == item["parents"] == []
    assert isinstance(item["bytes"], int)


def test_quiet_gives_names_only(run, library_with) -> None:
    library_with("mug", "cat")
    assert run("list", "-q").out == "cat\nmug\n"
    assert run("ls", "--quiet").out == "cat\nmug\n"


def test_pattern_tag_base_sort_and_limit(run, library_with) -> None:
    library_with("mug", "mugs", tags=("a",))
    library_with("cat", tags=("b",))
    library_with("wide", width=768)
    assert run("list", "-q", "mug*").lines == ["mug", "mugs"]
    assert run("list", "-q", "--tag", "b").lines == ["cat"]
    assert run("list", "-q", "--base", "starter", "--limit", "2").lines == ["cat", "mug"]
    assert run("list", "-q", "--base", "nothing").lines == []
    assert run("list", "-q", "--sort", "created").lines == ["mug", "mugs", "cat", "wide"]
    assert run("list", "-q", "--sort", "name:desc").lines == ["wide", "mugs", "mug", "cat"]
    assert run("list", "-q", "--sort", "size:desc", "--limit", "1").lines == ["wide"]
    assert run("list", "-q", "--limit", "0").lines == []


def test_tags_kind_and_since(run, library_with) -> None:
    library_with("mug", tags=("a", "b"))
    library_with("cat", tags=("b",), kind="style", created="2026-02-01T00:00:00Z")
    assert run("list", "-q", "--tag", "b").lines == ["cat", "mug"]
    assert run("list", "-q", "--tag", "b", "--tag", "a").lines == ["mug"]
    assert run("list", "-q", "--kind", "style").lines == ["cat"]
    assert run("list", "-q", "--since", "2026-01-15").lines == ["cat"]
    assert run("list", "-q", "--since", "1h").lines == []
    assert run("list", "--since", "soon").code == 2
    assert "no concept matches" in run("list", "--kind", "person", tty=True).err


def test_json_for_people_is_indented_and_still_one_document(run, library_with) -> None:
    library_with("mug", "cat")
    assert run("list", "--json", tty=True).json == run("list", "--json").json
    assert run("list", "--json", tty=True).lines[1] == "  {"
    assert run("list", "--json", "nothing", tty=True).out == "[]\n"


def test_a_damaged_row_leaves_one_document(run, library_with) -> None:
    library = library_with("mug", "cat")
    with sqlite3.connect(library.places.database) as connection:
        connection.execute("UPDATE concepts SET recipe = '{' WHERE name = 'mug'")
    connection.close()
    result = run("list", "--json")
    assert result.code == 1
    assert result.json["error"]["name"] == "mug"
    assert run("list", "-q").lines == ["cat", "mug"]


def test_a_wrong_sort_or_limit_is_usage(run) -> None:
    assert run("list", "--sort", "colour").code == 2
    assert run("list", "--limit", "-1").code == 2
    assert run("list", "--limit", "many").code == 2


def begin_run(home, name: str, step: int) -> None:
    """Leave the files of a run that stopped at `step` of 160."""
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"token": f"<{name}>", "steps": 160}))
    header = json.dumps({"__metadata__": {"step": str(step)}}).encode()
    (folder / "checkpoint.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def test_unfinished_runs(run, isolated) -> None:
    begin_run(isolated, "mug", 40)
    result = run("list", "--unfinished")
    assert result.lines[0] == "NAME\tSTEP\tTOTAL\tUPDATED"
    assert result.lines[1].startswith("mug\t40\t160\t20")
    assert run("list", "--unfinished", "-q").out == "mug\n"
    (item,) = run("list", "--unfinished", "--json").json
    assert list(item) == ["name", "token", "step", "total", "updated", "live"]
    assert (item["token"], item["live"]) == ("<mug>", False)
    assert run("list", "--unfinished", tty=True).out.strip().endswith("just now")


def test_no_unfinished_runs(run) -> None:
    assert run("list", "--unfinished").out == ""
    assert run("list", "--unfinished", "--json").json == []
    assert "no unfinished runs" in run("list", "--unfinished", tty=True).err


def test_unfinished_takes_no_filters(run) -> None:
    assert run("list", "--unfinished", "--tag", "a").code == 2
