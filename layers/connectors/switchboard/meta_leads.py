"""Leads of Meta Lead Ads, between the webhook that tells of them and the CRM.

The leadgen id names the work, so the webhook's repeats and the backfill meet one ledger entry. They belong to
the administrator, who has set the webhook up: no partner's key has brought them.
"""

import os
import re
from dataclasses import asdict, dataclass
from typing import Any

from switchboard import clock, links, work
from switchboard.countries import CODES
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.errors import SwitchboardError
from switchboard.leads import FLOW, Form, LeadRequest
from switchboard.ledger import Accepted
from switchboard.partners import ADMIN
from switchboard.phones import e164

__all__ = ["FLOW", "SOURCE", "Notice", "accept", "forms", "read_up_to", "request_of", "was_read"]

SOURCE = "meta"
"""Keeps Meta's leadgen ids apart from other senders' external ids."""

_FORMS = "META_FORMS"
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
_FIELDS = {
    "first_name": "first_name",
    "last_name": "last_name",
    "email": "email",
    "work_email": "email",
    "phone_number": "phone",
    "phone": "phone",
    "work_phone_number": "phone",
    "company_name": "company",
    "country": "country",
}
"""Meta's names of a form's standard questions, and ours. Another question is an answer."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Word of a lead: its id, and where it was given."""

    leadgen_id: str
    page_id: str | None = None
    form_id: str | None = None


def accept(notice: Notice, *, correlation_id: str) -> Accepted:
    """Enter a lead into the ledger, once; and remember its form for the backfill."""
    if notice.form_id is not None:
        _remember(notice.form_id)
    return work.ledger().accept(
        partner_id=ADMIN,
        flow=FLOW,
        entity=f"{SOURCE}:{notice.leadgen_id}",
        payload={"meta": asdict(notice)},
        group=f"{SOURCE}:{notice.leadgen_id}",
        correlation_id=correlation_id,
    )


def request_of(notice: Notice, lead: dict[str, Any]) -> LeadRequest:
    """A lead as the Graph API has it (`field_data`, `campaign_id`, …), as ours.

    What cannot be a country, an address or a phone number is kept as an answer, so that it is not lost.
    Raises SwitchboardError `invalid` when neither an address nor a number is left.
    """
    answers: dict[str, Any] = {}
    known: dict[str, str] = {}
    full_name = ""
    for field in _objects(lead.get("field_data")):
        name, values = str(field.get("name") or ""), field.get("values")
        texts = [str(value) for value in values] if isinstance(values, list) else []
        if not name or not texts:
            continue
        if name == "full_name":
            full_name = " ".join(texts[0].split())
        elif (ours := _FIELDS.get(name)) and ours not in known and _fits(ours, texts[0]):
            known[ours] = texts[0].strip()
        else:
            answers[name] = texts[0] if len(texts) == 1 else texts
    if "country" in known:
        known["country"] = known["country"].upper()
    if "phone" in known and e164(known["phone"], known.get("country")) is None:
        answers["phone_number"] = known.pop("phone")
    if not known.keys() & {"email", "phone"}:
        raise SwitchboardError("invalid", "Meta's lead has neither an e-mail address nor a phone number.")
    first, _, last = full_name.rpartition(" ")
    named = {"first_name": first, "last_name": last} | known
    last_name = named.pop("last_name") or known.get("email") or known["phone"]
    campaign = lead.get("campaign_id")
    form = {
        "network": "facebook",
        "pageId": notice.page_id,
        "formId": str(lead.get("form_id") or notice.form_id or ""),
    }
    return LeadRequest.model_validate(
        {name: value for name, value in named.items() if value}
        | {
            "last_name": last_name,
            "external_id": notice.leadgen_id,
            "campaign_source_id": links.source_of(str(campaign)) if campaign else None,
            "form": Form.model_validate({name: value for name, value in form.items() if value}),
            "answers": answers,
            "consent": _consent(lead),
        }
    )


def _fits(ours: str, text: str) -> bool:
    text = text.strip()
    match ours:
        case "email":
            return len(text) <= 254 and _EMAIL.fullmatch(text) is not None
        case "country":
            return text.upper() in CODES
        case "phone":
            return 0 < len(text) <= 50
        case _:
            return 0 < len(text) <= 200


def _consent(lead: dict[str, Any]) -> dict[str, Any]:
    boxes = _objects(lead.get("custom_disclaimer_responses"))
    return {str(box.get("checkbox_key")): box.get("is_checked") for box in boxes if box.get("checkbox_key")}


def _objects(listed: Any) -> list[dict[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


# The backfill's memory ------------------------------------------------------------------------------------


def _state() -> Table:
    return Table(os.environ["STATE_TABLE"])


def _remember(form_id: str) -> None:
    try:
        _state().put(
            {"pk": _FORMS, "sk": form_id, "since": clock.timestamp()}, condition="attribute_not_exists(pk)"
        )
    except ConditionFailed:
        return


def forms() -> set[str]:
    """The forms that the webhook has told of."""
    return {item["sk"] for item in _state().query_all("pk = :pk", {":pk": _FORMS}, consistent=True)}


def read_up_to(form_id: str) -> str | None:
    """The RFC 3339 time up to which the backfill has read a form; None before its first run."""
    item: Item | None = _state().get("META_BACKFILL", form_id)
    return item["readUpTo"] if item else None


def was_read(form_id: str, up_to: str) -> None:
    """Note how far the backfill has come; an earlier time than the one noted changes nothing."""
    try:
        _state().put(
            {"pk": "META_BACKFILL", "sk": form_id, "readUpTo": up_to},
            condition="attribute_not_exists(pk) OR readUpTo < :upTo",
            values={":upTo": up_to},
        )
    except ConditionFailed:
        return
