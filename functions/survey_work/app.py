"""Queues of surveys: CRM events against the rules, invitations, responses, rounds of reminders."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.survey_work import reminders, triggers
from switchboard import work
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item
from switchboard.ledger import Entry
from switchboard.surveys import INVITATION, REMINDER, RESPONSE, TRIGGER, issue, responses
from switchboard.work import Outcome

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

_TIME_TO_WORK = timedelta(seconds=15)
"""What is not started with so much time left goes back to the queue: the vendor may take ten seconds."""

_FLOWS: dict[str, work.Do] = {
    TRIGGER: triggers.do,
    INVITATION: issue.do,
    RESPONSE: responses.do,
    REMINDER: reminders.do,
}


def do(entry: Entry, result: Item) -> Outcome:
    """Do an entry of whichever flow."""
    return _FLOWS[entry.flow](entry, result)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry; a message is a ledger id, or the bus's envelope of a CRM event."""

    def handle(record: "SQSRecord") -> None:
        body = json.loads(record.body)
        if "detail" in body:
            triggers.take(CrmEvent.model_validate(body["detail"]))
            return
        remaining = timedelta(milliseconds=context.get_remaining_time_in_millis())
        if remaining < _TIME_TO_WORK:
            raise work.OutOfTime
        work.perform(body["ledgerId"], do, lease=remaining)

    return work.each_message(event, context, handle)
