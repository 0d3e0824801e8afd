"""Siebel as the CRM: `CrmConnector` over its REST API.

    customer   Contact, with its social profiles (SM Contact Social Profile: Author, Community)
    case       Service Request        followup   Activity (Action)
    lead       SocialMediaService/CreateLeads, read back as a record
    campaign   SocialMediaService/GetCampaigns
    member     LOY Member              survey, task   Activity (Action) of a contact

The caller's `key` becomes the record's Integration Id, its natural key: an insert whose answer was lost
finds its own record when it is repeated. Integration Id as a user key is INFERRED from common practice;
where a Siebel has no such user key, its administrator adds one (docs/siebel.md).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from switchboard import clock, ids
from switchboard.breaker import PATIENT_THRESHOLD, Gate
from switchboard.connectors.siebel.assignment import Assignment
from switchboard.connectors.siebel.campaigns import Campaigns
from switchboard.connectors.siebel.cases import Cases
from switchboard.connectors.siebel.contacts import Contacts
from switchboard.connectors.siebel.leads import Leads
from switchboard.connectors.siebel.members import Members
from switchboard.connectors.siebel.records import Records
from switchboard.connectors.siebel.rest import PREFIX, Rest, basic_auth, classify
from switchboard.connectors.siebel.slots import Slots
from switchboard.connectors.siebel.surveys import Surveys
from switchboard.crm import (
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
from switchboard.http import ConnectorClient
from switchboard.settings import store
from switchboard.settings.siebel import SiebelSettings

__all__ = ["Siebel", "connect"]


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
        return self._contacts().find_by_profile(community, author_id, key=key)

    def create_customer_from_profile(self, profile: SocialProfile, *, key: str) -> Customer:
        """Two requests: the contact, then its profile. A repeat finds what was there already."""
        return self._contacts().create_from_profile(profile, key=key)

    def rename_temporary_customer(self, customer_id: str, profile: SocialProfile) -> Customer:
        """Two requests, one when there is nothing to change."""
        return self._contacts().rename_temporary(customer_id, profile)

    # cases --------------------------------------------------------------------------------------------

    def find_open_case(
        self, customer_id: str, conversation: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """The one with the latest activity; one request."""
        return self._cases().find_open(customer_id, conversation, key=key, active_within=active_within)

    def open_case(self, customer_id: str, case: NewCase, *, key: str) -> Case:
        """One request; two more when no rule of ours assigns it and the Assignment Manager does."""
        return self._cases().open(customer_id, case, key=key)

    def append_to_case(
        self, customer_id: str, case_id: str, body: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """Three requests: look at the case, add the activity, note it on the case."""
        return self._cases().append(customer_id, case_id, body, key=key, active_within=active_within)

    def note_on_case(self, customer_id: str, case_id: str, body: str, *, key: str) -> None:
        """Three requests, as `append_to_case`."""
        self._cases().note(case_id, body, key=key)

    def link_case(self, case_id: str, customer_id: str) -> Case:
        """Two requests, one when it is linked already."""
        return self._cases().link(case_id, customer_id)

    # leads and campaigns ------------------------------------------------------------------------------

    def create_lead(self, lead: NewLead, *, key: str) -> Lead:
        """See `leads.Leads`: about six requests."""
        return self._leads().create(lead, integration_id=ids.derived(PREFIX, "lead", key))

    def look_up_lead(self, lead: NewLead, *, key: str) -> tuple[str | None, str | None]:
        """Up to four requests."""
        return self._leads().look_up(lead, integration_id=ids.derived(PREFIX, "lead", key))

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

    # the parts, each with the settings of now -----------------------------------------------------------

    def _contacts(self) -> Contacts:
        return Contacts(self._rest, self._settings(), self._slots)

    def _assignment(self) -> Assignment:
        return Assignment(self._rest, self._settings().assignment)

    def _cases(self) -> Cases:
        return Cases(self._rest, self._settings(), self._contacts(), self._assignment(), self._now)

    def _leads(self) -> Leads:
        return Leads(self._rest, self._settings(), self._contacts(), self._assignment())

    def _records(self) -> Records:
        return Records(self._rest, self._settings(), self._contacts())

    def _surveys(self) -> Surveys:
        return Surveys(self._rest, self._settings(), self._contacts())
