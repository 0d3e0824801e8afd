"""Service requests, with their activities: the CRM's cases and followups."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from switchboard import ids
from switchboard.connectors.siebel.assignment import Assignment
from switchboard.connectors.siebel.contacts import Contacts
from switchboard.connectors.siebel.rest import (
    PREFIX,
    TIME,
    AlreadyThere,
    Rest,
    Row,
    equals,
    is_empty,
    moment,
)
from switchboard.crm import UNLINKED, Case, NewCase
from switchboard.errors import VendorError
from switchboard.settings.siebel import SiebelSettings


@dataclass(frozen=True, slots=True)
class Cases:
    """The verbs of cases."""

    rest: Rest
    settings: SiebelSettings
    contacts: Contacts
    assignment: Assignment
    now: Callable[[], datetime]

    def find_open(
        self, customer_id: str, conversation: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """The one with the latest activity; one request."""
        own = ids.derived(PREFIX, "case", key)
        requests = self.settings.requests
        names = requests.fields
        whose = (
            is_empty(requests, names.contact_id)
            if customer_id == UNLINKED
            else equals(requests, names.contact_id, customer_id)
        )
        spec = (
            f"{equals(requests, names.conversation, _thread(conversation))} AND "
            f"{equals(requests, names.status, requests.open_status)} AND {whose}"
        )
        rows = [row for row in self.rest.find(requests, spec) if self._is_active(row, active_within)]
        found = max(
            rows,
            key=lambda row: (row.get(names.key) == own, self._last_activity(row), row["Id"]),
            default=None,
        )
        return self._case(found, created=found.get(names.key) == own) if found else None

    def open(self, customer_id: str, case: NewCase, *, key: str) -> Case:
        """One request; two more when no rule of ours assigns it and the Assignment Manager does."""
        settings = self.settings
        requests = settings.requests
        names = requests.fields
        description = case.description
        if case.candidates:
            description += f"\n\nOne of these contacts: {', '.join(case.candidates)}"
        fields = {
            names.key: ids.derived(PREFIX, "case", key),
            names.contact_id: None if customer_id == UNLINKED else customer_id,
            names.subject: case.subject,
            names.description: description,
            names.channel: case.channel,
            names.status: requests.open_status,
            names.priority: case.priority,
            names.owner: case.assigned_to,
            names.conversation: _thread(case.conversation) if case.conversation is not None else None,
            names.last_activity: self._moment(),
        }
        try:
            row_id = self.rest.insert(requests, fields)
        except AlreadyThere:
            row = self._case_by_key(names.key, str(fields[names.key]))
        except VendorError as error:
            raise self.contacts.gone(error, customer_id) from error
        else:
            row = {name: value for name, value in fields.items() if value is not None} | {"Id": row_id}
        if not row.get(names.owner):
            row = self._assigned(row["Id"]) or row
        return self._case(row, created=True)

    def append(
        self, customer_id: str, case_id: str, body: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """Three requests: look at the case, add the activity, note it on the case."""
        requests = self.settings.requests
        names = requests.fields
        row = self.rest.get(requests, case_id)
        if row is None:
            return None
        whose = row.get(names.contact_id) or UNLINKED
        if customer_id not in (whose, UNLINKED):
            return None
        if row.get(names.status) == requests.open_status and self._is_active(row, active_within):
            self._add_activity(case_id, body, key)
            return self._case(row)
        return self._case(row) if self._has_activity(key) else None

    def note(self, case_id: str, body: str, *, key: str) -> None:
        """Three requests, as `append`."""
        if self.rest.get(self.settings.requests, case_id) is None:
            raise VendorError("not-found", "The CRM has no such case.")
        self._add_activity(case_id, body, key)

    def link(self, case_id: str, customer_id: str) -> Case:
        """Two requests, one when it is linked already."""
        requests = self.settings.requests
        names = requests.fields
        row = self.rest.get(requests, case_id)
        if row is None:
            raise VendorError("not-found", "The CRM has no such case.")
        whose = row.get(names.contact_id)
        if whose and whose != customer_id:
            raise VendorError("conflict", "The case was linked to another customer.")
        if not whose:
            try:
                self.rest.update(requests, case_id, {names.contact_id: customer_id})
            except VendorError as error:
                raise self.contacts.gone(error, customer_id) from error
        return self._case(row | {names.contact_id: customer_id})

    def _assigned(self, row_id: str) -> Row | None:
        """Let the Assignment Manager assign a case that no rule of ours does; the case as it is then."""
        if not self.assignment.assign(self.settings.assignment.request_object, row_id):
            return None
        return self.rest.get(self.settings.requests, row_id)

    def _case_by_key(self, field: str, integration_id: str) -> Row:
        requests = self.settings.requests
        for row in self.rest.find(requests, equals(requests, field, integration_id)):
            return row
        raise VendorError("conflict", "Siebel has the Integration Id, but shows no such case.")

    def _add_activity(self, case_id: str, body: str, key: str) -> None:
        settings = self.settings
        names = settings.activities.fields
        fields = {
            names.key: ids.derived(PREFIX, "followup", key),
            names.request_id: case_id,
            names.body: body,
        }
        # Where it is there already, its first worker may have died before the case was touched.
        with suppress(AlreadyThere):
            self.rest.insert(settings.activities, fields)
        self.rest.update(settings.requests, case_id, {settings.requests.fields.last_activity: self._moment()})

    def _has_activity(self, key: str) -> bool:
        activities = self.settings.activities
        spec = equals(activities, activities.fields.key, ids.derived(PREFIX, "followup", key))
        return any(True for _ in self.rest.find(activities, spec))

    def _moment(self) -> str:
        return self.now().astimezone(UTC).strftime(TIME)

    def _last_activity(self, row: Row) -> datetime:
        written = row.get(self.settings.requests.fields.last_activity)
        return moment(written) or datetime.min.replace(tzinfo=UTC)

    def _is_active(self, row: Row, active_within: timedelta) -> bool:
        return self._last_activity(row) >= self.now() - active_within

    def _case(self, row: Row, *, created: bool = False) -> Case:
        requests = self.settings.requests
        names = requests.fields
        status = "open" if row.get(names.status) == requests.open_status else "closed"
        owner = row.get(names.owner) or None
        return Case(row.get(names.contact_id) or UNLINKED, row["Id"], status, owner, created)


def _thread(conversation: str) -> str:
    return ids.derived("cnv", conversation)
