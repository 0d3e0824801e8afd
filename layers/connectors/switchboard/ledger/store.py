"""The ledger's writes: accept, claim, record."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from switchboard import clock, ids
from switchboard.dynamo import ConditionFailed, Item, TransactionCancelled, Write, transact
from switchboard.ledger.decisions import Decisions
from switchboard.ledger.entries import (
    FAILED,
    UNFINISHED,
    Accepted,
    Entry,
    Status,
    as_text,
    entry_id,
    from_item,
    history_move,
)
from switchboard.ledger.keys import (
    LOST_AFTER,
    Update,
    claim_with,
    everyone_key,
    held_key,
    open_key,
    pk_of,
    recent_key,
    shard_of,
)
from switchboard.versions import Version

_HISTORY_IN_ENTRY = 40
_HISTORY_MOVED = 20


@dataclass(frozen=True, slots=True)
class Ledger(Decisions):
    """The ledger in the State table."""

    # accept -------------------------------------------------------------------------------------------

    def accept(
        self,
        *,
        partner_id: str,
        flow: str,
        entity: str,
        payload: dict[str, Any],
        group: str,
        correlation_id: str,
        version: Version = 1,
        status: Literal["pending", "filtered", "synced", "remote_failure"] = "pending",
        code: str | None = None,
        result: Item | None = None,
        lease: timedelta | None = None,
        shared: bool = False,
        heir_of: str | None = None,
        customer_id: str | None = None,
    ) -> Accepted:
        """Enter a piece of work, or a newer version of one; anything else finds the entry as it stands.

        A version that is accepted while a worker holds an older one waits until that one is recorded.
        With a `lease`, work that is entered for the first time is claimed in the same write (`is_new` says
        whether it was), for a caller that does it at once.

        `shared`: the entity is one for all partners. It belongs to the first who brings it; another's call
        finds the owner's entry, not new. With `heir_of`, the partner takes the entry over from that one. One
        whose person was erased (`erased_at`, see `bar`) takes nothing any more.
        Work that was done, or failed for good, before it is entered comes with its final `status`.
        """
        ledger_id = entry_id("" if shared else partner_id, flow, entity)
        stamp = clock.timestamp()
        update = (
            Update(
                status=status,
                version=version,
                attempts=0,
                unrecorded=0,
                acceptedAt=stamp,
                updatedAt=stamp,
                correlationId=correlation_id,
                payload=as_text(payload),
            )
            .set_once("ledgerId", ledger_id)
            .set_once("flow", flow)
            .set_once("entity", entity)
            .set_once("group", group)
            .set_once("createdAt", stamp)
            .append_history(history_move(status, correlation_id, version=version, code=code))
            .next_revision()
            .remove("detail", "originalPayload", "payloadHash")
        )
        owned = {
            "partnerId": partner_id,
            "recentKey": recent_key(partner_id, stamp[:7], shard_of(ledger_id)),
            "everyoneKey": everyone_key(stamp[:7], shard_of(ledger_id)),
            "recentAt": f"{stamp}#{ledger_id}",
        }
        for name, value in owned.items():
            (update.set if heir_of is not None else update.set_once)(name, value)
        if result:
            update.set("result", result)
        if code:
            update.set("code", code)
        else:
            update.remove("code")
        if customer_id:
            update.set("customerId", customer_id)
        if status == "pending":
            update.set("openKey", open_key("pending", ledger_id)).set("dueAt", clock.timestamp(LOST_AFTER))
        elif status in FAILED:
            update.set("openKey", open_key(status, ledger_id)).set("dueAt", stamp)
        else:
            update.remove("openKey", "dueAt")
        newer = "#version < :version"
        if heir_of is not None:
            update.values[":heirOf"] = heir_of
            newer += " AND #partnerId = :heirOf"
        elif shared:
            newer += " AND #partnerId = :partnerId"
        if shared:
            update.names |= {"#erasedAt": "erasedAt", "#barredAt": "barredAt"}
            newer += " AND attribute_not_exists(#erasedAt) AND attribute_not_exists(#barredAt)"
        condition, token = f"attribute_not_exists(pk) OR ({newer})", ""
        if lease is not None:
            condition = "attribute_not_exists(pk)"
            token = claim_with(update, ledger_id, lease)
        try:
            item = self.table.update(
                pk_of(ledger_id),
                "ENTRY",
                update.expression,
                condition=condition,
                names=update.names,
                values=update.values,
            )
        except ConditionFailed as found:
            if found.item is None:
                raise
            # The SDK's own repeat of a write whose answer got lost finds what that has written.
            own: Item = {"acceptedAt": stamp, "correlationId": correlation_id, "version": version}
            if lease is not None:
                own["leaseToken"] = token
            is_new = all(found.item.get(name) == value for name, value in own.items())
            return Accepted(from_item(found.item), is_new=is_new)
        return Accepted(self._archived(item), is_new=True)

    def bar(self, *, partner_id: str, flow: str, entity: str) -> None:
        """Let a shared entity take no version any more, because its person is erased.

        Where nobody has brought it yet, an empty entry stands from now on.
        """
        ledger_id, stamp = entry_id("", flow, entity), clock.timestamp()
        nothing = {"version": 0, "revision": 0, "attempts": 0, "status": "discarded", "result": {}}
        names = {"ledgerId": ledger_id, "flow": flow, "entity": entity, "group": "erased"}
        known = {"partnerId": partner_id, "correlationId": ids.fresh("cor"), "createdAt": stamp}
        update = Update()
        for name, value in (nothing | names | known | {"updatedAt": stamp, "barredAt": stamp}).items():
            update.set_once(name, value)
        self.table.update(
            pk_of(ledger_id), "ENTRY", update.expression, names=update.names, values=update.values
        )

    # claim and record ---------------------------------------------------------------------------------

    def claim(self, ledger_id: str, *, lease: timedelta, revision: int | None = None) -> Entry | None:
        """Take the work for `lease`; None when it is done, or another worker holds it (see `is_held`).

        With a `revision`, also None when the entry has moved on since: a message that comes twice, or that
        waited while the sweeper sent another, wakes nothing before its time.
        """
        now = clock.timestamp()
        until = clock.timestamp(lease)
        token = secrets.token_hex(8)
        update = (
            # First, so that it holds the lease that was there before: a recorded one is gone, a dead one not.
            Update()
            .set("deadLease", "", "if_not_exists(#leaseToken, {value})")
            .set_all(
                status="in_progress",
                updatedAt=now,
                leaseToken=token,
                leaseUntil=until,
                dueAt=until,
                openKey=open_key("in_progress", ledger_id),
            )
            .set("attempts", 1, "{name} + {value}")
            .set("unrecorded", 1, "{name} + {value}")
            .next_revision()
        )
        if revision is not None:
            update.values[":seen"] = revision
        unmoved = "" if revision is None else " AND #revision = :seen"
        waiting = [f":{status}" for status in UNFINISHED]
        update.values |= {f":{status}": status for status in UNFINISHED} | {":now": now}
        try:
            item = self.table.update(
                pk_of(ledger_id),
                "ENTRY",
                update.expression,
                condition=f"#status IN ({', '.join(waiting)})"
                f" AND (attribute_not_exists(#leaseUntil) OR #leaseUntil < :now){unmoved}",
                names=update.names,
                values=update.values,
            )
        except ConditionFailed as failed:
            mine = failed.taken("leaseToken", token)
            if mine is None:
                return None
            item = mine
        return from_item(item)

    def checkpoint(self, claimed: Entry, result: Item, *, lease: timedelta) -> None:
        """Keep what a long piece of work has done so far, and hold on to it for another `lease`.

        A worker that gets on is no worker that dies again and again, so its attempts are counted anew.
        Raises ConditionFailed when the lease was lost: whoever has it now goes on from the last checkpoint.
        """
        until = clock.timestamp(lease)
        update = Update(result=result, leaseUntil=until, dueAt=until, attempts=1, updatedAt=clock.timestamp())
        update.next_revision()
        update.values |= {":token": claimed.lease_token}
        update.names |= {"#token": "leaseToken"}
        self.table.update(
            pk_of(claimed.ledger_id),
            "ENTRY",
            update.expression,
            condition="#token = :token",
            names=update.names,
            values=update.values,
        )

    def record(
        self,
        claimed: Entry,
        status: Status,
        *,
        code: str | None = None,
        detail: str | None = None,
        result: Item | None = None,
        customer_id: str | None = None,
        retry_in: timedelta | None = None,
        held_by: str | None = None,
        attempted: bool = True,
        calls: list[str] | None = None,
    ) -> bool:
        """Write what came of a claimed entry, and end its lease.

        Args:
            claimed: the entry as `claim` gave it.
            status: its new state.
            code, detail: why it failed.
            result: ids that came of it.
            customer_id: whose it is.
            retry_in: when a repeat is due.
            held_by: the connector whose breaker is open: the entry waits until `held` releases it.
            attempted: whether the claim counts as an attempt.
            calls: what it called (`calls.told`).

        Returns whether the entry took the state: False when a newer version has come in meanwhile (the
        result is then in the history only) or the lease was lost to another worker.
        """
        move = history_move(
            status,
            claimed.correlation_id,
            version=claimed.version,
            attempt=claimed.attempts,
            code=code,
            detail=detail,
            heldBy=held_by,
            calls=calls,
            retryAt=clock.timestamp(retry_in) if retry_in is not None else None,
        )
        result = claimed.result if result is None else result
        update = Update(status=status, updatedAt=clock.timestamp()).append_history(move).next_revision()
        update.set("result", result).set("unrecorded", 0).remove("leaseToken", "leaseUntil")
        if customer_id:
            update.set("customerId", customer_id)
        for name, value in (("code", code), ("detail", detail)):
            if value:
                update.set(name, value)
            else:
                update.remove(name)
        if not attempted:
            update.set("attempts", claimed.attempts - 1)
        if status in UNFINISHED or status in FAILED:
            update.set("openKey", open_key(held_key(held_by) if held_by else status, claimed.ledger_id))
            update.set("dueAt", clock.timestamp(retry_in or timedelta()))
        else:
            update.remove("openKey", "dueAt")
        update.values |= {":token": claimed.lease_token, ":claimed": claimed.version}
        update.names |= {"#token": "leaseToken", "#claimed": "version"}
        try:
            item = self.table.update(
                pk_of(claimed.ledger_id),
                "ENTRY",
                update.expression,
                condition="#token = :token AND #claimed = :claimed",
                names=update.names,
                values=update.values,
            )
        except ConditionFailed as found:
            if found.item and found.item.get("leaseToken") == claimed.lease_token:
                self._record_superseded(claimed, move, result)
            return False
        self._archived(item)
        return True

    def _record_superseded(self, claimed: Entry, move: Item, result: Item) -> None:
        update = Update(updatedAt=clock.timestamp(), result=result)
        update.append_history(move | {"superseded": True})
        update.next_revision().remove("leaseToken", "leaseUntil")
        update.values[":token"] = claimed.lease_token
        update.names["#token"] = "leaseToken"
        self.table.update(
            pk_of(claimed.ledger_id),
            "ENTRY",
            update.expression,
            condition="#token = :token",
            names=update.names,
            values=update.values,
        )

    # history ------------------------------------------------------------------------------------------

    def _archived(self, item: Item) -> Entry:
        """Move old history out of an entry that has grown long; a race with another writer is left to it."""
        moves = item.get("history", [])
        if len(moves) > _HISTORY_IN_ENTRY:
            kept = moves[_HISTORY_MOVED:]
            archive = {
                "pk": item["pk"],
                "sk": f"HISTORY#{item['revision']:012d}",
                "moves": moves[:_HISTORY_MOVED],
            }
            shorten = Write(
                self.table,
                key=(item["pk"], "ENTRY"),
                update="SET #history = :kept",
                condition="#revision = :seen",
                names={"#history": "history", "#revision": "revision"},
                values={":kept": kept, ":seen": item["revision"]},
            )
            try:
                transact([Write(self.table, put=archive), shorten])
            except TransactionCancelled:
                return from_item(item)
            item = item | {"history": kept}
        return from_item(item)
