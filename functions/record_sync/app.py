"""SQS from the bus: pull the record that 8x8 told us about through its CRM API, and upsert it in our CRM.

8x8's ids are kept, so a script that got an AccountID reads that very customer through the CRM API.
"""

import re
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from switchboard import clock, work
from switchboard.connectors import crm, vcc
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef, Records, mirror
from switchboard.connectors.vcc import records as vcc_records
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError, VendorError
from switchboard.ledger import Entry
from switchboard.settings import store
from switchboard.settings.triggers import TriggersSettings, VccSettings
from switchboard.work import Outcome

FLOW = "record_sync"

_ID = re.compile(r"[A-Za-z0-9._:~-]{1,100}")


def enter(body: dict[str, Any]) -> str:
    """Enter an event into the ledger. A record is pulled as it is now: the latest is the newest."""
    event = CrmEvent.model_validate(body["detail"])
    accepted = work.ledger().accept(
        partner_id="admin",
        flow=FLOW,
        entity="/".join((event.object, *_ids(event).values())),
        payload=event.model_dump(mode="json", by_alias=True, exclude_none=True),
        group=event.account_id or "",
        correlation_id=event.event_id,
        version=round(clock.now().timestamp() * 1000),
        customer_id=event.account_id,
    )
    return accepted.entry.ledger_id


def _ids(event: CrmEvent) -> dict[str, str]:
    named = {
        "accountId": event.account_id,
        "caseId": event.case_id,
        "followupId": event.followup_id,
        "taskId": event.task_id,
    }
    return {name: value for name, value in named.items() if value is not None}


def do(entry: Entry, result: Item) -> Outcome:
    """Bring one record up to date."""
    event = CrmEvent.model_validate(entry.payload)
    ids = _ids(event)
    if not all(_ID.fullmatch(value) for value in ids.values()):
        raise SwitchboardError("invalid", "8x8's ids are letters, digits and . _ : ~ -")
    held = crm()
    if not isinstance(held, BuiltinCrm):
        return Outcome("unchanged", detail="The CRM is outside; 8x8's records are not copied there.")
    ref = RecordRef.of(ids)
    result.update(ids)
    if event.event == "delete":
        changed = mirror.remove(held.records, ref)
    else:
        settings = store.current("triggers", TriggersSettings).vcc
        changed = _pull(held.records, ref, settings)
    return Outcome("synced" if changed else "unchanged", customer_id=event.account_id)


def _pull(records: Records, ref: RecordRef, settings: VccSettings) -> bool:
    """Pull one record and, when it is not here yet, the one that it belongs to before it."""
    wanted = vcc_records.filters(ref.ids, settings)
    items = vcc.get(vcc_records.OBJECTS[ref.object], **wanted)
    own = [item for item in items if item.get("ACCOUNTNUM", ref.account_id) == ref.account_id]
    if not own:
        return False  # deleted there by now: that is, or was, an event of its own
    fields = vcc_records.fields(ref.object, own[0], settings)
    for attempt in range(2):
        try:
            return mirror.upsert(records, ref, fields)
        except VendorError as error:
            if error.code == "record-deleted":
                return False
            owner = _owner(ref)
            if error.code != "not-found" or owner is None or attempt:
                raise
            _pull(records, owner, settings)
    return False


def _owner(ref: RecordRef) -> RecordRef | None:
    match ref.object:
        case "customer":
            return None
        case "followup":
            return RecordRef(ref.account_id, ref.case_id)
        case _:
            return RecordRef(ref.account_id)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry; a message is the bus's envelope, or a ledger id that is done again."""
    return work.run_batch(event, context, do, enter=enter)
