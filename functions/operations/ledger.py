"""/ledger: where every piece of work stands, why it failed, and putting it right."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from switchboard import breaker, clock, cursors, queues, work
from switchboard.api import Answer, Api, Call, parse_body, problem_fields
from switchboard.dynamo import ConditionFailed, Item
from switchboard.errors import FieldError, SwitchboardError
from switchboard.ledger import FAILED, RESUBMITTABLE, STATUSES, Entry, action_for
from switchboard.models import ApiModel, Moment, PageOf, PageQuery

api = Api("ledger")

_LOOK_BACK = timedelta(days=90)
_POSITION = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z#led_\w{26}"
_EXAMINED = 2000
"""Entries that one request looks through for its filter before it hands over a cursor."""


def _known_status(status: str) -> str:
    if status not in STATUSES:
        raise ValueError(f"not one of {', '.join(sorted(STATUSES))}")
    return status


type KnownStatus = Annotated[str, AfterValidator(_known_status)]


class LedgerQuery(PageQuery):
    """The filters of the ledger. `since`: when the work came in, 90 days back when left out, 400 at most."""

    flow: str | None = None
    status: KnownStatus | None = None
    code: str | None = None
    customer_id: str | None = None
    since: Moment | None = None


class LedgerEntry(ApiModel):
    """One piece of work."""

    ledger_id: str
    flow: str
    status: str
    code: str | None = None
    detail: str | None = None
    action: str | None = None
    attempts: int
    version: Annotated[int, BeforeValidator(int)]
    partner_id: str
    customer_id: str | None = None
    correlation_id: str
    created_at: str
    updated_at: str
    due_at: str | None = None


class LedgerEntryInFull(LedgerEntry):
    """One piece of work with what came of it and every move of it, the oldest first.

    `data` is what `POST …/resubmit` can correct, `originalData` what it was before the first correction.
    """

    result: dict[str, Any]
    data: dict[str, Any] | None = None
    original_data: dict[str, Any] | None = None
    history: list[dict[str, Any]]


class FailureGroup(ApiModel):
    """Failures with one cause: how many, what to do, and one of them to look at.

    `retrying`: how many of `count` are still repeated by themselves.
    """

    flow: str
    code: str
    action: str
    count: int
    retrying: int
    sample: str


class Summary(ApiModel):
    """All failures by cause, the most frequent first."""

    items: list[FailureGroup]


class Corrections(ApiModel):
    """What of the data is to be corrected, as a JSON merge patch (RFC 7396); nothing for as it stands."""

    data: dict[str, Any] = {}


class Reason(ApiModel):
    """Why a person ended the work."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


_SHARED = (
    *("ledgerId", "flow", "status", "code", "detail", "attempts", "version", "partnerId", "customerId"),
    *("correlationId", "createdAt", "updatedAt", "dueAt"),
)


def _listed(item: Item) -> LedgerEntry:
    known = {name: item[name] for name in _SHARED if name in item}
    return LedgerEntry.model_validate(known | {"action": action_for(item.get("code"))})


def _in_full(entry: Entry) -> LedgerEntryInFull:
    from switchboard.corrections import editable

    how = editable(entry)
    before = editable(replace(entry, payload=entry.original)) if entry.original is not None else None
    return LedgerEntryInFull(
        ledger_id=entry.ledger_id,
        flow=entry.flow,
        status=entry.status,
        code=entry.code,
        detail=entry.detail,
        action=entry.action,
        attempts=entry.attempts,
        version=int(entry.version),
        partner_id=entry.partner_id,
        customer_id=entry.customer_id,
        correlation_id=entry.correlation_id,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        due_at=entry.due_at,
        result=entry.result,
        data=how.data if how else None,
        original_data=before.data if before else None,
        history=work.ledger().full_history(entry),
    )


def visible(call: Call, ledger_id: str) -> Entry:
    """The entry; raises `not-found` when there is none, or it is another partner's."""
    entry = work.ledger().get(ledger_id)
    if entry is None or not call.caller.sees(entry.partner_id):
        raise SwitchboardError("not-found", "There is no such ledger entry.")
    return entry


@api.get("/ledger", scope="ledger:read", answers={200: PageOf[LedgerEntry]})
def list_entries(call: Call, query: LedgerQuery) -> Answer:
    """Pieces of work, the newest first, without their history."""
    wanted = {"flow": query.flow, "status": query.status, "code": query.code, "customerId": query.customer_id}
    filters = {name: value for name, value in wanted.items() if value is not None}
    before = cursors.decode(query.cursor, _POSITION) or clock.timestamp(timedelta(seconds=1))
    since = clock.rfc3339(query.since or clock.now() - _LOOK_BACK)
    whose = None if call.caller.is_admin else call.caller.partner_id
    page: list[LedgerEntry] = []
    seen = 0
    for item in islice(work.ledger().recent(whose, before=before, since=since), _EXAMINED):
        seen += 1
        before = item["recentAt"]
        if all(item.get(name) == value for name, value in filters.items()):
            page.append(_listed(item))
            if len(page) == query.limit:
                break
    more = len(page) == query.limit or seen == _EXAMINED
    return Answer(200, PageOf[LedgerEntry](items=page, next=cursors.encode(before) if more else None))


@api.get("/ledger/summary", scope="ledger:read", answers={200: Summary})
def summarise(call: Call) -> Answer:
    """What failed, or fails and is repeated, by flow and cause, with what to do about it."""
    counts: Counter[tuple[str, str]] = Counter()
    retrying: Counter[tuple[str, str]] = Counter()
    samples: dict[tuple[str, str], str] = {}
    for item in work.ledger().failing(state.connector for state in breaker.everyone()):
        if call.caller.sees(item["partnerId"]):
            cause = (item["flow"], item.get("code", "internal"))
            counts[cause] += 1
            retrying[cause] += item["status"] not in FAILED
            samples.setdefault(cause, item["ledgerId"])
    groups = [
        FailureGroup(
            flow=flow,
            code=code,
            action=action_for(code) or "",
            count=number,
            retrying=retrying[flow, code],
            sample=samples[flow, code],
        )
        for (flow, code), number in counts.most_common()
    ]
    return Answer(200, Summary(items=groups))


@api.get("/ledger/{ledgerId}", scope="ledger:read", answers={200: LedgerEntryInFull})
def read_entry(call: Call, ledger_id: str) -> Answer:
    """One piece of work with its whole history."""
    return Answer(200, _in_full(visible(call, ledger_id)))


@api.post(
    "/ledger/{ledgerId}/resubmit",
    scope="ledger:write",
    answers={202: LedgerEntryInFull},
    raw_body=lambda: [Corrections],
)
def resubmit(call: Call, ledger_id: str) -> Answer:
    """Do failed or waiting work again now, with corrected data if `data` is given; the original is kept."""
    entry = visible(call, ledger_id)
    wanted = parse_body(Corrections, call.raw_body, call.headers) if call.raw_body.strip() else Corrections()
    if entry.status not in RESUBMITTABLE:
        raise SwitchboardError(
            "conflict", f"The entry is {entry.status}; only failed or waiting work is repeated."
        )
    facts: dict[str, Any] = {"by": call.caller.partner_id}
    if wanted.data:
        facts |= {"payload": _corrected(entry, wanted.data), "fields": sorted(wanted.data)}
    reason = "corrected" if wanted.data else "resubmitted"
    try:
        again = work.ledger().reopen(
            entry, correlation_id=call.correlation_id, reason=reason, asked_at=call.arrived_at, **facts
        )
    except ConditionFailed:
        raise SwitchboardError("in-progress", "The entry has moved on meanwhile.") from None
    queues.offer(again)
    return Answer(202, _in_full(again))


def _corrected(entry: Entry, data: dict[str, Any]) -> dict[str, Any]:
    from switchboard.corrections import corrected

    try:
        return corrected(entry, data)
    except ValidationError as error:
        raise SwitchboardError("invalid", fields=problem_fields(error, prefix="/data")) from None
    except SwitchboardError as error:
        fields = tuple(FieldError(f"/data{one.pointer}", one.detail) for one in error.fields)
        raise SwitchboardError(error.code, error.detail, fields=fields) from None


@api.post("/ledger/{ledgerId}/discard", scope="ledger:write", answers={200: LedgerEntryInFull})
def discard(call: Call, ledger_id: str, body: Reason) -> Answer:
    """End failed or waiting work for good."""
    entry = visible(call, ledger_id)
    if entry.status not in RESUBMITTABLE:
        raise SwitchboardError(
            "conflict", f"The entry is {entry.status}; only failed or waiting work is ended."
        )
    try:
        ended = work.ledger().discard(
            entry, correlation_id=call.correlation_id, reason=body.reason, by=call.caller.partner_id
        )
    except ConditionFailed:
        raise SwitchboardError("in-progress", "The entry has moved on meanwhile.") from None
    return Answer(200, _in_full(ended))
