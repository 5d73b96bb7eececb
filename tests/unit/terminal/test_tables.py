"""Columns line up on a terminal and stay whole in a pipe."""

from __future__ import annotations

from ticli.terminal import Column, display_width, padded, tab_separated

COLUMNS = (Column("NAME"), Column("STEPS", right=True), Column("TAGS"))


def test_columns_are_padded_and_numbers_stand_right() -> None:
    assert padded(COLUMNS, [("mug", "160", "a,b"), ("teapot", "8", "")]) == [
        "NAME    STEPS  TAGS",
        "mug       160  a,b",
        "teapot      8",
    ]


def test_wide_letters_and_marks_are_counted_in_cells() -> None:
    assert (display_width("杯子"), display_width("e\u0301"), display_width("mug")) == (4, 1, 3)
    first, second = padded((Column("N"), Column("X")), [("杯", "1"), ("ab", "2")])[1:]
    assert first == "杯  1"
    assert second == "ab  2"


def test_a_line_never_exceeds_the_room_while_columns_can_shrink() -> None:
    lines = padded(COLUMNS, [("m" * 70, "160", "t" * 70)], room=60)
    assert max(len(line) for line in lines) <= 60
    assert "…" in lines[1]
    assert "160" in lines[1]


def test_names_are_cut_last() -> None:
    columns = (Column("NAME", whole=True), Column("TOKEN"), Column("TAGS"))
    row = ("n" * 30, "t" * 32, "a" * 1_000_000)
    line = padded(columns, [row], room=60)[1]
    assert (len(line), line.split()) == (60, ["n" * 30, "t" * 12 + "…", "a" * 12 + "…"])
    assert padded(columns, [row], room=45)[1] == f"{'n' * 24}…  {'t' * 7}…  {'a' * 7}…"


def test_very_narrow_terminals_still_show_every_column() -> None:
    assert padded(COLUMNS, [("m" * 70, "160", "t" * 70)], room=5)[1].startswith("mmmmmmm…")


def test_tab_separated_lines_have_one_field_a_column() -> None:
    lines = list(tab_separated(COLUMNS, [("a\tb", "1", "x\ny\r\x1b[2J" + "z" * 300)]))
    assert lines[0] == "NAME\tSTEPS\tTAGS"
    assert lines[1] == "a\\tb\t1\tx\\ny\\r\\x1b[2J" + "z" * 300
    assert len(lines) == 2
