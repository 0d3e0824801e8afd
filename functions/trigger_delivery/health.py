"""How a trigger's URL is doing: noted failures, warnings on the way to disabling, disabling itself."""

import json
import os
from datetime import timedelta

from functions.trigger_delivery import logic
from switchboard import aws, clock, observability
from switchboard.triggers import store
from switchboard.triggers.deliveries import Attempt
from switchboard.triggers.store import Trigger

SOURCE = "switchboard.triggers"


def note_duration(trigger: Trigger, took: timedelta) -> None:
    """Hold a slow URL back, and let go of it when it is quick again. Of all others nothing is written."""
    before = trigger.health.quick_calls
    after = logic.quick_calls(trigger.health, took)
    if after == before:
        return
    store.note_slow(trigger.trigger_id, quick_calls=after)
    if before is None or after is None:
        kind = "trigger.quick" if after is None else "trigger.slow"
        observability.logger.info(
            kind, extra={"triggerId": trigger.trigger_id, "partnerId": trigger.partner_id}
        )


def note_failure(trigger: Trigger, made: Attempt) -> None:
    """Note a failure, slow the URL down where it asks for it, warn, and disable it after five days."""
    now = clock.now()
    since = logic.failing_since(trigger.health, now)
    pause = logic.slow_for(made)
    suspect = made.error_class == "timeout"
    if pause or suspect or logic.worth_noting(trigger.health, since, now):
        store.note_failure(
            trigger,
            failing_since=since,
            slow_until=now + pause if pause else None,
            suspect=suspect,
        )
    if trigger.status != "active":
        return
    level = logic.warning(since, now)
    if level == 100:
        disable(trigger, "failing")
    elif level > trigger.health.warned and store.note_warning(trigger.trigger_id, level):
        _tell("trigger.warning", trigger, perCent=level, disablesAt=store.disables_at(since))


def disable(trigger: Trigger, reason: str) -> None:
    """Disable a trigger, once, and tell."""
    if store.disable(trigger.trigger_id, reason):
        _tell("trigger.disabled", trigger, reason=reason)


def _tell(kind: str, trigger: Trigger, **facts: object) -> None:
    """One event on the bus, where a deployment may have rules for it, one metric and one line in the log."""
    known = {"triggerId": trigger.trigger_id, "partnerId": trigger.partner_id} | facts
    observability.logger.warning(kind, extra=known)
    observability.count("TriggerWarnings", kind=kind)
    aws.eventbridge().put_events(
        Entries=[
            {
                "EventBusName": os.environ["CRM_EVENT_BUS"],
                "Source": SOURCE,
                "DetailType": kind,
                "Detail": json.dumps(known),
            }
        ]
    )
