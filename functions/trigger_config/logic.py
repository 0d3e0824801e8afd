"""What a test call tells, and what a retry by hand means for the ledger."""

from switchboard import clock, ids
from switchboard.crm_events import ID_FIELDS, CrmEvent, CrmObject
from switchboard.dynamo import ConditionFailed
from switchboard.ledger import FAILED, Ledger, entry_id
from switchboard.triggers.deliveries import Delivery
from switchboard.triggers.store import ANY, Trigger

FLOW = "trigger_delivery"
_OBJECTS: tuple[CrmObject, ...] = ("customer", "case", "followup", "task")


def test_event(trigger: Trigger) -> CrmEvent:
    """An event that the trigger is for, about nothing: each id is the word `test`."""
    crm_object = next(name for name in _OBJECTS if trigger.object in (ANY, name))
    name = "create" if trigger.event == ANY else trigger.event
    return CrmEvent.model_validate(
        {
            "event_id": ids.fresh("evt"),
            "object": crm_object,
            "event": name,
            "origin": "test",
            "occurred_at": clock.timestamp(),
        }
        | dict.fromkeys(ID_FIELDS[crm_object], "test")
    )


def settle_ledger(ledger: Ledger, delivery: Delivery, correlation_id: str) -> None:
    """End the ledger's entry of a failed delivery that is back at work; if it fails again, it is reopened."""
    entry = ledger.get(entry_id(delivery.partner_id, FLOW, delivery.delivery_id))
    if entry is None or entry.status not in FAILED:
        return
    try:
        ledger.discard(entry, correlation_id=correlation_id, reason="the delivery was put back to work")
    except ConditionFailed:
        return
