"""DynamoDB stream of the built-in CRM: each change is published as a CRM event, in the stream's order."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.crm_changes.logic import event_of
from switchboard import crm_events, observability
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import item_from_wire


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Stream entry. From the first record that could not be published on, the stream hands all over again."""
    found: list[tuple[str, CrmEvent]] = []
    broken: str | None = None
    for record in event["Records"]:
        change = record["dynamodb"]
        number = change["SequenceNumber"]
        new, old = (
            item_from_wire(change[image]) if change.get(image) else None for image in ("NewImage", "OldImage")
        )
        try:
            told = event_of(new, old)
        except (KeyError, ValueError):
            # It stops here until it is put aside; what came before it still goes out.
            observability.logger.exception("a change makes no event", sequence_number=number)
            broken = number
            break
        if told is not None:
            found.append((number, told))
    try:
        crm_events.publish([told for _, told in found])
    except crm_events.NotPublished as refused:
        lost = {one.event_id for one in refused.events}
        broken = next(number for number, told in found if told.event_id in lost)
    observability.count("CrmEvents", len(found), origin="builtin")
    return {"batchItemFailures": [] if broken is None else [{"itemIdentifier": broken}]}
