"""The trigger scope: is this person to be asked about this record?"""

import hashlib
from collections.abc import Mapping
from typing import Any

from switchboard.conditions import holds
from switchboard.crm_events import CrmEvent
from switchboard.settings.surveys import Rule

_LONGEST_VALUE = 500


def takes(rule: Rule, event: CrmEvent) -> bool:
    """Whether a rule is about this kind of event."""
    return rule.object == event.object and rule.event == event.event


def refusal(rule: Rule, record: Mapping[str, Any], draw: float) -> str | None:
    """Why the rule does not ask, None when it does. `draw` is the person's lot, in [0, 1)."""
    if not holds(rule.where, record):
        return "where"
    return None if draw < rule.sampling_rate else "samplingRate"


def lot(*parts: str) -> float:
    """A number in [0, 1) that is the same each time for the same parts."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def parameters(rule: Rule, record: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """The record's fields as extra parameters; what the record lacks is left out."""
    found: dict[str, str | int | float | bool] = {}
    for name, field in rule.parameters.items():
        held: Any = record
        for part in field.split("."):
            held = held.get(part) if isinstance(held, Mapping) else None
        if isinstance(held, str):
            found[name] = held[:_LONGEST_VALUE]
        elif isinstance(held, bool | int | float):
            found[name] = held
        elif held is not None and not isinstance(held, Mapping | list):
            found[name] = str(held)
    return found


def transaction(event: CrmEvent) -> str:
    """What the invitation is about: the record; so each record asks once, however often it is told of."""
    return event.task_id or event.followup_id or event.case_id or event.account_id or event.event_id
