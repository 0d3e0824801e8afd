"""A round of reminders: everybody who has not answered, once in a round, at most as often as settings say."""

from switchboard.dynamo import Item
from switchboard.ledger import Entry
from switchboard.surveys.invitations import WAITING
from switchboard.surveys.issue import invitations, survey_settings
from switchboard.surveys.reminding import remind
from switchboard.work import Outcome


def do(entry: Entry, result: Item) -> Outcome:
    """Do a `survey_reminder` entry. Whom this very round has reminded is left alone when it is repeated."""
    survey_id = entry.payload["surveyId"]
    survey = survey_settings(survey_id)
    partner_id = None if entry.payload["everybody"] else entry.partner_id
    reminded = 0
    # All rows first: a reminder moves an invitation within the index that is read.
    for row in list(invitations().listed(survey_id, WAITING, partner_id=partner_id)):
        invitation = invitations().get(row["recentAt"].partition("#")[2])
        if invitation is not None and invitation.created_at <= entry.created_at:
            reminded += remind(invitation, run=entry.ledger_id, survey=survey)
    result["reminded"] = result.get("reminded", 0) + reminded
    return Outcome("synced")
