"""Doing a `survey_invitation` entry: the vendor makes the URL, the invitation keeps it.

A worker that dies in between repeats it: an invitation that is there keeps its URL, and a URL that nobody
was given does no harm.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from switchboard import clock, customers, work
from switchboard.connectors import survey_vendor
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError
from switchboard.ledger import FAILED, Accepted, Entry, entry_id
from switchboard.settings import store
from switchboard.settings.surveys import Survey, SurveysSettings
from switchboard.survey_vendor import Contact
from switchboard.surveys import INVITATION, delivery
from switchboard.surveys.invitations import Delivery, Invitation, Invitations, NewInvitation, expiry, person
from switchboard.surveys.variables import custom_variables, with_variables
from switchboard.work import Outcome

type AskVendor = Callable[[str, Contact], str]
"""Survey and contact to the personal URL; raises SwitchboardError."""


def invitations() -> Invitations:
    """The invitations of this deployment."""
    return Invitations(work.ledger().table)


def survey_settings(survey_id: str) -> Survey:
    """The survey's settings in force."""
    return store.current("surveys", SurveysSettings).survey(survey_id)


def accept(
    survey_id: str,
    request: NewInvitation,
    *,
    partner_id: str,
    correlation_id: str,
    by_rule: bool = False,
    lease: timedelta | None = None,
) -> Accepted:
    """Enter an invitation; one that failed before is entered anew, with what is asked now.

    `by_rule`: nobody waits for the URL, so that without a setting the CRM sends the mail. With a `lease`, one
    that is new is claimed in the same write, for a caller who makes it at once.
    """
    entity = f"{survey_id}:{request.entity}"
    payload = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    payload |= {"surveyId": survey_id, "byRule": by_rule}
    facts: dict[str, Any] = {
        "partner_id": partner_id,
        "flow": INVITATION,
        "entity": entity,
        "payload": payload,
        "group": person(request.email),
        "correlation_id": correlation_id,
        "customer_id": request.customer_id,
    }
    accepted = work.ledger().accept(**facts, lease=lease)
    entry = accepted.entry
    if entry.status in FAILED:
        return Accepted(work.ledger().accept(**facts, version=entry.version + 1).entry, is_new=False)
    return accepted


def invitation_id(survey_id: str, request: NewInvitation, partner_id: str) -> str:
    """The id that this invitation has or will have."""
    return entry_id(partner_id, INVITATION, f"{survey_id}:{request.entity}")


def request_of(entry: Entry) -> tuple[str, NewInvitation]:
    """The survey and the request in an entry."""
    payload = {name: held for name, held in entry.payload.items() if name not in ("surveyId", "byRule")}
    return entry.payload["surveyId"], NewInvitation.model_validate(payload, strict=False)


def contact_of(survey: Survey, key: str, request: NewInvitation, moment: datetime) -> Contact:
    """What the vendor is told of a person."""
    return Contact(
        email=request.email,
        first_name=request.first_name,
        last_name=request.last_name,
        mobile=request.mobile,
        language=request.language,
        custom=custom_variables(key, request.texts, survey.variables),
        transaction_date=moment.strftime("%d/%m/%Y"),
        segment_code=survey.segment_code,
    )


def do(entry: Entry, result: Item, *, ask: AskVendor | None = None) -> Outcome:
    """Make one invitation; `ask` is the vendor, unless somebody has asked him for many at once."""
    return complete(entry, result, made(entry, ask))


def made(entry: Entry, ask: AskVendor | None) -> Invitation:
    """The invitation of an entry, if need be as it is made now."""
    survey_id, request = request_of(entry)
    return invitations().get(entry.ledger_id) or _make(entry, survey_id, request, ask)


def complete(entry: Entry, result: Item, kept: Invitation) -> Outcome:
    """What is to be done once the invitation is there."""
    result.update(surveyId=kept.survey_id, invitationId=kept.invitation_id, surveyUrl=kept.survey_url)
    delivery.enter(kept, correlation_id=entry.correlation_id)
    return Outcome("synced", customer_id=kept.customer_id or customers.by_email(kept.email))


def _make(entry: Entry, survey_id: str, request: NewInvitation, ask: AskVendor | None) -> Invitation:
    if invitations().has_opted_out(request.email):
        raise SwitchboardError("opted-out")
    survey = survey_settings(survey_id)
    now = clock.now()
    contact = contact_of(survey, entry.ledger_id, request, now)
    url = (ask or survey_vendor().survey_url)(survey_id, contact)
    kept = invitations().put(
        Invitation(
            invitation_id=entry.ledger_id,
            survey_id=survey_id,
            partner_id=entry.partner_id,
            email=request.email,
            survey_url=with_variables(url, contact.custom or {}),
            status="issued",
            created_at=clock.rfc3339(now),
            expires_at=expiry(survey, now),
            first_name=request.first_name,
            last_name=request.last_name,
            customer_id=request.customer_id,
            transaction_id=request.transaction_id,
            delivery=_delivery(survey, request, by_rule=entry.payload.get("byRule", False)),
            language=request.language,
        ),
        survey,
    )
    invitations().asked(kept)
    return kept


def _delivery(survey: Survey, request: NewInvitation, *, by_rule: bool) -> Delivery:
    wanted = survey.delivery or ("crm" if by_rule else "caller")
    # Without a customer there is no record to write on: the caller has the URL.
    return "caller" if wanted == "crm" and request.customer_id is None else wanted
