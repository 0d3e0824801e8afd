"""What a member's synchronization comes to, and when nothing need be sent."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from switchboard.crm import MemberSync
from switchboard.errors import SwitchboardError
from switchboard.ledger import UNFINISHED, Entry, Status
from switchboard.members import CtSyncStatus, Member

_DATA = frozenset(field.alias or name for name, field in Member.model_fields.items()) - {
    "version",
    "modifiedAt",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a member at CrowdTwist, once and for all: nothing of it is repeated by itself."""

    status: Status
    code: str | None = None
    detail: str | None = None

    def as_item(self, occasion: str) -> dict[str, Any]:
        """As the ledger keeps it while the CRM has still to be told; `occasion`: when it was taken up."""
        return {"for": occasion, "status": self.status, "code": self.code, "detail": self.detail}


GIVEN_UP = Finding(
    "integration_failure", "worker-lost", "Our workers died again and again while they worked on this member."
)
"""What it comes to when workers die of it."""


def was_resubmitted(entry: Entry) -> bool:
    """Whether somebody asked for this very version again: then it is sent even when nothing has changed."""
    move = next((move for move in reversed(entry.history) if move["status"] == "pending"), {})
    return "reason" in move


def found_before(entry: Entry, result: Mapping[str, Any]) -> Finding | None:
    """What this occasion came to already, when only the CRM has still to be told."""
    untold = result.get("untold")
    if untold is None or untold["for"] != entry.taken_up_at:
        return None
    return Finding(untold["status"], untold["code"], untold["detail"])


def ct_status(error: SwitchboardError) -> CtSyncStatus:
    """Whose fault a failure is, as the CRM's administrators know it (source 003, troubleshooting)."""
    match error.error.error_class:
        case "data" | "conflict":
            return "Data Error"
        case "auth" | "technical":
            return "OIC Failure"
        case _:
            return "CT Failure"


def member_of(held: Mapping[str, Any]) -> Member:
    """The member as the CRM has it; raises pydantic's ValidationError for what is no member."""
    known = {name: held[name] for name in _DATA if held.get(name) is not None}
    return Member.model_validate(known, strict=False)


def is_news(known: Entry | None, member: Member) -> bool:
    """Whether the CRM's member is to be accepted: it is another than the accepted one, or that one failed.

    One that was refused for its data is no news as long as it is the same: the CRM may tell of our very
    write-back of the refusal.
    """
    if known is None or known.status in ("remote_failure", "integration_failure"):
        return True
    accepted = {name: value for name, value in known.payload.items() if name in _DATA}
    return accepted != member.profile


def stands_wrongly(known: Entry, held: Mapping[str, Any]) -> bool:
    """Whether the CRM still shows that the member's data cannot be taken, when they are as before again."""
    return (
        held.get("ctSyncStatus") == "Data Error"
        and known.result.get("ctSyncStatus") not in (None, "Data Error")
        and known.status not in UNFINISHED
    )


def standing(known: Entry) -> MemberSync:
    """How the member stands at CrowdTwist."""
    result = known.result
    status, error = result["ctSyncStatus"], result.get("ctSyncError")
    return MemberSync(status, error, known.version, result.get("crowdTwistId"))


def digest(fields: Mapping[str, Any]) -> str:
    """Names the data that is sent: what has the same digest changes nothing."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
