"""Payloads whose time is over: removed from finished entries, with their SHA-256 kept.

    pk              sk                  item
    PRUNE           CURSOR#<shard>      how far the ledger was looked through, by when work came in
    PRUNE#<shard>   <at>#<ledgerId>     an entry to look at again: it was unfinished, or has moved since

Each entry is looked at when it is old enough, and again only when it could not be pruned then.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from functions.retention import redacted
from functions.retention.person import payload_of
from switchboard import clock
from switchboard.dynamo import ConditionFailed, Item, Page, Table
from switchboard.ledger import SHARDS, UNFINISHED
from switchboard.ledger.keys import everyone_key

HORIZON = timedelta(days=400)

_IDS_ONLY = frozenset(
    {
        *("survey_dump", "survey_reminder", "survey_trigger", "trigger_delivery", "record_sync", "crm_api"),
        *("erasure", "resubmission", "redrive"),
    }
)
"""Flows whose payload holds ids and settings alone, and is used later."""

_KEPT = ("community", "uniqueId", "parentId", "authorId", "postId", "operation", "memberNumber", "surveyId")
"""What stays of a payload: the ids by which later work finds its place (a thread of posts, an answer)."""

_VERSIONED = frozenset({"member"})
"""Flows whose entries get new payloads for years: they are looked at again and again."""

_PAGE = 100
_EARLIEST_AGAIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pruning:
    """One run over the State table."""

    table: Table
    keep: timedelta
    has_time: Callable[[], bool]

    def run(self) -> Counter[str]:
        """Look after what is due, then go on in the ledger; what does not fit comes with the next run."""
        counts: Counter[str] = Counter()
        for shard in range(SHARDS):
            self._again(shard, counts)
            self._onwards(shard, counts)
        return counts

    @property
    def _cutoff(self) -> str:
        return clock.timestamp(-self.keep)

    def _again(self, shard: int, counts: Counter[str]) -> None:
        due = self.table.query_all(
            "pk = :pk AND sk <= :now", {":pk": f"PRUNE#{shard}", ":now": clock.timestamp()}, limit=_PAGE
        )
        for item in due:
            if not self.has_time():
                return
            entry = self.table.get(f"LEDGER#{item['ledgerId']}", "ENTRY")
            if entry is not None:
                counts[self._look_at(entry, shard)] += 1
            self.table.delete(item["pk"], item["sk"])

    def _onwards(self, shard: int, counts: Counter[str]) -> None:
        cursor = self.table.get("PRUNE", f"CURSOR#{shard}")
        at, until = cursor["at"] if cursor else clock.timestamp(-HORIZON), self._cutoff
        month = at[:7]
        while month <= until[:7]:
            page = self._page(month, shard, at, until) if at < until and self.has_time() else None
            if page is None:
                return
            for row in page.items:
                counts[self._look_at(row, shard)] += 1
            if page.items:
                # `~` sorts behind every id: the entry itself is not looked at twice.
                at = f"{page.items[-1]['recentAt']}~"
                self.table.put({"pk": "PRUNE", "sk": f"CURSOR#{shard}", "at": at})
            if page.next_key is None:
                month = _month_after(month)

    def _page(self, month: str, shard: int, at: str, until: str) -> Page:
        return self.table.query(
            "everyoneKey = :key AND recentAt BETWEEN :at AND :until",
            {":key": everyone_key(month, shard), ":at": at, ":until": until},
            index="Everyone",
            limit=_PAGE,
        )

    def _look_at(self, row: Item, shard: int) -> str:
        """Prune an entry, or say when to look again; `row` may be what the index has of it."""
        if row["flow"] in _IDS_ONLY:
            return "ids only"
        if row["status"] in UNFINISHED or row["updatedAt"] > self._cutoff:
            self._look_again(row, shard)
            return "put off"
        if row["flow"] in _VERSIONED:
            self._look_again(row, shard)
        return self._prune(row["ledgerId"], shard)

    def _look_again(self, row: Item, shard: int) -> None:
        due = clock.parse(row["updatedAt"]) + self.keep
        at = max(clock.rfc3339(due), clock.timestamp(_EARLIEST_AGAIN))
        if row["flow"] in _VERSIONED and row["status"] not in UNFINISHED:
            at = max(at, clock.timestamp(self.keep))
        self.table.put({"pk": f"PRUNE#{shard}", "sk": f"{at}#{row['ledgerId']}", "ledgerId": row["ledgerId"]})

    def _prune(self, ledger_id: str, shard: int) -> str:
        item = self.table.get(f"LEDGER#{ledger_id}", "ENTRY")
        if item is None or "payloadHash" in item:
            return "pruned before"
        if item["status"] in UNFINISHED or item["updatedAt"] > self._cutoff:
            self._look_again(item, shard)
            return "put off"
        payload = payload_of(item)
        if not payload:
            return "nothing to prune"
        kept = {name: payload[name] for name in _KEPT if name in payload}
        try:
            self.table.update(
                item["pk"],
                item["sk"],
                "SET #payload = :kept, #hash = :hash REMOVE #original",
                condition="#revision = :seen",
                names={
                    "#payload": "payload",
                    "#original": "originalPayload",
                    "#hash": "payloadHash",
                    "#revision": "revision",
                },
                values={
                    ":kept": json.dumps(kept),
                    ":hash": redacted.payload_hash(item),
                    ":seen": item["revision"],
                },
            )
        except ConditionFailed:
            self._look_again(item | {"updatedAt": clock.timestamp()}, shard)
            return "put off"
        return "pruned"


def _month_after(month: str) -> str:
    year, number = int(month[:4]), int(month[5:7])
    return f"{year + 1}-01" if number == 12 else f"{year}-{number + 1:02d}"
