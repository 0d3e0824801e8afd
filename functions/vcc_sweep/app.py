"""Each hour: find what 8x8 changed without firing a trigger, tell it as CRM events, publish the loss rate.

8x8 fires no trigger for API writes, imports, bulk creation and auto-logged records. Its CRM API has no filter
by time, so the sweep reads all customers, cases and tasks and compares them with what is here.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.vcc_sweep import logic
from switchboard import clock, crm_events, observability, work
from switchboard.connectors import crm, vcc
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef, Records, mirror
from switchboard.connectors.vcc import records as vcc_records
from switchboard.crm_events import CrmEvent
from switchboard.crm_intake import Told
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError
from switchboard.settings import store
from switchboard.settings.triggers import TriggersSettings, VccSettings

SETTLE_SECONDS = 15.0
"""What was changed just now is told by its trigger within this time, and is then no loss."""

_PERIOD = timedelta(hours=1)
_OBJECTS = ("customer", "case", "task")


@dataclass
class Found:
    """What a sweep has seen."""

    told: int = 0
    recovered: int = 0


def sweep(records: Records, settings: VccSettings) -> Found:
    """Compare, wait a moment, compare again what differs; what still does was told by nobody."""
    found = Found()
    since = clock.rfc3339(clock.now() - _PERIOD)
    suspects: list[tuple[RecordRef, Item]] = []
    for ref, fields in _records_there(settings):
        differs, held = mirror.differs(records, ref, fields)
        if differs:
            suspects.append((ref, fields))
        elif held is not None and held["updatedAt"] >= since:
            found.told += 1
    if suspects:
        time.sleep(SETTLE_SECONDS)
    for ref, fields in suspects:
        differs, held = mirror.differs(records, ref, fields)
        if not differs:
            found.told += 1
            continue
        _tell(logic.recovered(ref.object, ref.ids, is_new=held is None), fields)
        found.recovered += 1
    return found


def _records_there(settings: VccSettings) -> Iterator[tuple[RecordRef, Item]]:
    for crm_object in _OBJECTS:
        for item in vcc.get(vcc_records.OBJECTS[crm_object]):
            ids = vcc_records.ids_of(crm_object, item)
            if ids is not None:
                yield RecordRef.of(ids), vcc_records.fields(crm_object, item, settings)


def _tell(event: CrmEvent, fields: Item) -> None:
    """Publish a recovered event; the same change found again by the next sweep is the same event."""
    told = Told(work.ledger().table)
    crm_events.publish([told.first(event, "vcc-sweep", event.type, logic.digest(event, fields))])


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge Scheduler entry."""
    settings = store.current("triggers", TriggersSettings).vcc
    held = crm()
    if not settings.sweep or not isinstance(held, BuiltinCrm):
        return
    try:
        found = sweep(held.records, settings)
    except SwitchboardError as error:
        if error.code in ("not-configured", "circuit-open"):  # the next hour compares all of it again
            return
        raise
    observability.count("VccEventsRecovered", found.recovered)
    observability.count("VccLossPercent", logic.loss_per_cent(found.told, found.recovered))
    observability.logger.info("swept 8x8", told=found.told, recovered=found.recovered)
