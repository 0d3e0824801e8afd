"""/customers: what happened around one, and erasing a person."""

from itertools import islice
from typing import Literal
from urllib.parse import unquote

from pydantic import Field

from functions.operations import timeline
from functions.operations.timeline import TimelineItem
from switchboard import cursors, erasures
from switchboard.api import Answer, Api, Call
from switchboard.connectors import crm
from switchboard.crm import UNLINKED, RecordReader
from switchboard.errors import FieldError, SwitchboardError, VendorError
from switchboard.ledger import UNFINISHED, Entry
from switchboard.models import ApiModel, PageOf, PageQuery, QueryModel

api = Api("customers")

_EXAMINED = 1000
_IDS_ONLY = frozenset({erasures.FLOW, timeline.DELIVERY, "survey_trigger", "record_sync"})


class EraseQuery(QueryModel):
    """`erase=true` says that it is meant."""

    erase: Literal["true"] | None = None


class ByHand(ApiModel):
    """What is still to be done in a system that we cannot erase in, and the ids to do it with."""

    system: str
    what: str
    ids: list[str] = []


class ErasureState(ApiModel):
    """Where an erasure stands. `counts`: what was erased, by kind; `byHand`: what is left to people."""

    erasure_id: str
    customer_id: str
    status: Literal["running", "done", "failed"]
    counts: dict[str, int] = {}
    by_hand: list[ByHand] = Field(default=[])
    code: str | None = None
    action: str | None = None
    requested_by: str
    requested_at: str
    updated_at: str


@api.get("/customers/{customerId}/timeline", scope="ledger:read", answers={200: PageOf[TimelineItem]})
def read_timeline(call: Call, customer_id: str, query: PageQuery) -> Answer:
    """Everything that happened around a customer, across all flows, the newest first.

    A partner sees its own entries; to one that has none there is no such customer.
    """
    customer_id = unquote(customer_id)
    start = cursors.decode(query.cursor, timeline.POSITION)
    whose = None if call.caller.is_admin else call.caller.partner_id
    page: list[TimelineItem] = []
    seen, last = 0, None
    for row in islice(timeline.rows(customer_id, whose=whose, before=start or "~"), _EXAMINED):
        seen += 1
        last = row["recentAt"]
        item = timeline.shown(row)
        if item is not None:
            page.append(item)
            if len(page) == query.limit:
                break
    if not seen and start is None and not (call.caller.is_admin and _is_in_crm(customer_id)):
        raise _unknown()
    more = last if len(page) == query.limit or seen == _EXAMINED else None
    return Answer(200, PageOf[TimelineItem](items=page, next=cursors.encode(more)))


@api.delete("/customers/{customerId}", scope="admin", answers={202: ErasureState, 200: ErasureState})
def erase_customer(call: Call, customer_id: str, query: EraseQuery) -> Answer:
    """Erase a person, here and everywhere we can, for good. 202 while it runs, 200 once it is done.

    Repeated, it tells where the erasure stands; of a person who has come back since it erases again.
    """
    if query.erase is None:
        field = FieldError("/query/erase", "erase=true says that the person is to be erased for good")
        raise SwitchboardError("invalid", "Erasing cannot be undone: say ?erase=true.", fields=(field,))
    customer_id = unquote(customer_id)
    before = erasures.find(customer_id)
    again = _has_come_since(customer_id, before.updated_at if before else "")
    if customer_id == UNLINKED or not (before or again or _is_in_crm(customer_id)):
        raise _unknown()
    entry = erasures.start(
        customer_id, by=call.caller.partner_id, correlation_id=call.correlation_id, again=again
    )
    return _answer(entry, {"Location": f"{call.path}/erasure"})


@api.get("/customers/{customerId}/erasure", scope="admin", answers={200: ErasureState})
def read_erasure(call: Call, customer_id: str) -> Answer:
    """Where a person's erasure stands, what it has erased, and what is left to do by hand."""
    entry = erasures.find(unquote(customer_id))
    if entry is None:
        raise SwitchboardError("not-found", "Nobody has asked for this customer's erasure.")
    return Answer(200, _state(entry))


def _answer(entry: Entry, headers: dict[str, str]) -> Answer:
    return Answer(202 if entry.status in UNFINISHED else 200, _state(entry), headers)


def _state(entry: Entry) -> ErasureState:
    status = "running" if entry.status in UNFINISHED else "done" if entry.status == "synced" else "failed"
    return ErasureState.model_validate(
        {
            "erasureId": entry.ledger_id,
            "customerId": entry.entity,
            "status": status,
            "counts": entry.result.get("counts", {}),
            "byHand": entry.result.get("byHand", []),
            "code": entry.code,
            "action": entry.action,
            "requestedBy": entry.payload["by"],
            "requestedAt": entry.created_at,
            "updatedAt": entry.updated_at,
        },
        strict=False,
    )


def _is_in_crm(customer_id: str) -> bool:
    reader = crm()
    if not isinstance(reader, RecordReader):
        return False
    try:
        reader.get_record(customer_id)
    except VendorError as error:
        if error.code in ("not-found", "record-deleted", "invalid"):
            return False
        raise
    return True


def _has_come_since(customer_id: str, moment: str) -> bool:
    """Whether there is work of this customer that came in after that time, and may hold personal data."""
    rows = timeline.rows(customer_id, whose=None, before="~")
    return any(
        "ledgerId" in row and row["flow"] not in _IDS_ONLY and row["createdAt"] > moment
        for row in islice(rows, _EXAMINED)
    )


def _unknown() -> SwitchboardError:
    return SwitchboardError("not-found", "There is no such customer.")
