"""Queue of the bus rule for `customer.create`: what a rule of `settings/charging` fits is set up in the OCS.

The event has ids only, so the customer is read from the CRM. Each part is an operation of its own on the
charging queue, under a name made from the customer: an event that comes twice meets the first one's work.
"""

import json
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.charging_provision.logic import jobs, rule_for
from switchboard import observability, partners, queues, work
from switchboard.charging.jobs import FLOW, Job
from switchboard.charging.owners import Owners
from switchboard.connectors import crm
from switchboard.crm import RecordReader
from switchboard.crm_events import CrmEvent
from switchboard.errors import VendorError
from switchboard.settings import store
from switchboard.settings.charging import ChargingSettings
from switchboard.turns import Turns


def provision(event: CrmEvent) -> None:
    """Accept what a rule makes of a new customer."""
    rules = store.current("charging", ChargingSettings).provisioning
    if event.type != "customer.create" or event.account_id is None or not rules:
        return
    record = _record(event.account_id)
    rule = rule_for(rules, record) if record is not None else None
    if rule is None or record is None:
        return
    group = f"customer:{event.account_id}"
    for job in jobs(event.account_id, rule, record):
        _accept(job, group, event)


def _record(account_id: str) -> dict[str, Any] | None:
    """The customer as the CRM has it now; None when it is gone, or the CRM cannot be read by ids."""
    reader = crm()
    if not isinstance(reader, RecordReader):
        return None
    try:
        return reader.get_record(account_id)
    except VendorError as error:
        if error.code in ("not-found", "record-deleted"):
            return None
        raise


def _accept(job: Job, group: str, event: CrmEvent) -> None:
    ledger = work.ledger()
    entity = f"provision:{job.operation.kind}:{event.account_id}"
    Owners(ledger.table).note(job, group)
    accepted = ledger.accept(
        partner_id=partners.ADMIN,
        flow=FLOW,
        entity=entity,
        payload=job.payload(),
        group=group,
        correlation_id=event.event_id,
        customer_id=event.account_id,
    )
    if accepted.entry.status == "pending":
        Turns(ledger).take(group, accepted.entry.ledger_id)
        queues.offer(accepted.entry)


def _handle(record: SQSRecord) -> None:
    event = CrmEvent.model_validate(json.loads(record.body)["detail"])
    observability.logger.set_correlation_id(event.event_id)
    provision(event)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry."""
    processor = BatchProcessor(event_type=EventType.SQS)
    processor.raise_on_entire_batch_failure = False
    return process_partial_response(event=event, record_handler=_handle, processor=processor, context=context)
