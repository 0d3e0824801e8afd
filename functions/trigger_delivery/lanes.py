"""Ordered triggers: what happens to one customer is delivered in its order, one after the other.

A lane is the customer's unfinished deliveries. One worker at a time takes the first, and the next only when
that one is finished, so a failing delivery holds back those behind it, of this customer and trigger alone.
"""

import time
from dataclasses import replace
from datetime import timedelta

from functions.trigger_delivery.delivery import LEASE, deliveries, finish, may_be_called, wait_for
from switchboard import clock, work
from switchboard.triggers import messages, store
from switchboard.triggers.deliveries import UNFINISHED
from switchboard.triggers.messages import Message
from switchboard.triggers.store import Trigger, Turn

SETTLED = timedelta(seconds=2)
"""So long an event stands in its lane before it is delivered: another worker may bring an earlier one later.

It counts from when it got there, not from when it happened: where one worker starts cold, so do others."""

_BUSY_SECONDS = 2


def work_on(message: Message, trigger: Trigger | None, lease: timedelta, has_time: work.Deadline) -> None:
    """Deliver what a lane holds, in its order, as far as it goes now."""
    lane = message.lane or ""
    token = deliveries().take_lane(message.trigger_id, lane, lease=lease)
    if token is None:
        messages.send([message], delay=_BUSY_SECONDS)
        return
    try:
        while (head := deliveries().head(message.trigger_id, lane)) is not None:
            if not has_time():
                messages.send([message])
                return
            if not _finish(head, message, trigger):
                return
            deliveries().leave_place(head, message.trigger_id, lane)
            # The next one has a pace of its own, and how the URL is doing by now counts for it.
            message = replace(message, due=None, paced=False, waits=0)
            trigger = store.get(message.trigger_id)
    finally:
        deliveries().leave_lane(message.trigger_id, lane, token)


def _finish(head: str, message: Message, trigger: Trigger | None) -> bool:
    """One attempt at the first of a lane; returns whether that one is finished."""
    delivery = deliveries().get(head)
    if delivery is None or delivery.status not in UNFINISHED:
        return True
    age = clock.now() - clock.parse(delivery.created_at)
    if timedelta() <= age < SETTLED:
        time.sleep((SETTLED - age).total_seconds())
        if deliveries().head(message.trigger_id, message.lane or "") != head:
            messages.send([message])
            return False
    forced = message.forced or delivery.forced
    turn = Turn()
    if trigger is not None and may_be_called(trigger, forced):
        given = wait_for(trigger, message, delivery.next_attempt_at)
        if given is None:
            return False
        turn = given
    claimed = deliveries().claim(head, lease=LEASE)
    finished = claimed is not None and finish(claimed, trigger, forced=forced)
    store.leave_turn(message.trigger_id, turn)
    return finished
