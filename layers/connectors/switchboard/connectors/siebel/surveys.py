"""Surveys in Siebel: the personal URL and each response are activities of their contact (UNVERIFIED).

An activity is what Siebel's workflow policies watch: one on the type of the invitation sends the mail. The
Integration Id is derived from contact, survey and response, so the same one again takes the earlier one's
place.
"""

import json
from typing import Any

from switchboard import ids
from switchboard.connectors.siebel.contacts import Contacts
from switchboard.connectors.siebel.rest import PREFIX, Rest, Row, equals
from switchboard.crm import SurveyResponse
from switchboard.errors import VendorError
from switchboard.settings.siebel import SiebelSettings


class Surveys:
    """The survey verbs of the CRM port.

    Args:
        rest: the wire.
        settings: what this Siebel calls things.
        contacts: whom they are about.
    """

    def __init__(self, rest: Rest, settings: SiebelSettings, contacts: Contacts) -> None:
        self._rest = rest
        self._settings = settings
        self._contacts = contacts

    def by_email(self, email: str) -> tuple[str, ...]:
        """Row ids of the contacts with this address; one request."""
        contacts = self._settings.contacts
        wanted = email.strip()
        try:
            spec = equals(contacts, contacts.fields.email, wanted, ignore_case=True)
        except VendorError:
            return ()  # no contact can be found by what a search cannot carry
        rows = self._rest.find(contacts, spec)
        # Compared once more: how a search compares is this Siebel's affair.
        folded = wanted.casefold()
        return tuple(row["Id"] for row in rows if row.get(contacts.fields.email, "").casefold() == folded)

    def note_invitation(self, customer_id: str, survey_id: str, url: str, reminders: int) -> None:
        """One request: the URL is the activity's text, its subject the survey and the reminders due."""
        subject = f"{survey_id} ({reminders})" if reminders else survey_id
        kind = self._settings.surveys.invitation
        self._write(customer_id, ("invitation", survey_id), kind, subject, url)

    def upsert_response(self, customer_id: str, response: SurveyResponse) -> None:
        """One request: the answers are the activity's text, as JSON."""
        body = {
            "surveyId": response.survey_id,
            "surveyName": response.survey_name,
            "responseId": response.response_id,
            "status": response.status,
            "respondedAt": response.responded_at,
            "invitationId": response.invitation_id,
            "answers": [list(answer) for answer in response.answers],
        }
        key = ("response", response.survey_id, response.response_id)
        kind = self._settings.surveys.response
        subject = response.survey_name or response.survey_id
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        self._write(customer_id, key, kind, subject[:100], text)

    def responses_of(self, customer_id: str) -> list[SurveyResponse]:
        """By survey and response id; one request for each 100. What is not ours to read is passed over."""
        surveys = self._settings.surveys
        names = surveys.fields
        spec = (
            f"{equals(surveys, names.contact_id, customer_id)} AND "
            f"{equals(surveys, names.kind, surveys.response)}"
        )
        found = [response for row in self._rest.find(surveys, spec) if (response := _read(row, names.body))]
        return sorted(found, key=lambda response: (response.survey_id, response.response_id))

    def _write(self, customer_id: str, key: tuple[str, ...], kind: str, subject: str, body: str) -> None:
        surveys = self._settings.surveys
        names = surveys.fields
        fields = {
            names.key: ids.derived(PREFIX, customer_id, *key),
            names.contact_id: customer_id,
            names.kind: kind,
            names.subject: subject,
            names.body: body,
        }
        try:
            self._rest.upsert(surveys, fields)
        except VendorError as error:
            raise self._contacts.gone(error, customer_id) from error


def _read(row: Row, field: str) -> SurveyResponse | None:
    try:
        said: dict[str, Any] = json.loads(row.get(field) or "")
        return SurveyResponse(
            survey_id=said["surveyId"],
            response_id=said["responseId"],
            status=said["status"],
            responded_at=said["respondedAt"],
            answers=tuple((code, question, answer) for code, question, answer in said["answers"]),
            survey_name=said["surveyName"],
            invitation_id=said["invitationId"],
        )
    except (ValueError, KeyError, TypeError):
        return None
