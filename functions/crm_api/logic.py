"""Fields as the CRM keeps them, ETags, and which customers a search means."""

import re
from collections.abc import Iterable
from typing import Any

from functions.crm_api.models import CustomerQuery
from switchboard import clock, phones
from switchboard.errors import FieldError, SwitchboardError
from switchboard.models import ApiModel

_ETAG = re.compile(r'(?:W/)?"(\d{1,15})"')


def etag(record: dict[str, Any]) -> str:
    """The record's ETag."""
    return f'"{record["rev"]}"'


def expected_rev(if_match: str | None) -> int | None:
    """The revision that If-Match asks for; None for any. What is no ETag of ours fits no record."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise SwitchboardError("precondition-failed")
    return int(found[1])


def fields(body: ApiModel, *, required: Iterable[str] = ()) -> dict[str, Any]:
    """What a body sets, under the record's names; null for what it removes. Raises `invalid`."""
    given = body.model_dump(by_alias=True, exclude_unset=True)
    for name in required:
        if name in given and given[name] is None:
            raise invalid(name, "it cannot be removed")
    if given.get("dueAt") is not None:
        given["dueAt"] = clock.rfc3339(given["dueAt"])
    return given


def with_phone(given: dict[str, Any], country: str | None) -> dict[str, Any]:
    """The fields with the phone number in E.164; `country` is what the record has. Raises `invalid`."""
    if given.get("phone") is None:
        return given
    return given | {"phone": phone(given["phone"], given.get("country") or country)}


def needs_country(given: dict[str, Any]) -> bool:
    """Whether the record's own country decides what the phone number is."""
    number = given.get("phone")
    return number is not None and not number.lstrip().startswith("+") and not given.get("country")


def phone(number: str, country: str | None, *, pointer: str = "phone") -> str:
    """A phone number in E.164; raises `invalid`."""
    found = phones.e164(number, country)
    if found is None:
        raise invalid(pointer, "not a phone number: E.164, or national with its country")
    return found


def searched_phone(query: CustomerQuery) -> str | None:
    """The phone number of a search in E.164. An unescaped `+` reaches us as a space."""
    if query.phone is None:
        return None
    number = f"+{query.phone[1:]}" if query.phone.startswith(" ") else query.phone
    return phone(number, query.country, pointer="query/phone")


def invalid(field: str, detail: str) -> SwitchboardError:
    """`invalid` at one field."""
    return SwitchboardError("invalid", fields=(FieldError(f"/{field}", detail),))
