"""Points in time as people write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from ticli.errors import Usage
from ticli.plain_text import moment

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90min", "2026-03-01T10:30:00Z"),
        ("12h", "2026-03-01T00:00:00Z"),
        ("1d", "2026-02-28T12:00:00Z"),
        (" 2W ", "2026-02-15T12:00:00Z"),
        ("0d", "2026-03-01T12:00:00Z"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("2026-01-31T10:00+02:00", "2026-01-31T08:00:00Z"),
    ],
)
def test_times_and_ages(text: str, expected: str) -> None:
    assert moment(text, NOW) == expected


def test_a_date_begins_where_its_reader_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment("2026-01-31") == "2026-01-30T15:00:00Z"
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize(
    "text", ["", "yesterday", "7", "d", "-1d", "7 months", "2026-13-01", "999999w", "1e3d", "٣d\0"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="is not a time"):
        moment(text, NOW)
