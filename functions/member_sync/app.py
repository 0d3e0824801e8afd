"""Queue of accepted members: create or update in CrowdTwist, then CT Sync Status and Error into the CRM.

A member is updated first and created when CrowdTwist has none of that number: so a repeat, after whatever
happened, creates nothing twice. `result` says what CrowdTwist is known to hold: `sent` is the digest of the
last data that it took, gone as soon as something else may have arrived; `unresolved` that an answer is
missing, so that the member is read back before anything is sent again.

A queue of its own brings the CRM events about members (`events`).
"""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.member_sync import events, logic
from functions.member_sync.logic import Finding
from switchboard import customers, observability, work
from switchboard.connectors import crm, loyalty
from switchboard.connectors.crowdtwist import User, holds, user_fields
from switchboard.crm import MemberPush, MemberSync
from switchboard.dynamo import Item
from switchboard.errors import AnswerLost, SwitchboardError
from switchboard.ledger import Entry
from switchboard.members import EVENT_FLOW, PUSH_FLOW, CtSyncStatus, Member, member_ledger_id
from switchboard.work import Outcome

_TIME_TO_WORK = timedelta(seconds=20)
"""Two calls that both run into their deadline, and the writes around them."""


def do(entry: Entry, result: Item) -> Outcome:
    """Bring one member into step; `result` keeps what is known of it at CrowdTwist and in the CRM."""
    if entry.flow == PUSH_FLOW:
        return _write_push(entry)
    if entry.flow == EVENT_FLOW:
        return events.do(entry)
    member = Member.model_validate(entry.payload, strict=False)
    if entry.taken_over:
        result["unresolved"] = True
        result.pop("told", None)  # nor is it known what the dead worker has told the CRM
    finding = logic.found_before(entry, result)
    if finding is None and work.is_given_up(entry):
        finding = logic.GIVEN_UP
        _note(result, "OIC Failure", finding.detail)
    if finding is None:
        try:
            finding = _bring_into_step(entry, member, result)
        except SwitchboardError as error:
            if error.code == "budget-spent":
                raise  # it only waits for its turn: nothing has gone wrong
            _note(result, logic.ct_status(error), error.detail)
            if error.error.retryable:
                _tell_crm_if_possible(entry, member, result)
                raise
            finding = Finding(work.parked_status(error), error.code, error.detail)
        except Exception:
            _note(result, "OIC Failure", "Something broke on our side.")
            _tell_crm_if_possible(entry, member, result)
            raise
        else:
            _note(result, "Success", None)
    result["untold"] = finding.as_item(entry.taken_up_at)
    _tell_crm(entry, member, result)
    del result["untold"]
    customer_id = entry.customer_id or customers.by_email(member.email)
    return Outcome(finding.status, customer_id, finding.code, finding.detail)


def _bring_into_step(entry: Entry, member: Member, result: Item) -> Finding:
    fields = user_fields(member)
    digest = logic.digest(fields)
    in_doubt = result.get("unresolved", False)
    if result.get("sent") == digest and not in_doubt and not logic.was_resubmitted(entry):
        return Finding("unchanged")
    result.pop("sent", None)
    try:
        user = _read_back(entry.entity, fields) if in_doubt else None
        user = user or loyalty().update(entry.entity, fields) or _create(entry.entity, fields)
    except AnswerLost:
        result["unresolved"] = True
        raise
    result.pop("unresolved", None)
    result.update(crowdTwistId=user.user_id, sent=digest)
    return Finding("synced")


def _read_back(number: str, fields: Item) -> User | None:
    """The member as it stands in CrowdTwist, when the lost call has done all that it should."""
    user = loyalty().find(number)
    return user if user and holds(user.fields, fields) else None


def _create(number: str, fields: Item) -> User:
    """Create the member; of a value that is taken already, look first whether this very member has it."""
    try:
        return loyalty().create(number, fields)
    except SwitchboardError as error:
        user = loyalty().update(number, fields) if error.code == "already-taken" else None
        if user is None:
            raise
        return user


def _note(result: Item, status: CtSyncStatus, error: str | None) -> None:
    result.update(ctSyncStatus=status, ctSyncError=error)


def _tell_crm(entry: Entry, member: Member, result: Item) -> None:
    """CT Sync Status and CT Sync Error into the CRM, unless they stand there for this data already."""
    told = [result["ctSyncStatus"], result["ctSyncError"], result.get("sent")]
    if result.get("told") == told:
        return
    sync = MemberSync(told[0], told[1], entry.version, result.get("crowdTwistId"))
    crm().write_member_sync(entry.entity, sync, profile=member.profile)
    result["told"] = told


def _tell_crm_if_possible(entry: Entry, member: Member, result: Item) -> None:
    """The same before a repeat, which tries again to tell what could not be told now."""
    try:
        _tell_crm(entry, member, result)
    except SwitchboardError as error:
        observability.logger.warning("the CRM was not told", ledger_id=entry.ledger_id, code=error.code)


def _write_push(entry: Entry) -> Outcome:
    said = entry.payload
    push = MemberPush(said["at"], said.get("profile"), said.get("segment"), said.get("entered", False))
    crm().write_member_push(said["memberNumber"], push)
    member = work.ledger().get(member_ledger_id(said["memberNumber"]))
    return Outcome("synced", customer_id=member.customer_id if member else None)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry; a message is a ledger id, or the bus's envelope of a CRM event."""
    return work.run_batch(event, context, do, enter=events.enter, time_to_work=_TIME_TO_WORK)
