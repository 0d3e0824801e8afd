"""Records of 8x8 as our CRM keeps them, and the filters that find one by the ids of its event.

AccountID is ACCOUNTNUM, CaseID is CASENUM, TaskID is TASKNUM (INFERRED: 8x8's developer pages say so of a
campaign's customer id). All that has no field here is kept under `vcc`, by its element's name.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from switchboard import clock, phones
from switchboard.connectors.vcc import VccItem, VccObject
from switchboard.dynamo import Item
from switchboard.settings.triggers import VccSettings

OBJECTS: Mapping[str, VccObject] = {
    "customer": "Customer",
    "case": "Case",
    "followup": "Followup",
    "task": "Task",
}
SOURCE = "vcc"

_CLOSED = re.compile(r"clos|resolv", re.IGNORECASE)
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "customer": {
        "FIRSTNAME": "firstName",
        "LASTNAME": "lastName",
        "COMPANY": "company",
        "EMAIL": "email",
        "VOICE": "phone",
        "ADDR1COUNTRY": "country",
    },
    "case": {
        "SUBJECT": "subject",
        "DESCRIPTION": "description",
        "STATUS": "status",
        "PRIORITY": "priority",
        "ASSIGNEDTO": "assignedTo",
    },
    "task": {"SUBJECT": "subject", "TASK_STATUS": "status", "CALL_TYPE": "kind", "DUEDATE": "dueAt"},
    "followup": {},
}
_IDS = frozenset({"ACCOUNTNUM", "CASENUM", "TASKNUM"})


def filters(ids: Mapping[str, str], settings: VccSettings) -> dict[str, str]:
    """The COMMAND's filters for the ids of an event."""
    names = {
        "accountId": "ACCOUNTNUM",
        "caseId": "CASENUM",
        "taskId": "TASKNUM",
        "followupId": settings.followup_number,
    }
    found = {names[name]: value for name, value in ids.items()}
    if len(found) > 1:
        # The record's own number names it; a case of another customer is then told by its ACCOUNTNUM.
        found.pop("ACCOUNTNUM", None)
    return found


def fields(crm_object: str, item: VccItem, settings: VccSettings) -> Item:
    """The record's fields; None for what our CRM has and 8x8 has not (any more)."""
    known = dict(_FIELDS[crm_object])
    found: Item = {to: item.get(name) for name, to in known.items()}
    rest = {name: value for name, value in item.items() if name not in known and name not in _IDS}
    match crm_object:
        case "customer":
            _customer(found, item, rest)
        case "case":
            found["subject"] = found["subject"] or "(no subject)"
            found["status"] = "closed" if _CLOSED.search(item.get("STATUS", "")) else "open"
            rest["STATUS"] = item.get("STATUS", "")
        case "task":
            found["subject"] = found["subject"] or "(no subject)"
            found["dueAt"] = _due(item.get("DUEDATE"))
        case "followup":
            named = [item[name.upper()] for name in settings.followup_body if item.get(name.upper())]
            found["body"] = "\n".join(named) or "(empty)"
    return found | {"source": SOURCE, "vcc": {name: value for name, value in rest.items() if value}}


def _customer(found: Item, item: VccItem, rest: dict[str, str]) -> None:
    found["lastName"] = found["lastName"] or item.get("COMPANY") or item.get("ACCOUNTNUM", "?")
    found["temporary"] = False
    country = (item.get("ADDR1COUNTRY") or "").upper()
    found["country"] = country if re.fullmatch(r"[A-Z]{2}", country) else None
    if found["country"] is None and item.get("ADDR1COUNTRY"):
        rest["ADDR1COUNTRY"] = item["ADDR1COUNTRY"]
    if found["phone"]:
        number = phones.e164(found["phone"], found["country"])
        if number is None:
            rest["VOICE"] = found["phone"]
        found["phone"] = number


def _due(text: str | None) -> str | None:
    """`MMDDYYYYHHmm`; which zone it is in is not documented, so it is read as UTC (UNVERIFIED)."""
    try:
        return clock.rfc3339(datetime.strptime(text or "", "%m%d%Y%H%M").replace(tzinfo=UTC))
    except ValueError:
        return None


def ids_of(crm_object: str, item: VccItem) -> dict[str, Any] | None:
    """The ids of an item under our names; None when it lacks one."""
    wanted = {
        "customer": {"accountId": "ACCOUNTNUM"},
        "case": {"accountId": "ACCOUNTNUM", "caseId": "CASENUM"},
        "task": {"accountId": "ACCOUNTNUM", "taskId": "TASKNUM"},
    }[crm_object]
    found = {name: item.get(element) for name, element in wanted.items()}
    return found if all(found.values()) else None
