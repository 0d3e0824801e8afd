"""One reminder: counted first, then written on the customer, whose CRM sends the mail.

Counted first, because two mails for one reminder are worse than one that a dead worker never sent: the next
round reminds again.
"""

from switchboard import clock
from switchboard.settings.surveys import Survey
from switchboard.surveys.invitations import WAITING, Invitation
from switchboard.surveys.issue import invitations, note_on_record


def may_be_reminded(invitation: Invitation, survey: Survey) -> bool:
    """Whether he has not answered, may still do so, and has had fewer reminders than there may be."""
    return (
        invitation.status in WAITING
        and invitation.reminders < survey.reminders.max
        and invitation.expires_at > clock.timestamp()
    )


def remind(invitation: Invitation, *, run: str, survey: Survey) -> bool:
    """Remind one person in this run; False when he is not to be reminded, or was in this run."""
    if not may_be_reminded(invitation, survey) or invitations().has_opted_out(invitation.email):
        return False
    moved = invitations().remind(invitation, run=run, survey=survey)
    if moved is None:
        return False
    if moved.customer_id and moved.on_record:
        note_on_record(moved)
    return True
