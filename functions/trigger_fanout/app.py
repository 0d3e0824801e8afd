"""SQS from the bus: one delivery for each trigger that wants the CRM event.

Nothing is written here for a plain trigger: the message is the delivery until it is claimed, and its id
follows from trigger and event, so an event that comes twice is delivered once.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.trigger_fanout.logic import wanted_by
from switchboard import work
from switchboard.connectors import crm
from switchboard.crm import RecordReader
from switchboard.crm_events import CrmEvent
from switchboard.errors import VendorError
from switchboard.triggers import messages, store
from switchboard.triggers.deliveries import Deliveries, delivery_id, lane_of
from switchboard.triggers.messages import Message

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

_SETTLING_SECONDS = 1


@cache
def deliveries() -> Deliveries:
    """The deliveries of this deployment."""
    return Deliveries(work.ledger().table)


def read_record(event: CrmEvent) -> dict[str, Any] | None:
    """The event's record, when it is of the CRM behind this deployment and still there."""
    if event.origin != "builtin" or event.account_id is None:
        return None
    reader = crm()
    if not isinstance(reader, RecordReader):
        return None
    try:
        return reader.get_record(
            event.account_id,
            case_id=event.case_id,
            followup_id=event.followup_id,
            task_id=event.task_id,
        )
    except VendorError as error:
        if error.code in ("not-found", "record-deleted"):
            return None
        raise


def fan_out(event: CrmEvent) -> None:
    """Put a delivery for each trigger on the queue; of a disabled one only write down what it missed."""
    now: list[Message] = []
    settling: list[Message] = []
    for trigger in wanted_by(event, store.everyone(), lambda: read_record(event)):
        if trigger.status != "active":
            deliveries().skip(trigger, event)
        elif trigger.ordered:
            deliveries().line_up(trigger, event)
            settling.append(Message(trigger.trigger_id, lane=lane_of(event)))
        else:
            body = event.model_dump_json(by_alias=True, exclude_none=True)
            now.append(Message(trigger.trigger_id, delivery_id(trigger.trigger_id, event), event=body))
    messages.send(now)
    messages.send(settling, delay=_SETTLING_SECONDS)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry; a message is the bus's envelope."""

    def handle(record: "SQSRecord") -> None:
        fan_out(CrmEvent.model_validate(json.loads(record.body)["detail"]))

    return work.each_message(event, context, handle)
