"""What a member's synchronization comes to, and when nothing need be sent."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry, Status
from switchboard.members import CtSyncStatus


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a member at CrowdTwist, once and for all: nothing of it is repeated by itself."""

    status: Status
    code: str | None = None
    detail: str | None = None

    def as_item(self, occasion: str) -> dict[str, Any]:
        """As the ledger keeps it while the CRM has still to be told."""
        return {"for": occasion, "status": self.status, "code": self.code, "detail": self.detail}


def occasion(entry: Entry) -> str:
    """What the work is done for: the moment of its acceptance, or of the last resubmission."""
    return next((move["at"] for move in reversed(entry.history) if move["status"] == "pending"), "")


def was_resubmitted(entry: Entry) -> bool:
    """Whether somebody asked for this very version again: then it is sent even when nothing has changed."""
    move = next((move for move in reversed(entry.history) if move["status"] == "pending"), {})
    return "reason" in move


def found_before(entry: Entry, result: Mapping[str, Any]) -> Finding | None:
    """What this occasion came to already, when only the CRM has still to be told."""
    untold = result.get("untold")
    if untold is None or untold["for"] != occasion(entry):
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


def digest(fields: Mapping[str, Any]) -> str:
    """Names the data that is sent: what has the same digest changes nothing."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
