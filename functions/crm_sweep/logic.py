"""What is told of a record some of whose revisions nobody told."""

from collections.abc import Mapping, Sequence
from typing import Any

from switchboard.connectors.builtin_crm.keys import MEMBER, RecordRef
from switchboard.connectors.builtin_crm.published import event_id
from switchboard.crm_events import CrmEvent, CrmEventName


def recovered(record: Mapping[str, Any], missing: Sequence[int]) -> list[CrmEvent]:
    """The events of a record (or tombstone) whose revisions `missing`, ascending, nobody told.

    Creation and deletion are told as the stream would have, under the same ids. Of edits only the outcome can
    be seen, so those that are missing are one. A revision that came from 8x8 was told by its own event.
    """
    if record["sk"] == MEMBER:
        return _of_member(record, missing)
    revision, deleted = record["rev"], "deletedAt" in record
    missing = [number for number in missing if number > record.get("syncedRev", 0)]
    found = []
    if 1 in missing and (not deleted or revision in missing):
        found.append(_event(record, "create", 1, record["createdAt"]))
    if deleted:
        if revision in missing:
            found.append(_event(record, "delete", revision, record["deletedAt"]))
    elif (edits := [number for number in missing if number > 1]) and _was_edited(record, missing):
        found.append(_event(record, "edit", edits[-1], record["updatedAt"]))
    return found


def _of_member(record: Mapping[str, Any], missing: Sequence[int]) -> list[CrmEvent]:
    """Whether one was edited or only its synchronization noted cannot be seen: it is told in any case.

    Where CrowdTwist has the data already, the event says that it has nothing new for it (`inStep`).
    """
    if not missing or "lastName" not in record:  # CrowdTwist has pushed about one that is not enrolled here
        return []
    known = {
        "memberNumber": record["memberNumber"],
        "object": "member",
        "origin": "builtin",
        "recovered": True,
        "inStep": record.get("ctSyncVersion", -1) >= record["version"],
    }
    told: list[tuple[CrmEventName, int, str]] = []
    if missing[0] == 1:
        told.append(("create", 1, record["createdAt"]))
    if missing[-1] > 1:
        told.append(("edit", missing[-1], record["updatedAt"]))
    return [
        CrmEvent.model_validate(
            known
            | {
                "eventId": event_id(record["pk"], MEMBER, revision),
                "event": name,
                "occurredAt": moment,
            }
        )
        for name, revision, moment in told
    ]


def _was_edited(record: Mapping[str, Any], missing: Sequence[int]) -> bool:
    """A followup is never edited, and a case not by its newest followup alone."""
    if record["object"] == "followup":
        return False
    only_activity = record.get("lastActivityAt") == record["updatedAt"] and list(missing) == [record["rev"]]
    return not only_activity


def _event(record: Mapping[str, Any], name: CrmEventName, revision: int, moment: str) -> CrmEvent:
    began = RecordRef(record.get("movedFrom", record["accountId"])).key[0]
    return CrmEvent.model_validate(
        RecordRef.of(record).ids
        | {
            "eventId": event_id(began if revision == 1 else record["pk"], record["sk"], revision),
            "object": record["object"],
            "event": name,
            "origin": "builtin",
            "occurredAt": moment,
            "recovered": True,
        }
    )
