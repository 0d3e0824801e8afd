"""How much work there was, by hour and flow, counted out of the State table's stream.

    pk                     sk                   item
    COUNTS                 <hour>#<flow>        everyone's: accepted, done, failed
    COUNTS#<partnerId>     <hour>#<flow>        one partner's
    ROLLUP                 <shardId>            the last sequence number that is in the counters

The work itself pays nothing for being counted: each move of an entry is in the stream anyway, and
`catch_up` reads it from there. Counters and checkpoint are written in one transaction that holds only for the
checkpoint that was read, so a run that dies, or two at once, count nothing twice and leave nothing out. The
stream keeps a day: only a rollup that stood still for longer loses counts (never work).

What is counted: a version that came in (`accepted`), an entry or a delivery that got done (`done`), one that
failed for good (`failed`). What was put back to work and got done counts as done once more.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from switchboard import clock
from switchboard.dynamo import Item, Table, TransactionCancelled, Write, from_wire, transact
from switchboard.errors import find
from switchboard.ledger import FAILED

HOURS = 24
DELIVERIES = "trigger_delivery"
"""The flow of triggers' calls: items of their own, of which only the failed ones are ledger entries."""

type Deadline = Callable[[], bool]

_DONE = frozenset({"synced", "unchanged", "filtered", "delivered"})
_FAILED = frozenset({*FAILED, "failed"})
_WAITS = frozenset({"retrying", "unknown"})
_READ = ("flow", "status", "version", "partnerId", "updatedAt", "createdAt", "code")
_KEPT = timedelta(days=3)
_PAGE = 1000
_EMPTY_PAGES = 5
"""A page of a shard may be empty although others follow."""

_ITEMS_OF_A_TRANSACTION = 100
_PASSED_OVER = 500
"""Records without work, our own writes among them, after which it is worth noting how far we came."""


@dataclass(frozen=True, slots=True)
class Move:
    """What one change of an item says: `what` is `accepted`, `done`, `failed` or `retried`."""

    what: str
    flow: str
    partner_id: str
    hour: str
    error_class: str | None = None


def moves(record: Mapping[str, Any]) -> Iterator[Move]:
    """What a record of the stream says of work; nothing for most of them."""
    changed = record["dynamodb"]
    pk, sk = (changed["Keys"][name]["S"].partition("#")[0] for name in ("pk", "sk"))
    is_delivery = (pk, sk) == ("TRIGGER", "DELIVERY")
    if not (is_delivery or (pk, sk) == ("LEDGER", "ENTRY")) or "NewImage" not in changed:
        return
    new = _facts(changed["NewImage"])
    old = _facts(changed.get("OldImage") or {})
    if "status" not in new:
        return
    # A delivery that failed is entered into the ledger too, but it is one piece of work.
    if not is_delivery and new["flow"] == DELIVERIES:
        return
    flow = DELIVERIES if is_delivery else new["flow"]
    at = new.get("updatedAt") or new["createdAt"]
    status, before = new["status"], old.get("status")
    is_new = "status" not in old or new.get("version") != old.get("version")

    def move(what: str, error_class: str | None = None) -> Move:
        return Move(what, flow, new["partnerId"], at[:13], error_class)

    if is_new and status != "discarded":  # an empty entry that bars an erased member is no work
        yield move("accepted")
    if status == before and not is_new:
        return
    if status in _DONE and (is_new or before not in _DONE):
        yield move("done")
    elif status in _FAILED and (is_new or before not in _FAILED):
        known = find(new.get("code") or "")
        yield move("failed", known.error_class if known else "remote" if is_delivery else "technical")
    elif status in _WAITS:
        yield move("retried")


def _facts(image: Mapping[str, Any]) -> Item:
    return {name: from_wire(image[name]) for name in _READ if name in image}


@dataclass
class _Batch:
    """Moves that are not in the counters yet."""

    hours: defaultdict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    moves: list[Move] = field(default_factory=list)
    records: int = 0
    last: str = ""

    def take(self, record: Mapping[str, Any]) -> None:
        self.records += 1
        self.last = record["dynamodb"]["SequenceNumber"]
        for move in moves(record):
            self.moves.append(move)
            if move.what != "retried":
                for pk in ("COUNTS", f"COUNTS#{move.partner_id}"):
                    self.hours[pk, f"{move.hour}#{move.flow}"][move.what] += 1

    @property
    def is_full(self) -> bool:
        """Whether one more record might not fit into the transaction: it touches four counters at most."""
        return len(self.hours) + 4 >= _ITEMS_OF_A_TRANSACTION


@dataclass(frozen=True, slots=True)
class Rollup:
    """Brings the counters up to date.

    Args:
        table: the State table.
        streams: reads its stream.
        stream_arn: the stream's.
    """

    table: Table
    streams: Any
    stream_arn: str

    def catch_up(self, has_time: Deadline) -> list[Move]:
        """Count what has happened since the last time, as far as time allows; what this call has counted."""
        reached = {item["sk"]: item for item in self.table.query_all("pk = :pk", {":pk": "ROLLUP"})}
        counted: list[Move] = []
        for shard in self._shards():
            if not reached.get(shard, {}).get("done"):
                counted += self._read(shard, reached.get(shard, {}).get("sequence"), has_time)
        return counted

    def _shards(self) -> Iterator[str]:
        start: dict[str, str] = {}
        while True:
            found = self.streams.describe_stream(StreamArn=self.stream_arn, **start)["StreamDescription"]
            for shard in found.get("Shards", []):
                yield shard["ShardId"]
            if "LastEvaluatedShardId" not in found:
                return
            start = {"ExclusiveStartShardId": found["LastEvaluatedShardId"]}

    def _read(self, shard: str, reached: str | None, has_time: Deadline) -> list[Move]:
        iterator = self._iterator(shard, reached)
        counted: list[Move] = []
        batch, empty = _Batch(), 0
        while iterator and empty < _EMPTY_PAGES and has_time():
            page = self.streams.get_records(ShardIterator=iterator, Limit=_PAGE)
            iterator = page.get("NextShardIterator", "")
            empty = 0 if page["Records"] else empty + 1
            for record in page["Records"]:
                batch.take(record)
                if batch.is_full:
                    if not self._write(shard, reached, batch, done=False):
                        return counted
                    counted += batch.moves
                    reached, batch = batch.last, _Batch()
        is_over = not iterator
        worth_it = batch.hours or batch.records >= _PASSED_OVER or is_over
        if worth_it and self._write(shard, reached, batch, done=is_over):
            counted += batch.moves
        return counted

    def _iterator(self, shard: str, reached: str | None) -> str:
        asked: Any = {"StreamArn": self.stream_arn, "ShardId": shard}
        if reached:
            after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": reached}
            try:
                return str(self.streams.get_shard_iterator(**asked, **after)["ShardIterator"])
            except self.streams.exceptions.TrimmedDataAccessException:
                pass  # all that is still there came later
        asked["ShardIteratorType"] = "TRIM_HORIZON"
        return str(self.streams.get_shard_iterator(**asked)["ShardIterator"])

    def _write(self, shard: str, reached: str | None, batch: _Batch, *, done: bool) -> bool:
        """Whether it is counted now; False when another run has done so meanwhile."""
        expires = int((clock.now() + _KEPT).timestamp())
        checkpoint: Item = {":last": batch.last or reached or "", ":done": done, ":expires": expires}
        names = {"#sequence": "sequence", "#done": "done", "#expires": "expiresAt"}
        condition = "attribute_not_exists(#sequence)"
        if reached:
            condition = "#sequence = :reached"
            checkpoint[":reached"] = reached
        writes = [
            Write(
                self.table,
                key=("ROLLUP", shard),
                update="SET #sequence = :last, #done = :done, #expires = :expires",
                condition=condition,
                names=names,
                values=checkpoint,
            )
        ]
        for (pk, sk), counted in batch.hours.items():
            values: Item = {f":{what}": number for what, number in counted.items()}
            added = ", ".join(f"{what} :{what}" for what in counted)
            writes.append(
                Write(
                    self.table,
                    key=(pk, sk),
                    update=f"ADD {added} SET expiresAt = :expires",
                    values=values | {":expires": expires},
                )
            )
        try:
            transact(writes)
        except TransactionCancelled:
            return False
        return True


def rollup() -> Rollup:
    """The rollup of this deployment."""
    from switchboard.aws import dynamodb_streams

    return Rollup(Table(os.environ["STATE_TABLE"]), dynamodb_streams(), os.environ["STATE_STREAM_ARN"])


def last_hours(table: Table, partner_id: str | None) -> dict[str, dict[str, Counter[str]]]:
    """The counters of the last 24 hours, this one included: by flow, then by hour (`2026-11-22T10`)."""
    hours = hours_until_now()
    found: dict[str, dict[str, Counter[str]]] = {}
    bounds: Item = {":pk": f"COUNTS#{partner_id}" if partner_id else "COUNTS", ":from": hours[0], ":to": "9"}
    for item in table.query_all("pk = :pk AND sk BETWEEN :from AND :to", bounds):
        hour, _, flow = item["sk"].partition("#")
        counted = Counter({what: item.get(what, 0) for what in ("accepted", "done", "failed")})
        found.setdefault(flow, {})[hour] = counted
    return found


def hours_until_now() -> list[str]:
    """The last 24 hours, this one included, oldest first."""
    return [clock.timestamp(timedelta(hours=-back))[:13] for back in reversed(range(HOURS))]
