"""Loyalty members in the built-in CRM: their data, how they stand with CrowdTwist, what it says of them.

A member's record follows the rules of `records`: `rev` grows with each write, and the table's stream tells
of it. `SYNC_FIELDS` are what the synchronization itself writes: a change of those alone is no news for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from switchboard import clock
from switchboard.crm import MemberPush, MemberSync
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.errors import VendorError

SYNC_FIELDS = frozenset(
    {"ctSyncStatus", "ctSyncError", "ctSyncVersion", "crowdTwistId", "crowdTwist", "updatedAt", "rev"}
)
"""What the synchronization writes: by itself not worth a CRM event of the member."""

_ATTEMPTS = 10
_KEPT = SYNC_FIELDS | {"pk", "sk", "object", "memberNumber", "createdAt"}


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one table. All times come from `now`."""

    table: Table
    now: Callable[[], datetime] = clock.now

    def get(self, number: str) -> Item | None:
        """The member's record, None for nobody."""
        item = self.table.get(_pk(number), "MEMBER")
        if item is None:
            return None
        return {name: _with_floats(value) for name, value in item.items() if name not in ("pk", "sk")}

    def write_sync(self, number: str, sync: MemberSync, profile: Mapping[str, Any]) -> None:
        """Write how the member stands, and the data of that version; an older version changes nothing."""

        def change(item: Item) -> Item:
            if item.get("ctSyncVersion", -1) > sync.version:
                return item
            kept = {name: value for name, value in item.items() if name in _KEPT}
            known = sync.crowdtwist_id if sync.crowdtwist_id is not None else item.get("crowdTwistId")
            changed: Item = kept | _without_floats(profile)
            changed |= {"ctSyncStatus": sync.status, "ctSyncError": sync.error}
            return changed | {"ctSyncVersion": sync.version, "crowdTwistId": known}

        self._rewrite(number, change)

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

    def _rewrite(self, number: str, change: Callable[[Item], Item]) -> None:
        """Read, `change`, write unless someone else has written; then again with what he wrote."""
        pk = _pk(number)
        item = self.table.get(pk, "MEMBER")
        for _ in range(_ATTEMPTS):
            moment = clock.rfc3339(self.now())
            new: Item = {
                "pk": pk,
                "sk": "MEMBER",
                "object": "member",
                "memberNumber": number,
                "createdAt": moment,
            }
            before = item or new | {"rev": 0}
            changed = change(before)
            if changed == item:
                return
            changed = changed | {"updatedAt": moment, "rev": before["rev"] + 1}
            try:
                self.table.put(
                    changed,
                    condition="attribute_not_exists(pk) OR rev = :rev",
                    values={":rev": before["rev"]},
                )
            except ConditionFailed as found:
                item = found.item
            else:
                return
        raise VendorError("conflict", "Others keep changing this member.")


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
