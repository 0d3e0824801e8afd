"""Erasing a person in the State table: what each kind of item becomes."""

from collections import Counter
from dataclasses import dataclass, field

from functions.retention import redacted
from functions.retention.person import Person, payload_of
from switchboard import clock, erasures, observability
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import ConditionFailed, Item, Table

_IDS_ONLY = (
    *("AUDIT#", "ERASED", "LANE#", "LOCK#", "REPLIES#", "SURVEY_DUMPS#", "TOLD#", "PRUNE"),
    *("SIEBEL_PROFILE#", "BREAKER", "META_", "RESUBMISSION#", "PUBLISHED#"),
)
"""Partitions that hold ids, digests and times alone."""


@dataclass
class Eraser:
    """What is done to the State table for one person.

    Attributes:
        counts: how many items of each kind were erased.
        flows: the flows that the person was in.
        held: entries that a worker has in hand: the erasure waits for them.
    """

    table: Table
    person: Person
    counts: Counter[str] = field(default_factory=Counter)
    flows: set[str] = field(default_factory=set)
    held: int = 0

    def look_at(self, item: Item) -> None:
        """Erase the person from one item, if it is about him. Again, it changes nothing."""
        pk, sk = item["pk"], item["sk"]
        if pk.startswith("LEDGER#"):
            if sk == "ENTRY":
                self.entry(item)
        elif pk.startswith("INVITATION#"):
            self._invitation(item)
        elif pk.startswith("SURVEY_PERSON#"):
            if item.get("invitationId") in self.person.ids:
                self._delete(item, "cooldowns")
        elif pk.startswith("SURVEY_WAIT#"):
            if sk in self.person.ids:
                self._delete(item, "waits")
        elif pk.startswith("TRIGGER#") and "event" in item:
            self._delivery(item)
        elif pk.startswith(("OCS#", "TURN#")):
            # An external id in the key may be a phone number.
            if self.person.is_in((pk, item.get("group", ""))):
                self._delete(item, "charging notes")
        elif not pk.startswith(_IDS_ONLY) and self.person.is_in(item):
            self.counts["left"] += 1
            observability.logger.error("an item that nobody knows names an erased person", kind=pk[:12])

    def entry(self, item: Item) -> None:
        """A ledger entry with all that stands beside it; one that a worker holds is only counted."""
        if item["flow"] == erasures.FLOW or ("erasedAt" in item and "payload" not in item):
            return
        payload = payload_of(item)
        if not self.person.has_entry(item, payload):
            return
        self.person.learn(item, payload)
        self.flows.add(item["flow"])
        if item["status"] == "in_progress" and item.get("leaseUntil", "") >= clock.timestamp():
            self.held += 1
            return
        self._beside(item["pk"])
        try:
            # What a worker that lost its lease still records finds neither its token nor its revision.
            self.table.put(
                redacted.entry(item, self.person.customer_id),
                condition="revision = :seen",
                values={":seen": item["revision"]},
            )
        except ConditionFailed as moved_on:
            if moved_on.item is not None:
                self.entry(moved_on.item)
            return
        self.counts["entries"] += 1

    def _beside(self, pk: str) -> None:
        for item in self.table.query_all("pk = :pk", {":pk": pk}, consistent=True):
            if item["sk"].startswith("HISTORY#"):
                self.table.put(item | {"moves": redacted.history(item["moves"])})
            elif item["sk"] != "ENTRY":
                self._delete(item, "earlier payloads")

    def _invitation(self, item: Item) -> None:
        if self.person.has_invitation(item):
            self.person.ids.add(item["invitationId"])
            self.flows.add("survey_invitation")
            self._delete(item, "invitations")

    def _delivery(self, item: Item) -> None:
        event = CrmEvent.model_validate_json(item["event"])
        if event.account_id != self.person.customer_id:
            return
        self.flows.add("trigger_delivery")
        if "answer" in item:
            # The one thing in it that is not ours: what the partner's server said.
            self.table.update(item["pk"], item["sk"], "REMOVE answer", condition="attribute_exists(pk)")
            self.counts["deliveries"] += 1

    def _delete(self, item: Item, kind: str) -> None:
        self.table.delete(item["pk"], item["sk"])
        self.counts[kind] += 1
