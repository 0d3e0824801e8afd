"""POST /crm/events and /hooks/vcc/…: take CRM events from CRMs outside, and publish them on the bus.

The bus keeps what it has taken, so the answer comes after it; nothing else is called before.
"""

import hmac
from datetime import timedelta
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.crm_event_intake import logic
from functions.crm_event_intake.logic import EventAccepted, HookQuery, NewEvent
from switchboard import crm_events, observability, work
from switchboard.api import Answer, Api, Call
from switchboard.crm_events import CrmEvent
from switchboard.crm_intake import Told
from switchboard.errors import SwitchboardError
from switchboard.secrets import connector_secret

api = Api("crm events")

WINDOW = timedelta(seconds=10)
"""8x8 repeats a trigger without saying so; the same one within this time is taken for a repeat."""


@cache
def told() -> Told:
    """The events that have been told."""
    return Told(work.ledger().table)


def _publish(event: CrmEvent) -> None:
    try:
        crm_events.publish([event])
    except crm_events.NotPublished:
        raise SwitchboardError("internal", "The event bus did not take the event; send it again.") from None
    observability.count("CrmEvents", origin=event.origin.partition(":")[0])


@api.post("/crm/events", scope="events:write", answers={202: EventAccepted})
def accept_event(call: Call, body: NewEvent) -> Answer:
    """Tell that an object of a CRM outside was created, edited or deleted. One `eventId` is one event."""
    event = logic.event_of(body, partner_id=call.caller.partner_id)
    if body.event_id is not None:
        event = told().first(event, event.origin, event.event_id)
    _publish(event)
    return Answer(202, EventAccepted(event_id=event.event_id))


def _take_hook(token: str, object_: str, event: str, query: HookQuery) -> Answer:
    try:
        expected = connector_secret("vcc")["hookToken"]
    except SwitchboardError as error:
        if error.code != "not-configured":
            raise
        # Closed, and not to be told from a wrong token.
        raise SwitchboardError("not-found") from None
    if not hmac.compare_digest(expected.encode(), token.encode()):
        raise SwitchboardError("not-found")
    found = logic.hook_event(object_, event, query)
    known = [f"{name}={value}" for name, value in sorted(logic.ids_of(found).items())]
    first = told().first(found, "vcc", found.type, *known, window=WINDOW)
    _publish(first)
    return Answer(200, EventAccepted(event_id=first.event_id))


@api.get("/hooks/vcc/{token}/{object}/{event}", scope=None, answers={200: EventAccepted})
def get_vcc_hook(call: Call, token: str, object: str, event: str, query: HookQuery) -> Answer:  # noqa: A002
    """What 8x8's CRM Triggers tab is pointed at: one URL for each object and event."""
    return _take_hook(token, object, event, query)


@api.post("/hooks/vcc/{token}/{object}/{event}", scope=None, answers={200: EventAccepted})
def post_vcc_hook(call: Call, token: str, object: str, event: str, query: HookQuery) -> Answer:  # noqa: A002
    """The same by POST; the ids are in the query string all the same."""
    return _take_hook(token, object, event, query)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
