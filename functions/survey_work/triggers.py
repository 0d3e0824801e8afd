"""CRM events against the rules of the settings: each rule that takes an event has an entry of its own."""

from datetime import timedelta
from typing import Any

from functions.survey_work import logic
from switchboard import clock, queues, work
from switchboard.connectors import crm
from switchboard.crm import RecordReader
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError, VendorError
from switchboard.ledger import Entry, entry_id
from switchboard.settings import store
from switchboard.settings.surveys import Rule, SurveysSettings
from switchboard.surveys import INVITATION, OWNER, TRIGGER, issue, responses
from switchboard.surveys.invitations import NewInvitation
from switchboard.surveys.issue import invitations
from switchboard.work import Outcome


def take(event: CrmEvent) -> None:
    """Enter the event for each rule that it is for; a customer who has come gets the responses that wait."""
    settings = store.current("surveys", SurveysSettings)
    for survey_id, survey in settings.surveys.items():
        for number, rule in enumerate(survey.rules):
            if logic.takes(rule, event):
                _enter(event, survey_id, number, rule)
    if event.object == "customer" and event.event != "delete" and event.account_id:
        responses.customer_appeared(event.account_id)


def _enter(event: CrmEvent, survey_id: str, number: int, rule: Rule) -> None:
    accepted = work.ledger().accept(
        partner_id=OWNER,
        flow=TRIGGER,
        entity=f"{survey_id}:{number}:{event.event_id}",
        payload={
            "surveyId": survey_id,
            "rule": rule.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "event": event.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
        group=event.account_id or event.event_id,
        correlation_id=event.event_id,
        customer_id=event.account_id,
    )
    if accepted.is_new:
        queues.offer(accepted.entry)


def do(entry: Entry, result: Item) -> Outcome:
    """Ask the person whom an event's record is about, if the rule says so."""
    survey_id = entry.payload["surveyId"]
    rule = Rule.model_validate(entry.payload["rule"], strict=False)
    event = CrmEvent.model_validate(entry.payload["event"])
    result["surveyId"] = survey_id
    found = _records(event)
    if found is None:
        return Outcome("filtered", detail="The record is not there.")
    record, customer = found
    transaction = logic.transaction(event)
    criterion = logic.refusal(rule, record, logic.lot(survey_id, transaction))
    if criterion is None and not customer.get("email"):
        criterion = "email"
    if criterion is None and _opted_out(customer):
        criterion = "optOut"
    if criterion is not None:
        result["criterion"] = criterion
        return Outcome("filtered", customer_id=event.account_id)
    request = NewInvitation.model_validate(
        {
            "email": customer["email"],
            "firstName": customer.get("firstName"),
            "lastName": customer.get("lastName"),
            "mobile": customer.get("phone"),
            "customerId": event.account_id,
            "transactionId": transaction,
            "parameters": logic.parameters(rule, record),
        }
    )
    return _ask(entry, result, survey_id, rule, request)


def _ask(entry: Entry, result: Item, survey_id: str, rule: Rule, request: NewInvitation) -> Outcome:
    key = entry_id(OWNER, INVITATION, f"{survey_id}:{request.entity}")
    cooldown = timedelta(days=rule.cooldown_days)
    if not invitations().cooled_down(survey_id, request.email, cooldown, but_for=key):
        result["criterion"] = "cooldownDays"
        return Outcome("filtered", customer_id=request.customer_id)
    wait = rule.quiet_hours.left(clock.now()) if rule.quiet_hours else None
    if wait:
        raise SwitchboardError("quiet-hours", retry_after=wait.total_seconds())
    invitation = issue.accept(
        survey_id, request, partner_id=OWNER, correlation_id=entry.correlation_id, by_rule=True
    ).entry
    queues.offer(invitation)
    result["invitationId"] = invitation.ledger_id
    return Outcome("synced", customer_id=request.customer_id)


def _opted_out(customer: dict[str, Any]) -> bool:
    return customer.get("surveyOptOut") is True or invitations().has_opted_out(customer["email"])


def _records(event: CrmEvent) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The event's record, with its customer as `customer`, and that customer; None when one is gone."""
    reader = crm()
    if not isinstance(reader, RecordReader):
        raise SwitchboardError("not-configured", "This CRM connector reads no records.")
    account_id = event.account_id or ""
    try:
        customer = reader.get_record(account_id)
        record = customer
        if event.object != "customer":
            record = reader.get_record(
                account_id, case_id=event.case_id, followup_id=event.followup_id, task_id=event.task_id
            )
    except VendorError as error:
        if error.code in ("not-found", "record-deleted"):
            return None
        raise
    return record | {"customer": customer}, customer
