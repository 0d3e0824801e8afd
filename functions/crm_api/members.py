"""/crm/members/{memberNumber}: members of the loyalty programme as records of the CRM.

A change here is a CRM event, and that brings the member into step with CrowdTwist.
"""

from datetime import date
from typing import Any

from functions.crm_api import logic
from switchboard import work
from switchboard.api import Answer, Api, Call
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm
from switchboard.errors import FieldError, SwitchboardError
from switchboard.members import (
    Attributes,
    CountryCode,
    Email,
    MemberData,
    MemberView,
    Phone,
    PostalCode,
    Text,
    data_faults,
    is_member_number,
    view_of,
)
from switchboard.models import ApiModel

api = Api("crm")

_FLOW = "crm_api"
_MEMBER = "/crm/members/{memberNumber}"


class MemberChange(ApiModel):
    """`PATCH /crm/members/{memberNumber}`: what is not named stays, null removes a field."""

    first_name: Text | None = None
    last_name: Text | None = None
    email: Email | None = None
    phone: Phone | None = None
    postal_code: PostalCode | None = None
    date_of_birth: date | None = None
    city: Text | None = None
    state: Text | None = None
    country: CountryCode | None = None
    email_opt_in: bool | None = None
    attributes: Attributes | None = None


class CrmMember(MemberView):
    """A member. `rev` is the record's ETag; a CRM outside has none."""

    rev: int | None = None
    created_at: str | None = None
    updated_at: str | None = None


def _number(text: str) -> str:
    if not is_member_number(text):
        field = FieldError("/path/memberNumber", "1 to 64 letters, digits and . _ : -")
        raise SwitchboardError("invalid", fields=(field,))
    return text


def _here() -> BuiltinCrm:
    held = crm()
    if not isinstance(held, BuiltinCrm):
        raise SwitchboardError("crm-elsewhere")
    return held


def _shown(number: str, record: Any) -> CrmMember:
    view = view_of(number, None, record).model_dump()
    stamps = {name: record.get(name) for name in ("rev", "createdAt", "updatedAt")}
    return CrmMember.model_validate(view | {name: held for name, held in stamps.items() if held is not None})


def _answer(status: int, number: str, record: Any) -> Answer:
    headers = {"ETag": logic.etag(record)} if "rev" in record else {}
    return Answer(status, _shown(number, record), headers)


def _saved(call: Call, number: str, fields: dict[str, Any], *, replace: bool) -> Answer:
    record, created = _here().members.save(
        number,
        fields,
        partner_id=call.caller.partner_id,
        replace=replace,
        expected_rev=logic.expected_rev(call.headers.get("if-match")),
    )
    _log(call, number, record["rev"], "created" if created else "changed")
    return _answer(201 if created else 200, number, record)


def _log(call: Call, number: str, rev: int, what: str) -> None:
    """The ledger's entry of a change: which member, who and when, never the data."""
    work.ledger().accept(
        partner_id=call.caller.partner_id,
        flow=_FLOW,
        entity=f"member/{number}@{rev}",
        payload={},
        group=number,
        correlation_id=call.correlation_id,
        status="synced",
        result={"object": "member", "change": what, "memberNumber": number},
    )


@api.get(_MEMBER, scope="crm:read", answers={200: CrmMember})
def get_member(call: Call, member_number: str) -> Answer:
    """One member, with its ETag; read through where the CRM is outside."""
    number = _number(member_number)
    record = crm().get_member(number)
    if record is None or "lastName" not in record:
        raise SwitchboardError("not-found", "The CRM has no such member.")
    return _answer(200, number, record)


@api.put(_MEMBER, scope="crm:write", answers={201: CrmMember, 200: CrmMember})
def put_member(call: Call, member_number: str, body: MemberData) -> Answer:
    """Enrol a member, or replace the data of one; the change is brought to CrowdTwist."""
    if wrong := data_faults(body):
        raise SwitchboardError("invalid", fields=wrong)
    fields = body.model_dump(mode="json", by_alias=True, exclude_none=True)
    return _saved(call, _number(member_number), fields, replace=True)


@api.patch(_MEMBER, scope="crm:write", answers={200: CrmMember})
def change_member(call: Call, member_number: str, body: MemberChange) -> Answer:
    """Change what is named. With If-Match only the revision that was read: 412 for any other."""
    number = _number(member_number)
    fields = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for name in ("firstName", "lastName", "email"):
        if name in fields and fields[name] is None:
            raise logic.invalid(name, "it cannot be removed")
    if fields.get("attributes", {}) is None:
        fields["attributes"] = {}
    phone = fields.get("phone")
    if phone is not None and not phone.startswith("+"):
        known = _here().members.get(number) or {}
        if (fields["country"] if "country" in fields else known.get("country")) is None:
            raise logic.invalid("phone", "a national number needs the country; or write it as E.164")
    return _saved(call, number, fields, replace=False)
