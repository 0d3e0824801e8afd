"""What the sweeper does with an entry whose time has come."""

from datetime import datetime, timedelta
from typing import Literal

from switchboard import clock
from switchboard.ledger import Entry
from switchboard.work import MAX_LOST_WORKERS, WRITTEN_BACK

_FIRST_LOOK = timedelta(minutes=5)
_LONGEST_LOOK = timedelta(hours=1)

type Verdict = Literal["repeated", "found lost", "taken over", "parked"]


def verdict(entry: Entry) -> Verdict:
    """Due work is repeated, lost work found, a dead worker's work taken over, a killer parked.

    A flow with a write-back gets one claim more, for the write-back alone (`work.is_given_up`).
    """
    if entry.status == "pending":
        return "found lost"
    if entry.status == "in_progress":
        most = MAX_LOST_WORKERS + (entry.flow in WRITTEN_BACK)
        return "parked" if entry.lost_workers >= most else "taken over"
    return "repeated"


def next_look(entry: Entry, now: datetime) -> timedelta:
    """When to look again if this message, too, leads to nothing: the longer it has waited, the later."""
    waited = now - clock.parse(entry.updated_at)
    return min(max(waited, _FIRST_LOOK), _LONGEST_LOOK)
