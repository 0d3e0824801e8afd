"""How far back a form is read."""

from datetime import datetime, timedelta

from switchboard import clock

OVERLAP = timedelta(hours=1)
"""Read twice: a lead may show in Meta's list after its time. The second time changes nothing."""


def look_back(read_up_to: str | None, now: datetime, first_days: int) -> datetime:
    """Since when leads are asked for."""
    if read_up_to is None:
        return now - timedelta(days=first_days)
    return clock.parse(read_up_to) - OVERLAP
