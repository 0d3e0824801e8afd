"""Siebel as the CRM: `CrmConnector` over its REST API.

    customer   Contact, with its social profiles (SM Contact Social Profile: Author, Community)
    case       Service Request        followup   Activity (Action)
    lead       SocialMediaService/CreateLeads, read back as a record
    campaign   SocialMediaService/GetCampaigns
    member     LOY Member              survey, task   Activity (Action) of a contact

The caller's `key` becomes the record's Integration Id, its natural key: an insert whose answer was lost
finds its own record when it is repeated. Integration Id as a user key is INFERRED from common practice;
where a Siebel has no such user key, its administrator adds one (docs/siebel.md).

Two posts of one unknown author at once may make one contact only, and Siebel knows no unique social
profile. So a slot in the State table says which Integration Id the contact of a profile has; whoever comes
second inserts that same one, and so meets it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from switchboard import clock, ids
from switchboard.breaker import PATIENT_THRESHOLD, Gate
from switchboard.connectors.siebel.campaigns import Campaigns
from switchboard.connectors.siebel.leads import Leads
from switchboard.connectors.siebel.members import Members
from switchboard.connectors.siebel.records import Records
from switchboard.connectors.siebel.rest import (
    BAD_REFERENCE,
    TIME,
    AlreadyThere,
    Rest,
    Row,
    basic_auth,
    classify,
    equals,
    is_empty,
    moment,
    plain,
)
from switchboard.connectors.siebel.slots import Slots
from switchboard.connectors.siebel.surveys import Surveys
from switchboard.crm import (
    UNLINKED,
    Campaign,
    CampaignFilter,
    CampaignPage,
    Case,
    Customer,
    CustomerFilter,
    CustomerMatch,
    Lead,
    MemberPush,
    MemberSync,
    NewCase,
    NewLead,
    RecordPage,
    SocialProfile,
    SurveyResponse,
)
from switchboard.dynamo import Table
from switchboard.errors import VendorError
from switchboard.http import ConnectorClient
from switchboard.observability import logger
from switchboard.settings import store
from switchboard.settings.siebel import SiebelSettings

__all__ = ["Siebel", "connect"]

_PREFIX = "swb"


def connect(state: Table) -> "Siebel":
    """The connector over the network, with the secret `siebel`."""
    gate = Gate("siebel", threshold=PATIENT_THRESHOLD)
    return Siebel(ConnectorClient("siebel", auth=basic_auth, classify=classify, gate=gate), state)


class Siebel:
    """The CRM port over Siebel's REST API.

    Args:
        client: the HTTP client.
        state: the State table, for the slots.
        now: the clock; aware datetimes.
        settings: the names that this Siebel uses.
    """

    def __init__(
        self,
        client: ConnectorClient,
        state: Table,
        *,
        now: Callable[[], datetime] = clock.now,
        settings: Callable[[], SiebelSettings] = lambda: store.current("siebel", SiebelSettings),
    ) -> None:
        self._rest = Rest(client)
        self._slots = Slots(state)
        self._members = Members(self._rest, lambda: settings().members)
        self._now = now
        self._settings = settings

    # customers ----------------------------------------------------------------------------------------

    def find_customers_by_profile(self, community: str, author_id: str, *, key: str) -> CustomerMatch:
        """One request for the profiles, and one more for each contact that carries it."""
        own = ids.derived(_PREFIX, "customer", key)
        contacts = filter(None, map(self._contact, self._carriers(community, author_id)))
        names = self._settings().contacts.fields
        return CustomerMatch(
            tuple(self._customer(row, created=row.get(names.key) == own) for row in contacts)
        )

    def create_customer_from_profile(self, profile: SocialProfile, *, key: str) -> Customer:
        """Two requests: the contact, then its profile. A repeat finds what was there already."""
        mine = ids.derived(_PREFIX, "customer", key)
        while True:
            slot = self._slots.take(profile.community, profile.author_id, mine)
            if slot.row_id is None:
                row = self._ensure_contact(profile, slot.owner)
                self._slots.settle(profile.community, profile.author_id, slot.owner, row["Id"])
                return self._customer(row, created=slot.owner == mine)
            known = self._contact(slot.row_id)
            if known is not None:
                return self._customer(known, created=slot.owner == mine)
            if slot.owner == mine:
                raise VendorError("record-deleted")
            self._slots.release(profile.community, profile.author_id, slot.owner)

    def rename_temporary_customer(self, customer_id: str, profile: SocialProfile) -> Customer:
        """Two requests, one when there is nothing to change."""
        row = self._contact(customer_id)
        if row is None:
            raise VendorError("record-deleted")
        customer = self._customer(row)
        name = profile.author_name
        if not customer.temporary or customer.last_name == name:
            return customer
        names = self._settings().contacts.fields
        self._rest.update(
            self._settings().contacts, customer_id, {names.first_name: name, names.last_name: name}
        )
        return Customer(customer_id, name, name, temporary=True)

    def _carriers(self, community: str, author_id: str) -> list[str]:
        profiles = self._settings().profiles
        names = profiles.fields
        author, place = plain(author_id), _community(community)
        spec = (
            f"{equals(profiles, names.author, author)} AND "
            f"{equals(profiles, names.community, place, ignore_case=True)}"
        )
        # Compared once more: how a search compares is this Siebel's affair.
        found = (
            row[names.contact_id]
            for row in self._rest.find(profiles, spec)
            if row.get(names.author) == author and row.get(names.community, "").casefold() == place
        )
        return list(dict.fromkeys(found))

    def _contact(self, row_id: str) -> Row | None:
        return self._rest.get(self._settings().contacts, row_id)

    def _ensure_contact(self, profile: SocialProfile, integration_id: str) -> Row:
        contacts = self._settings().contacts
        names = contacts.fields
        fields = {
            names.key: integration_id,
            names.first_name: profile.author_name,
            names.last_name: profile.author_name,
        }
        try:
            row: Row = fields | {"Id": self._rest.insert(contacts, fields)}
        except AlreadyThere:
            row = self._by_key(contacts.fields.key, integration_id)
        self._add_profile(row["Id"], profile)
        return row

    def _by_key(self, field: str, integration_id: str) -> Row:
        contacts = self._settings().contacts
        for row in self._rest.find(contacts, equals(contacts, field, integration_id)):
            return row
        raise VendorError("conflict", "Siebel has the Integration Id, but shows no such contact.")

    def _add_profile(self, contact_id: str, profile: SocialProfile) -> None:
        settings = self._settings()
        names = settings.profiles.fields
        fields = {names.author: plain(profile.author_id), names.community: _stored(profile.community)}
        try:
            self._rest.insert_child(settings.contacts, contact_id, settings.profiles, fields)
        except AlreadyThere:
            return

    def _customer(self, row: Row, *, created: bool = False) -> Customer:
        names = self._settings().contacts.fields
        first, last = row.get(names.first_name) or None, row[names.last_name]
        # Siebel has no such flag: a contact of ours with one name twice is still called by the user name.
        temporary = first == last and str(row.get(names.key, "")).startswith(f"{_PREFIX}_")
        return Customer(row["Id"], first, last, temporary=temporary, created=created)

    # cases --------------------------------------------------------------------------------------------

    def find_open_case(
        self, customer_id: str, conversation: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """The one with the latest activity; one request."""
        own = ids.derived(_PREFIX, "case", key)
        requests = self._settings().requests
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
        rows = [row for row in self._rest.find(requests, spec) if self._is_active(row, active_within)]
        found = max(
            rows,
            key=lambda row: (row.get(names.key) == own, self._last_activity(row), row["Id"]),
            default=None,
        )
        return self._case(found, created=found.get(names.key) == own) if found else None

    def open_case(self, customer_id: str, case: NewCase, *, key: str) -> Case:
        """One request; two more when no rule of ours assigns it and the Assignment Manager does."""
        settings = self._settings()
        requests = settings.requests
        names = requests.fields
        description = case.description
        if case.candidates:
            description += f"\n\nOne of these contacts: {', '.join(case.candidates)}"
        fields = {
            names.key: ids.derived(_PREFIX, "case", key),
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
            row_id = self._rest.insert(requests, fields)
        except AlreadyThere:
            row = self._case_by_key(names.key, str(fields[names.key]))
        except VendorError as error:
            raise self._gone(error, customer_id) from error
        else:
            row = {name: value for name, value in fields.items() if value is not None} | {"Id": row_id}
        if not row.get(names.owner):
            row = self._assigned(row["Id"]) or row
        return self._case(row, created=True)

    def append_to_case(
        self, customer_id: str, case_id: str, body: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """Three requests: look at the case, add the activity, note it on the case."""
        requests = self._settings().requests
        names = requests.fields
        row = self._rest.get(requests, case_id)
        if row is None:
            return None
        whose = row.get(names.contact_id) or UNLINKED
        if customer_id not in (whose, UNLINKED):
            return None
        if row.get(names.status) == requests.open_status and self._is_active(row, active_within):
            self._add_activity(case_id, body, key)
            return self._case(row)
        return self._case(row) if self._has_activity(key) else None

    def note_on_case(self, customer_id: str, case_id: str, body: str, *, key: str) -> None:
        """Three requests, as `append_to_case`."""
        if self._rest.get(self._settings().requests, case_id) is None:
            raise VendorError("not-found", "The CRM has no such case.")
        self._add_activity(case_id, body, key)

    def link_case(self, case_id: str, customer_id: str) -> Case:
        """Two requests, one when it is linked already."""
        requests = self._settings().requests
        names = requests.fields
        row = self._rest.get(requests, case_id)
        if row is None:
            raise VendorError("not-found", "The CRM has no such case.")
        whose = row.get(names.contact_id)
        if whose and whose != customer_id:
            raise VendorError("conflict", "The case was linked to another customer.")
        if not whose:
            try:
                self._rest.update(requests, case_id, {names.contact_id: customer_id})
            except VendorError as error:
                raise self._gone(error, customer_id) from error
        return self._case(row | {names.contact_id: customer_id})

    def _gone(self, error: VendorError, customer_id: str) -> VendorError:
        """`record-deleted` when Siebel refused because the contact is not there, else the error."""
        refused = error.extra.get("sbl") == BAD_REFERENCE and customer_id != UNLINKED
        return VendorError("record-deleted") if refused and self._contact(customer_id) is None else error

    def _assigned(self, row_id: str) -> Row | None:
        """Let the Assignment Manager assign a case that no rule of ours does; the case as it is then."""
        settings = self._settings()
        if not self._assign(settings.assignment.request_object, row_id):
            return None
        return self._rest.get(settings.requests, row_id)

    def _assign(self, object_name: str, row_id: str) -> bool:
        """Whether Siebel's Assignment Manager took it; one that refuses costs no customer his case."""
        assignment = self._settings().assignment
        if not assignment.enabled:
            return False
        try:
            self._rest.call(assignment.method, {"AsgnObjName": object_name, "ObjRowId": row_id})
        except VendorError as error:
            if error.error.retryable and error.code != "remote-auth":
                raise
            logger.warning("the assignment manager refused", code=error.code, detail=error.detail)
            return False
        return True

    def _case_by_key(self, field: str, integration_id: str) -> Row:
        requests = self._settings().requests
        for row in self._rest.find(requests, equals(requests, field, integration_id)):
            return row
        raise VendorError("conflict", "Siebel has the Integration Id, but shows no such case.")

    def _add_activity(self, case_id: str, body: str, key: str) -> None:
        settings = self._settings()
        names = settings.activities.fields
        fields = {
            names.key: ids.derived(_PREFIX, "followup", key),
            names.request_id: case_id,
            names.body: body,
        }
        # Where it is there already, its first worker may have died before the case was touched.
        with suppress(AlreadyThere):
            self._rest.insert(settings.activities, fields)
        self._rest.update(
            settings.requests, case_id, {settings.requests.fields.last_activity: self._moment()}
        )

    def _has_activity(self, key: str) -> bool:
        activities = self._settings().activities
        spec = equals(activities, activities.fields.key, ids.derived(_PREFIX, "followup", key))
        return any(True for _ in self._rest.find(activities, spec))

    def _moment(self) -> str:
        return self._now().astimezone(UTC).strftime(TIME)

    def _last_activity(self, row: Row) -> datetime:
        written = row.get(self._settings().requests.fields.last_activity)
        return moment(written) or datetime.min.replace(tzinfo=UTC)

    def _is_active(self, row: Row, active_within: timedelta) -> bool:
        return self._last_activity(row) >= self._now() - active_within

    def _case(self, row: Row, *, created: bool = False) -> Case:
        requests = self._settings().requests
        names = requests.fields
        status = "open" if row.get(names.status) == requests.open_status else "closed"
        owner = row.get(names.owner) or None
        return Case(row.get(names.contact_id) or UNLINKED, row["Id"], status, owner, created)

    # leads and campaigns ------------------------------------------------------------------------------

    def create_lead(self, lead: NewLead, *, key: str) -> Lead:
        """See `leads.Leads`: about six requests."""
        return self._leads().create(lead, integration_id=ids.derived(_PREFIX, "lead", key))

    def look_up_lead(self, lead: NewLead, *, key: str) -> tuple[str | None, str | None]:
        """Up to four requests."""
        return self._leads().look_up(lead, integration_id=ids.derived(_PREFIX, "lead", key))

    def find_campaigns(self, wanted: CampaignFilter, *, limit: int, cursor: str | None) -> CampaignPage:
        """See `campaigns.Campaigns`."""
        return Campaigns(self._rest, self._settings().campaigns).find(wanted, limit=limit, cursor=cursor)

    def get_campaign(self, campaign_id: str) -> Campaign:
        """One request."""
        return Campaigns(self._rest, self._settings().campaigns).get(campaign_id)

    # members ------------------------------------------------------------------------------------------

    def write_member_sync(
        self, member_number: str, sync: MemberSync, *, profile: Mapping[str, Any] | None
    ) -> None:
        """Two requests. The member's own data is Siebel's already."""
        self._members.write_sync(member_number, sync)

    def write_member_push(self, member_number: str, push: MemberPush) -> None:
        """Two requests, one when nothing changes."""
        self._members.write_push(member_number, push)

    def get_member(self, member_number: str) -> Mapping[str, Any] | None:
        """One request."""
        return self._members.get(member_number)

    # records and surveys ------------------------------------------------------------------------------

    def get_record(
        self,
        account_id: str,
        *,
        case_id: str | None = None,
        followup_id: str | None = None,
        task_id: str | None = None,
    ) -> dict[str, Any]:
        """See `records.Records`: one request or two."""
        return self._records().get(account_id, case_id, followup_id, task_id)

    def find_customers(self, wanted: CustomerFilter, *, limit: int, cursor: str | None) -> RecordPage:
        """One request, two for a social profile; in Siebel's order."""
        return self._records().customers(wanted, limit=limit, cursor=cursor)

    def list_records(
        self,
        crm_object: Literal["case", "followup", "task"],
        account_id: str,
        case_id: str | None = None,
        *,
        limit: int,
        cursor: str | None,
    ) -> RecordPage:
        """Two requests; in Siebel's order."""
        return self._records().parts(crm_object, account_id, case_id, limit=limit, cursor=cursor)

    def find_customers_by_email(self, email: str) -> tuple[str, ...]:
        """One request."""
        return self._surveys().by_email(email)

    def note_survey_invitation(self, customer_id: str, survey_id: str, url: str, *, reminders: int) -> None:
        """One request."""
        self._surveys().note_invitation(customer_id, survey_id, url, reminders)

    def upsert_survey_response(self, customer_id: str, response: SurveyResponse) -> None:
        """One request."""
        self._surveys().upsert_response(customer_id, response)

    def survey_responses(self, customer_id: str) -> list[SurveyResponse]:
        """One request for each 100."""
        return self._surveys().responses_of(customer_id)

    def _records(self) -> Records:
        return Records(self._rest, self._settings(), self._customer, self._carriers)

    def _surveys(self) -> Surveys:
        return Surveys(self._rest, self._settings(), self._gone)

    def _leads(self) -> Leads:
        settings = self._settings()

        def authors(profiles: tuple[SocialProfile, ...]) -> Iterator[str]:
            for profile in profiles:
                yield from self._carriers(profile.community, profile.author_id)

        def assign(lead_id: str) -> bool:
            return self._assign(settings.assignment.lead_object, lead_id)

        return Leads(self._rest, settings, authors, self._add_profile, self._customer, assign)


def _community(community: str) -> str:
    """A community as it is searched for and compared: case never counts."""
    return plain(community.casefold())


def _stored(community: str) -> str:
    """A community as it is written: as the network calls itself, where Siebel can hold and find that."""
    folded = community.casefold()
    return community if plain(community) == community and plain(folded) == folded else plain(folded)


def _thread(conversation: str) -> str:
    return ids.derived("cnv", conversation)
