"""One erasure: who it is, then table by table and file by file, slice by slice.

    names      whom the CRM and the ledger know under which names; tombstones are set up
    members    the loyalty members of the built-in CRM who have one of his addresses
    state      the State table, until nothing new is learnt; what is waiting is discarded, and what a worker
               has in hand is waited for
    record     the record in the built-in CRM
    answers    the kept answers of calls with an Idempotency-Key
    files      the dumps' files
    late       what came in meanwhile under his id

Each phase finds what is there and changes nothing that is done, so a worker that dies costs the work since
the last checkpoint. The names stand in the entry while it runs, and go with its last write.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from functions.retention import by_hand, dumps, records, scan
from functions.retention.person import Person, payload_of
from functions.retention.state import Eraser
from switchboard import audit, clock, members, partners, work
from switchboard.aws import dynamodb
from switchboard.dynamo import Item, item_to_wire
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.tombstones import Tombstones
from switchboard.work import Outcome

_CHECKPOINT_SECONDS = 10.0
_WAIT_SECONDS = 30.0
_PASSES = 4
_GONE = {"status": 410, "headers": {}, "body": json.dumps({"title": "The person was erased", "status": 410})}
"""What a repeat with its Idempotency-Key is answered from then on: it is not done again either."""

_PHASES = ("names", "members", "state", "record", "answers", "files", "late")


class OutOfTime(Exception):
    """The slice is over: the next one goes on behind the checkpoint."""


class Erasure:
    """One worker's time on one erasure."""

    def __init__(
        self, entry: Entry, result: Item, has_time: work.Deadline, lease: Callable[[], timedelta]
    ) -> None:
        self.entry = entry
        self.result = result
        self.table = work.ledger().table
        kept = result.get("person")
        self.person = Person.of(kept) if kept else Person(entry.payload["customerId"])
        self.counts: Counter[str] = Counter({k: int(v) for k, v in result.get("counts", {}).items()})
        self.flows: set[str] = set(result.get("flows", []))
        self._has_time = has_time
        self._lease = lease
        self._kept_at = time.monotonic()

    def run(self) -> Outcome:
        """Every phase that is left; raises OutOfTime, or `waits-for-earlier` while others work for him."""
        for phase in _PHASES[_PHASES.index(self.result.get("phase", "names")) :]:
            if self.result.get("phase") != phase:
                self._checkpoint(phase=phase, position=None)
            getattr(self, f"_{phase}")()
        self.result.update(byHand=by_hand.left(self.person, self.flows), counts=dict(self.counts))
        self._audit()
        for name in ("person", "phase", "position", "flows", "marked", "pass"):
            self.result.pop(name, None)
        return Outcome("synced", customer_id=self.person.customer_id)

    def _checkpoint(self, **facts: Any) -> None:
        self.result.update(self._kept(), **facts)
        work.ledger().checkpoint(self.entry, self.result, lease=self._lease())
        self._kept_at = time.monotonic()

    def _kept(self) -> Item:
        return {
            "person": self.person.kept(),
            "counts": dict(self.counts),
            "flows": sorted(self.flows),
        }

    def _pause(self, position: Any) -> None:
        """Between two pages: keep the place now and then, and stop when the time is over."""
        if not self._has_time():
            self._checkpoint(position=position)
            raise OutOfTime
        if time.monotonic() - self._kept_at > _CHECKPOINT_SECONDS:
            self._checkpoint(position=position)

    def _wait(self, phase: str, why: str) -> None:
        self.result.update(self._kept(), phase=phase, position=None)
        raise SwitchboardError("waits-for-earlier", why, retry_after=_WAIT_SECONDS)

    # phases -------------------------------------------------------------------------------------------

    def _names(self) -> None:
        records.learn_names(self.person)
        for item in self._his_entries():
            if "payload" in item:
                self.person.learn(item, payload_of(item))
        self._set_up_tombstones()

    def _set_up_tombstones(self) -> None:
        stones = Tombstones(self.table)
        stones.set_up("customer", [self.person.customer_id])
        stones.set_up("email", self.person.emails)
        stones.set_up("member", self.person.members)
        stones.set_up("response", self.person.responses)
        stones.set_up("invitation", self.person.ids)

    def _his_entries(self) -> Iterator[Item]:
        rows = self.table.query_all(
            "customerId = :customer", {":customer": self.person.customer_id}, index="Customer"
        )
        for row in rows:
            if "ledgerId" in row and (item := self.table.get(row["pk"], row["sk"])) is not None:
                yield item

    def _members(self) -> None:
        for page in scan.pages(os.environ["CRM_TABLE"], self.result.get("position")):
            for item in page.items:
                records.learn_member(self.person, item)
            self._pause(page.next_key)
        # Before their entries are looked for: what was accepted until now is among these.
        self._bar_members()

    def _bar_members(self) -> None:
        for number in self.person.members:
            work.ledger().bar(partner_id=partners.ADMIN, flow=members.FLOW, entity=number)

    def _state(self) -> None:
        while True:
            # How many names were known when this pass began, and what it has found in hand so far.
            begun = self.result.setdefault("pass", {"number": 1, "known": self.person.size, "held": 0})
            eraser = Eraser(self.table, self.person, self.counts, self.flows)
            for page in scan.pages(self.table.name, self.result.get("position")):
                for item in page.items:
                    eraser.look_at(item)
                begun["held"] += eraser.held
                eraser.held = 0
                self._pause(page.next_key)
            self.result.pop("pass")
            if begun["held"]:
                self._wait("state", "Work of this person is being done.")
            if self.person.size == begun["known"] or begun["number"] == _PASSES:
                break
            self.result["pass"] = {"number": begun["number"] + 1, "known": self.person.size, "held": 0}
            self._checkpoint(position=None)
        self._set_up_tombstones()
        self._bar_members()

    def _record(self) -> None:
        self.counts.update(records.erase(self.person))

    def _answers(self) -> None:
        name = os.environ["IDEMPOTENCY_TABLE"]
        for page in scan.pages(name, self.result.get("position")):
            for item in page.items:
                if item.get("data") and self.person.is_in(item["data"]):
                    dynamodb().update_item(
                        TableName=name,
                        Key=item_to_wire({"id": item["id"]}),
                        UpdateExpression="SET #data = :gone",
                        ConditionExpression="attribute_exists(id)",
                        ExpressionAttributeNames={"#data": "data"},
                        ExpressionAttributeValues=item_to_wire({":gone": json.dumps(_GONE)}),
                    )
                    self.counts["answers"] += 1
            self._pause(page.next_key)

    def _files(self) -> None:
        # A dump that begins from now on reads the tombstones first.
        if dumps.running(self.result.setdefault("marked", clock.timestamp())):
            self._wait("files", "A dump is running that may have his rows.")
        last: str | None = self.result.get("position")
        for version in dumps.versions(last):
            if last is not None and version.key != last:
                self._pause(last)
            self.counts["dump rows"] += dumps.erase(version, self.person)
            last = version.key
        self._set_up_tombstones()

    def _late(self) -> None:
        eraser = Eraser(self.table, self.person, self.counts, self.flows)
        for item in self._his_entries():
            eraser.entry(item)
        if eraser.held:
            self._wait("late", "Work of this person is being done.")

    def _audit(self) -> None:
        audit.note(
            at=self.entry.created_at,
            by=self.entry.payload["by"],
            action="customer.erased",
            target={"customerId": self.person.customer_id, "erasureId": self.entry.ledger_id},
            correlation_id=self.entry.correlation_id,
            outcome="done",
            made=dict(self.counts),
        )
