"""A round of reminders: everybody who has not answered, once in a round, at most as often as settings say."""

from switchboard.dynamo import Item
from switchboard.ledger import Entry
from switchboard.surveys.invitations import WAITING
from switchboard.surveys.issue import invitations, survey_settings
from switchboard.surveys.reminding import remind
from switchboard.work import Deadline, Outcome


def do(entry: Entry, result: Item, *, has_time: Deadline) -> Outcome:
    """Do a `survey_reminder` entry, `pending` when there are more than fit into this worker's time.

    Whom this very round has reminded is left alone when it goes on, or is repeated.
    """
    survey_id = entry.payload["surveyId"]
    survey = survey_settings(survey_id)
    partner_id = None if entry.payload["everybody"] else entry.partner_id
    reminded, done = 0, True
    # All rows first: a reminder moves an invitation within the index that is read.
    for row in list(invitations().listed(survey_id, WAITING, partner_id=partner_id)):
        invitation = invitations().get(row["recentAt"].partition("#")[2])
        if invitation is not None and invitation.created_at <= entry.created_at:
            reminded += remind(
                invitation, run=entry.ledger_id, survey=survey, correlation_id=entry.correlation_id
            )
        if reminded and not has_time():
            done = False
            break
    result["reminded"] = result.get("reminded", 0) + reminded
    return Outcome("synced" if done else "pending")
