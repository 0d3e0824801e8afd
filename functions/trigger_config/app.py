"""/triggers and /deliveries: configure, list, rotate, test, enable and recover triggers; retry a delivery."""

from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.trigger_config import logic
from functions.trigger_config.models import (
    DeliveriesQuery,
    DeliveryView,
    NewTrigger,
    Range,
    Recovery,
    Rotation,
    TestCall,
    TriggerPatch,
    TriggerView,
    checked,
    delivery_view,
    new_trigger,
    patched,
    view,
)
from switchboard import clock, cursors, work
from switchboard.api import Answer, Api, Call
from switchboard.dynamo import ConditionFailed
from switchboard.errors import FieldError, SwitchboardError
from switchboard.models import PageOf, PageQuery
from switchboard.triggers import messages, store
from switchboard.triggers.deliveries import Deliveries, Delivery, delivery_id, trigger_of
from switchboard.triggers.messages import Message
from switchboard.triggers.store import Trigger

api = Api("triggers")

_SHOWN_ONCE = frozenset({"secret"})


@cache
def deliveries() -> Deliveries:
    """The deliveries of this deployment."""
    return Deliveries(work.ledger().table)


def _visible(call: Call, trigger_id: str) -> Trigger:
    trigger = store.get(trigger_id)
    if trigger is None or not call.caller.sees(trigger.partner_id):
        raise SwitchboardError("not-found", "There is no such trigger.")
    return trigger


@api.post("/triggers", scope="triggers:write", answers={201: TriggerView}, secret_fields=_SHOWN_ONCE)
def create_trigger(call: Call, body: NewTrigger) -> Answer:
    """Have a URL called on CRM events. A webhook's shared secret is shown this once."""
    key = call.work_id() if "idempotency-key" in call.headers else None
    trigger = new_trigger(body, partner_id=call.caller.partner_id, key=key)
    store.create(trigger)
    location = {"Location": f"{call.path}/{trigger.trigger_id}"}
    return Answer(201, view(trigger, secret=trigger.secret), location)


@api.get("/triggers", scope="triggers:read", answers={200: PageOf[TriggerView]})
def list_triggers(call: Call, query: PageQuery) -> Answer:
    """The caller's triggers, the oldest first."""
    start = cursors.decode(query.cursor, r"\w{1,40}")
    whose = None if call.caller.is_admin else call.caller.partner_id
    found, after = store.page(whose, limit=query.limit, start=start)
    items = [view(trigger) for trigger in found]
    return Answer(200, PageOf[TriggerView](items=items, next=cursors.encode(after)))


@api.get("/triggers/{triggerId}", scope="triggers:read", answers={200: TriggerView})
def get_trigger(call: Call, trigger_id: str) -> Answer:
    """One trigger."""
    return Answer(200, view(_visible(call, trigger_id)))


@api.patch("/triggers/{triggerId}", scope="triggers:write", answers={200: TriggerView})
def change_trigger(call: Call, trigger_id: str, body: TriggerPatch) -> Answer:
    """Change what is named; the next call goes by it."""
    trigger = _visible(call, trigger_id)
    changed = checked(replace(trigger, **patched(trigger, body)))
    try:
        store.configure(changed)
    except ConditionFailed:
        raise SwitchboardError("not-found", "There is no such trigger.") from None
    return Answer(200, view(_visible(call, trigger_id)))


@api.delete("/triggers/{triggerId}", scope="triggers:write", answers={204: None})
def delete_trigger(call: Call, trigger_id: str) -> Answer:
    """Remove a trigger: its URL is called no more."""
    store.delete(_visible(call, trigger_id).trigger_id)
    return Answer(204)


@api.post(
    "/triggers/{triggerId}/rotate-secret",
    scope="triggers:write",
    answers={200: TriggerView},
    secret_fields=_SHOWN_ONCE,
)
def rotate_secret(call: Call, trigger_id: str, body: Rotation) -> Answer:
    """Give a webhook a new secret (shown this once) or key pair; the present one signs on for a while."""
    trigger = _visible(call, trigger_id)
    if trigger.format != "webhook":
        raise SwitchboardError("conflict", "Only a webhook has a secret.")
    try:
        secret = store.rotate(trigger, overlap=body.overlap)
    except ConditionFailed:
        raise SwitchboardError("not-found", "There is no such trigger.") from None
    return Answer(200, view(_visible(call, trigger_id), secret=secret))


@api.post("/triggers/{triggerId}/test", scope="triggers:write", answers={202: TestCall})
def test_trigger(call: Call, trigger_id: str) -> Answer:
    """Call the URL with an event of its kind whose ids are all `test`; the log shows what came of it."""
    trigger = _visible(call, trigger_id)
    event = logic.test_event(trigger)
    found = delivery_id(trigger_id, event)
    body = event.model_dump_json(by_alias=True, exclude_none=True)
    messages.send([Message(trigger_id, found, event=body, forced=True)])
    return Answer(202, TestCall(delivery_id=found, event_id=event.event_id))


@api.post("/triggers/{triggerId}/enable", scope="triggers:write", answers={200: TriggerView})
def enable_trigger(call: Call, trigger_id: str) -> Answer:
    """Call the URL again, from the next event on; `recover` makes up for what was missed."""
    trigger = _visible(call, trigger_id)
    try:
        store.enable(trigger.trigger_id)
    except ConditionFailed:
        raise SwitchboardError("not-found", "There is no such trigger.") from None
    return Answer(200, view(_visible(call, trigger_id)))


@api.post("/triggers/{triggerId}/recover", scope="triggers:write", answers={202: Recovery})
def recover_trigger(call: Call, trigger_id: str, body: Range) -> Answer:
    """Deliver what failed or was skipped in a range of time, the oldest first, at most ten a second."""
    trigger = _visible(call, trigger_id)
    until = body.until or clock.now()
    if until <= body.since:
        raise SwitchboardError("invalid", fields=(FieldError("/since", "it is not before until"),))
    if trigger.status != "active":
        raise SwitchboardError("conflict", "The trigger is disabled; enable it first.")
    recovery = Recovery(trigger_id=trigger_id, since=clock.rfc3339(body.since), until=clock.rfc3339(until))
    messages.send([Message(trigger_id, recover={"since": recovery.since, "until": recovery.until})])
    return Answer(202, recovery)


@api.get("/triggers/{triggerId}/deliveries", scope="triggers:read", answers={200: PageOf[DeliveryView]})
def list_deliveries(call: Call, trigger_id: str, query: DeliveriesQuery) -> Answer:
    """The log of a trigger's calls, the latest event first; 90 days back."""
    trigger = _visible(call, trigger_id)
    after = cursors.decode(query.cursor, r"[\w.~-]{1,200}")
    if after is not None and trigger_of(after) != trigger.trigger_id:
        raise SwitchboardError("invalid", fields=(FieldError("/query/cursor", "not a cursor of this list"),))
    found = deliveries().of_trigger(
        trigger.trigger_id, after=after, statuses=(query.status,) if query.status else ()
    )
    items = list(islice(found, query.limit + 1))
    cursor = None
    if len(items) > query.limit:
        items = items[: query.limit]
        cursor = cursors.encode(items[-1].delivery_id)
    return Answer(200, PageOf[DeliveryView](items=[delivery_view(item) for item in items], next=cursor))


def _delivery(call: Call, found: str) -> Delivery:
    delivery = deliveries().get(found) if trigger_of(found) else None
    if delivery is None or not call.caller.sees(delivery.partner_id):
        raise SwitchboardError("not-found", "There is no such delivery.")
    return delivery


@api.get("/deliveries/{deliveryId}", scope="triggers:read", answers={200: DeliveryView})
def get_delivery(call: Call, delivery_id: str) -> Answer:
    """One delivery."""
    return Answer(200, delivery_view(_delivery(call, delivery_id)))


@api.post("/deliveries/{deliveryId}/retry", scope="triggers:write", answers={202: DeliveryView})
def retry_delivery(call: Call, delivery_id: str) -> Answer:
    """Call the URL again for this event now, whatever came of it; ten more attempts if need be."""
    delivery = _delivery(call, delivery_id)
    again = deliveries().reopen(delivery)
    if again is None:
        raise SwitchboardError("in-progress", "The delivery is being made at this moment.")
    messages.send([Message(again.trigger_id, again.delivery_id, lane=again.lane, forced=True)])
    return Answer(202, delivery_view(again))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
