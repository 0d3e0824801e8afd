"""The ledger: the one record of every piece of work.

An entry says where the work stands, why it failed and what to do about it. Its key is (partner, flow,
entity); its states are those of `Status`:

    accept          claim             record
    ──────▶ pending ─────▶ in_progress ─────▶ synced | unchanged | data_error | remote_failure | …
               ▲                │
               │                ├──▶ retrying   (a repeat is due at `due_at`)
               └── resubmit     └──▶ unknown    (sent, no answer: looked up before it is sent again)

An entry that found its vendor's breaker open is `retrying` too, but waits under the connector's name until
the breaker closes (`held`); an attempt that was not made is not counted.

Every move is one conditional write:

- `accept` takes only a newer version, so an older one that arrives late changes nothing.
- `claim` gives the work to one worker until its lease ends; a worker that dies loses it by time alone.
- `record` holds only for the worker with the lease. When a newer version has come in meanwhile, the
  result goes into the history and the entry stays pending for the newer one.

The payload is kept in the entry and messages carry only its id: a lost message loses nothing, and nothing
personal waits in a queue.
"""

import heapq
import json
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

from switchboard import clock, ids
from switchboard.dynamo import ConditionFailed, Item, Table, TransactionCancelled, Write, transact
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

SHARDS = 4
"""Partitions of an index that many writers share, so that an outage of a vendor heats no single one."""

LOST_AFTER = timedelta(minutes=2)
"""When the sweeper looks after an accepted entry that nobody has claimed."""

HORIZON = timedelta(days=400)
"""How far back a list looks; a single entry is found by its id however old it is."""

_LISTED = 50
"""Items of one request of a list: half a page and a bit, since four shards answer."""

_HISTORY_IN_ENTRY = 40
_HISTORY_MOVED = 20


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
        payload: the work as it was accepted.
        result: ids that came of it so far (customerId, caseId …).
        detail: the vendor's words, redacted.
        due_at: when the sweeper looks after it, RFC 3339; None when it is done.
        taken_over: the worker that held it before died without recording, so what it sent is not known.
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
    history: list[Item] = field(default_factory=list)

    @property
    def action(self) -> str | None:
        """What the operator does about it, from the error registry."""
        return action_for(self.code)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What `accept` found: the entry, and whether this very call made it pending."""

    entry: Entry
    is_new: bool


def action_for(code: str | None) -> str | None:
    """The operator's action for a code of an entry; an entry may be older than today's registry."""
    known = find(code) if code else None
    return known.action if known else None


def entry_id(partner_id: str, flow: str, entity: str) -> str:
    """The ledger id of a partner's piece of work."""
    return ids.derived("led", partner_id, flow, entity)


def _pk(ledger_id: str) -> str:
    return f"LEDGER#{ledger_id}"


def _shard(ledger_id: str) -> int:
    return zlib.crc32(ledger_id.encode()) % SHARDS


def _open_key(status: str, ledger_id: str) -> str:
    return f"{status}#{_shard(ledger_id)}"


def _held_key(connector: str) -> str:
    return f"held:{connector}"


def _recent_key(partner_id: str, month: str, shard: int) -> str:
    return f"{partner_id}#{month}#{shard}"


def _everyone_key(month: str, shard: int) -> str:
    return f"{month}#{shard}"


def _history(status: str, correlation_id: str, **facts: object) -> Item:
    known = {name: value for name, value in facts.items() if value is not None}
    return {"at": clock.timestamp(), "status": status, "correlationId": correlation_id} | known


def _from_item(item: Item) -> Entry:
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
        history=item.get("history", []),
    )


def _recent_at(item: Item) -> str:
    at: str = item["recentAt"]
    return at


def _month_before(month: str) -> str:
    year, number = int(month[:4]), int(month[5:7])
    return f"{year - 1}-12" if number == 1 else f"{year}-{number - 1:02d}"


def _claim(update: "_Update", ledger_id: str, lease: timedelta) -> None:
    """Let an update of `accept` take the work too, as `Ledger.claim` does for work that is there already."""
    until = clock.timestamp(lease)
    update.put(
        status="in_progress",
        attempts=1,
        unrecorded=1,
        leaseToken=secrets.token_hex(8),
        leaseUntil=until,
        dueAt=until,
        openKey=_open_key("in_progress", ledger_id),
    )


class _Update:
    """An update expression in the making: what to set and what to remove."""

    def __init__(self, **always: object) -> None:
        self.names: dict[str, str] = {}
        self.values: Item = {}
        self._set: list[str] = []
        self._remove: list[str] = []
        self.set_all(**always)

    def set_all(self, **values: object) -> "_Update":
        for name, value in values.items():
            self.set(name, value)
        return self

    def set(self, name: str, value: object, expression: str = "{value}") -> "_Update":
        self.names[f"#{name}"] = name
        self.values[f":{name}"] = value
        self._set.append(f"#{name} = " + expression.format(name=f"#{name}", value=f":{name}"))
        return self

    def put(self, **values: object) -> "_Update":
        """Set these, also those that are set already: the last value counts."""
        for name, value in values.items():
            if f":{name}" in self.values:
                self.values[f":{name}"] = value
            else:
                self.set(name, value)
        return self

    def set_once(self, name: str, value: object) -> "_Update":
        return self.set(name, value, "if_not_exists({name}, {value})")

    def append_history(self, move: Item) -> "_Update":
        self.values[":none"] = []
        return self.set("history", [move], "list_append(if_not_exists({name}, :none), {value})")

    def next_revision(self) -> "_Update":
        self.values[":zero"] = 0
        return self.set("revision", 1, "if_not_exists({name}, :zero) + {value}")

    def remove(self, *names: str) -> "_Update":
        for name in names:
            self.names[f"#{name}"] = name
            self._remove.append(f"#{name}")
        return self

    @property
    def expression(self) -> str:
        removed = f" REMOVE {', '.join(self._remove)}" if self._remove else ""
        return f"SET {', '.join(self._set)}{removed}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger in the State table."""

    table: Table

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
        finds the owner's entry, not new. With `heir_of`, the partner takes the entry over from that one.
        Work that was done, or failed for good, before it is entered comes with its final `status`.
        """
        ledger_id = entry_id("" if shared else partner_id, flow, entity)
        stamp = clock.timestamp()
        update = (
            _Update(
                status=status,
                version=version,
                attempts=0,
                unrecorded=0,
                updatedAt=stamp,
                correlationId=correlation_id,
                payload=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
            )
            .set_once("ledgerId", ledger_id)
            .set_once("flow", flow)
            .set_once("entity", entity)
            .set_once("group", group)
            .set_once("createdAt", stamp)
            .append_history(_history(status, correlation_id, version=version, code=code))
            .next_revision()
            .remove("detail")
        )
        owned = {
            "partnerId": partner_id,
            "recentKey": _recent_key(partner_id, stamp[:7], _shard(ledger_id)),
            "everyoneKey": _everyone_key(stamp[:7], _shard(ledger_id)),
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
            update.set("openKey", _open_key("pending", ledger_id)).set("dueAt", clock.timestamp(LOST_AFTER))
        elif status in FAILED:
            update.set("openKey", _open_key(status, ledger_id)).set("dueAt", stamp)
        else:
            update.remove("openKey", "dueAt")
        newer = "#version < :version"
        if heir_of is not None:
            update.values[":heirOf"] = heir_of
            newer += " AND #partnerId = :heirOf"
        elif shared:
            newer += " AND #partnerId = :partnerId"
        condition = f"attribute_not_exists(pk) OR ({newer})"
        if lease is not None:
            condition = "attribute_not_exists(pk)"
            _claim(update, ledger_id, lease)
        try:
            item = self.table.update(
                _pk(ledger_id),
                "ENTRY",
                update.expression,
                condition=condition,
                names=update.names,
                values=update.values,
            )
        except ConditionFailed as found:
            if found.item is None:
                raise
            return Accepted(_from_item(found.item), is_new=False)
        return Accepted(self._archived(item), is_new=True)

    # claim and record ---------------------------------------------------------------------------------

    def claim(self, ledger_id: str, *, lease: timedelta, revision: int | None = None) -> Entry | None:
        """Take the work for `lease`; None when it is done, or another worker holds it (see `is_held`).

        With a `revision`, also None when the entry has moved on since: a message that comes twice, or that
        waited while the sweeper sent another, wakes nothing before its time.
        """
        now = clock.timestamp()
        until = clock.timestamp(lease)
        update = (
            # First, so that it holds the lease that was there before: a recorded one is gone, a dead one not.
            _Update()
            .set("deadLease", "", "if_not_exists(#leaseToken, {value})")
            .set_all(
                status="in_progress",
                updatedAt=now,
                leaseToken=secrets.token_hex(8),
                leaseUntil=until,
                dueAt=until,
                openKey=_open_key("in_progress", ledger_id),
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
                _pk(ledger_id),
                "ENTRY",
                update.expression,
                condition=f"#status IN ({', '.join(waiting)})"
                f" AND (attribute_not_exists(#leaseUntil) OR #leaseUntil < :now){unmoved}",
                names=update.names,
                values=update.values,
            )
        except ConditionFailed:
            return None
        return _from_item(item)

    def is_held(self, ledger_id: str) -> bool:
        """Whether a worker holds the entry's lease now."""
        item = self.table.get(_pk(ledger_id), "ENTRY")
        return bool(item and item["status"] in UNFINISHED and item.get("leaseUntil", "") >= clock.timestamp())

    def checkpoint(self, claimed: Entry, result: Item, *, lease: timedelta) -> None:
        """Keep what a long piece of work has done so far, and hold on to it for another `lease`.

        A worker that gets on is no worker that dies again and again, so its attempts are counted anew.
        Raises ConditionFailed when the lease was lost: whoever has it now goes on from the last checkpoint.
        """
        until = clock.timestamp(lease)
        update = _Update(
            result=result, leaseUntil=until, dueAt=until, attempts=1, updatedAt=clock.timestamp()
        )
        update.next_revision()
        update.values |= {":token": claimed.lease_token}
        update.names |= {"#token": "leaseToken"}
        self.table.update(
            _pk(claimed.ledger_id),
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

        Returns whether the entry took the state: False when a newer version has come in meanwhile (the
        result is then in the history only) or the lease was lost to another worker.
        """
        move = _history(
            status,
            claimed.correlation_id,
            version=claimed.version,
            attempt=claimed.attempts,
            code=code,
            detail=detail,
            heldBy=held_by,
            retryAt=clock.timestamp(retry_in) if retry_in is not None else None,
        )
        result = claimed.result if result is None else result
        update = _Update(status=status, updatedAt=clock.timestamp()).append_history(move).next_revision()
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
            update.set("openKey", _open_key(_held_key(held_by) if held_by else status, claimed.ledger_id))
            update.set("dueAt", clock.timestamp(retry_in or timedelta()))
        else:
            update.remove("openKey", "dueAt")
        update.values |= {":token": claimed.lease_token, ":claimed": claimed.version}
        update.names |= {"#token": "leaseToken", "#claimed": "version"}
        try:
            item = self.table.update(
                _pk(claimed.ledger_id),
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
        update = _Update(updatedAt=clock.timestamp(), result=result)
        update.append_history(move | {"superseded": True})
        update.next_revision().remove("leaseToken", "leaseUntil")
        update.values[":token"] = claimed.lease_token
        update.names["#token"] = "leaseToken"
        self.table.update(
            _pk(claimed.ledger_id),
            "ENTRY",
            update.expression,
            condition="#token = :token",
            names=update.names,
            values=update.values,
        )

    # resubmit, discard, sweep -------------------------------------------------------------------------

    def reopen(self, entry: Entry, *, correlation_id: str, reason: str) -> Entry:
        """Make a failed or unfinished entry pending again; raises ConditionFailed when it has moved on."""
        update = _Update(
            status="pending",
            attempts=0,
            unrecorded=0,
            updatedAt=clock.timestamp(),
            openKey=_open_key("pending", entry.ledger_id),
            dueAt=clock.timestamp(LOST_AFTER),
        ).append_history(_history("pending", correlation_id, reason=reason))
        return self._move(entry, update.remove("code", "detail"))

    def discard(self, entry: Entry, *, correlation_id: str, reason: str) -> Entry:
        """End an entry for good; raises ConditionFailed when it has moved on."""
        update = _Update(status="discarded", updatedAt=clock.timestamp())
        update.append_history(_history("discarded", correlation_id, reason=reason))
        return self._move(entry, update.remove("openKey", "dueAt"))

    def park(self, entry: Entry, *, status: Status, code: str, detail: str | None = None) -> Entry:
        """Give up on an unfinished entry that nobody holds; raises ConditionFailed when it has moved on."""
        now = clock.timestamp()
        update = _Update(status=status, code=code, updatedAt=now, dueAt=now)
        update.set("openKey", _open_key(status, entry.ledger_id))
        update.append_history(_history(status, entry.correlation_id, code=code, detail=detail))
        return self._move(entry, update.remove("leaseToken", "leaseUntil"))

    def postpone(self, entry: Entry, delay: timedelta) -> Entry:
        """Let the sweeper look again after `delay`; raises ConditionFailed when the entry has moved on.

        An entry that a breaker held is not held any more.
        """
        update = _Update(dueAt=clock.timestamp(delay), openKey=_open_key(entry.status, entry.ledger_id))
        return self._move(entry, update)

    def _move(self, entry: Entry, update: _Update) -> Entry:
        update.next_revision()
        update.values[":seen"] = entry.revision
        update.names["#seen"] = "revision"
        item = self.table.update(
            _pk(entry.ledger_id),
            "ENTRY",
            update.expression,
            condition="#seen = :seen",
            names=update.names,
            values=update.values,
        )
        return _from_item(item)

    def due(self, status: Status, *, limit: int) -> Iterator[Entry]:
        """Unfinished entries of one state whose time has come, the longest overdue of each shard first."""
        for shard in range(SHARDS):
            page = self.table.query(
                "openKey = :key AND dueAt <= :now",
                {":key": f"{status}#{shard}", ":now": clock.timestamp()},
                index="Open",
                limit=limit,
            )
            for found in page.items:
                entry = self.get(found["ledgerId"])
                if entry is not None and entry.status == status:
                    yield entry

    def held(self, connector: str) -> Iterator[Entry]:
        """Entries that wait for a connector's breaker to close, the longest held of each shard first."""
        for shard in range(SHARDS):
            key = {":key": f"{_held_key(connector)}#{shard}"}
            for found in self.table.query_all("openKey = :key", key, index="Open", limit=_LISTED):
                entry = self.get(found["ledgerId"])
                if entry is not None and entry.status in ("retrying", "unknown"):
                    yield entry

    # read ---------------------------------------------------------------------------------------------

    def get(self, ledger_id: str) -> Entry | None:
        """The entry with the history that is still in it."""
        item = self.table.get(_pk(ledger_id), "ENTRY")
        return _from_item(item) if item else None

    def full_history(self, entry: Entry) -> list[Item]:
        """Every move of the entry, oldest first, the archived ones too."""
        pages = self.table.query_all(
            "pk = :pk AND begins_with(sk, :history)",
            {":pk": _pk(entry.ledger_id), ":history": "HISTORY#"},
            consistent=True,
        )
        return [move for page in pages for move in page["moves"]] + entry.history

    def recent(self, partner_id: str | None, *, before: str, since: str) -> Iterator[Item]:
        """Entries as the index holds them (no payload), the newest first.

        Args:
            partner_id: whose entries; None for everyone's.
            before: a `recentAt` or RFC 3339 time; only what came in earlier.
            since: RFC 3339; only what came in then or later, and no longer ago than `HORIZON`.
        """
        key_name, index = ("recentKey", "Recent") if partner_id else ("everyoneKey", "Everyone")
        since = max(since, clock.timestamp(-HORIZON))
        month = min(before, clock.timestamp(timedelta(minutes=1)))[:7]
        while month >= since[:7]:
            bounds = {":before": before, ":since": since}
            shards = [
                self.table.query_all(
                    f"{key_name} = :key AND recentAt BETWEEN :since AND :before",
                    bounds
                    | {
                        ":key": _recent_key(partner_id, month, shard)
                        if partner_id
                        else _everyone_key(month, shard)
                    },
                    index=index,
                    forward=False,
                    limit=_LISTED,
                )
                for shard in range(SHARDS)
            ]
            for item in heapq.merge(*shards, key=_recent_at, reverse=True):
                if item["recentAt"] != before:
                    yield item
            month = _month_before(month)

    def failures(self) -> Iterator[Item]:
        """All failed entries, as the Open index holds them (no payload)."""
        for status in FAILED:
            for shard in range(SHARDS):
                yield from self.table.query_all("openKey = :key", {":key": f"{status}#{shard}"}, index="Open")

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
                return _from_item(item)
            item = item | {"history": kept}
        return _from_item(item)
