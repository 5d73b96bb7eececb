"""Times and sizes in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ticli.terminal import age, byte_text, clock

NOW = datetime(2026, 1, 10, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2026-01-10T11:59:30Z", "just now"),
        ("2026-01-10T11:55:00+00:00", "5 min ago"),
        ("2026-01-10T11:00:00", "1 hour ago"),
        ("2026-01-08T11:00:00Z", "2 days ago"),
        ("2025-11-08T11:00:00Z", "2 months ago"),
        ("2020-11-08T11:00:00Z", "5 years ago"),
        ("2027-11-08T11:00:00Z", "2027-11-08T11:00:00Z"),
        ("", ""),
        ("soon", "soon"),
    ],
)
def test_age(moment: str, words: str) -> None:
    assert age(moment, NOW) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (7480, "7.5 kB"), (12_400_000, "12.4 MB"), (4e15, "4000.0 TB")],
)
def test_bytes(count: int, words: str) -> None:
    assert byte_text(count) == words


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (65, "1:05"), (7207, "2:00:07")])
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words
