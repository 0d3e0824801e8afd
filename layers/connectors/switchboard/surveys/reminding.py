"""One reminder: counted first, then delivered as the invitation was.

Counted first, so that no two rounds send the same one. A round that goes on after its worker died enters the
delivery of what it has counted once more, which changes nothing where it was entered.
"""

from switchboard import clock
from switchboard.settings.surveys import Survey
from switchboard.surveys import delivery
from switchboard.surveys.invitations import WAITING, Invitation
from switchboard.surveys.issue import invitations


def may_be_reminded(invitation: Invitation, survey: Survey) -> bool:
    """Whether he has not answered, may still do so, and has had fewer reminders than there may be."""
    return (
        invitation.status in WAITING
        and invitation.reminders < survey.reminders.max
        and invitation.expires_at > clock.timestamp()
    )


def remind(invitation: Invitation, *, run: str, survey: Survey, correlation_id: str) -> bool:
    """Remind one person in this run; False when he is not to be reminded, or was in this run."""
    if invitation.reminded_by == run:
        delivery.enter(invitation, correlation_id=correlation_id)
        return False
    if not may_be_reminded(invitation, survey) or invitations().has_opted_out(invitation.email):
        return False
    moved = invitations().remind(invitation, run=run, survey=survey)
    if moved is None:
        return False
    delivery.enter(moved, correlation_id=correlation_id)
    return True
