"""Siebel's records under the CRM API's names: read by their ids, searched for, listed.

    customer   Contact              case   Service Request, of its contact
    followup   Activity of a case   task   Activity of a contact that belongs to no case (UNVERIFIED)

`rev` is the system field Mod Id, which counts a record's changes; that REST shows it is UNVERIFIED.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from switchboard import clock, cursors
from switchboard.connectors.siebel.contacts import Contacts
from switchboard.connectors.siebel.rest import (
    Rest,
    Row,
    contains,
    differs,
    equals,
    is_empty,
    is_row_id,
    moment,
)
from switchboard.countries import CODES
from switchboard.crm import UNLINKED, CustomerFilter, RecordPage
from switchboard.errors import VendorError
from switchboard.settings.siebel import Component, SiebelSettings

type Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Records:
    """The reading verbs."""

    rest: Rest
    settings: SiebelSettings
    contacts: Contacts

    # one --------------------------------------------------------------------------------------------------

    def get(
        self, account_id: str, case_id: str | None, followup_id: str | None, task_id: str | None
    ) -> Record:
        """A customer two requests, a followup two, anything else one; raises VendorError `not-found`."""
        if task_id is not None:
            return self._task(self._row(self.settings.tasks, task_id, account_id))
        if case_id is None:
            profiles = self._profiles(account_id)
            return self._customer(self._row(self.settings.contacts, account_id)) | {"profiles": profiles}
        request = self._row(self.settings.requests, case_id, account_id)
        if followup_id is None:
            return self._case(request)
        activities = self.settings.activities
        row = self._row(activities, followup_id)
        if row.get(activities.fields.request_id) != case_id:
            raise _not_found()
        return self._followup(row, account_id)

    def _row(self, component: Component, row_id: str, account_id: str | None = None) -> Row:
        """A record, of this contact where one is given."""
        row = self.rest.get(component, row_id)
        if row is None:
            raise _not_found()
        if account_id is not None:
            whose = row.get(component.fields.contact_id) or UNLINKED  # type: ignore[attr-defined]
            if whose != account_id:
                raise _not_found()
        return row

    def _profiles(self, account_id: str) -> list[Record]:
        if not is_row_id(account_id):
            raise _not_found()
        profiles = self.settings.profiles
        names = profiles.fields
        rows = self.rest.find(profiles, equals(profiles, names.contact_id, account_id))
        return [{"community": row.get(names.community), "authorId": row.get(names.author)} for row in rows]

    # many -------------------------------------------------------------------------------------------------

    def parts(
        self,
        crm_object: Literal["case", "followup", "task"],
        account_id: str,
        case_id: str | None,
        *,
        limit: int,
        cursor: str | None,
    ) -> RecordPage:
        """Two requests; raises VendorError `not-found` for a customer or case that is not there."""
        settings = self.settings
        match crm_object:
            case "case":
                self._there(account_id)
                names = settings.requests.fields
                spec = (
                    is_empty(settings.requests, names.contact_id)
                    if account_id == UNLINKED
                    else equals(settings.requests, names.contact_id, account_id)
                )
                return self._page(settings.requests, spec, self._case, limit, cursor)
            case "followup":
                self._row(settings.requests, case_id or "", account_id)
                spec = equals(settings.activities, settings.activities.fields.request_id, case_id or "")

                def shown(row: Row) -> Record:
                    return self._followup(row, account_id)

                return self._page(settings.activities, spec, shown, limit, cursor)
            case "task":
                self._there(account_id)
                tasks = settings.tasks
                kind = tasks.fields.kind
                surveys = (settings.surveys.invitation, settings.surveys.response)
                others = " AND ".join(differs(tasks, kind, survey) for survey in surveys)
                spec = (
                    f"{equals(tasks, tasks.fields.contact_id, account_id)} AND "
                    f"{is_empty(tasks, tasks.fields.request_id)} AND "
                    f"({is_empty(tasks, kind)} OR ({others}))"
                )
                return self._page(tasks, spec, self._task, limit, cursor)

    def customers(self, wanted: CustomerFilter, *, limit: int, cursor: str | None) -> RecordPage:
        """One request, two for a social profile; without the profiles of the customers found."""
        contacts = self.settings.contacts
        names = contacts.fields
        tests = []
        if wanted.profile is not None:
            carriers = self.contacts.carriers(*wanted.profile)
            if not carriers:
                return RecordPage([], None)
            tests.append(_either(equals(contacts, "Id", row_id) for row_id in carriers))
        if wanted.email is not None:
            tests.append(equals(contacts, names.email, wanted.email.strip(), ignore_case=True))
        if wanted.phone is not None:
            tests.append(equals(contacts, names.phone, wanted.phone))
        if wanted.text is not None:
            searched = (names.first_name, names.last_name, names.email, names.company)
            tests.append(_either(contains(contacts, name, wanted.text) for name in searched))
        return self._page(contacts, " AND ".join(tests) or None, self._customer, limit, cursor)

    def _there(self, account_id: str) -> None:
        if account_id != UNLINKED:
            self._row(self.settings.contacts, account_id)

    def _page(
        self,
        component: Component,
        spec: str | None,
        shown: Callable[[Row], Record],
        limit: int,
        cursor: str | None,
    ) -> RecordPage:
        """`cursor` is the number of the first row: what is added or deleted meanwhile moves the pages."""
        start = int(cursors.decode(cursor, r"\d{1,9}") or 0)
        size = min(limit + 1, 100)
        rows = self.rest.page(component, spec, start=start, size=size)
        more = len(rows) > limit or (size <= limit and len(rows) == size)
        return RecordPage(
            [shown(row) for row in rows[:limit]],
            cursors.encode(str(start + min(len(rows), limit))) if more else None,
        )

    # as the CRM API shows them ----------------------------------------------------------------------------

    def _customer(self, row: Row) -> Record:
        names = self.settings.contacts.fields
        country = row.get(names.country)
        return self._shown(
            row,
            {"accountId": row["Id"]},
            {
                "firstName": row.get(names.first_name),
                "lastName": row.get(names.last_name),
                "email": row.get(names.email),
                "phone": row.get(names.phone),
                "company": row.get(names.company),
                "country": country if country in CODES else None,
                "temporary": self.contacts.customer(row).temporary,
            },
        )

    def _case(self, row: Row) -> Record:
        requests = self.settings.requests
        names = requests.fields
        last_activity = moment(row.get(names.last_activity))
        return self._shown(
            row,
            {"accountId": row.get(names.contact_id) or UNLINKED, "caseId": row["Id"]},
            {
                "subject": row.get(names.subject),
                "description": row.get(names.description),
                "status": "open" if row.get(names.status) == requests.open_status else "closed",
                "priority": row.get(names.priority),
                "assignedTo": row.get(names.owner),
                "channel": row.get(names.channel),
                "lastActivityAt": clock.rfc3339(last_activity) if last_activity else None,
            },
        )

    def _followup(self, row: Row, account_id: str) -> Record:
        names = self.settings.activities.fields
        ids = {"accountId": account_id, "caseId": row[names.request_id], "followupId": row["Id"]}
        return self._shown(row, ids, {"body": row.get(names.body)})

    def _task(self, row: Row) -> Record:
        names = self.settings.tasks.fields
        due = moment(row.get(names.due))
        return self._shown(
            row,
            {"accountId": row[names.contact_id], "taskId": row["Id"]},
            {
                "subject": row.get(names.subject),
                "kind": row.get(names.kind),
                "status": row.get(names.status),
                "dueAt": clock.rfc3339(due) if due else None,
            },
        )

    def _shown(self, row: Row, ids: dict[str, str], fields: Record) -> Record:
        """A record without what is empty, but for the texts that every record of its kind has."""
        system = self.settings.system
        stamps: Record = {
            name: clock.rfc3339(at)
            for name, field in (("createdAt", system.created), ("updatedAt", system.updated))
            if (at := moment(row.get(field))) is not None
        }
        changes = str(row.get(system.changes) or "")
        if changes.isdecimal():
            stamps["rev"] = int(changes)
        always = {name: fields[name] or "" for name in ("lastName", "subject", "body") if name in fields}
        given = {name: value for name, value in fields.items() if value not in (None, "")}
        return stamps | always | given | ids


def _either(tests: Iterable[str]) -> str:
    return f"({' OR '.join(tests)})"


def _not_found() -> VendorError:
    return VendorError("not-found", "The CRM has no such record.")
