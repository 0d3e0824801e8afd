"""Turns: pieces of work of one group that are done in the order in which they were accepted.

A FIFO queue keeps order only until the first retry: the message is taken, the work waits for its time, and
what came behind it overtakes. So work that must not be overtaken takes a turn before it is accepted, and
asks, when it is worked on, whether somebody ahead of it is unfinished. A turn whose work has ended is
removed by whoever meets it; nothing has to clean up after a worker that died.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from switchboard import ids
from switchboard.dynamo import Item, Table
from switchboard.ledger import UNFINISHED, Entry, Ledger

_KEPT_SECONDS = 30 * 24 * 3600
_GRACE_SECONDS = 60
"""A turn is written before its entry; for so long it may stand there without one."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of all groups, in the State table."""

    ledger: Ledger

    @property
    def _table(self) -> Table:
        return self.ledger.table

    def take(self, group: str, ledger_id: str) -> None:
        """Line up behind all who have a turn in this group."""
        now = int(time.time())
        item: Item = {"pk": _pk(group), "sk": ids.fresh("trn"), "ledgerId": ledger_id, "takenAt": now}
        self._table.put(item | {"expiresAt": now + _KEPT_SECONDS})

    def ahead_of(self, group: str, ledger_id: str | None) -> Entry | None:
        """The first unfinished work ahead of this one's turn; of all work for None."""
        for item in self._turns(group):
            if item["ledgerId"] == ledger_id:
                return None
            entry = self._waiting(item)
            if entry is not None:
                return entry
        return None

    def end(self, group: str, ledger_id: str) -> Entry | None:
        """Give up this work's turns; answers whose turn is next."""
        following: Entry | None = None
        for item in self._turns(group):
            if item["ledgerId"] == ledger_id:
                self._table.delete(item["pk"], item["sk"])
            elif following is None:
                following = self._waiting(item)
                if following is not None:
                    break
        return following

    def _turns(self, group: str) -> Iterator[Item]:
        return self._table.query_all("pk = :pk", {":pk": _pk(group)}, consistent=True, limit=25)

    def _waiting(self, item: Item) -> Entry | None:
        entry = self.ledger.get(item["ledgerId"])
        if entry is not None and entry.status in UNFINISHED:
            return entry
        if entry is not None or item["takenAt"] < time.time() - _GRACE_SECONDS:
            self._table.delete(item["pk"], item["sk"])
        return None


def _pk(group: str) -> str:
    return f"TURN#{group}"
