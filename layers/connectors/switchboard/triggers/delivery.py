"""A delivery as it stands, its id, and where the State table has it (`deliveries.py` says what is there)."""

import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from switchboard import clock, ids
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item

type Status = Literal["pending", "delivered", "retrying", "failed", "skipped"]

STATUSES: frozenset[str] = frozenset(get_args(Status.__value__))
UNFINISHED = ("pending", "retrying")
SHARDS = 4
KEPT = timedelta(days=90)
"""How long a delivery stays in the log after it was last touched."""

_ID = "dlv_"
SK = "DELIVERY#"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call as the log keeps it. `error_class` is None when the answer was 2xx."""

    at: str
    duration_ms: int
    status_code: int | None = None
    error_class: str | None = None
    answer: str | None = None
    """The beginning of the answer's body, at most 2 KB; the log keeps the latest attempt's."""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it stands.

    Attributes:
        tries: attempts of the present round; a retry by a person begins a new one.
        rounds: how often it was put back to work.
        attempts: all that are kept, oldest first, under the API's names.
    """

    delivery_id: str
    trigger_id: str
    partner_id: str
    event: CrmEvent
    status: Status
    tries: int
    rounds: int
    attempts: list[Item]
    created_at: str
    updated_at: str
    next_attempt_at: str | None = None
    lane: str | None = None
    answer: str | None = None
    forced: bool = False
    lease_token: str | None = None


def delivery_id(trigger_id: str, event: CrmEvent) -> str:
    """The one id of an event's delivery to a trigger; it sorts by the event's time."""
    moment = round(clock.parse(event.occurred_at).timestamp() * 1000)
    number = ids.timed(moment, trigger_id, event.origin, event.event_id)
    return f"{_ID}{trigger_id.removeprefix('trg_')}_{number}"


def trigger_of(delivery: str) -> str | None:
    """The trigger that a delivery's id speaks of; None for what is no such id."""
    prefix, _, rest = delivery.partition("_")
    trigger, _, number = rest.partition("_")
    return f"trg_{trigger}" if prefix == "dlv" and trigger and number else None


def lane_of(event: CrmEvent) -> str:
    """What an ordered trigger keeps in order: all that happens to one customer."""
    return ids.derived("lan", event.origin.partition(":")[0], event.account_id or "")


def key_of(delivery: str) -> tuple[str, str]:
    """pk and sk of a delivery, by its id."""
    trigger_id = trigger_of(delivery) or "trg_none"
    return f"TRIGGER#{trigger_id}", f"{SK}{delivery.rpartition('_')[2]}"


def lane_pk(trigger_id: str, lane: str) -> str:
    """The partition of an ordered trigger's lane."""
    return f"LANE#{trigger_id}#{lane}"


def open_key(delivery: str) -> str:
    """Where the index `Open` has a delivery while it is unfinished."""
    return f"delivery#{zlib.crc32(delivery.encode()) % SHARDS}"


def bound_of(moment: str) -> str:
    """What sorts before the deliveries of events from a moment (RFC 3339) on."""
    milliseconds = round(clock.parse(moment).timestamp() * 1000)
    return ids.bound(milliseconds)


def from_item(item: Item) -> Delivery:
    """The delivery that an item holds."""
    return Delivery(
        delivery_id=item["deliveryId"],
        trigger_id=item["triggerId"],
        partner_id=item["partnerId"],
        event=CrmEvent.model_validate_json(item["event"]),
        status=item["status"],
        tries=item["tries"],
        rounds=item["rounds"],
        attempts=item.get("attempts", []),
        created_at=item["createdAt"],
        updated_at=item["updatedAt"],
        next_attempt_at=item.get("nextAttemptAt"),
        lane=item.get("lane"),
        answer=item.get("answer"),
        forced=item.get("forced", False),
        lease_token=item.get("leaseToken"),
    )


def expiry() -> int:
    """When what is written now may go, in epoch seconds."""
    return int((clock.now() + KEPT).timestamp())
