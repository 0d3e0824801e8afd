"""What can be read of the ledger."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from switchboard import clock
from switchboard.dynamo import Item, Table
from switchboard.ledger.entries import (
    FAILED,
    REPEATED,
    UNFINISHED,
    Entry,
    Status,
    from_item,
    only_waits,
)
from switchboard.ledger.keys import SHARDS, everyone_key, held_key, pk_of, recent_key

HORIZON = timedelta(days=400)
"""How far back a list looks; a single entry is found by its id however old it is."""

_LISTED = 50
"""Items of one request of a list: half a page and a bit, since four shards answer."""


def _recent_at(item: Item) -> str:
    at: str = item["recentAt"]
    return at


def _month_before(month: str) -> str:
    year, number = int(month[:4]), int(month[5:7])
    return f"{year - 1}-12" if number == 1 else f"{year}-{number - 1:02d}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The ledger in the State table, as far as it is read."""

    table: Table

    def get(self, ledger_id: str) -> Entry | None:
        """The entry with the history that is still in it."""
        item = self.table.get(pk_of(ledger_id), "ENTRY")
        return from_item(item) if item else None

    def is_held(self, ledger_id: str) -> bool:
        """Whether a worker holds the entry's lease now."""
        item = self.table.get(pk_of(ledger_id), "ENTRY")
        return bool(item and item["status"] in UNFINISHED and item.get("leaseUntil", "") >= clock.timestamp())

    def full_history(self, entry: Entry) -> list[Item]:
        """Every move of the entry, oldest first, the archived ones too."""
        pages = self.table.query_all(
            "pk = :pk AND begins_with(sk, :history)",
            {":pk": pk_of(entry.ledger_id), ":history": "HISTORY#"},
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
                        ":key": recent_key(partner_id, month, shard)
                        if partner_id
                        else everyone_key(month, shard)
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

    def failing(self, connectors: Iterable[str] = (), *, waiting: bool = False) -> Iterator[Item]:
        """What has failed, and what fails and is repeated by itself, as the Open index holds it.

        Args:
            connectors: those whose breaker may hold work.
            waiting: also work that only waits for its turn.
        """
        yield from self.failures()
        for status in (*REPEATED, *map(held_key, connectors)):
            for shard in range(SHARDS):
                key = {":key": f"{status}#{shard}"}
                for item in self.table.query_all("openKey = :key", key, index="Open"):
                    if waiting or not only_waits(item.get("code")):
                        yield item

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
            key = {":key": f"{held_key(connector)}#{shard}"}
            for found in self.table.query_all("openKey = :key", key, index="Open", limit=_LISTED):
                entry = self.get(found["ledgerId"])
                if entry is not None and entry.status in ("retrying", "unknown"):
                    yield entry
