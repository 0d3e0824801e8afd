"""Deliveries: each call that is owed to a trigger, as an item of the State table.

    pk                      sk                        item
    TRIGGER#<triggerId>     DELIVERY#<moment+digest>  a delivery; the id sorts by the event's time
    TRIGGER#<triggerId>     PACE                      when the next call of a rate-limited trigger may go out
    LANE#<triggerId>#<lane> DELIVERY#<moment+digest>  an ordered trigger's unfinished delivery to one customer
    LANE#<triggerId>#<lane> LEASE                     who works on that lane

A delivery's usual life is two writes: the claim, which also writes it down, and the record. An unfinished
one has an `openKey` and a `dueAt`, at which the sweeper sends it again if no message did.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from switchboard import clock
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import ConditionFailed, Item, Table, TransactionCancelled, Write, transact
from switchboard.triggers.delivery import (
    SHARDS,
    SK,
    STATUSES,
    UNFINISHED,
    Attempt,
    Delivery,
    Status,
    bound_of,
    delivery_id,
    expiry,
    from_item,
    key_of,
    lane_of,
    lane_pk,
    open_key,
    trigger_of,
)
from switchboard.triggers.store import Trigger

__all__ = [
    "STATUSES",
    "UNFINISHED",
    "Attempt",
    "Deliveries",
    "Delivery",
    "delivery_id",
    "lane_of",
    "trigger_of",
]

_GRACE = timedelta(minutes=2)
"""How long after its time the sweeper lets a message be on its way."""

_ATTEMPTS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The deliveries in the State table."""

    table: Table

    # writing down ---------------------------------------------------------------------------------------

    def _new(self, trigger: Trigger, event: CrmEvent, status: Status) -> Item:
        found = delivery_id(trigger.trigger_id, event)
        pk, sk = key_of(found)
        now = clock.timestamp()
        # Its place in the index `Customer`. These never change, so that an attempt does not write there.
        place: Item = {}
        if event.account_id:
            place = {"customerId": event.account_id, "recentAt": f"{now}#{found}"}
        return place | {
            "pk": pk,
            "sk": sk,
            "deliveryId": found,
            "triggerId": trigger.trigger_id,
            "partnerId": trigger.partner_id,
            "event": event.model_dump_json(by_alias=True, exclude_none=True),
            "status": status,
            "tries": 0,
            "rounds": 0,
            "createdAt": now,
            "updatedAt": now,
            "expiresAt": expiry(),
        }

    def skip(self, trigger: Trigger, event: CrmEvent) -> None:
        """Write down that an event came while the trigger was disabled; `recover` finds it."""
        item = self._new(trigger, event, "skipped")
        if trigger.ordered:  # also when it is recovered
            item["lane"] = lane_of(event)
        try:
            self.table.put(item, condition="attribute_not_exists(pk)")
        except ConditionFailed:
            return

    def line_up(self, trigger: Trigger, event: CrmEvent) -> None:
        """Write a delivery of an ordered trigger down, at its place in its customer's lane."""
        item = self._new(trigger, event, "pending")
        lane = lane_of(event)
        item |= {"lane": lane, "openKey": open_key(item["deliveryId"]), "dueAt": clock.timestamp(_GRACE)}
        try:
            transact(
                [
                    Write(self.table, put=item, condition="attribute_not_exists(pk)"),
                    Write(self.table, put=self._place(item["deliveryId"], trigger.trigger_id, lane)),
                ]
            )
        except TransactionCancelled:
            return

    def _place(self, delivery: str, trigger_id: str, lane: str) -> Item:
        return {
            "pk": lane_pk(trigger_id, lane),
            "sk": key_of(delivery)[1],
            "deliveryId": delivery,
            "expiresAt": expiry(),
        }

    # claim and record -----------------------------------------------------------------------------------

    def claim(
        self,
        delivery: str,
        *,
        lease: timedelta,
        trigger: Trigger | None = None,
        event: CrmEvent | None = None,
    ) -> Delivery | None:
        """Take a delivery for one attempt, writing it down when it is new (then with `trigger` and `event`).

        None when it is finished, not due yet, or in another worker's hands.
        """
        now, until = clock.timestamp(), clock.timestamp(lease)
        token = secrets.token_hex(8)
        facts: Item = {
            "leaseToken": token,
            "leaseUntil": until,
            "dueAt": until,
            "openKey": open_key(delivery),
            "updatedAt": now,
        }
        once: Item = {}
        there = "attribute_exists(pk)"
        if trigger is not None and event is not None:
            once = self._new(trigger, event, "pending")
            once = {name: value for name, value in once.items() if name not in ("pk", "sk", "updatedAt")}
            there = "attribute_not_exists(pk)"
        names = {f"#{name}": name for name in (*facts, *once, "status", "nextAttemptAt")}
        sets = [f"#{name} = :{name}" for name in facts]
        sets += [f"#{name} = if_not_exists(#{name}, :{name})" for name in once]
        free = (
            "#status IN (:pending, :retrying)"
            " AND (attribute_not_exists(#leaseUntil) OR #leaseUntil < :now)"
            " AND (attribute_not_exists(#nextAttemptAt) OR #nextAttemptAt <= :now)"
        )
        condition = f"attribute_not_exists(pk) OR ({free})" if once else f"{there} AND {free}"
        values = {f":{name}": value for name, value in (facts | once).items()}
        values |= {":pending": "pending", ":retrying": "retrying", ":now": now}
        try:
            item = self.table.update(
                *key_of(delivery),
                f"SET {', '.join(sets)}",
                condition=condition,
                names=names,
                values=values,
            )
        except ConditionFailed as failed:
            mine = failed.taken("leaseToken", token)
            return None if mine is None else from_item(mine)
        return from_item(item)

    def record(
        self, claimed: Delivery, status: Status, attempt: Attempt | None, *, retry_at: datetime | None = None
    ) -> bool:
        """Write what came of a claimed delivery; False when it was in other hands meanwhile."""
        facts: Item = {"status": status, "updatedAt": clock.timestamp(), "expiresAt": expiry()}
        removed = ["leaseToken", "leaseUntil", "nextAttemptAt"]
        if attempt is not None:
            facts["attempts"] = [*claimed.attempts, _logged(attempt)][-_ATTEMPTS_KEPT:]
            facts["tries"] = claimed.tries + 1
            if attempt.answer:
                facts["answer"] = attempt.answer
            else:
                removed.append("answer")
        if retry_at is not None:
            removed.remove("nextAttemptAt")
            facts |= {
                "nextAttemptAt": clock.rfc3339(retry_at),
                "dueAt": clock.rfc3339(_look(retry_at)),
                "openKey": open_key(claimed.delivery_id),
            }
        elif status in UNFINISHED:
            facts |= {"dueAt": clock.timestamp(_GRACE), "openKey": open_key(claimed.delivery_id)}
        else:
            removed += ["dueAt", "openKey", "forced"]
        names = {f"#{name}": name for name in (*facts, *removed)}
        try:
            self.table.update(
                *key_of(claimed.delivery_id),
                "SET "
                + ", ".join(f"#{name} = :{name}" for name in facts)
                + f" REMOVE {', '.join(f'#{name}' for name in removed)}",
                condition="#leaseToken = :token",
                names=names,
                values={f":{name}": value for name, value in facts.items()} | {":token": claimed.lease_token},
            )
        except ConditionFailed:
            return False
        return True

    def reopen(self, delivery: Delivery) -> Delivery | None:
        """Put a delivery back to work from its first attempt on; None when it is in a worker's hands."""
        facts: Item = {
            "status": "pending",
            "tries": 0,
            "rounds": delivery.rounds + 1,
            "forced": True,
            "updatedAt": clock.timestamp(),
            "dueAt": clock.timestamp(_GRACE),
            "openKey": open_key(delivery.delivery_id),
        }
        names = {f"#{name}": name for name in (*facts, "nextAttemptAt", "leaseUntil")}
        sets = ", ".join(f"#{name} = :{name}" for name in facts)
        values = {f":{name}": value for name, value in facts.items()} | {":now": clock.timestamp()}
        try:
            item = self.table.update(
                *key_of(delivery.delivery_id),
                f"SET {sets} REMOVE #nextAttemptAt",
                condition="attribute_exists(pk)"
                " AND (attribute_not_exists(#leaseUntil) OR #leaseUntil < :now)",
                names=names,
                values=values,
            )
        except ConditionFailed:
            return None
        if delivery.lane is not None:
            self.table.put(self._place(delivery.delivery_id, delivery.trigger_id, delivery.lane))
        return from_item(item)

    # lanes ------------------------------------------------------------------------------------------------

    def take_lane(self, trigger_id: str, lane: str, *, lease: timedelta) -> str | None:
        """Be the one who works on a lane; a token, or None when somebody else does."""
        token = secrets.token_hex(8)
        try:
            self.table.put(
                {
                    "pk": lane_pk(trigger_id, lane),
                    "sk": "LEASE",
                    "holder": token,
                    "until": clock.timestamp(lease),
                    "expiresAt": expiry(),
                },
                condition="attribute_not_exists(pk) OR #until < :now",
                names={"#until": "until"},
                values={":now": clock.timestamp()},
            )
        except ConditionFailed as failed:
            return None if failed.taken("holder", token) is None else token
        return token

    def leave_lane(self, trigger_id: str, lane: str, token: str) -> None:
        """Let others work on a lane."""
        try:
            self.table.delete(
                lane_pk(trigger_id, lane), "LEASE", condition="holder = :holder", values={":holder": token}
            )
        except ConditionFailed:
            return

    def head(self, trigger_id: str, lane: str) -> str | None:
        """The delivery whose turn it is in a lane."""
        page = self.table.query(
            "pk = :pk AND begins_with(sk, :sk)",
            {":pk": lane_pk(trigger_id, lane), ":sk": SK},
            limit=1,
            consistent=True,
        )
        return page.items[0]["deliveryId"] if page.items else None

    def leave_place(self, delivery: str, trigger_id: str, lane: str) -> None:
        """Let the next delivery of a lane have its turn."""
        self.table.delete(lane_pk(trigger_id, lane), key_of(delivery)[1])

    # pace -------------------------------------------------------------------------------------------------

    def next_slot(self, trigger_id: str, per_second: float) -> datetime:
        """The moment at which one more call of a trigger may go out; it is this caller's alone."""
        key = (f"TRIGGER#{trigger_id}", "PACE")
        step = timedelta(seconds=1 / per_second)
        while True:
            now = clock.now()
            item = self.table.get(*key)
            held = item["nextAt"] if item else None
            slot = max(now, clock.parse(held)) if held else now
            try:
                self.table.put(
                    {
                        "pk": key[0],
                        "sk": key[1],
                        "nextAt": clock.exact(slot + step),
                        "expiresAt": expiry(),
                    },
                    condition="attribute_not_exists(pk) OR nextAt = :held",
                    values={":held": held or ""},
                )
            except ConditionFailed:
                continue
            return slot

    # sweep and read ---------------------------------------------------------------------------------------

    def due(self, *, limit: int) -> Iterator[Delivery]:
        """Unfinished deliveries whose time has come, each put off a little so that it is sent once."""
        for shard in range(SHARDS):
            page = self.table.query(
                "openKey = :key AND dueAt <= :now",
                {":key": f"delivery#{shard}", ":now": clock.timestamp()},
                index="Open",
                limit=limit,
            )
            for found in page.items:
                if (delivery := self._put_off(found)) is not None:
                    yield delivery

    def _put_off(self, found: Item) -> Delivery | None:
        try:
            item = self.table.update(
                found["pk"],
                found["sk"],
                "SET dueAt = :later",
                condition="dueAt = :seen AND openKey = :key",
                values={
                    ":later": clock.timestamp(_GRACE),
                    ":seen": found["dueAt"],
                    ":key": found["openKey"],
                },
            )
        except ConditionFailed:
            return None
        return from_item(item)

    def get(self, delivery: str) -> Delivery | None:
        """The delivery, or None."""
        item = self.table.get(*key_of(delivery))
        return from_item(item) if item else None

    def of_trigger(
        self,
        trigger_id: str,
        *,
        since: str | None = None,
        until: str | None = None,
        after: str | None = None,
        statuses: "tuple[str, ...]" = (),
        forward: bool = False,
    ) -> Iterator[Delivery]:
        """A trigger's deliveries by the time of their events, the newest first.

        Args:
            trigger_id: whose.
            since, until: RFC 3339; of events from then on, and before then.
            after: a delivery id to go on behind.
            statuses: only these.
            forward: the oldest first.
        """
        low = f"{SK}{bound_of(since)}" if since else SK
        high = f"{SK}{bound_of(until)}" if until else f"{SK}~"
        names, expression, values = None, None, {}
        if statuses:
            values = {f":s{number}": status for number, status in enumerate(statuses)}
            expression = f"#status IN ({', '.join(values)})"
            names = {"#status": "status"}
        pk = f"TRIGGER#{trigger_id}"
        start = {"pk": pk, "sk": key_of(after)[1]} if after else None
        while True:
            page = self.table.query(
                "pk = :pk AND sk BETWEEN :low AND :high",
                {":pk": pk, ":low": low, ":high": high, **values},
                names=names,
                filter_expression=expression,
                forward=forward,
                start=start,
                consistent=True,
                limit=100,
            )
            for item in page.items:
                yield from_item(item)
            start = page.next_key
            if start is None:
                return


def _look(retry_at: datetime) -> datetime:
    """When the sweeper looks: at once for what is too far off for a message, later for what has one."""
    far = retry_at - clock.now() > timedelta(minutes=15)
    return retry_at if far else retry_at + _GRACE


def _logged(attempt: Attempt) -> Item:
    facts: dict[str, Any] = {
        "at": attempt.at,
        "statusCode": attempt.status_code,
        "errorClass": attempt.error_class,
        "durationMs": attempt.duration_ms,
    }
    return {name: value for name, value in facts.items() if value is not None}
