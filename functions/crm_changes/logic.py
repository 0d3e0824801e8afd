"""What a change of the built-in CRM's table means as a CRM event."""

from collections.abc import Mapping
from typing import Any

from switchboard.connectors.builtin_crm.members import SYNC_FIELDS
from switchboard.connectors.builtin_crm.published import OBJECTS, event_id
from switchboard.connectors.builtin_crm.records import ACTIVITY
from switchboard.crm_events import CrmEvent, CrmEventName

_BOOKKEEPING = ACTIVITY | {"gsi1pk", "gsi1sk", "searchText", "syncedRev", "changed"}
_IDS = ("accountId", "caseId", "followupId", "taskId", "memberNumber")


def event_of(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> CrmEvent | None:
    """The event of one stream record, None for a change that is none.

    Its id follows from the record and its revision, so a stream record that comes twice is one event.
    """
    if new is None:
        return None
    synced = new.get("syncedRev") is not None and new["syncedRev"] == new["rev"]
    if new.get("object") == "member":
        name = _member_name(new, old)
    elif new.get("object") in OBJECTS and not synced:
        name = _name(new, old)
    else:
        name = None
    if name is None:
        return None
    facts = {to: new[to] for to in _IDS if to in new}
    moment = new.get("deletedAt") or new["updatedAt"]
    return CrmEvent.model_validate(
        facts
        | {
            "eventId": event_id(new["pk"], new["sk"], new["rev"]),
            "object": new["object"],
            "event": name,
            "origin": "builtin",
            "occurredAt": moment,
            "inStep": synced,
        }
    )


def _member_name(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> CrmEventName | None:
    """What happened to a member; nothing, where only his synchronization or CrowdTwist's push wrote."""
    if "lastName" not in new:  # CrowdTwist has pushed something about a member that is not enrolled here
        return None
    if old is None or "lastName" not in old:
        return "create"
    changed = {name for name in new.keys() | old.keys() if new.get(name) != old.get(name)}
    return None if changed <= SYNC_FIELDS else "edit"


def _name(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> CrmEventName | None:
    if old is None:
        if "deletedAt" in new:
            return None
        if "movedFrom" in new:  # linked to its customer: the case was edited, its followups follow
            return "edit" if new["object"] == "case" else None
        return "create"
    if "deletedAt" in new:
        return None if "deletedAt" in old else "delete"
    changed = {name for name in new.keys() | old.keys() if new.get(name) != old.get(name)}
    if changed <= _BOOKKEEPING or new["object"] == "followup":
        return None
    return "edit"
