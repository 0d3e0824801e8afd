"""Loyalty members in the built-in CRM: their data, how they stand with CrowdTwist, what it says of them.

A member's record follows the rules of `records`: `rev` grows with each write, and the table's stream tells
of it, or `crm_sweep` where that did not. `SYNC_FIELDS` are what the synchronization itself writes: a change
of those alone is no CRM event. Where it writes the member's data too, `syncedRev` marks the revision: that
event has nothing new for it.

`version` says how new the member's data is, in the order in which versions are accepted. A change that is
made here comes after the version that it changes; an older one never takes its place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from switchboard import clock
from switchboard.connectors.builtin_crm.keys import MEMBER, shard_of
from switchboard.crm import MemberPush, MemberSync
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.errors import VendorError
from switchboard.ledger.keys import Update
from switchboard.versions import order_after

SYNC_FIELDS = frozenset(
    {
        *("ctSyncStatus", "ctSyncError", "ctSyncVersion", "crowdTwistId", "crowdTwist"),
        *("version", "syncedRev", "updatedAt", "rev", "changed"),
    }
)
"""What the synchronization writes: by itself not worth a CRM event of the member."""

DATA_FIELDS = (
    *("firstName", "lastName", "email", "phone", "postalCode", "dateOfBirth"),
    *("city", "state", "country", "emailOptIn", "attributes"),
)
"""The member's own data: what a newer version replaces as a whole."""

_ATTEMPTS = 10
_NEXT = "if_not_exists({name}, :zero) + {value}"
_KEPT = SYNC_FIELDS | {"pk", "sk", "object", "memberNumber", "createdAt", "partnerId"}


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one table. All times come from `now`."""

    table: Table
    now: Callable[[], datetime] = clock.now

    def get(self, number: str) -> Item | None:
        """The member's record, None for nobody."""
        item = self.table.get(_pk(number), MEMBER)
        if item is None:
            return None
        return _shown(item)

    def save(
        self,
        number: str,
        fields: Mapping[str, Any],
        *,
        partner_id: str,
        replace: bool,
        expected_rev: int | None = None,
    ) -> tuple[Item, bool]:
        """Change a member as a person does; None removes a field. Two requests, one for no change.

        Args:
            number: the member number.
            fields: the member's data under the API's names.
            partner_id: who does it; one who enrols a member is kept on it.
            replace: whether what `fields` does not name goes, and a member that is not there is made.
            expected_rev: the revision that is changed; None for any.

        Returns the record, and whether this call made it.

        Raises:
            VendorError: `not-found`, or `precondition-failed` when the rev is not `expected_rev`.
        """
        given = _without_floats(fields)

        def change(item: Item) -> Item:
            enrolled = "lastName" in item
            if not (enrolled or replace):
                raise VendorError("not-found", "The CRM has no such member.")
            if expected_rev is not None and (not enrolled or item["rev"] != expected_rev):
                raise VendorError("precondition-failed")
            base = {name: value for name, value in item.items() if name in _KEPT} if replace else item
            changed = {
                name: value for name, value in (base | given).items() if value is not None or name in _KEPT
            }
            if changed == item:
                return item
            owner = {} if enrolled else {"partnerId": partner_id}
            return changed | owner | {"version": order_after(item.get("version", 0), self.now())}

        before, after = self._rewrite(number, change)
        return _shown(after), "lastName" not in before

    def write_sync(self, number: str, sync: MemberSync, profile: Mapping[str, Any] | None) -> None:
        """Write how the member stands, and the data of that version; an older version changes nothing.

        Data that was changed here after that version stays. One request; a second where that is so.
        """

        def change(item: Item) -> Item:
            if item.get("ctSyncVersion", -1) > sync.version:
                return item
            known = sync.crowdtwist_id if sync.crowdtwist_id is not None else item.get("crowdTwistId")
            status: Item = {"ctSyncStatus": sync.status, "ctSyncError": sync.error}
            status |= {"ctSyncVersion": sync.version, "crowdTwistId": known}
            if profile is None or item.get("version", -1) > sync.version:
                return item | status
            kept = {name: value for name, value in item.items() if name in _KEPT}
            changed: Item = kept | _without_floats(profile) | {"version": sync.version}
            # A change of the status alone is no event anyway.
            synced = {} if _data(changed) == _data(item) else {"syncedRev": item["rev"] + 1}
            return changed | status | synced

        try:
            self._write_newest(number, sync, profile)
        except ConditionFailed as found:
            self._rewrite(number, change, found=found.item)

    def _write_newest(self, number: str, sync: MemberSync, profile: Mapping[str, Any] | None) -> None:
        """The same without reading; raises ConditionFailed where something newer, or the same, stands."""
        moment = clock.rfc3339(self.now())
        update = Update(
            ctSyncStatus=sync.status, ctSyncError=sync.error, ctSyncVersion=sync.version, updatedAt=moment
        )
        update.set_once("object", "member").set_once("memberNumber", number).set_once("createdAt", moment)
        if sync.crowdtwist_id is None:
            update.set_once("crowdTwistId", None)
        else:
            update.set("crowdTwistId", sync.crowdtwist_id)
        update.set("rev", 1, _NEXT).values[":zero"] = 0
        update.set("changed", shard_of(number))
        condition = (
            "(attribute_not_exists(#ctSyncVersion) OR #ctSyncVersion < :ctSyncVersion OR"
            " (#ctSyncVersion = :ctSyncVersion AND"
            " (#ctSyncStatus <> :ctSyncStatus OR #ctSyncError <> :ctSyncError)))"
        )
        if profile is not None:
            update.set_all(**_without_floats(profile)).set("version", sync.version)
            update.set("syncedRev", 1, _NEXT.replace("{name}", "#rev"))
            update.remove(*(name for name in DATA_FIELDS if name not in profile))
            condition += " AND (attribute_not_exists(#version) OR #version <= :version)"
        self.table.update(
            _pk(number),
            MEMBER,
            update.expression,
            condition=condition,
            names=update.names,
            values=update.values,
        )

    def write_push(self, number: str, push: MemberPush) -> None:
        """Write what CrowdTwist says of the member."""

        def change(item: Item) -> Item:
            said: Item = dict(item.get("crowdTwist", {}))
            if push.profile is not None:
                said["profile"] = _without_floats(push.profile)
            if push.segment is not None:
                left = {name: at for name, at in said.get("segments", {}).items() if name != push.segment}
                said["segments"] = left | ({push.segment: push.at} if push.entered else {})
            return item | {"crowdTwist": said}

        self._rewrite(number, change)

    def _rewrite(
        self, number: str, change: Callable[[Item], Item], *, found: Item | None = None
    ) -> tuple[Item, Item]:
        """Read, `change`, write unless someone else has written; then again with what he wrote.

        `found` saves the read. Returns the record before and after.
        """
        pk = _pk(number)
        item = found or self.table.get(pk, MEMBER)
        for _ in range(_ATTEMPTS):
            moment = clock.rfc3339(self.now())
            new: Item = {
                "pk": pk,
                "sk": MEMBER,
                "object": "member",
                "memberNumber": number,
                "createdAt": moment,
            }
            before = item or new | {"rev": 0}
            changed = change(before)
            if changed == before:
                return before, before
            changed |= {"updatedAt": moment, "rev": before["rev"] + 1, "changed": shard_of(number)}
            try:
                self.table.put(
                    changed,
                    condition="attribute_not_exists(pk) OR rev = :rev",
                    values={":rev": before["rev"]},
                )
            except ConditionFailed as refused:
                item = refused.item
            else:
                return before, changed
        raise VendorError("conflict", "Others keep changing this member.")


def _data(item: Item) -> Item:
    """The member's own data."""
    return {name: value for name, value in item.items() if name not in _KEPT}


def _shown(item: Item) -> Item:
    """The record without its keys; its version as it is compared."""
    known = {name: value for name, value in item.items() if name not in ("pk", "sk", "changed")}
    return {name: value if name == "version" else _with_floats(value) for name, value in known.items()}


def _without_floats(value: Any) -> Any:
    """A JSON value as DynamoDB can hold it."""
    match value:
        case float():
            return Decimal(repr(value))
        case Mapping():
            return {name: _without_floats(held) for name, held in value.items()}
        case list():
            return [_without_floats(held) for held in value]
        case _:
            return value


def _with_floats(value: Any) -> Any:
    """The JSON value back."""
    match value:
        case Decimal():
            return float(value)
        case dict():
            return {name: _with_floats(held) for name, held in value.items()}
        case list():
            return [_with_floats(held) for held in value]
        case _:
            return value


def _pk(number: str) -> str:
    return f"MEMBER#{number}"
