"""Times as the whole project writes them: RFC 3339, UTC, milliseconds, so that they sort as text."""

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-03-01T09:30:00.000Z`; of fixed width, so text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def exact(moment: datetime) -> str:
    """RFC 3339 to the microsecond, for what is counted rather than shown."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def timestamp(after: timedelta = timedelta()) -> str:
    """Now, or `after` now, as RFC 3339."""
    return rfc3339(now() + after)


def parse(text: str) -> datetime:
    """An RFC 3339 time back as an aware datetime; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset")
    return moment.astimezone(UTC)
