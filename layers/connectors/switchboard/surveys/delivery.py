"""How a URL reaches its person: a `survey_delivery` entry for the invitation, one more for each reminder.

The CRM finds it on the customer and sends the mail, or SES sends it here. A mail goes out at most once: SES
knows no idempotency token, so a worker that dies after it claimed the entry leaves open whether the mail is
out. Nobody sends it again by himself (`mail-unconfirmed`).
"""

from functools import cache
from typing import TYPE_CHECKING

from switchboard import clock, queues, work
from switchboard.connectors import crm
from switchboard.crm import SurveyKeeper
from switchboard.dynamo import Item
from switchboard.errors import AnswerLost, SwitchboardError, VendorError
from switchboard.ledger import Entry
from switchboard.settings import store
from switchboard.settings.surveys import SurveysSettings
from switchboard.surveys import DELIVERY
from switchboard.surveys.invitations import WAITING, Invitation, Invitations, person
from switchboard.work import Outcome

if TYPE_CHECKING:
    from switchboard.connectors.ses import Ses


@cache
def ses() -> "Ses":
    """The process's SES."""
    from switchboard.connectors.ses import Ses

    return Ses()


def enter(invitation: Invitation, *, correlation_id: str) -> None:
    """Enter the delivery of an invitation, or of its newest reminder; again is the same entry."""
    if invitation.delivery == "caller":
        return
    accepted = work.ledger().accept(
        partner_id=invitation.partner_id,
        flow=DELIVERY,
        entity=f"{invitation.invitation_id}:{invitation.reminders}",
        payload={"invitationId": invitation.invitation_id, "number": invitation.reminders},
        group=person(invitation.email),
        correlation_id=correlation_id,
        customer_id=invitation.customer_id,
    )
    if accepted.is_new:
        queues.offer(accepted.entry)


def do(entry: Entry, result: Item) -> Outcome:
    """Do a `survey_delivery` entry; who has answered or opted out meanwhile gets nothing."""
    invitations = Invitations(work.ledger().table)
    kept = invitations.get(entry.payload["invitationId"])
    if kept is None or kept.status not in WAITING or kept.expires_at <= clock.timestamp():
        return Outcome("unchanged", detail="The person has answered, or the time is over.")
    result.update(surveyId=kept.survey_id, invitationId=kept.invitation_id)
    if invitations.has_opted_out(kept.email):
        result["criterion"] = "optOut"
        return Outcome("filtered", customer_id=kept.customer_id)
    if kept.delivery == "crm":
        _note_on_record(kept)
    else:
        result["messageId"] = _mail(entry, kept)
    return Outcome("synced", customer_id=kept.customer_id)


def _mail(entry: Entry, invitation: Invitation) -> str:
    if entry.taken_over:
        raise SwitchboardError("mail-unconfirmed")
    from switchboard.surveys.mailing import compose

    survey = store.current("surveys", SurveysSettings).survey(invitation.survey_id)
    message = compose(invitation, survey, reminder=entry.payload["number"] > 0)
    try:
        return ses().send(message)
    except AnswerLost as lost:
        raise SwitchboardError("mail-unconfirmed", lost.detail) from None


def _note_on_record(invitation: Invitation) -> None:
    """Write the URL on the customer; one who is gone needs none."""
    keeper = crm()
    if not isinstance(keeper, SurveyKeeper) or invitation.customer_id is None:
        return
    try:
        keeper.note_survey_invitation(
            invitation.customer_id,
            invitation.survey_id,
            invitation.survey_url,
            reminders=invitation.reminders,
        )
    except VendorError as error:
        if error.code not in ("not-found", "record-deleted"):
            raise
