"""What an entry is, and how the State table holds it."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from switchboard import clock, ids
from switchboard.dynamo import Item
from switchboard.errors import find
from switchboard.versions import Version

type Status = Literal[
    "pending",
    "in_progress",
    "retrying",
    "unknown",
    "synced",
    "unchanged",
    "filtered",
    "data_error",
    "remote_failure",
    "integration_failure",
    "discarded",
]

STATUSES: frozenset[str] = frozenset(get_args(Status.__value__))
UNFINISHED: tuple[Status, ...] = ("pending", "in_progress", "retrying", "unknown")
FAILED: tuple[Status, ...] = ("data_error", "remote_failure", "integration_failure")
REPEATED: tuple[Status, ...] = ("retrying", "unknown")
RESUBMITTABLE: tuple[Status, ...] = (*FAILED, *REPEATED)
DONE: tuple[Status, ...] = ("synced", "unchanged", "filtered")


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of work.

    Attributes:
        ledger_id: opaque id, derived from partner, flow and entity.
        version: the newest version accepted; 1 where the source has no versions.
        revision: counts the writes of this entry.
        attempts: claims since the work was accepted or resubmitted.
        lost_workers: of these, the claims in a row whose worker never recorded anything.
        group: what the queue keeps in order.
        payload: the work as it was accepted, with the corrections that people have made since.
        original: the payload before the first correction; None when there was none.
        result: ids that came of it so far (customerId, caseId …).
        detail: the vendor's words, redacted.
        due_at: when the sweeper looks after it, RFC 3339; None when it is done.
        taken_over: the worker that held it before died without recording, so what it sent is not known.
        payload_hash: SHA-256 of the payload that is no longer kept; None while it is.
        erased_at: since when its person is erased, RFC 3339; a shared entry takes no version from then on.
        history: the moves that are still in the entry, oldest first.
    """

    ledger_id: str
    flow: str
    entity: str
    partner_id: str
    status: Status
    version: Version
    revision: int
    attempts: int
    group: str
    payload: dict[str, Any]
    result: dict[str, Any]
    correlation_id: str
    created_at: str
    updated_at: str
    lost_workers: int = 0
    code: str | None = None
    detail: str | None = None
    customer_id: str | None = None
    due_at: str | None = None
    lease_token: str | None = None
    taken_over: bool = False
    original: dict[str, Any] | None = None
    payload_hash: str | None = None
    erased_at: str | None = None
    history: list[Item] = field(default_factory=list)

    @property
    def action(self) -> str | None:
        """What the operator does about it, from the error registry."""
        return action_for(self.code)

    @property
    def taken_up_at(self) -> str:
        """When it was accepted, or last taken up anew, RFC 3339; empty when that is no longer told."""
        return next((move["at"] for move in reversed(self.history) if move["status"] == "pending"), "")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What `accept` found: the entry, and whether this very call made it pending."""

    entry: Entry
    is_new: bool


def action_for(code: str | None) -> str | None:
    """The operator's action for a code of an entry; an entry may be older than today's registry."""
    known = find(code) if code else None
    return known.action if known else None


def only_waits(code: str | None) -> bool:
    """Whether work under this code waits for its turn, its customer or its hour: then nothing is wrong."""
    known = find(code) if code else None
    return known is None or code == "budget-spent" or (known.error_class == "conflict" and known.retryable)


def entry_id(partner_id: str, flow: str, entity: str) -> str:
    """The ledger id of a partner's piece of work."""
    return ids.derived("led", partner_id, flow, entity)


def as_text(payload: dict[str, Any]) -> str:
    """A payload as the table holds it."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def history_move(status: str, correlation_id: str, **facts: object) -> Item:
    """One move of an entry, as its history has it."""
    known = {name: value for name, value in facts.items() if value is not None}
    return {"at": clock.timestamp(), "status": status, "correlationId": correlation_id} | known


def from_item(item: Item) -> Entry:
    """The entry of an item."""
    return Entry(
        ledger_id=item["ledgerId"],
        flow=item["flow"],
        entity=item["entity"],
        partner_id=item["partnerId"],
        status=item["status"],
        version=item["version"],
        revision=item["revision"],
        attempts=item["attempts"],
        lost_workers=item.get("unrecorded", 0),
        group=item["group"],
        payload=json.loads(item["payload"]) if item.get("payload") else {},
        result=item.get("result", {}),
        correlation_id=item["correlationId"],
        created_at=item["createdAt"],
        updated_at=item["updatedAt"],
        code=item.get("code"),
        detail=item.get("detail"),
        customer_id=item.get("customerId"),
        due_at=item.get("dueAt"),
        lease_token=item.get("leaseToken"),
        taken_over=bool(item.get("deadLease")),
        original=json.loads(item["originalPayload"]) if item.get("originalPayload") else None,
        payload_hash=item.get("payloadHash"),
        erased_at=item.get("erasedAt") or item.get("barredAt"),
        history=item.get("history", []),
    )
