"""Every five minutes: find changes of the built-in CRM that nobody told, and tell them as CRM events.

Independent of the table's stream: the records' revisions are compared with those that are noted as told.
Looked at is what changed since the last run, from an index, so the cost follows the changes and not the
size of the CRM; what does not fit into one run is looked at in the next.
"""

from datetime import timedelta
from itertools import batched
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.crm_sweep.checkpoint import Checkpoint
from functions.crm_sweep.logic import recovered
from switchboard import clock, crm_events, observability, work
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, Records
from switchboard.connectors.builtin_crm.published import Published, mark_key
from switchboard.dynamo import Item

SETTLED = timedelta(minutes=5)
"""A change as old as this has been told by the stream, unless something is wrong with it."""

_LOOKED_AT_TOGETHER = 100
_LEASE = timedelta(minutes=6)
"""Longer than the function's time-out."""

_RESERVE = timedelta(seconds=30)


def sweep(records: Records, checkpoint: Checkpoint, has_time: work.Deadline) -> int:
    """Compare what changed since the checkpoint, and move it on; returns how many events were missing."""
    published = Published(work.ledger().table)
    found = 0
    until = clock.timestamp(-SETTLED)
    changed = records.changed_between(checkpoint.through, until) if checkpoint.through < until else ()
    for some in batched(changed, _LOOKED_AT_TOGETHER, strict=False):
        marks = published.marks(mark_key(item) for item in some)
        for item in some:
            if marks[mark_key(item)].missing(item["rev"]):
                found += _tell(records, published, item)
        checkpoint.move_on(some[-1]["updatedAt"])
        if not has_time():
            break
    return found


def _tell(records: Records, published: Published, seen: Item) -> int:
    """Tell what is missing of one record, and note it; one that has changed meanwhile waits for its turn."""
    record = records.table.get(seen["pk"], seen["sk"])
    if record is None or record.get("rev") != seen["rev"]:
        return 0
    key = mark_key(record)
    missing = published.marks([key])[key].missing(record["rev"])
    try:
        events = recovered(record, missing)
    except (KeyError, ValueError):
        # One strange record must not keep the others from being told.
        observability.logger.exception("a change makes no event", key=record["pk"], part=record["sk"])
        return 0
    crm_events.publish(events)
    if missing:
        published.note(key, missing)
    for event in events:
        observability.logger.warning("nobody told this change", event_id=event.event_id, type=event.type)
    return len(events)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge Scheduler entry."""

    def has_time() -> bool:
        return timedelta(milliseconds=context.get_remaining_time_in_millis()) > _RESERVE

    held = crm()
    if not isinstance(held, BuiltinCrm):
        return
    checkpoint = Checkpoint.take(work.ledger().table, lease=_LEASE)
    if checkpoint is None:
        return
    try:
        found = sweep(held.records, checkpoint, has_time)
    finally:
        checkpoint.leave()
    observability.count("CrmEventsRecovered", found)
