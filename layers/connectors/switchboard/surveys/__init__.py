"""Surveys (source 001): invitations, who has answered, and the dumps, as every step of them sees them.

    survey_trigger       a CRM event that a rule of the settings names: is this person to be asked?
    survey_invitation    one person's URL: the entry does the work, `Invitations` has its life after that
    survey_delivery      its URL, or one reminder of it, on its way to the person
    survey_response      one response of the vendor, on its way to its customer
    survey_reminder      one round of reminders
    survey_dump          one dump, slice by slice

are the flows of the ledger. What nobody called for belongs to the deployment itself: to `OWNER`.
"""

from switchboard.partners import ADMIN

TRIGGER = "survey_trigger"
INVITATION = "survey_invitation"
DELIVERY = "survey_delivery"
RESPONSE = "survey_response"
REMINDER = "survey_reminder"
DUMP = "survey_dump"

OWNER = ADMIN
