"""What a test call tells."""

from switchboard import clock, ids
from switchboard.crm_events import ID_FIELDS, CrmEvent, CrmObject
from switchboard.triggers.store import ANY, Trigger

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
