"""Queues of surveys: CRM events against the rules, invitations, mails, responses, rounds of reminders."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.survey_work import reminders, triggers
from switchboard import queues, work
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item
from switchboard.ledger import Entry
from switchboard.surveys import DELIVERY, INVITATION, REMINDER, RESPONSE, TRIGGER, delivery, issue, responses
from switchboard.work import Outcome

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

_TIME_TO_WORK = timedelta(seconds=15)
"""What is not started with so much time left goes back to the queue: the vendor may take ten seconds."""

_REMINDERS_RESERVE = timedelta(seconds=20)
"""A round of reminders ends, and goes on with the next message, when no more time is left."""

_FLOWS: dict[str, work.Do] = {
    TRIGGER: triggers.do,
    INVITATION: issue.do,
    DELIVERY: delivery.do,
    RESPONSE: responses.do,
}


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry; a message is a ledger id, or the bus's envelope of a CRM event."""

    def remaining() -> timedelta:
        return timedelta(milliseconds=context.get_remaining_time_in_millis())

    def handle(record: "SQSRecord") -> None:
        body = json.loads(record.body)
        if "detail" in body:
            triggers.take(CrmEvent.model_validate(body["detail"]))
            return
        if remaining() < _TIME_TO_WORK:
            raise work.OutOfTime
        unfinished = []

        def do(entry: Entry, result: Item) -> Outcome:
            if entry.flow != REMINDER:
                return _FLOWS[entry.flow](entry, result)
            outcome = reminders.do(entry, result, has_time=lambda: remaining() > _REMINDERS_RESERVE)
            if outcome.status == "pending":
                unfinished.append(entry.ledger_id)
            return outcome

        work.perform(body["ledgerId"], do, lease=remaining())
        for ledger_id in unfinished:
            if (entry := work.ledger().get(ledger_id)) is not None:
                queues.offer(entry)

    return work.each_message(event, context, handle)
