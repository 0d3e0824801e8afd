"""What happened around a customer, out of the ledger and the log of deliveries.

The index `Customer` has what never changes of each piece of work, so its present state is read for the page
that is shown.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from switchboard import work
from switchboard.dynamo import Item
from switchboard.ledger import Entry
from switchboard.models import ApiModel
from switchboard.triggers.deliveries import Deliveries

DELIVERY = "trigger_delivery"
POSITION = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z#\w{1,120}"

_RESULTS = (
    *("customerCreated", "caseId", "caseCreated", "followupId", "taskId", "leadId", "surveyId"),
    *("invitationId", "responseId", "triggerId", "deliveryId", "eventId", "externalId", "object", "change"),
)
_OWN_ID = {
    "social_post": "postId",
    "social_reply": "replyId",
    "charging": "operationId",
    "erasure": "erasureId",
    "survey_invitation": "invitationId",
}
"""What the API calls the ledger id of a flow's entries."""


class TimelineItem(ApiModel):
    """One thing that happened; `at` is when it came in. Of the ids it has those that it has."""

    at: str
    flow: str
    status: str
    ledger_id: str | None = None
    code: str | None = None
    updated_at: str
    post_id: str | None = None
    reply_id: str | None = None
    case_id: str | None = None
    case_created: bool | None = None
    customer_created: bool | None = None
    followup_id: str | None = None
    task_id: str | None = None
    lead_id: str | None = None
    member_number: str | None = None
    survey_id: str | None = None
    invitation_id: str | None = None
    response_id: str | None = None
    trigger_id: str | None = None
    delivery_id: str | None = None
    event_id: str | None = None
    type: str | None = None
    operation_id: str | None = None
    operation: str | None = None
    external_id: str | None = None
    erasure_id: str | None = None
    object: str | None = None
    change: str | None = None

    @model_serializer(mode="wrap")
    def _without_nulls(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown: dict[str, Any] = serialize(self)
        return {name: value for name, value in shown.items() if value is not None}


def rows(customer_id: str, *, whose: str | None, before: str) -> Iterator[Item]:
    """What the index has of a customer, the newest first; `whose`: a partner's alone, None for everyone's."""
    values: Item = {":customer": customer_id, ":before": before}
    options: dict[str, Any] = {"index": "Customer", "forward": False, "limit": 100}
    if whose is not None:
        options["filter_expression"] = "partnerId = :partner"
        values[":partner"] = whose
    return work.ledger().table.query_all("customerId = :customer AND recentAt < :before", values, **options)


def shown(row: Item) -> TimelineItem | None:
    """A row of the index as the API shows it; None for what is gone, or stands there as something else."""
    if "ledgerId" not in row:
        return _delivery(row)
    entry = work.ledger().get(row["ledgerId"])
    if entry is None or (entry.flow == DELIVERY and _deliveries().get(entry.entity) is not None):
        return None
    return _entry(entry)


def _deliveries() -> Deliveries:
    return Deliveries(work.ledger().table)


def _delivery(row: Item) -> TimelineItem | None:
    item = work.ledger().table.get(row["pk"], row["sk"])
    if item is None or "deliveryId" not in item:
        return None
    delivery = _deliveries().get(item["deliveryId"])
    if delivery is None:
        return None
    event = delivery.event
    return TimelineItem(
        at=delivery.created_at,
        flow=DELIVERY,
        status=delivery.status,
        updated_at=delivery.updated_at,
        trigger_id=delivery.trigger_id,
        delivery_id=delivery.delivery_id,
        event_id=event.event_id,
        type=event.type,
        case_id=event.case_id,
        followup_id=event.followup_id,
        task_id=event.task_id,
    )


def _entry(entry: Entry) -> TimelineItem:
    payload, result = entry.payload, entry.result
    facts: dict[str, Any] = {name: result[name] for name in _RESULTS if result.get(name) is not None}
    facts |= {name: payload[name] for name in ("surveyId", "postId", "operation") if payload.get(name)}
    if entry.flow in _OWN_ID:
        facts[_OWN_ID[entry.flow]] = entry.ledger_id
    if entry.flow == "member":
        facts["memberNumber"] = entry.entity
    elif entry.flow == "member_push" and payload.get("memberNumber"):
        facts["memberNumber"] = payload["memberNumber"]
    return TimelineItem.model_validate(
        facts
        | {
            "at": entry.created_at,
            "flow": entry.flow,
            "status": entry.status,
            "ledgerId": entry.ledger_id,
            "code": entry.code,
            "updatedAt": entry.updated_at,
        },
        strict=False,
    )
