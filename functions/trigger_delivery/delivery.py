"""A delivery from its message to its record: when to call, and what follows from the answer."""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

from botocore.exceptions import BotoCoreError, ClientError

from functions.trigger_delivery import attempt as calls
from functions.trigger_delivery import health, logic
from switchboard import clock, observability, work
from switchboard.crm_events import CrmEvent
from switchboard.ledger import FAILED, entry_id
from switchboard.triggers import messages, store
from switchboard.triggers.deliveries import Attempt, Deliveries, Delivery
from switchboard.triggers.messages import Message
from switchboard.triggers.store import Trigger, Turn

FLOW = "trigger_delivery"
LEASE = timedelta(seconds=calls.CALL_SECONDS * 3)

_SLEPT = timedelta(seconds=2)
"""So short a wait is slept through; SQS counts in whole seconds, and polls."""


@cache
def deliveries() -> Deliveries:
    """The deliveries of this deployment."""
    return Deliveries(work.ledger().table)


_outcomes: deque[str] = deque()
"""Of the calls that have been made and not been counted yet; appended to by all threads."""


def count_calls() -> None:
    """A line of metrics for each outcome of a batch: one for each call would cost as much as the call."""
    found: Counter[str] = Counter()
    while _outcomes:
        found[_outcomes.popleft()] += 1
    for outcome, number in found.items():
        observability.count("TriggerCalls", number, outcome=outcome)


def work_on(message: Message, trigger: Trigger | None) -> None:
    """Make the one attempt that a message asks for, unless it is finished, too early or out of turn."""
    event = CrmEvent.model_validate_json(message.event) if message.event else None
    assert message.delivery_id is not None  # noqa: S101 - the caller looked
    turn = Turn()
    if trigger is not None and may_be_called(trigger, message.forced):
        given = wait_for(trigger, message)
        if given is None:
            return
        turn = given
    claimed = deliveries().claim(message.delivery_id, lease=LEASE, trigger=trigger, event=event)
    if claimed is not None:
        finish(claimed, trigger, forced=message.forced)
    store.leave_turn(message.trigger_id, turn)


def may_be_called(trigger: Trigger, forced: bool) -> bool:
    """Whether the trigger is active, or a person asks for the call all the same."""
    return trigger.status == "active" or forced


def wait_for(trigger: Trigger, message: Message, not_before: str | None = None) -> Turn | None:
    """Wait a moment where that is enough, else put the message back; None when it was put back.

    Who dies or breaks with a turn in hand keeps it from the others until it ends by itself.
    """
    now = clock.now()
    bounds = (message.due, not_before, trigger.health.slow_until)
    due = max((clock.parse(at) for at in bounds if at), default=now)
    if trigger.max_per_second is not None and not message.paced and due <= now + _SLEPT:
        due = max(due, deliveries().next_slot(trigger.trigger_id, trigger.max_per_second))
        message = replace(message, paced=True)
    if due > now + _SLEPT:
        messages.send([replace(message, due=clock.exact(due))], delay=int((due - now).total_seconds()))
        return None
    if due > now:
        time.sleep((due - now).total_seconds())
    if not (trigger.health.suspect or trigger.health.is_slow):
        return Turn()
    at_once = 1 if trigger.health.suspect else int(os.environ["SLOW_URL_CALLS"])
    turn = store.take_turn(trigger, at_once=at_once, until=clock.now() + LEASE / 2)
    if turn is None:
        again = replace(message, due=None, waits=message.waits + 1)
        messages.send([again], delay=logic.turn_wait(message.waits))
    return turn


def finish(claimed: Delivery, trigger: Trigger | None, *, forced: bool) -> bool:
    """Call the URL for a claimed delivery, if it may be called; returns whether the delivery is finished."""
    if trigger is None or not may_be_called(trigger, forced or claimed.forced):
        return deliveries().record(claimed, "skipped", None)
    with _noted(trigger):
        made = calls.call(trigger, claimed)
    return settle(trigger, claimed, made)


@dataclass(slots=True)
class _Call:
    """A call that is being made; `began` is of the monotonic clock, in seconds."""

    trigger: Trigger
    began: float
    is_long: bool = False


_under_way: dict[int, _Call] = {}
"""The calls that this process is making now, by their thread."""


@contextmanager
def _noted(trigger: Trigger) -> Iterator[None]:
    thread = threading.get_ident()
    _under_way[thread] = _Call(trigger, time.monotonic())
    try:
        yield
    finally:
        del _under_way[thread]


def note_long_calls() -> None:
    """Hold a URL back while its long call still goes on: other workers would begin more of them meanwhile."""
    since = time.monotonic() - logic.LONG_CALL.total_seconds()
    for call in list(_under_way.values()):
        if call.is_long or call.began > since:
            continue
        call.is_long = True
        try:
            health.note_duration(call.trigger, logic.LONG_CALL)
        except (BotoCoreError, ClientError):
            observability.logger.warning("a slow URL could not be noted", exc_info=True)


def settle(trigger: Trigger, claimed: Delivery, made: Attempt) -> bool:
    """Record an attempt and arrange what follows from it; returns whether the delivery is finished."""
    _outcomes.append(made.error_class or "delivered")
    finished = _record(trigger, claimed, made)
    health.note_duration(trigger, timedelta(milliseconds=made.duration_ms))
    return finished


def _record(trigger: Trigger, claimed: Delivery, made: Attempt) -> bool:
    match logic.verdict(made):
        case "delivered":
            if claimed.rounds:
                _settle_ledger(claimed, made)
            deliveries().record(claimed, "delivered", made)
            if not trigger.health.is_good:
                store.note_success(trigger.trigger_id)
            return True
        case "gone":
            give_up(claimed, made)
            health.disable(trigger, "gone")
            return True
        case _:
            finished = _again(claimed, made)
            health.note_failure(trigger, made)
            return finished


def _again(claimed: Delivery, made: Attempt) -> bool:
    wait = logic.next_wait(claimed.tries + 1, made.retry_after)
    if wait is None:
        give_up(claimed, made)
        return True
    retry_at = clock.now() + wait
    taken = deliveries().record(claimed, "retrying", made, retry_at=retry_at)
    if taken and wait.total_seconds() <= messages.LONGEST_DELAY:
        again = Message(
            claimed.trigger_id,
            claimed.delivery_id,
            lane=claimed.lane,
            due=clock.exact(retry_at),
            forced=claimed.forced,
        )
        messages.send([again], delay=int(wait.total_seconds()))
    return False


def give_up(claimed: Delivery, made: Attempt) -> None:
    """Put a delivery on record as failed: in the ledger first, where operators look, then in the log."""
    _enter(claimed, made)
    deliveries().record(claimed, "failed", made)


def _settle_ledger(claimed: Delivery, made: Attempt) -> None:
    """Close the ledger's entry of a delivery that had failed for good, and was put back to work."""
    entry = work.ledger().get(entry_id(claimed.partner_id, FLOW, claimed.delivery_id))
    if entry is not None and entry.status in FAILED:
        _enter(claimed, made)


def _enter(claimed: Delivery, made: Attempt) -> None:
    event = claimed.event
    failed = made.error_class is not None
    work.ledger().accept(
        partner_id=claimed.partner_id,
        flow=FLOW,
        entity=claimed.delivery_id,
        payload={"deliveryId": claimed.delivery_id},
        group=claimed.trigger_id,
        correlation_id=event.event_id,
        version=claimed.rounds + 1,
        status="remote_failure" if failed else "synced",
        code="delivery-failed" if failed else None,
        result={
            "deliveryId": claimed.delivery_id,
            "triggerId": claimed.trigger_id,
            "eventId": event.event_id,
            "errorClass": made.error_class,
        },
        customer_id=event.account_id,
    )
