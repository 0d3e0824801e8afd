"""/ledger/resubmissions: many entries done again, by their ids or by a cause; as a dry run first."""

from datetime import timedelta
from itertools import islice
from typing import Annotated, Any

from pydantic import Field

from functions.operations.ledger import KnownStatus, visible
from switchboard import breaker, clock, ids, work
from switchboard.api import Answer, Api, Call
from switchboard.dynamo import Item
from switchboard.errors import FieldError, SwitchboardError
from switchboard.ledger import RESUBMITTABLE, Entry
from switchboard.models import ApiModel, Moment
from switchboard.resubmissions import MOST, Run, runs

api = Api("ledger")

CALLS = 25
"""Entries for which one dry run asks the CRM and the vendors."""

_ITEMS = 1000
_RESERVE = timedelta(seconds=8)
"""A look-up is begun only while so much of the function's time is left: a vendor may be slow."""

type Name = Annotated[str, Field(min_length=1, max_length=100)]


class Resubmission(ApiModel):
    """Which entries: exactly one of their ids and a filter, whose members all have to fit.

    Without a status, a filter takes what has failed and what fails and is repeated by itself. `since`: whose
    last move was then or later.
    """

    ledger_ids: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    flow: Name | None = None
    status: KnownStatus | None = None
    code: Name | None = None
    since: Moment | None = None
    dry_run: bool = False

    def check(self) -> None:
        """What concerns several fields; raises SwitchboardError `invalid`."""
        asked = any(each is not None for each in (self.flow, self.status, self.code, self.since))
        if asked == (self.ledger_ids is not None):
            detail = "give either ledgerIds, or at least one of flow, status, code and since"
            raise SwitchboardError("invalid", detail, fields=(FieldError("/ledgerIds", detail),))
        if self.status is not None and self.status not in RESUBMITTABLE:
            detail = f"only {', '.join(RESUBMITTABLE)} can be resubmitted"
            raise SwitchboardError("invalid", fields=(FieldError("/status", detail),))

    def takes(self, item: Item) -> bool:
        """Whether an entry of the index Open fits the filter."""
        return (
            self.flow in (None, item["flow"])
            and self.status in (None, item["status"])
            and self.code in (None, item.get("code"))
            and (self.since is None or item["updatedAt"] >= clock.rfc3339(self.since))
        )


class Accepted(ApiModel):
    """The run. `more`: beyond it there are further entries; resubmit once more when it is complete."""

    resubmission_id: str
    matched: int
    more: bool = False


class Foreseen(ApiModel):
    """What the resubmission of one entry would do."""

    ledger_id: str
    would: str


class DryRun(ApiModel):
    """What a resubmission would do, entry by entry, the canary first. `lookedUp`: how many were looked up."""

    items: list[Foreseen]
    matched: int
    looked_up: int


class ResubmissionState(ApiModel):
    """Where a run stands.

    `canary`: only the first entry is under way; `running`: the rest follows; `stopped`: the first failed
    again, and nothing else was done. `skipped`: entries that were running, done, or had moved on.
    """

    resubmission_id: str
    status: str
    matched: int
    resubmitted: int
    succeeded: int
    failed: int
    skipped: int
    canary: str | None = None
    detail: str | None = None
    created_at: str
    updated_at: str


@api.post("/ledger/resubmissions", scope="ledger:write", answers={202: Accepted, 200: DryRun})
def resubmit_many(call: Call, body: Resubmission) -> Answer:
    """Do many entries again. The first goes alone; the rest follow, paced, only when it succeeded.

    With `dryRun` nothing is done; the answer tells what each would do, as far as the dry run's calls last.
    """
    body.check()
    at = clock.timestamp()
    matched = _named(call, body.ledger_ids) if body.ledger_ids is not None else _matching(call, body)
    if body.dry_run:
        return Answer(200, _dry_run(call, matched))
    run = runs().create(
        ids.derived("rsb", call.work_id()),
        matched[:MOST],
        partner_id=call.caller.partner_id,
        at=at,
        correlation_id=call.correlation_id,
        more=len(matched) > MOST,
    )
    accepted = Accepted(resubmission_id=run.resubmission_id, matched=run.matched, more=run.more)
    return Answer(202, accepted, {"Location": f"{call.path}/{run.resubmission_id}"})


def _named(call: Call, ledger_ids: list[str]) -> list[str]:
    """The ids, each once; raises `not-found` when the caller has no such entry."""
    for number, ledger_id in enumerate(ledger_ids):
        try:
            visible(call, ledger_id)
        except SwitchboardError as error:
            field = FieldError(f"/ledgerIds/{number}", "there is no such entry")
            raise SwitchboardError(error.code, fields=(field,)) from None
    return list(dict.fromkeys(ledger_ids))


def _matching(call: Call, wanted: Resubmission) -> list[str]:
    """The entries that fit, those that failed first before the others."""
    failing = work.ledger().failing(
        (state.connector for state in breaker.everyone()), waiting=wanted.code is not None
    )
    own = (item for item in failing if call.caller.sees(item["partnerId"]) and wanted.takes(item))
    found = {item["ledgerId"]: item["updatedAt"] for item in islice(own, MOST + 1)}
    return sorted(found, key=lambda ledger_id: (found[ledger_id], ledger_id))


def _dry_run(call: Call, matched: list[str]) -> DryRun:
    from switchboard import foresight

    def may_look() -> bool:
        left = timedelta(milliseconds=call.context.get_remaining_time_in_millis())
        return looked_up < CALLS and left > _RESERVE

    looked_up = 0
    items = []
    for ledger_id in matched[:_ITEMS]:
        if not may_look():
            items.append(Foreseen(ledger_id=ledger_id, would=foresight.NOT_LOOKED_UP))
            continue
        entry: Entry | None = work.ledger().get(ledger_id)
        if entry is not None:
            looked_up += entry.status in RESUBMITTABLE
            items.append(Foreseen(ledger_id=ledger_id, would=foresight.foresee(entry)))
    return DryRun(items=items, matched=len(matched), looked_up=looked_up)


@api.get("/ledger/resubmissions/{resubmissionId}", scope="ledger:read", answers={200: ResubmissionState})
def read_resubmission(call: Call, resubmission_id: str) -> Answer:
    """Where a run stands."""
    run = runs().get(resubmission_id)
    if run is None or not call.caller.sees(run.partner_id):
        raise SwitchboardError("not-found", "There is no such resubmission.")
    return Answer(200, _state(run))


def _state(run: Run) -> ResubmissionState:
    named: tuple[Any, ...] = tuple(ResubmissionState.model_fields)
    return ResubmissionState(**{name: getattr(run, name) for name in named})
