"""What is decided about an entry that no worker holds: by a person, or by the sweeper."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from switchboard import clock
from switchboard.errors import SwitchboardError
from switchboard.ledger.entries import Entry, Status, as_text, from_item, history_move
from switchboard.ledger.keys import LOST_AFTER, Update, open_key, pk_of
from switchboard.ledger.reading import Reading


@dataclass(frozen=True, slots=True)
class Decisions(Reading):
    """Moves of an entry as it was seen; each raises ConditionFailed when it has moved on since."""

    def reopen(
        self,
        entry: Entry,
        *,
        correlation_id: str,
        reason: str,
        payload: dict[str, Any] | None = None,
        asked_at: str | None = None,
        **facts: object,
    ) -> Entry:
        """Make an entry pending again; raises ConditionFailed when it has moved on.

        Who asked (`asked_at`, RFC 3339) before it was last taken up has got that: several who ask at once
        make one effect, however soon the work is done. Raises SwitchboardError `in-progress`.

        With a `payload`, that is done from now on, and the first one stays in the entry as it was accepted.
        `facts` go into the history: who has asked, in which run. Raises SwitchboardError `payload-pruned`
        when there is nothing left to do it with.
        """
        if entry.payload_hash is not None:
            raise SwitchboardError("payload-pruned")
        if asked_at is not None and asked_at <= entry.taken_up_at:
            raise SwitchboardError("in-progress", "The entry was taken up after this call had come in.")
        update = Update(
            status="pending",
            attempts=0,
            unrecorded=0,
            acceptedAt=clock.timestamp(),
            updatedAt=clock.timestamp(),
            openKey=open_key("pending", entry.ledger_id),
            dueAt=clock.timestamp(LOST_AFTER),
        ).append_history(history_move("pending", correlation_id, reason=reason, **facts))
        if payload is not None:
            update.set("payload", as_text(payload)).set_once("originalPayload", as_text(entry.payload))
        return self._move(entry, update.remove("code", "detail"))

    def discard(self, entry: Entry, *, correlation_id: str, reason: str, by: str) -> Entry:
        """End an entry for good, `by` a partner; raises ConditionFailed when it has moved on."""
        update = Update(status="discarded", updatedAt=clock.timestamp())
        update.append_history(history_move("discarded", correlation_id, reason=reason, by=by))
        return self._move(entry, update.remove("openKey", "dueAt"))

    def park(self, entry: Entry, *, status: Status, code: str, detail: str | None = None) -> Entry:
        """Give up on an unfinished entry that nobody holds; raises ConditionFailed when it has moved on."""
        now = clock.timestamp()
        update = Update(status=status, code=code, updatedAt=now, dueAt=now)
        update.set("openKey", open_key(status, entry.ledger_id))
        update.append_history(history_move(status, entry.correlation_id, code=code, detail=detail))
        return self._move(entry, update.remove("leaseToken", "leaseUntil"))

    def postpone(self, entry: Entry, delay: timedelta) -> Entry:
        """Let the sweeper look again after `delay`; raises ConditionFailed when the entry has moved on.

        An entry that a breaker held is not held any more.
        """
        update = Update(dueAt=clock.timestamp(delay), openKey=open_key(entry.status, entry.ledger_id))
        return self._move(entry, update)

    def _move(self, entry: Entry, update: Update) -> Entry:
        update.next_revision()
        update.values[":seen"] = entry.revision
        update.names["#seen"] = "revision"
        item = self.table.update(
            pk_of(entry.ledger_id),
            "ENTRY",
            update.expression,
            condition="#seen = :seen",
            names=update.names,
            values=update.values,
        )
        return from_item(item)
