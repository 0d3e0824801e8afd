"""/surveys/{surveyId}/invitations: personal survey URLs, who has answered, reminders, opt-outs."""

import re
from datetime import timedelta
from itertools import batched
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from functions.survey_api.models import Batch, BatchAnswer, InvitationShown, Issued, OptOut, Reminded
from switchboard import clock, cursors, queues, work
from switchboard.api import Answer, Api, Call, problem_fields
from switchboard.connectors import survey_vendor
from switchboard.errors import SwitchboardError, VendorError
from switchboard.ids import fresh
from switchboard.ledger import Accepted, Entry
from switchboard.models import PageOf, PageQuery, QueryModel
from switchboard.survey_vendor import Contact
from switchboard.surveys import REMINDER, issue
from switchboard.surveys.invitations import STATUSES, WAITING, Invitation, NewInvitation
from switchboard.surveys.issue import invitations, survey_settings
from switchboard.surveys.reminding import may_be_reminded

api = Api("surveys")

_SURVEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COUNTED = 20_000


class InvitationQuery(PageQuery):
    """Which invitations."""

    status: Literal["issued", "reminded", "responded", "expired"] | None = None


class OptInQuery(QueryModel):
    """Whom."""

    email: Annotated[str, Field(min_length=3, max_length=254)]


def checked(survey_id: str) -> str:
    """The id in the path; an id that no survey can have is not found."""
    if not _SURVEY_ID.fullmatch(survey_id):
        raise SwitchboardError("not-found", "There is no such survey.")
    return survey_id


def scope_of(call: Call) -> str | None:
    """Whose objects the caller sees; None for everybody's."""
    return None if call.caller.is_admin else call.caller.partner_id


def _lease(call: Call) -> timedelta:
    return timedelta(milliseconds=call.context.get_remaining_time_in_millis())


@api.post("/surveys/{surveyId}/invitations", scope="surveys:write", answers={201: Issued, 200: Issued})
def invite(call: Call, survey_id: str, body: NewInvitation) -> Answer:
    """One person's survey URL; the same e-mail address and transaction get the same one again (200)."""
    checked(survey_id)
    kept = invitations().get(issue.invitation_id(survey_id, body, call.caller.partner_id))
    if kept is not None:
        return Answer(200, Issued.of(kept), _location(call, kept))
    kept = _issue(call, _accepted(call, survey_id, body))
    return Answer(201, Issued.of(kept), _location(call, kept))


def _location(call: Call, invitation: Invitation) -> dict[str, str]:
    return {"Location": f"{call.path}/{invitation.invitation_id}"}


def _accepted(call: Call, survey_id: str, request: NewInvitation) -> Accepted:
    return issue.accept(
        survey_id,
        request,
        partner_id=call.caller.partner_id,
        correlation_id=call.correlation_id,
        lease=_lease(call),
    )


def _issue(call: Call, accepted: Accepted, ask: issue.AskVendor | None = None) -> Invitation:
    entry = accepted.entry
    kept: Invitation | None = None

    def do(claimed: Entry, result: dict[str, Any]) -> work.Outcome:
        nonlocal kept
        kept = issue.made(claimed, ask)
        return issue.complete(claimed, result, kept)

    def is_made(_: SwitchboardError) -> bool:
        # Who repeats the call is answered with it, so what broke behind it is the queue's to complete.
        return invitations().get(entry.ledger_id) is not None

    done = work.perform_now(entry, do, lease=_lease(call), repeated=is_made, claimed=accepted.is_new)
    kept = kept or invitations().get(entry.ledger_id)
    if kept is None and done.payload_hash is not None:
        raise SwitchboardError("erased")
    if kept is None:
        raise SwitchboardError(done.code or "internal", done.detail or "")
    return kept


@api.post("/surveys/{surveyId}/invitations/batch", scope="surveys:write", answers={207: BatchAnswer})
def invite_many(call: Call, survey_id: str, body: Batch) -> Answer:
    """Up to 100 people's survey URLs by one call of the vendor; answered item by item, in order."""
    checked(survey_id)
    requests = [_parsed(raw) for raw in body.invitations]
    wanted = {
        issue.invitation_id(survey_id, request, call.caller.partner_id): request
        for request in requests
        if isinstance(request, NewInvitation)
    }
    new = {key: request for key, request in wanted.items() if invitations().get(key) is None}
    asked = _ask_for_all(survey_id, new)
    items = [_item(call, survey_id, request, new, asked) for request in requests]
    return Answer(207, BatchAnswer(items=items))


def _parsed(raw: dict[str, Any]) -> NewInvitation | SwitchboardError:
    try:
        return NewInvitation.model_validate(raw)
    except ValidationError as error:
        return SwitchboardError("invalid", fields=problem_fields(error))


def _ask_for_all(survey_id: str, new: dict[str, NewInvitation]) -> dict[str, str | SwitchboardError]:
    """By invitation id: the URL, or the failure; what the vendor left out is asked for one by one."""
    wanted = {key: request for key, request in new.items() if not invitations().has_opted_out(request.email)}
    if not wanted:
        return {}
    survey, now = survey_settings(survey_id), clock.now()
    contacts = [issue.contact_of(survey, key, request, now) for key, request in wanted.items()]
    try:
        urls = survey_vendor().survey_urls(survey_id, contacts)
    except VendorError as error:
        if error.code == "remote-refused" and len(contacts) > 1:
            return {}  # one bad contact must not cost the others theirs
        return dict.fromkeys(wanted, error)
    except SwitchboardError as error:
        return dict.fromkeys(wanted, error)
    return {key: url for key, url in zip(wanted, urls, strict=True) if url is not None}


def _item(
    call: Call,
    survey_id: str,
    request: NewInvitation | SwitchboardError,
    new: dict[str, NewInvitation],
    asked: dict[str, str | SwitchboardError],
) -> dict[str, Any]:
    if isinstance(request, SwitchboardError):
        return _problem(call, request)
    key = issue.invitation_id(survey_id, request, call.caller.partner_id)

    def ask(survey: str, contact: Contact) -> str:
        found = asked.get(key)
        if isinstance(found, SwitchboardError):
            raise found
        if found is None and call.context.get_remaining_time_in_millis() < 5_000:
            raise SwitchboardError("in-progress", "Too many for one call: repeat it for the rest.")
        return found or survey_vendor().survey_url(survey, contact)

    try:
        kept = invitations().get(key)
        status = 200 if kept is not None else 201
        kept = kept or _issue(call, _accepted(call, survey_id, request), ask)
    except SwitchboardError as error:
        return _problem(call, error)
    return {"httpStatus": status} | Issued.of(kept).model_dump(by_alias=True)


def _problem(call: Call, error: SwitchboardError) -> dict[str, Any]:
    known = error.error
    problem = {
        "type": f"urn:switchboard:problem:{known.code}",
        "title": known.title,
        "status": known.status,
        "detail": error.detail,
        "code": known.code,
        "correlationId": call.correlation_id,
        "errors": [{"pointer": field.pointer, "detail": field.detail} for field in error.fields],
    }
    return {"httpStatus": known.status, "problem": problem}


@api.get("/surveys/{surveyId}/invitations", scope="surveys:read", answers={200: PageOf[InvitationShown]})
def list_invitations(call: Call, survey_id: str, query: InvitationQuery) -> Answer:
    """Who was invited, the newest first; by status it tells who has answered and who has not."""
    found, after = invitations().page(
        checked(survey_id),
        (query.status,) if query.status else STATUSES,
        partner_id=scope_of(call),
        before=cursors.decode(query.cursor, r"[\w#.:-]{1,200}"),
        limit=query.limit,
    )
    page = PageOf[InvitationShown](
        items=[InvitationShown.of(each) for each in found],
        next=cursors.encode(after),
    )
    return Answer(200, page)


@api.get(
    "/surveys/{surveyId}/invitations/{invitationId}", scope="surveys:read", answers={200: InvitationShown}
)
def get_invitation(call: Call, survey_id: str, invitation_id: str) -> Answer:
    """One invitation."""
    kept = invitations().get(invitation_id)
    if kept is None or kept.survey_id != survey_id or not call.caller.sees(kept.partner_id):
        raise SwitchboardError("not-found", "There is no such invitation.")
    return Answer(200, InvitationShown.of(kept))


@api.post("/surveys/{surveyId}/reminders", scope="surveys:write", answers={202: Reminded})
def remind(call: Call, survey_id: str) -> Answer:
    """Remind everybody who has not answered, has not opted out and may still be reminded.

    From 20,000 on they are no longer counted; the round reminds them all the same.
    """
    survey = survey_settings(checked(survey_id))
    rows = invitations().listed(survey_id, WAITING, partner_id=scope_of(call))
    count = 0
    for some in batched(rows, 1000, strict=False):
        count += sum(may_be_reminded(each, survey) for each in invitations().whom(some))
        if count >= _COUNTED:
            break
    if count:
        entry = (
            work.ledger()
            .accept(
                partner_id=call.caller.partner_id,
                flow=REMINDER,
                entity=f"{survey_id}:{fresh('run')}",
                payload={"surveyId": survey_id, "everybody": call.caller.is_admin},
                group=survey_id,
                correlation_id=call.correlation_id,
            )
            .entry
        )
        queues.offer(entry)
    return Answer(202, Reminded(count=count))


@api.put("/surveys/opt-outs", scope="surveys:write", answers={204: None})
def opt_out(call: Call, body: OptOut) -> Answer:
    """This person gets no invitation and no reminder any more."""
    invitations().opt_out(body.email)
    return Answer(204)


@api.delete("/surveys/opt-outs", scope="surveys:write", answers={204: None})
def opt_in(call: Call, query: OptInQuery) -> Answer:
    """This person may be asked again."""
    invitations().opt_in(query.email)
    return Answer(204)
