"""Surveys in the built-in CRM: the invitation's URL on the customer, and his responses beside him.

    pk                    sk                                          item
    CUSTOMER#<accountId>  SURVEYRESPONSE#<surveyId>#<responseId>      a response (`object` = "surveyResponse")

A response is no CRM object: its stream records tell of nothing. It goes when its customer is deleted.
"""

from switchboard.connectors.builtin_crm.keys import RecordRef, email_pk
from switchboard.connectors.builtin_crm.records import LIVE, Records, present
from switchboard.crm import SurveyResponse
from switchboard.dynamo import Item, Table, TransactionCancelled, Write, transact

PREFIX = "SURVEYRESPONSE#"
_INVITATIONS_KEPT = 50


def customers_by_email(table: Table, email: str) -> tuple[str, ...]:
    """The ids behind the links of an e-mail address."""
    links = table.query_all("pk = :pk", {":pk": email_pk(email)}, consistent=True)
    return tuple(link["accountId"] for link in links)


def note_invitation(records: Records, customer_id: str, survey_id: str, url: str, reminders: int) -> None:
    """Put the URL into the customer's `surveyInvitations`, the oldest ones dropping out."""

    def note(item: Item) -> Item:
        held = {name: each for name, each in item.get("surveyInvitations", {}).items() if name != survey_id}
        while len(held) >= _INVITATIONS_KEPT:
            held.pop(next(iter(held)))
        return item | {"surveyInvitations": held | {survey_id: {"url": url, "reminders": reminders}}}

    records.rewrite(RecordRef(customer_id), note)


def upsert_response(table: Table, customer_id: str, response: SurveyResponse) -> None:
    """One transaction: the response, on the condition that its customer is there."""
    pk, sk = RecordRef(customer_id).key
    item: Item = {
        "pk": pk,
        "sk": f"{PREFIX}{response.survey_id}#{response.response_id}",
        "object": "surveyResponse",
        "surveyId": response.survey_id,
        "surveyName": response.survey_name,
        "responseId": response.response_id,
        "status": response.status,
        "respondedAt": response.responded_at,
        "invitationId": response.invitation_id,
        "answers": [list(answer) for answer in response.answers],
    }
    try:
        transact([Write(table, put=item), Write(table, key=(pk, sk), condition=LIVE)])
    except TransactionCancelled as error:
        present(error.failed.get(1))
        raise


def responses_of(table: Table, customer_id: str) -> list[SurveyResponse]:
    """The customer's responses."""
    items = table.query_all(
        "pk = :pk AND begins_with(sk, :prefix)", {":pk": RecordRef(customer_id).key[0], ":prefix": PREFIX}
    )
    return [
        SurveyResponse(
            survey_id=item["surveyId"],
            response_id=item["responseId"],
            status=item["status"],
            responded_at=item["respondedAt"],
            answers=tuple((code, question, answer) for code, question, answer in item["answers"]),
            survey_name=item["surveyName"],
            invitation_id=item["invitationId"],
        )
        for item in items
    ]
