"""Times and sizes in words a person reads at a glance."""

from __future__ import annotations

from datetime import UTC, datetime

UNITS = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("min", 60))


def age(moment: str, now: datetime | None = None) -> str:
    """Return how long ago an ISO 8601 time was, as in "2 days ago"; other text comes back as is."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    # A clock that was set back makes the past look like the future: the time itself is clearer.
    if seconds < -60:
        return moment
    for unit, length in UNITS:
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' if count > 1 and unit != 'min' else ''} ago"
    return "just now"


def byte_text(count: int) -> str:
    """Return a number of bytes as in "7.3 kB" (powers of 1000, as disks and `ls --si` count)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def clock(seconds: float) -> str:
    """Return a duration as in "1:05" or "2:00:07"."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
