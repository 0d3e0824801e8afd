"""Responses: whose they are, who has answered by them, and their way onto the customer.

A response comes by the vendor's webhook and by the dump, whichever is first. Both take it through `take`,
whose every write may be repeated.

    pk                        sk           item
    SURVEY_WAIT#<digest>      <ledgerId>   a response waits for the customer of this e-mail address or id
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from switchboard import clock, ids, queues, work
from switchboard.connectors import crm
from switchboard.crm import RecordReader, SurveyKeeper, SurveyResponse
from switchboard.dynamo import ConditionFailed, Item
from switchboard.errors import FieldError, SwitchboardError, VendorError
from switchboard.ledger import UNFINISHED, Accepted, Entry
from switchboard.surveys import OWNER, RESPONSE
from switchboard.surveys.invitations import Invitation
from switchboard.surveys.issue import invitations
from switchboard.surveys.variables import emails_in, invitation_in, reference_in
from switchboard.work import Outcome

LOOK_AGAIN = timedelta(days=1)
"""A response that waits is matched when its customer appears; should nobody tell, once a day."""

_WAIT_KEPT = timedelta(days=400)
_ANSWER_LENGTH = 5_000
_ANSWERS_LENGTH = 80_000
"""Signs of all answers together; an item of DynamoDB has 400 KB, and a sign up to 4 bytes."""

_ITEM_LENGTH = 80_000
_GROUPS = ("customVariables", "highCustomVariables", "urlVariables")
_TYPED = ("text", "other", "dynamicExplodeText", "fileLink")
_GONE = ("not-found", "record-deleted")
_PARTIAL = frozenset({"started", "partial", "incomplete", "in progress"})


@dataclass(frozen=True, slots=True)
class Match:
    """Whose a response is.

    `hints`: what it may be found by later, when `customer_id` is None; without any it never will, and a CRM
    that keeps no responses needs none.
    """

    invitation: Invitation | None
    customer_id: str | None
    hints: tuple[str, ...]


def ids_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """Survey and response id; raises SwitchboardError `invalid` when an item lacks one."""
    found = []
    for name in ("surveyID", "responseID"):
        held = item.get(name)
        if isinstance(held, bool) or not isinstance(held, str | int) or not 0 < len(str(held)) <= 64:
            raise SwitchboardError("invalid", fields=(FieldError(f"/{name}", "an id of the vendor"),))
        found.append(str(held))
    return found[0], found[1]


def is_partial(item: Mapping[str, Any]) -> bool:
    """Begun, not finished: it is kept, but whoever began may still be reminded."""
    return str(item.get("responseStatus") or "completed").casefold() in _PARTIAL


def responded_at(item: Mapping[str, Any]) -> str:
    """When it was given. `utctimestamp` is taken for epoch seconds (INFERRED), or for milliseconds."""
    held = item.get("utctimestamp")
    if isinstance(held, int | float) and not isinstance(held, bool):
        seconds = held / 1000 if held > 1e11 else held
        if 946_684_800 <= seconds < 4_102_444_800:  # of this century
            return clock.rfc3339(datetime.fromtimestamp(seconds, UTC))
    return clock.timestamp()


def enter(
    item: Mapping[str, Any],
    *,
    correlation_id: str,
    status: Any = "pending",
    customer_id: str | None = None,
    result: Item | None = None,
) -> Accepted:
    """The response's ledger entry; a completed one is a newer version than a partial one."""
    survey_id, response_id = ids_of(item)
    return work.ledger().accept(
        partner_id=OWNER,
        flow=RESPONSE,
        entity=f"{survey_id}:{response_id}",
        payload={"item": _bounded(item)} if status == "pending" else {},
        group=f"{survey_id}:{response_id}",
        correlation_id=correlation_id,
        version=1 if is_partial(item) else 2,
        status=status,
        customer_id=customer_id,
        result=result or {"surveyId": survey_id, "responseId": response_id},
    )


def _bounded(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item as an entry can hold it: one of enormous size leaves its longest answers in the dump."""
    if len(json.dumps(item, ensure_ascii=False)) <= _ITEM_LENGTH:
        return dict(item)
    kept = [
        {"questionCode": code, "questionText": question, "answerValues": [{"answerText": answer}]}
        for code, question, answer in bounded_answers(item)
    ]
    named = {name: held for name, held in item.items() if len(json.dumps(held)) <= _ANSWER_LENGTH}
    return named | {"responseSet": kept}


def may_match(item: Mapping[str, Any]) -> bool:
    """Whether anything in a response may say whose it is; most responses of an open survey have nothing."""
    if item.get("externalReference") or item.get("emailAddress") or item.get("email"):
        return True
    for group in (*map(item.get, _GROUPS), item):
        if isinstance(group, dict):
            for held in group.values():
                if type(held) is str and ("@" in held or "led_" in held):
                    return True
    return False


def match(item: Mapping[str, Any]) -> Match:
    """Whose a response is: by its invitation, its e-mail addresses, its external reference."""
    survey_id, _ = ids_of(item)
    found = invitation_in(item)
    invitation = invitations().get(found) if found else None
    if invitation is not None and invitation.survey_id != survey_id:
        invitation = None
    keeper = crm()
    if not isinstance(keeper, SurveyKeeper):
        return Match(invitation, None, ())
    emails = emails_in(item)
    if invitation is not None:
        emails = list(dict.fromkeys([invitation.email.strip().casefold(), *emails]))
    references = [invitation.customer_id if invitation else None, reference_in(item)]
    accounts = [each for each in references if each]
    hints = tuple(f"email:{email}" for email in emails) + tuple(f"account:{each}" for each in accounts)
    return Match(invitation, _customer(keeper, emails, accounts), hints)


def _customer(keeper: SurveyKeeper, emails: list[str], accounts: list[str]) -> str | None:
    for account_id in accounts:
        if isinstance(keeper, RecordReader) and _is_there(keeper, account_id):
            return account_id
    for email in emails:
        found = keeper.find_customers_by_email(email)
        if len(found) == 1:
            return found[0]
    return None


def _is_there(reader: RecordReader, account_id: str) -> bool:
    try:
        reader.get_record(account_id)
    except VendorError as error:
        if error.code in _GONE:
            return False
        raise
    return True


def take(item: Mapping[str, Any], found: Match) -> bool:
    """Write down who has answered, and the response on its customer; False when there is no customer."""
    survey_id, response_id = ids_of(item)
    at = responded_at(item)
    invitation = found.invitation
    if invitation is not None and invitation.status != "responded" and not is_partial(item):
        invitations().respond(invitation, response_id, at)
    keeper = crm()
    if found.customer_id is None or not isinstance(keeper, SurveyKeeper):
        return False
    response = SurveyResponse(
        survey_id=survey_id,
        response_id=response_id,
        status=str(item.get("responseStatus") or "Completed"),
        responded_at=at,
        answers=tuple(bounded_answers(item)),
        survey_name=str(item["surveyName"])[:200] if item.get("surveyName") else None,
        invitation_id=invitation.invitation_id if invitation else None,
    )
    try:
        keeper.upsert_survey_response(found.customer_id, response)
    except VendorError as error:
        if error.code in _GONE:
            return False
        raise
    return True


def do(entry: Entry, result: Item) -> Outcome:
    """Do a `survey_response` entry; one that matches nobody waits for its customer."""
    item = entry.payload["item"]
    survey_id, response_id = ids_of(item)
    found = match(item)
    result.update(surveyId=survey_id, responseId=response_id)
    if found.customer_id is None and found.hints:
        _wait(entry, found.hints)
        found = match(item)  # he may have come before the wait was written down
    if found.invitation is not None:
        result["invitationId"] = found.invitation.invitation_id
    if take(item, found):
        return Outcome("synced", customer_id=found.customer_id)
    if not found.hints:
        return Outcome("unchanged", detail="Nothing in the response says whose it is.")
    raise SwitchboardError("waits-for-customer", retry_after=LOOK_AGAIN.total_seconds())


def _wait_pk(hint: str) -> str:
    return f"SURVEY_WAIT#{ids.derived('wat', hint)}"


def _wait(entry: Entry, hints: tuple[str, ...]) -> None:
    until = int((clock.now() + _WAIT_KEPT).timestamp())
    for hint in hints:
        work.ledger().table.put({"pk": _wait_pk(hint), "sk": entry.ledger_id, "expiresAt": until})


def customer_appeared(account_id: str) -> int:
    """Send the responses again that wait for this customer; returns how many."""
    reader = crm()
    if not isinstance(reader, RecordReader):
        return 0
    try:
        record = reader.get_record(account_id)
    except VendorError as error:
        if error.code in _GONE:
            return 0
        raise
    hints = [f"account:{account_id}"]
    if record.get("email"):
        hints.append(f"email:{str(record['email']).strip().casefold()}")
    sent = 0
    for hint in hints:
        table = work.ledger().table
        for item in table.query_all("pk = :pk", {":pk": _wait_pk(hint)}, consistent=True):
            entry = work.ledger().get(item["sk"])
            if entry is not None and entry.status in UNFINISHED:
                try:
                    queues.offer(
                        work.ledger().reopen(
                            entry, correlation_id=entry.correlation_id, reason="its customer has come"
                        )
                    )
                except ConditionFailed:
                    continue
                sent += 1
            table.delete(item["pk"], item["sk"])
    return sent


def bounded_answers(item: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The answers, as many as a record can hold; the dump's files have all of them."""
    left = _ANSWERS_LENGTH
    for code, question, answer in answers(item):
        left -= len(code) + len(question) + len(answer) + 100
        if left < 0:
            return
        yield code, question, answer


def answers(item: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(code, question, answer) of each question, as text."""
    for question in item.get("responseSet") or ():
        if not isinstance(question, Mapping):
            continue
        code = question.get("questionCode") or question.get("questionID") or ""
        text = " ".join(
            str(question.get("questionText") or question.get("questionDescription") or "").split()
        )
        yield str(code), text[:_ANSWER_LENGTH], answer_text(question)[:_ANSWER_LENGTH]


def answer_text(question: Mapping[str, Any]) -> str:
    """A question's answers in one line: each chosen text, and what was typed beside it."""
    parts = []
    for answer in question.get("answerValues") or ():
        if not isinstance(answer, dict):
            continue
        words = [str(answer.get("answerText") or "")]
        value = answer.get("value")
        if isinstance(value, dict):
            words += [str(value[name]) for name in _TYPED if value.get(name)]
        words = [word for word in words if word]
        parts.append(words[0] if len(words) == 1 else ": ".join(dict.fromkeys(words)))
    return "; ".join(part for part in parts if part)
