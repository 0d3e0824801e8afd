"""What a sweep of 8x8 tells."""

import json
from collections.abc import Mapping
from typing import Any

from switchboard import clock, ids
from switchboard.crm_events import CrmEvent


def recovered(crm_object: str, named: Mapping[str, str], *, is_new: bool) -> CrmEvent:
    """The event of a change that nobody told."""
    return CrmEvent.model_validate(
        {
            "eventId": ids.fresh("evt"),
            "object": crm_object,
            "event": "create" if is_new else "edit",
            "origin": "vcc",
            "occurredAt": clock.timestamp(),
            "recovered": True,
        }
        | dict(named)
    )


def digest(event: CrmEvent, fields: Mapping[str, Any]) -> str:
    """Names one state of one record."""
    known = (event.account_id or "", event.case_id or "", event.task_id or "")
    return ids.derived("swp", *known, json.dumps(fields, sort_keys=True))


def loss_per_cent(told: int, found: int) -> int:
    """How many of the changes of the last hour no trigger told, in per cent."""
    return round(100 * found / (told + found)) if told + found else 0
