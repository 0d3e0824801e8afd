"""SQS: call a trigger's URL for a CRM event; sign, retry, give up, disable.

The messages of a batch are worked on side by side, so a URL that hangs holds up nobody else's call.
"""

import json
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from functions.trigger_delivery import delivery, lanes, logic, recovery
from switchboard import aws, egress_client, observability, work
from switchboard.triggers import messages, store
from switchboard.triggers.messages import Message

_AT_ONCE = 10
_RESERVE = timedelta(seconds=20)
"""Time that one more call and its record may take."""

_LOOK_SECONDS = 0.5
"""How often one looks for calls that take long."""


@cache
def threads() -> ThreadPoolExecutor:
    """Those of the process; starting ten for each batch would cost more than the calls."""
    return ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="delivery")


def handle(body: dict[str, Any], context: LambdaContext) -> None:
    """Do what one message asks for."""

    def remaining() -> timedelta:
        return timedelta(milliseconds=context.get_remaining_time_in_millis())

    def has_time() -> bool:
        return remaining() > _RESERVE

    if not has_time():
        raise work.OutOfTime
    if "ledgerId" in body:
        work.perform(body["ledgerId"], recovery.put_back, lease=remaining())
        return
    message = Message.from_body(body)
    trigger = store.get(message.trigger_id)
    if message.recover is not None:
        recovery.recover(message, trigger)
    elif message.lane is not None:
        lanes.work_on(message, trigger, remaining(), has_time)
    else:
        delivery.work_on(message, trigger)


def _hand_back(record: dict[str, Any]) -> None:
    try:
        messages.hand_back(record["receiptHandle"], int(record["attributes"]["ApproximateReceiveCount"]))
    except (BotoCoreError, ClientError):
        return  # then it comes back later


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry."""
    # Made here, once: threads that make the process's clients at the same time make several.
    for client in (aws.dynamodb, aws.sqs, egress_client.client):
        client()

    def one(record: dict[str, Any]) -> str | None:
        try:
            handle(json.loads(record["body"]), context)
        except Exception:  # noqa: BLE001 - it goes back to the queue, and the others are not in its way
            observability.logger.exception("a message goes back", message_id=record["messageId"])
            _hand_back(record)
            return str(record["messageId"])
        return None

    made = [threads().submit(one, record) for record in event["Records"]]
    late = wait(made, timeout=logic.LONG_CALL.total_seconds()).not_done
    while late:
        delivery.note_long_calls()
        late = wait(late, timeout=_LOOK_SECONDS).not_done
    delivery.count_calls()
    failed = [message_id for done in made if (message_id := done.result()) is not None]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
