"""PUT /members/{n}: accept an enrolled or updated member; GET and POST …/sync; CrowdTwist's data push."""

import hmac
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.member_intake import logic
from switchboard import clock, member_intake, partners, queues, work
from switchboard.api import Answer, Api, Call, parse_body
from switchboard.connectors import crm
from switchboard.dynamo import ConditionFailed
from switchboard.errors import FieldError, SwitchboardError
from switchboard.ledger import Entry
from switchboard.members import (
    PUSH_FLOW,
    Member,
    MemberState,
    MemberView,
    PushAnswer,
    PushBody,
    faults,
    is_member_number,
    member_ledger_id,
    state_of,
    view_of,
)
from switchboard.secrets import connector_secret
from switchboard.tombstones import Tombstones

api = Api("members")


@api.put("/members/{memberNumber}", scope="members:write", answers={202: MemberState, 200: MemberState})
def put_member(call: Call, member_number: str, body: Member) -> Answer:
    """Accept an enrolled or updated member; it is in CrowdTwist soon. An older version is answered 200."""
    if not is_member_number(member_number):
        field = FieldError("/path/memberNumber", "1 to 64 letters, digits and . _ : -")
        raise SwitchboardError("invalid", fields=(field,))
    if fields := faults(body):
        raise SwitchboardError("invalid", fields=fields)
    accepted = member_intake.accept(
        member_number,
        body,
        body.order,
        partner_id=call.caller.partner_id,
        correlation_id=call.correlation_id,
        for_owner=call.caller.is_admin,  # who acts in the owner's name
    )
    state = state_of(accepted.entry, [])
    location = {"Location": f"{call.path}/sync"}
    if not accepted.is_new:
        if accepted.entry.version > body.order:
            state = state.model_copy(update={"status": "superseded"})
        return Answer(200, state, location)
    return Answer(202, state, location)


def _visible(call: Call, number: str) -> Entry:
    entry = work.ledger().get(member_ledger_id(number))
    if entry is None or not call.caller.sees(entry.partner_id):
        raise SwitchboardError("not-found", "There is no such member.")
    return entry


@api.get("/members/{memberNumber}", scope="members:read", answers={200: MemberView})
def get_member(call: Call, member_number: str) -> Answer:
    """The member as the CRM has it, with what CrowdTwist has pushed."""
    entry = work.ledger().get(member_ledger_id(member_number))
    # A member that no partner has brought (only CrowdTwist or the CRM knows him) is the administrator's.
    if not call.caller.sees(entry.partner_id if entry else partners.ADMIN):
        raise SwitchboardError("not-found", "There is no such member.")
    return Answer(200, view_of(member_number, entry, crm().get_member(member_number)))


@api.get("/members/{memberNumber}/sync", scope="members:read", answers={200: MemberState})
def get_sync(call: Call, member_number: str) -> Answer:
    """Where the member's synchronization stands, why it failed, what to do, and every move of it."""
    entry = _visible(call, member_number)
    return Answer(200, state_of(entry, work.ledger().full_history(entry)))


@api.post("/members/{memberNumber}/sync", scope="members:write", answers={202: MemberState})
def resubmit(call: Call, member_number: str) -> Answer:
    """Synchronize the member again now, whatever came of it before; 409 while that is in progress."""
    entry = _visible(call, member_number)
    if entry.status in ("pending", "in_progress"):
        raise SwitchboardError("in-progress", "The member is being synchronized.")
    if entry.status == "discarded":
        raise SwitchboardError("conflict", "The entry was discarded; a new version of the member revives it.")
    try:
        again = work.ledger().reopen(
            entry, correlation_id=call.correlation_id, reason="resubmitted", asked_at=call.arrived_at
        )
    except ConditionFailed:
        raise SwitchboardError("in-progress", "The entry has moved on meanwhile.") from None
    # Nobody waits to hear in which order; a dead worker's message would hold the member's group for minutes.
    queues.offer(again, alone=True)
    return Answer(202, state_of(again, []))


@api.post("/hooks/crowdtwist/{token}", scope=None, answers={200: PushAnswer})
def take_push(call: Call, token: str) -> Answer:
    """CrowdTwist's data push: a member has changed there, or entered or left a segment."""
    expected = _hook_token()
    if not expected or not hmac.compare_digest(expected.encode(), token.encode()):
        raise SwitchboardError("not-found")
    body = parse_body(PushBody, call.raw_body, call.headers)
    push = logic.push(body.model_dump(exclude_unset=True), clock.now())
    if push is None or _is_erased(push.number):
        return Answer(200, PushAnswer(status="ignored"))
    accepted = work.ledger().accept(
        partner_id=partners.ADMIN,  # CrowdTwist is nobody's partner
        flow=PUSH_FLOW,
        entity=push.entity,
        payload=push.payload,
        group=push.number,
        correlation_id=call.correlation_id,
        version=push.order,
    )
    if accepted.is_new:
        queues.offer(accepted.entry)
    return Answer(200, PushAnswer(status="accepted"))


def _is_erased(number: str) -> bool:
    return Tombstones(work.ledger().table).erased_at("member", number) is not None


def _hook_token() -> str | None:
    try:
        return connector_secret("crowdtwist").get("hookToken")
    except SwitchboardError:
        return None  # not configured: the hook stays shut


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
