"""/charging: each operation of the table is a route, and each entity can be read.

A call is done while its caller waits, unless he prefers `respond-async`; with `wait` it is done later only
while the OCS is away. Either way it has its ledger entry, and the same Idempotency-Key finds it again.
"""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from functions.charging.logic import Preference, job, path_id, same_work
from switchboard import ids, queues, work
from switchboard.api import Answer, Api, Call
from switchboard.charging import models
from switchboard.charging.execution import execute, read_whole
from switchboard.charging.jobs import FLOW, Job
from switchboard.charging.operations import KINDS, OPERATIONS, Kind, Operation
from switchboard.charging.owners import Owners, customer_of
from switchboard.charging.rules import missing_keys
from switchboard.connectors.ocsio import ocs
from switchboard.dynamo import ConditionFailed, Item
from switchboard.errors import AnswerLost, SwitchboardError, VendorError
from switchboard.http import url_path
from switchboard.ledger import FAILED, UNFINISHED, Entry, entry_id
from switchboard.models import ApiModel
from switchboard.settings import store
from switchboard.settings.charging import ChargingSettings
from switchboard.turns import Turns
from switchboard.work import Outcome

api = Api("charging")

_READ_SECONDS = 6.0
_RESERVE_SECONDS = 4.0


def settings() -> ChargingSettings:
    """The settings in force."""
    return store.current("charging", ChargingSettings)


def turns() -> Turns:
    """The turns of those who may be done later."""
    return Turns(work.ledger())


def perform(
    operation: Operation, call: Call, path: dict[str, str], body: ApiModel, query: models.IdQuery
) -> Answer:
    """Do one operation now, or accept it for later."""
    prefer = Preference.of(call.headers)
    key = call.headers.get("idempotency-key") or ids.fresh("key")
    made_id = ids.derived(operation.subject[:3], call.caller.partner_id, key)
    wanted = job(operation, path, body, query, made_id=made_id, later=prefer.respond_async)
    check_attributes(wanted)
    owners = Owners(work.ledger().table)
    group = owners.group(wanted)
    ledger_id = entry_id(call.caller.partner_id, FLOW, key)
    must_queue = False
    if prefer.respond_async:
        must_queue = prefer.wait is None or turns().ahead_of(group, None) is not None
        turns().take(group, ledger_id)
    owners.note(wanted, group)
    lease = None if must_queue else timedelta(seconds=time_left(call))
    entry, claimed = accept(call, key, wanted, group, lease)
    later = bool(entry.payload["later"])
    if must_queue and later:
        if entry.status == "pending":
            queues.offer(entry)
        return accepted(call, entry, prefer)
    try:
        done = now(call, entry, prefer, claimed=claimed)
    except SwitchboardError as error:
        if later and (waiting := work.ledger().get(ledger_id)) and waiting.status in UNFINISHED:
            return accepted(call, waiting, prefer)
        raise told(error, operationId=ledger_id) from None
    finally:
        if prefer.respond_async and not must_queue:
            settle(group, ledger_id)
    return answer(call, done)


def told(error: SwitchboardError, **more: str) -> SwitchboardError:
    """The error with what the caller may know: not what is only between the connector and us."""
    kept = {name: error.extra[name] for name in ("state", "legalStates") if name in error.extra}
    error.extra = kept | more
    return error


def time_left(call: Call) -> float:
    """Seconds for the work itself; the rest is for recording it and for reading the entity."""
    return call.context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS


def check_attributes(wanted: Job) -> None:
    """Raises `invalid` when a new set of custom attributes lacks mandatory ones."""
    action, body = wanted.operation.action, wanted.body
    is_whole_set = action in ("create", "subscribe", "offer", "custom-attributes")
    if is_whole_set or (action == "update" and "customAttributes" in body):
        missing_keys(settings(), wanted.operation.subject, body.get("customAttributes") or {})


def accept(call: Call, key: str, wanted: Job, group: str, lease: timedelta | None) -> tuple[Entry, bool]:
    """The ledger entry of this work, and whether it is claimed already for this call.

    The entry is a new one, or the one of the same key, put back to work if it failed.
    """
    arguments: dict[str, Any] = {
        "partner_id": call.caller.partner_id,
        "flow": FLOW,
        "entity": key,
        "payload": wanted.payload(),
        "group": group,
        "correlation_id": call.correlation_id,
        "customer_id": customer_of(group),
    }
    found = work.ledger().accept(**arguments, lease=lease)
    entry = found.entry
    if found.is_new:
        return entry, lease is not None
    if entry.payload_hash is not None:
        raise SwitchboardError("payload-pruned", "The key was used for an operation that is no longer kept.")
    if not same_work(entry.payload, wanted.payload()):
        # What the OCS has refused leaves the key free; anything else may have had its effect.
        if entry.status != "data_error":
            raise SwitchboardError("idempotency-key-reused")
        return work.ledger().accept(**arguments, version=entry.version + 1).entry, False
    if entry.status == "discarded":
        raise SwitchboardError("conflict", "An operator has ended this operation.")
    if entry.status in FAILED:
        try:
            again = work.ledger().reopen(
                entry, correlation_id=call.correlation_id, reason="repeated by its caller"
            )
        except ConditionFailed:
            raise SwitchboardError("in-progress", "The first request still runs.", retry_after=2) from None
        return again, False
    return entry, False


def now(call: Call, entry: Entry, prefer: Preference, *, claimed: bool) -> Entry:
    """Do it while the caller waits."""
    remaining = time_left(call)
    seconds = remaining if prefer.wait is None else min(max(prefer.wait, 1.0), remaining)
    system = ocs().within(seconds)

    def do(claimed: Entry, result: Item) -> Outcome:
        result.pop("resubmitted", None)
        outcome = execute(
            claimed, result, ocs=system, settings=settings(), table=work.ledger().table, look_only=False
        )
        return Outcome(outcome.status, customer_of(claimed.group), outcome.code, outcome.detail)

    def repeated(error: SwitchboardError) -> bool:
        return bool(entry.payload["later"]) or isinstance(error, AnswerLost)

    return work.perform_now(entry, do, lease=timedelta(seconds=remaining), repeated=repeated, claimed=claimed)


def settle(group: str, ledger_id: str) -> None:
    """Give up the turn of what is done, and call whoever waits for it."""
    entry = work.ledger().get(ledger_id)
    if entry is None or entry.status not in UNFINISHED:
        following = turns().end(group, ledger_id)
        if following is not None and following.status != "in_progress":
            queues.offer(following)


def accepted(call: Call, entry: Entry, prefer: Preference) -> Answer:
    """202: it is done later."""
    state = models.Accepted(operation_id=entry.ledger_id, status=entry.status)
    root = call.path.partition("/charging/")[0]
    location = {"Location": f"{root}/charging/operations/{entry.ledger_id}"}
    return Answer(202, state, location | prefer.applied)


def answer(call: Call, entry: Entry) -> Answer:
    """The entity as the OCS has it now; what we know of it when the OCS does not tell."""
    done = Job.of(entry.payload)
    if "items" in entry.result:
        items = models.BalanceItems.model_validate({"items": entry.result["items"]}, strict=False)
        return Answer(200 if all(item.status == "done" for item in items.items) else 207, items)
    if entry.status not in ("synced", "unchanged"):
        raise SwitchboardError("conflict", f"The operation is {entry.status}.")
    shown: dict[str, Any] = {"externalId": entry.result.get("externalId"), "refId": entry.result.get("refId")}
    shown = {name: value for name, value in shown.items() if value}
    try:
        shown |= read_whole(ocs().within(_READ_SECONDS / 2), settings(), done.operation.subject, done.subject)
    except VendorError:
        shown |= {name: value for name, value in done.body.items() if name != "state"}
    headers = {}
    if done.operation.makes and "externalId" in shown:
        root = call.path.partition("/charging/")[0]
        headers["Location"] = f"{root}/charging/{done.operation.makes}s/{url_path(shown['externalId'])}"
    return Answer(done.operation.status, models.Entity.model_validate(shown), headers)


def declare(operation: Operation) -> None:
    """The route of one row of the table."""

    def handler(call: Call, body: ApiModel, query: models.IdQuery, **path: str) -> Answer:
        return perform(operation, call, path, body, query)

    handler.__name__ = operation.handler_name
    handler.__doc__ = f"{operation.use_case}\n\nThe OCS's {operation.call}. {_HOW}"
    several = operation.action == "balances"
    shown: type[BaseModel] = models.BalanceItems if several else models.Entity
    answers: dict[int, type[BaseModel]] = {operation.status: shown, 202: models.Accepted}
    if several:
        answers[207] = shown
    api.route(
        operation.method,
        operation.path,
        scope="charging:write",
        answers=answers,
        models={"body": operation.body, "query": models.IdQuery},
    )(handler)


_HOW = (
    "With `Prefer: respond-async` it is accepted and done later, in order for each customer; with "
    "`Prefer: respond-async, wait=2` only while the OCS is away."
)
for _operation in OPERATIONS:
    declare(_operation)


def declare_read(kind: Kind) -> None:
    """The route that reads one kind of entity."""

    def handler(call: Call, query: models.IdQuery, **path: str) -> Answer:
        reference: dict[str, str] = {query.id_type: path_id(path["id"])}
        try:
            found = read_whole(ocs().within(_READ_SECONDS), settings(), kind, reference)
        except VendorError as error:
            raise told(error) from None
        return Answer(200, models.Entity.model_validate(found))

    handler.__name__ = f"read_{kind}"
    handler.__doc__ = f"The {kind} as the OCS has it now."
    api.route(
        "GET",
        f"/charging/{kind}s/{{id}}",
        scope="charging:read",
        answers={200: models.Entity},
        models={"query": models.IdQuery},
    )(handler)


for _kind in KINDS:
    declare_read(_kind)


@api.get(
    "/charging/operations/{operationId}",
    scope="charging:read|charging:write",
    answers={200: models.OperationState},
)
def get_operation(call: Call, operation_id: str) -> Answer:
    """Where an operation stands, and what has come of it."""
    entry = work.ledger().get(operation_id)
    if entry is None or entry.flow != FLOW or not call.caller.sees(entry.partner_id):
        raise SwitchboardError("not-found", "There is no such operation.")
    return Answer(200, operation_state(entry))


def operation_state(entry: Entry) -> models.OperationState:
    """An entry as the API shows it."""
    result = entry.result
    return models.OperationState.model_validate(
        {
            "operationId": entry.ledger_id,
            "operation": entry.payload.get("operation", "erased"),
            "status": entry.status,
            "externalId": result.get("externalId"),
            "refId": result.get("refId"),
            "items": result.get("items"),
            "code": entry.code,
            "error": entry.detail,
            "action": entry.action,
            "attempts": entry.attempts,
            "createdAt": entry.created_at,
            "updatedAt": entry.updated_at,
        },
        strict=False,
    )


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
