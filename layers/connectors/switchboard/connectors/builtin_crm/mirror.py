"""Records of another CRM kept in this one under their own ids, so that an id that its events carry is found.

A change made here was told by the other CRM's event already: `syncedRev` marks the revision, and the stream's
reader passes it over.
"""

from typing import Any

from switchboard.connectors.builtin_crm.keys import RecordRef, links
from switchboard.connectors.builtin_crm.records import ABSENT, LIVE, Records, tombstone
from switchboard.dynamo import ConditionFailed, Item, Write
from switchboard.errors import VendorError


def upsert(records: Records, ref: RecordRef, fields: Item) -> bool:
    """Create or change the record; returns whether there was anything to do. Two requests.

    Raises VendorError `not-found` when what it belongs to is not there, `record-deleted` when that, or the
    record itself, was deleted here.
    """
    held = records.table.get(*ref.key)
    if held is None:
        _create(records, ref, fields)
        return True
    changed = False

    def change(item: Item) -> Item:
        nonlocal changed
        wanted = {name: value for name, value in (item | fields).items() if value is not None}
        changed = wanted != item
        return wanted | {"syncedRev": item["rev"] + 1} if changed else item

    records.rewrite(ref, change, found=held)
    return changed


def differs(records: Records, ref: RecordRef, fields: Item) -> tuple[bool, Item | None]:
    """Whether `upsert` would have something to do, and the record as it is here; one request."""
    held = records.table.get(*ref.key)
    if held is None or "deletedAt" in held:
        return held is None, None
    wanted = {name: value for name, value in (held | fields).items() if value is not None}
    return wanted != held, held


def remove(records: Records, ref: RecordRef) -> bool:
    """Leave a tombstone, also of a record that never came here; returns whether there was anything to do."""

    def bury(item: Item) -> Item:
        return tombstone(item, records.moment()) | {"syncedRev": item["rev"] + 1}

    try:
        records.rewrite(ref, bury)
    except VendorError as error:
        if error.code == "record-deleted":
            records.delete_parts(ref)
            return False
        if error.code != "not-found":
            raise
        never_came = records.stamped(ref, {"lastName": ""})
        try:
            records.table.put(tombstone(never_came, records.moment()) | {"syncedRev": 1}, condition=ABSENT)
        except ConditionFailed:
            raise VendorError("conflict", "The record came in at this moment.") from None
        return True
    records.delete_parts(ref)
    return True


def _create(records: Records, ref: RecordRef, fields: Item) -> None:
    item = records.stamped(ref, fields) | {"syncedRev": 1}
    others: list[Write] = []
    customer = RecordRef(ref.account_id)
    match ref.object:
        case "customer":
            others = [Write(records.table, put=link) for link in links(item).values()]
        case "case":
            item["lastActivityAt"] = item["createdAt"]
            others = [_is_there(records, customer)]
        case "task":
            others = [_is_there(records, customer)]
        case "followup":
            others = [records.activity(RecordRef(ref.account_id, ref.case_id), LIVE)]
    records.insert(item, *others)


def _is_there(records: Records, ref: RecordRef) -> Write:
    guard: dict[str, Any] = {"key": ref.key, "condition": LIVE}
    return Write(records.table, **guard)
