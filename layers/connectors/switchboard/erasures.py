"""Erasures of people: accepting one, and where it stands. The work itself is the step `retention`."""

from typing import Any

from switchboard import queues, work
from switchboard.dynamo import ConditionFailed
from switchboard.ledger import FAILED, UNFINISHED, Entry, entry_id
from switchboard.partners import ADMIN

FLOW = "erasure"


def find(customer_id: str) -> Entry | None:
    """The latest erasure of a customer."""
    return work.ledger().get(entry_id(ADMIN, FLOW, customer_id))


def start(customer_id: str, *, by: str, correlation_id: str, again: bool) -> Entry:
    """Accept an erasure; one that is under way, or done, is answered as it stands.

    Args:
        customer_id: whom.
        by: the partner id of the administrator who asks.
        correlation_id: of the call.
        again: whether something has come in since the last one was done, so that it is done again.
    """
    facts: dict[str, Any] = {
        "partner_id": ADMIN,
        "flow": FLOW,
        "entity": customer_id,
        "payload": {"customerId": customer_id, "by": by},
        "group": customer_id,
        "correlation_id": correlation_id,
        "customer_id": customer_id,
    }
    accepted = work.ledger().accept(**facts)
    entry, is_new = accepted.entry, accepted.is_new
    if not is_new and entry.status in (*FAILED, "discarded"):
        try:
            entry = work.ledger().reopen(entry, correlation_id=correlation_id, reason="asked for again")
        except ConditionFailed:
            return find(customer_id) or entry
        is_new = True
    elif not is_new and again and entry.status not in UNFINISHED:
        accepted = work.ledger().accept(**facts, version=entry.version + 1, result={"counts": {}})
        entry, is_new = accepted.entry, accepted.is_new
    if is_new:
        queues.offer(entry)
    return entry
