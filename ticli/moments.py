"""Points in time as people write them: a date, a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ticli.errors import Usage

AGE = re.compile(r"(\d{1,6})\s*(min|h|d|w)")
UNITS = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def moment(text: str, now: datetime | None = None) -> str:
    """Return the ISO 8601 time in UTC that a date, a time or an age such as 7d stands for.

    A time without a zone is the user's own. Raises Usage.
    """
    try:
        if age := AGE.fullmatch(text.strip().lower()):
            then = (now or datetime.now(UTC)) - int(age[1]) * UNITS[age[2]]
        else:
            then = datetime.fromisoformat(text.strip())
        return then.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise Usage(
            f"{text!r} is no time", "write a date as 2026-01-31, or an age as 90min, 12h, 7d or 2w"
        ) from error
