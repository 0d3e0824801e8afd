"""Triggers and deliveries as the API shows them."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from switchboard import clock, egress, ids, webhooks
from switchboard.conditions import Where
from switchboard.errors import FieldError, SwitchboardError
from switchboard.models import ApiModel, PageQuery
from switchboard.triggers import store
from switchboard.triggers.deliveries import STATUSES, Delivery
from switchboard.triggers.store import Trigger

type ObjectName = Literal["customer", "case", "followup", "task", "*"]
type EventName = Literal["create", "edit", "delete", "*"]
type Rate = Annotated[float, Field(gt=0, le=1000, strict=False)]
type Description = Annotated[str, Field(max_length=500)]

LONGEST_OVERLAP_HOURS = 24 * 30


class NewTrigger(ApiModel):
    """`POST /triggers`."""

    url: Annotated[str, Field(min_length=1, max_length=egress.MAX_URL)]
    object: ObjectName
    event: EventName
    format: Literal["query", "webhook"] = "query"
    method: Literal["GET", "POST"] | None = None
    where: Where = {}
    ordered: bool = False
    description: Description | None = None
    max_per_second: Rate | None = None
    signature: Annotated[
        webhooks.Scheme | None,
        Field(
            description="Of a webhook: v1, a secret that both sides have, or v1a, a key pair whose public "
            "half verifies. v1 when left out."
        ),
    ] = None


class TriggerPatch(ApiModel):
    """`PATCH /triggers/{id}`: what is not named stays; null clears what need not be there."""

    url: Annotated[str, Field(min_length=1, max_length=egress.MAX_URL)] | None = None
    object: ObjectName | None = None
    event: EventName | None = None
    method: Literal["GET", "POST"] | None = None
    where: Where | None = None
    ordered: bool | None = None
    description: Description | None = None
    max_per_second: Rate | None = None


class Rotation(ApiModel):
    """`POST …/rotate-secret`."""

    overlap_hours: Annotated[
        int,
        Field(
            ge=0,
            le=LONGEST_OVERLAP_HOURS,
            description="How long the present secret signs beside the new one.",
        ),
    ] = 24

    @property
    def overlap(self) -> timedelta:
        """The same as a timedelta."""
        return timedelta(hours=self.overlap_hours)


class Range(ApiModel):
    """`POST …/recover`: events of this time; up to now without `until`."""

    since: AwareDatetime
    until: AwareDatetime | None = None


class Warned(ApiModel):
    """A URL that does nothing but fail, and when it is disabled if that goes on."""

    per_cent: int
    failing_since: str
    disables_at: str


class TriggerView(ApiModel):
    """A trigger. `secret` is shown once; `publicKey` always, of a webhook that is signed with a key pair."""

    trigger_id: str
    secret: str | None = None
    public_key: str | None = None
    signature: webhooks.Scheme | None = None
    status: Literal["active", "disabled"]
    url: str
    object: ObjectName
    event: EventName
    format: Literal["query", "webhook"]
    method: Literal["GET", "POST"]
    where: dict[str, Any]
    ordered: bool
    description: str | None = None
    max_per_second: float | None = None
    disabled_reason: str | None = None
    warning: Warned | None = None
    created_at: str
    updated_at: str


class AttemptView(ApiModel):
    """One call. `errorClass` is null for success."""

    at: str
    status_code: int | None = None
    error_class: str | None = None
    duration_ms: int


class DeliveryView(ApiModel):
    """A call that is owed, or was made, to a trigger's URL."""

    delivery_id: str
    trigger_id: str
    event_id: str
    type: str
    status: Literal["pending", "delivered", "retrying", "failed", "skipped"]
    attempts: list[AttemptView]
    next_attempt_at: str | None = None
    answer: str | None = Field(default=None, description="The beginning of the latest answer, at most 2 KB.")
    created_at: str
    updated_at: str


class Recovery(ApiModel):
    """A range that is being put back to work, paced."""

    trigger_id: str
    since: str
    until: str


class TestCall(ApiModel):
    """The call that was put on its way."""

    delivery_id: str
    event_id: str


def _status(status: str) -> str:
    if status not in STATUSES:
        raise ValueError(f"not one of {', '.join(sorted(STATUSES))}")
    return status


class DeliveriesQuery(PageQuery):
    """`GET …/deliveries`."""

    status: Annotated[str, AfterValidator(_status)] | None = None


def new_trigger(body: NewTrigger, *, partner_id: str, key: str | None = None) -> Trigger:
    """The trigger that a partner asks for, of the same id for the same `key`; raises `invalid`."""
    if body.signature is not None and body.format != "webhook":
        raise _invalid("signature", "only a webhook is signed")
    method = body.method or ("POST" if body.format == "webhook" else "GET")
    now = clock.timestamp()
    trigger = Trigger(
        trigger_id=ids.fresh("trg") if key is None else ids.derived("trg", key),
        partner_id=partner_id,
        url=body.url,
        object=body.object,
        event=body.event,
        format=body.format,
        method=method,
        status="active",
        created_at=now,
        updated_at=now,
        where=body.where,
        ordered=body.ordered,
        description=body.description,
        max_per_second=body.max_per_second,
        secret=webhooks.new_key(body.signature or "v1") if body.format == "webhook" else None,
    )
    return checked(trigger)


def checked(trigger: Trigger) -> Trigger:
    """The trigger, when it can be called and its event exists; raises `invalid`."""
    if trigger.object == "followup" and trigger.event == "edit":
        raise _invalid("event", "a followup is created and deleted, never edited")
    if trigger.format == "webhook" and trigger.method != "POST":
        raise _invalid("method", "a webhook is a POST")
    egress.check_url(trigger.url)
    egress.check_host(trigger.url)
    return trigger


def patched(trigger: Trigger, body: TriggerPatch) -> dict[str, Any]:
    """The fields of a trigger that a patch changes."""
    given = body.model_dump(exclude_unset=True)
    for name in ("url", "object", "event", "method", "ordered"):
        if name in given and given[name] is None:
            raise _invalid(name, "it cannot be cleared")
    if "where" in given and given["where"] is None:
        given["where"] = {}
    return given


def _invalid(field: str, detail: str) -> SwitchboardError:
    return SwitchboardError("invalid", fields=(FieldError(f"/{field}", detail),))


def view(trigger: Trigger, *, secret: str | None = None) -> TriggerView:
    """The trigger as the API shows it, with the `secret` where the receiver shares it."""
    failing = trigger.health.failing_since
    warned = trigger.health.warned
    return TriggerView.model_validate(
        {
            "trigger_id": trigger.trigger_id,
            "secret": webhooks.shown(secret) if secret else None,
            "public_key": webhooks.public_key(trigger.secret) if trigger.secret else None,
            "signature": webhooks.scheme_of(trigger.secret) if trigger.secret else None,
            "status": trigger.status,
            "url": trigger.url,
            "object": trigger.object,
            "event": trigger.event,
            "format": trigger.format,
            "method": trigger.method,
            "where": dict(trigger.where),
            "ordered": trigger.ordered,
            "description": trigger.description,
            "max_per_second": trigger.max_per_second,
            "disabled_reason": trigger.disabled_reason,
            "warning": {
                "per_cent": warned,
                "failing_since": failing,
                "disables_at": store.disables_at(failing),
            }
            if failing and warned
            else None,
            "created_at": trigger.created_at,
            "updated_at": trigger.updated_at,
        }
    )


def delivery_view(delivery: Delivery) -> DeliveryView:
    """The delivery as the API shows it."""
    return DeliveryView(
        delivery_id=delivery.delivery_id,
        trigger_id=delivery.trigger_id,
        event_id=delivery.event.event_id,
        type=delivery.event.type,
        status=delivery.status,
        attempts=[AttemptView.model_validate(attempt) for attempt in delivery.attempts],
        next_attempt_at=delivery.next_attempt_at,
        answer=delivery.answer,
        created_at=delivery.created_at,
        updated_at=delivery.updated_at,
    )
