"""What a change of the built-in CRM's table means as a CRM event."""

from collections.abc import Mapping
from typing import Any

from switchboard.connectors.builtin_crm.published import OBJECTS, event_id
from switchboard.connectors.builtin_crm.records import ACTIVITY
from switchboard.crm_events import CrmEvent, CrmEventName

_BOOKKEEPING = ACTIVITY | {"gsi1pk", "gsi1sk", "searchText", "syncedRev", "changed"}
_IDS = ("accountId", "caseId", "followupId", "taskId")


def event_of(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> CrmEvent | None:
    """The event of one stream record, None for a change that is none.

    Its id follows from the record and its revision, so a stream record that comes twice is one event.
    """
    if new is None or new.get("object") not in OBJECTS or new.get("syncedRev") == new["rev"]:
        return None
    name = _name(new, old)
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
        }
    )


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
