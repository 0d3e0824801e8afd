"""Which triggers an event is for."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from switchboard import conditions
from switchboard.crm_events import CrmEvent
from switchboard.triggers.store import Trigger

type Read = Callable[[], dict[str, Any] | None]
"""Reads the event's record; None when there is none to read, so that no filter can be evaluated."""


def wanted_by(event: CrmEvent, triggers: Iterable[Trigger], read: Read) -> Iterator[Trigger]:
    """The triggers for this event; the record is read once, and only when a filter asks for it."""
    record: dict[str, Any] | None = None
    was_read = False
    for trigger in triggers:
        if not trigger.takes(event):
            continue
        if trigger.where:
            if not was_read:
                record, was_read = read(), True
            if record is None or not conditions.holds(trigger.where, record):
                continue
        yield trigger
