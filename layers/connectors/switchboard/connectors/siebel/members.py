"""Loyalty members: how their synchronization stands, and what the loyalty programme says of them.

Source: Siebel Loyalty Administration Guide, "Member Synchronization" (the attributes CT Sync Status and CT
Sync Error; the member's number is CrowdTwist's third party id). The business component LOY Member is
INFERRED; the fields for what CrowdTwist pushes are extension columns, UNVERIFIED, and their names settings.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from switchboard.connectors.siebel.rest import Rest, Row, equals, plain
from switchboard.countries import CODES
from switchboard.crm import MemberPush, MemberSync
from switchboard.errors import VendorError
from switchboard.settings.siebel import Members as MemberNames


class Members:
    """The member verbs of the CRM port.

    Args:
        rest: the wire.
        names: what this Siebel calls a member and its fields.
    """

    def __init__(self, rest: Rest, names: Callable[[], MemberNames]) -> None:
        self._rest = rest
        self._names = names

    def write_sync(self, number: str, sync: MemberSync) -> None:
        """Two requests: find, update. The order of versions is kept by who calls, one at a time a member."""
        fields = self._names().fields
        values = {fields.sync_status: sync.status, fields.sync_error: sync.error}
        self._rest.update(self._names(), self._there(number)["Id"], values)

    def write_push(self, number: str, push: MemberPush) -> None:
        """Two requests: find, update; one when nothing changes."""
        fields = self._names().fields
        row = self._there(number)
        values: dict[str, str | None] = {}
        if push.profile is not None:
            values[fields.profile] = _as_text(push.profile)
        if push.segment is not None:
            segments = _from_text(row.get(fields.segments))
            if push.entered:
                segments[push.segment] = push.at
            else:
                segments.pop(push.segment, None)
            values[fields.segments] = _as_text(segments)
        if any(row.get(name, "") != value for name, value in values.items()):
            self._rest.update(self._names(), row["Id"], values)

    def get(self, number: str) -> Mapping[str, Any] | None:
        """The member under the API's names; one request."""
        row = self._find(number)
        if row is None:
            return None
        fields = self._names().fields
        known = {
            "firstName": row.get(fields.first_name),
            "lastName": row.get(fields.last_name),
            "email": row.get(fields.email),
            "phone": row.get(fields.phone),
            "postalCode": row.get(fields.postal_code),
            "dateOfBirth": _day(row.get(fields.date_of_birth)),
            "city": row.get(fields.city),
            "state": row.get(fields.state),
            "country": _country(row.get(fields.country)),
            "emailOptIn": _flag(row.get(fields.email_opt_in)),
            "ctSyncStatus": row.get(fields.sync_status),
            "ctSyncError": row.get(fields.sync_error),
        }
        pushed = {
            "profile": _from_text(row.get(fields.profile)),
            "segments": _from_text(row.get(fields.segments)),
        }
        return {
            "memberNumber": number,
            "crowdTwist": pushed,
            **{name: value for name, value in known.items() if value not in (None, "")},
        }

    def _there(self, number: str) -> Row:
        row = self._find(number)
        if row is None:
            raise VendorError("not-found", "Siebel has no member with this number.")
        return row

    def _find(self, number: str) -> Row | None:
        names = self._names()
        rows = list(self._rest.find(names, equals(names, names.fields.number, plain(number))))
        if len(rows) > 1:
            raise VendorError("remote-unexpected", "Siebel has several members with one number.")
        return rows[0] if rows else None


def _day(text: str | None) -> str | None:
    """A date as Siebel writes it (`MM/DD/YYYY`, perhaps with a time) in ISO 8601; None for anything else."""
    try:
        return datetime.strptime((text or "")[:10], "%m/%d/%Y").date().isoformat()  # noqa: DTZ007 - a day
    except ValueError:
        return None


def _country(text: str | None) -> str | None:
    """An ISO code; Siebel's picklist may have names, which are left out rather than guessed at."""
    return text if text in CODES else None


def _flag(text: str | None) -> bool | None:
    return {"Y": True, "N": False}.get(text or "")


def _as_text(held: Mapping[str, Any]) -> str:
    return json.dumps(held, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)


def _from_text(text: str | None) -> dict[str, Any]:
    """What is not ours to read, because somebody typed into the column, counts as nothing."""
    try:
        held = json.loads(text) if text else {}
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}
