"""One operation done in the OCS: look when it may have been sent before, check, call, resolve a lost answer.

The same request has the same `requestId`: it is derived from the ledger entry (and so from the caller and
his Idempotency-Key) and from the body that goes out. A lost answer is resolved by reading the entity back;
what does not show there is sent again with its requestId. A balance never shows, so it rests on the
requestId alone (`settings/charging`, `requestIdDeduplicates`).
"""

import json
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

from switchboard.charging.jobs import Job
from switchboard.charging.operations import Kind, Operation
from switchboard.charging.rules import (
    agrees,
    check_transition,
    has_resource,
    identity,
    illegal,
    missing_keys,
    reference_of,
)
from switchboard.connectors.ocsio import OcsIo, Record
from switchboard.dynamo import Item, Table
from switchboard.errors import AnswerLost, HeldBack, SwitchboardError, VendorError
from switchboard.ledger import Entry
from switchboard.locks import locked
from switchboard.settings.charging import READS, ChargingSettings
from switchboard.work import Outcome

_NAMESPACE = uuid.UUID("6f0b7a52-64d2-5c0e-9a35-0d1c3c1e4b7a")
_SENDS = 3
"""How often one call sends the same request when its answers are lost."""

_MERGES = 5
_DEEPEST = 50
"""Levels of an account hierarchy that are followed upwards."""

_LOCK_SECONDS = 30.0
_LOCK_WAIT_SECONDS = 8.0


def read(ocs: OcsIo, settings: ChargingSettings, kind: Kind, reference: Mapping[str, str]) -> Record:
    """An entity; VendorError `not-found`."""
    name = f"{kind}.read"
    return ocs.read(kind, settings.paths.get(name, READS[name]), reference)


def read_whole(ocs: OcsIo, settings: ChargingSettings, kind: Kind, reference: Mapping[str, str]) -> Record:
    """An entity as our API shows it: a subscription with its balances."""
    found = read(ocs, settings, kind, reference)
    if kind == "subscription" and "balances" not in found:
        name = "subscription.read-balances"
        balances = ocs.read_balances(settings.paths.get(name, READS[name]), reference)
        if balances is not None:
            found["balances"] = balances
    return found


def execute(
    entry: Entry, result: Item, *, ocs: OcsIo, settings: ChargingSettings, table: Table, look_only: bool
) -> Outcome:
    """Do an entry's operation; `result` gets the ids of what came of it.

    Args:
        look_only: only find out whether it was done: its caller has been told that it failed, so it is not
            done behind his back.
    """
    job = Job.of(entry.payload)
    if entry.attempts == 1:
        result["unsent"] = 0
    may_have_been_sent = bool(result.get("sent")) or entry.attempts - 1 > int(result.get("unsent", 0))
    execution = _Execution(job, entry.ledger_id, result, ocs, settings, table)
    lock = (
        locked(table, _lock_name(job), lease=_LOCK_SECONDS, wait=_LOCK_WAIT_SECONDS)
        if job.operation.action in ("custom-attributes", "merge-attributes")
        else nullcontext()
    )
    try:
        with lock:
            outcome = execution.look() if look_only else execution.run(may_have_been_sent)
    except SwitchboardError:
        if not (execution.sent or may_have_been_sent):
            result["unsent"] = int(result.get("unsent", 0)) + 1
        raise
    result.update(job.subject)
    return outcome


def foresee(entry: Entry, *, ocs: OcsIo, settings: ChargingSettings, table: Table) -> str:
    """What the entry's operation would do now, in a sentence; reads only. Raises what would refuse it."""
    return _Execution(
        Job.of(entry.payload), entry.ledger_id, dict(entry.result), ocs, settings, table
    ).foresee()


def not_sent(entry: Entry, result: Item) -> None:
    """Note that an attempt ended before anything was sent."""
    unsent = 0 if entry.attempts == 1 else int(result.get("unsent", 0))
    result["unsent"] = unsent + 1


def _lock_name(job: Job) -> str:
    return f"ocs#{job.operation.kind}#{json.dumps(job.reference, sort_keys=True)}"


@dataclass(slots=True)
class _Execution:
    job: Job
    ledger_id: str
    result: Item
    ocs: OcsIo
    settings: ChargingSettings
    table: Table
    sent: bool = field(default=False)

    @property
    def _operation(self) -> Operation:
        return self.job.operation

    def look(self) -> Outcome:
        """Whether it was done."""
        if self._operation.action in ("balance", "balances"):
            raise VendorError("outcome-unknown", "The answer was lost, and a balance does not show it.")
        if self._shows():
            return Outcome("synced")
        raise VendorError("not-done", "The answer was lost; the OCS has not done it.")

    def run(self, may_have_been_sent: bool) -> Outcome:
        """Do it, unless it has been done."""
        if may_have_been_sent and self._shows():
            return Outcome("synced")
        if may_have_been_sent and not self._may_resend:
            raise VendorError("outcome-unknown", "It may have been done; it is not sent again by itself.")
        match self._operation.action:
            case "merge-attributes":
                return self._merge()
            case "state" if self._has_the_state():
                return Outcome("unchanged")
            case "update":
                self._check_changes()
            case "swap-resource":
                self._check_swap()
            case "create" if self._operation.kind == "account" and self.job.body.get("parent"):
                self._check_hierarchy({"externalId": self.job.body["externalId"]})
        self._send(self._wire_body(), retried=may_have_been_sent)
        refused = [item for item in self.result.get("items", []) if item["status"] != "done"]
        if refused:
            return Outcome("data_error", code="remote-refused", detail="Not every balance was changed.")
        return Outcome("synced")

    def foresee(self) -> str:
        """What `run` would do."""
        operation = self._operation
        if self.result.get("sent") and self._shows():
            return "find it done in the OCS already, and send nothing"
        if self.result.get("sent") and not self._may_resend:
            raise VendorError("outcome-unknown")
        match operation.action:
            case "state" if self._has_the_state():
                return "leave it unchanged: it has this state already"
            case "update":
                self._check_changes()
            case "swap-resource":
                self._check_swap()
        if operation.makes is None:
            self._read(self.job.reference)
            return f"call {operation.call}"
        try:
            self._read(self.job.subject, operation.makes)
        except VendorError as error:
            if error.code != "not-found":
                raise
            return f"create the {operation.makes} ({operation.call})"
        raise VendorError("conflict", f"the external id {self.job.subject['externalId']} is taken.")

    # sending ------------------------------------------------------------------------------------------

    @property
    def _may_resend(self) -> bool:
        return self._operation.action not in ("balance", "balances") or self.settings.request_id_deduplicates

    def _send(self, body: Record, *, retried: bool, number: int = 0) -> None:
        """Send it until an answer comes, as far as that is safe; a lost answer may show in the entity."""
        path = self.settings.paths.get(self._operation.name, self._operation.ocs_path)
        body = {"requestId": self._request_id(body, number)} | body
        if self._operation.action == "swap-resource":
            body["transactionId"] = str(uuid.uuid5(_NAMESPACE, f"transaction {body['requestId']}"))
        # From here on nobody may take it for never sent.
        sent_before = self.sent or bool(self.result.get("sent"))
        self.sent = self.result["sent"] = True
        for left in reversed(range(_SENDS)):
            try:
                self._note(self.ocs.write(path, body))
                return
            except AnswerLost as lost:
                if self._shows_after(lost):
                    return
                if not self._may_resend:
                    raise VendorError("outcome-unknown", lost.detail) from lost
                if not left:
                    raise
                retried = sent_before = True
            except HeldBack:
                # But for one that the breaker kept here.
                self.sent = self.result["sent"] = sent_before
                raise
            except VendorError as error:
                # Our own earlier request has taken the id, or done the change.
                if retried and error.code in ("conflict", "not-found") and self._shows():
                    return
                if self._operation.action == "balances" and self._note_refused(error):
                    return
                raise

    def _request_id(self, body: Record, number: int) -> str:
        content = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return str(uuid.uuid5(_NAMESPACE, f"{self.ledger_id}\n{number}\n{content}"))

    def _shows_after(self, lost: AnswerLost) -> bool:
        try:
            return self._shows()
        except VendorError:
            raise lost from None

    def _wire_body(self) -> Record:
        """CASM's body, but for the requestId."""
        job, fields = self.job, self.settings.balance_fields
        body = dict(job.body)
        reference: Record = {self._operation.kind: job.reference}
        match self._operation.action:
            case "create" | "offer":
                return body
            case "state":
                state = {name: body[name] for name in _STATE if body.get(name) is not None}
                state.setdefault("stateReason", getattr(self.settings.state_reasons, body["state"].lower()))
                rest = {name: value for name, value in body.items() if name not in _STATE}
                return reference | {"state": state} | rest
            case "swap-resource":
                return reference | body | {"swapResource": job.part}
            case "balance":
                return reference | self._balance({"balanceId": job.part} | body)
            case "balances":
                return reference | {fields.balances: [self._balance(one) for one in body["balances"]]}
            case _:
                return reference | body

    def _balance(self, change: Record) -> Record:
        fields = self.settings.balance_fields
        named = {
            fields.balance_id: change["balanceId"],
            fields.operation: fields.add if change["operation"] == "add" else fields.subtract,
            fields.amount: change["amount"],
            fields.units: change.get("units"),
            fields.reason: change.get("reason"),
        }
        return {name: value for name, value in named.items() if value is not None}

    def _note(self, answer: Record) -> None:
        """What the answer tells: the OCS's own id, and what became of each balance."""
        made = answer.get(self._operation.makes, answer) if self._operation.makes else None
        if isinstance(made, dict) and isinstance(made.get("refId"), str):
            self.result["refId"] = made["refId"]
        if self._operation.action == "balances":
            self.result["items"] = self._items(answer.get(self.settings.balance_fields.balances), "done")

    def _note_refused(self, error: VendorError) -> bool:
        """Whether the OCS has said of single balances why it refused them all; it is then told so."""
        told = error.extra.get("balances")
        if error.code not in ("remote-refused", "not-found", "conflict") or not isinstance(told, list):
            return False
        self.result["items"] = self._items(told, "not_done")
        return True

    def _items(self, told: object, otherwise: str) -> list[Item]:
        errors = {}
        for one in told if isinstance(told, list) else []:
            if isinstance(one, dict) and (words := one.get("error") or one.get("message")):
                errors[one.get(self.settings.balance_fields.balance_id)] = str(words)[:500]
        items: list[Item] = []
        for change in self.job.body["balances"]:
            words = errors.get(change["balanceId"])
            status = {"status": "refused", "error": words} if words else {"status": otherwise}
            items.append({"balanceId": change["balanceId"]} | status)
        return items

    # checks before ------------------------------------------------------------------------------------

    def _read(self, reference: Mapping[str, str], kind: Kind | None = None) -> Record:
        return read(self.ocs, self.settings, kind or self._operation.kind, reference)

    def _has_the_state(self) -> bool:
        """Whether the entity has the state already; `conflict` when there is no legal way to it."""
        body = self.job.body
        found = self._read(self.job.reference)
        if found.get("state") == body["state"]:
            same_reason = body.get("stateReason") in (None, found.get("stateReason"))
            if body["state"] == "DEACTIVATED" and not same_reason:
                raise illegal(found["state"], body["state"])
            planned = body.get("stateValidFrom") or body.get("pending") or body.get("subordinateUpdated")
            return same_reason and not (planned or found.get("pending"))
        check_transition(found.get("state"), body["state"])
        return False

    def _check_changes(self) -> None:
        body = self.job.body
        if "state" in body:
            found = self._read(self.job.reference)
            if found.get("state") != body["state"]["state"]:
                check_transition(found.get("state"), body["state"]["state"])
        if self._operation.kind == "account" and body.get("parent"):
            self._check_hierarchy(self.job.reference)

    def _check_hierarchy(self, own: Mapping[str, str]) -> None:
        """`conflict` when the account would stand above itself."""
        above: Mapping[str, str] | None = self.job.body["parent"]
        mine: set[tuple[str, str]] = set(own.items())
        if "refId" in own and self._operation.action != "create":
            mine |= identity(self._read(own))
        for _ in range(_DEEPEST):
            if above is None:
                return
            found = self._read(above)
            if mine & (identity(found) | set(above.items())):
                raise SwitchboardError("conflict", "The parent stands beneath this account: that is a loop.")
            above = reference_of(found.get("parent"))
        raise SwitchboardError("conflict", f"The hierarchy is deeper than {_DEEPEST} levels, or a loop.")

    def _check_swap(self) -> None:
        if not has_resource(self._read(self.job.reference), self.job.body["resourceType"], self.job.part):
            raise SwitchboardError("not-found", "The subscriber has no such resource of this type.")

    # custom attributes --------------------------------------------------------------------------------

    def _merge(self) -> Outcome:
        """Read, merge, write the whole set, read again; once more when someone has written in between.

        `merge` is the OCS's own flag (docs.ocs.io/…/update-customer-custom-attributes.html): an OCS that
        knows it keeps what came in between reading and writing, one that does not gets the full set.
        """
        before = self._attributes()
        for number in range(_MERGES):
            merged = before | self.job.body["customAttributes"]
            missing_keys(self.settings, self._operation.kind, merged)
            reference = {self._operation.kind: self.job.reference}
            self._send(reference | {"customAttributes": merged, "merge": True}, retried=True, number=number)
            before = self._attributes()
            if before.items() >= merged.items():
                return Outcome("synced")
        raise SwitchboardError("in-progress", "The attributes are being changed by others all the time.")

    def _attributes(self) -> dict[str, str]:
        return dict(self._read(self.job.reference).get("customAttributes") or {})

    # how it shows -------------------------------------------------------------------------------------

    def _shows(self) -> bool:
        """Whether the effect can be seen in the OCS."""
        job, body = self.job, self.job.body
        action = self._operation.action
        if action in ("balance", "balances"):
            return False
        try:
            found = self._read(job.subject, self._operation.subject)
        except VendorError as error:
            if error.code == "not-found":
                return False
            raise
        match action:
            case "create" | "subscribe" | "offer":
                return agrees(body, found, strictly=False)
            case "external-id":
                return self._was_renamed(found)
            case "state":
                return bool(found.get("state") == body["state"])
            case "merge-attributes":
                held: dict[str, str] = found.get("customAttributes") or {}
                return bool(held.items() >= body["customAttributes"].items())
            case "add-resource":
                return has_resource(found, body["resourceType"], body["resource"])
            case "swap-resource":
                kind = body["resourceType"]
                return has_resource(found, kind, body["resource"]) and not has_resource(found, kind, job.part)
            case _:
                return agrees(body, found, strictly=True)

    def _was_renamed(self, found: Record) -> bool:
        """Whether the entity that has the new id is ours: it has our refId, or the old id is gone."""
        if "refId" in self.job.reference:
            return bool(found.get("refId") in (None, self.job.reference["refId"]))
        try:
            self._read(self.job.reference)
        except VendorError as error:
            if error.code == "not-found":
                return True
            raise
        return False


_STATE = ("state", "stateReason", "stateValidFrom", "pending")
