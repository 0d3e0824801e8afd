"""The CRM port: what Switchboard asks of a CRM, whichever it is.

`CrmConnector` is the Protocol, the dataclasses are what crosses it. `connectors/builtin_crm` keeps
the CRM in DynamoDB; `tests/integration/crm_contract.py` is the suite that every CRM has to pass.

Every write takes a `key`: a name that the caller derives from its own work (its ledger id). The same key
never writes twice, so a worker that was killed after the write simply repeats it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal, Protocol, runtime_checkable

from switchboard.versions import Version

UNLINKED = "unlinked"
"""The `customer_id` of a case whose customer a person has still to settle."""


@dataclass(frozen=True, slots=True)
class SocialProfile:
    """A person on one social network: the network's own id of the author, unique in its community."""

    community: str
    author_id: str
    author_name: str
    handle: str | None = None
    as_of: str = ""
    """When the author went by this name, RFC 3339: an older post never brings an older name back."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as the steps see one.

    `temporary`: the name is only a user name until someone knows better. `created`: this very call, or an
    earlier one with the same key, made the customer.
    """

    customer_id: str
    first_name: str | None
    last_name: str
    temporary: bool = False
    created: bool = False


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case to open. `conversation` names the thread of posts that belongs to it."""

    subject: str
    description: str
    channel: str
    conversation: str | None = None
    assigned_to: str | None = None
    priority: str | None = None
    candidates: tuple[str, ...] = ()
    """Customers that all match, when the case is opened `UNLINKED`."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case as the steps see one. `created`: this call, or an earlier one with the same key, opened it."""

    customer_id: str
    case_id: str
    status: str
    assigned_to: str | None = None
    created: bool = False


@dataclass(frozen=True, slots=True)
class CustomerMatch:
    """The customers that carry one social profile: none, one, or several to settle."""

    customers: tuple[Customer, ...] = field(default=())

    @property
    def only(self) -> Customer | None:
        """The customer when there is exactly one; several are never narrowed down to the first."""
        return self.customers[0] if len(self.customers) == 1 else None


@dataclass(frozen=True, slots=True)
class NewLead:
    """A lead to create, its e-mail address or phone number given.

    `phone` is E.164. `email_key` is what addresses are compared by (see `leads.email_key`). `external_id` is
    the source's own id of the lead, unique over all sources. `profiles` are the authors of the posts that it
    came from.
    """

    last_name: str
    first_name: str | None = None
    email: str | None = None
    email_key: str | None = None
    phone: str | None = None
    company: str | None = None
    country: str | None = None
    external_id: str | None = None
    campaign_source_id: str | None = None
    assigned_to: str | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    consent: Mapping[str, Any] = field(default_factory=dict)
    profiles: tuple[SocialProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead that was created, with the customer whose it is."""

    lead_id: str
    customer_id: str
    assigned_to: str | None = None


@runtime_checkable
class LeadReader(Protocol):
    """A CRM that tells, without writing anything, what would become of a lead."""

    def look_up_lead(self, lead: NewLead, *, key: str) -> tuple[str | None, str | None]:
        """The lead that this `key` has created, and the customer whose it is or would be; None for none.

        Raises VendorError `duplicate-lead` or `ambiguous-lead`, as `create_lead` does.
        """


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign. `source_id` is what a lead names it by."""

    campaign_id: str
    source_id: str
    name: str
    type: str | None = None
    status: str | None = None
    start_date: date | None = None
    end_date: date | None = None


@dataclass(frozen=True, slots=True)
class CampaignFilter:
    """Which campaigns are asked for: name contains (ignoring case), started on or after, on or before."""

    name: str | None = None
    started_from: date | None = None
    started_until: date | None = None
    status: str | None = None

    def takes(self, campaign: Campaign) -> bool:
        """Whether a campaign passes; one without a start date passes no date."""
        start = campaign.start_date
        return (
            (self.name is None or self.name.casefold() in campaign.name.casefold())
            and (self.started_from is None or (start is not None and start >= self.started_from))
            and (self.started_until is None or (start is not None and start <= self.started_until))
            and (self.status is None or self.status.casefold() == (campaign.status or "").casefold())
        )


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """Some campaigns; `next` continues the list, None at its end."""

    items: tuple[Campaign, ...]
    next: str | None = None


@runtime_checkable
class CampaignKeeper(Protocol):
    """A CRM in which campaigns can be made through Switchboard, because it has no user interface."""

    def create_campaign(self, campaign: Campaign, *, key: str) -> Campaign:
        """Create a campaign; its ids are the CRM's own, those given count for nothing."""


@dataclass(frozen=True, slots=True)
class MemberSync:
    """What came of a member's synchronization: the member's CT Sync Status and CT Sync Error (source 003).

    `status`: `Success`, `Data Error`, `CT Failure` or `OIC Failure`. `error`: the vendor's words, None for
    none. `version`: of the member's data that this is about. `crowdtwist_id`: the vendor's own id.
    """

    status: str
    error: str | None
    version: Version
    crowdtwist_id: int | str | None = None


@dataclass(frozen=True, slots=True)
class MemberPush:
    """What the loyalty programme says of a member (its data push).

    Either the member's profile there (`profile`, under the vendor's names), or that the member has entered
    or left a segment. `at`: RFC 3339, when it happened, or came in where the vendor does not say.
    """

    at: str
    profile: Mapping[str, Any] | None = None
    segment: str | None = None
    entered: bool = False


class CrmConnector(Protocol):
    """The verbs of a CRM. Each raises `errors.VendorError` for what the CRM refuses or fails to answer."""

    def find_customers_by_profile(self, community: str, author_id: str, *, key: str) -> CustomerMatch:
        """Customers that carry this social profile; deleted ones never count.

        One that was created with this `key` has `created` set: so a repeat knows its own.
        """

    def create_customer_from_profile(self, profile: SocialProfile, *, key: str) -> Customer:
        """A temporary customer whose first and last name are the author's user name.

        Two calls for one profile at once make one customer: the second gets the first one's, with
        `created` false. Raises VendorError `record-deleted` when this key's customer was deleted since.
        """

    def rename_temporary_customer(self, customer_id: str, profile: SocialProfile) -> Customer:
        """Give a customer that is still temporary the author's present user name; leave a settled one alone.

        Answers the customer as it is then. Raises VendorError `record-deleted` or `not-found`.
        """

    def find_open_case(
        self, customer_id: str, conversation: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """The customer's open case of this conversation whose last activity is within `active_within`.

        The one that was opened with this `key` has `created` set, and goes before others.
        """

    def open_case(self, customer_id: str, case: NewCase, *, key: str) -> Case:
        """Open a case; with a `key` that has already opened one, that one (its `created` stays true).

        Raises VendorError `record-deleted` or `not-found` when the customer is gone; the caller then
        finds or creates one again. The key holds within one customer: the caller writes down for whom
        before it opens.
        """

    def append_to_case(
        self, customer_id: str, case_id: str, body: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """Add a followup to a case that is open and was active within `active_within`; None when it is not.

        With a `key` that has already added one, the case as it is, and no second followup. A case that was
        `UNLINKED` and has its customer by now is followed there. `assigned_to` may be None for not known.
        """

    def link_case(self, case_id: str, customer_id: str) -> Case:
        """Move an `UNLINKED` case to the customer that a person settled on; again, it changes nothing.

        Raises VendorError `not-found`, `record-deleted`, or `conflict` when it has another customer by now.
        """

    def note_on_case(self, customer_id: str, case_id: str, body: str, *, key: str) -> None:
        """Add a followup to a case, open or closed; with a `key` that has added one, nothing.

        A case that was `UNLINKED` and has its customer by now is noted on there. Raises VendorError
        `record-deleted` or `not-found` when the case is gone.
        """

    def create_lead(self, lead: NewLead, *, key: str) -> Lead:
        """Create a lead on the customer it belongs to, who is made when there is none.

        The customer is the author of `profiles`, or who has the e-mail address, or who has the phone number;
        one that is temporary is completed with the lead's name and contact details. With a `key` that has
        created a lead, that one. Many calls at once for one person make one lead.

        Raises:
            VendorError: `duplicate-lead` when a lead has the same external id, e-mail address or phone
                number, with `leadId` and `matchedOn` in `extra`; `ambiguous-lead` when more than one customer
                matches, with `candidates` in `extra`. Nothing is written then.
        """

    def find_campaigns(self, wanted: CampaignFilter, *, limit: int, cursor: str | None) -> CampaignPage:
        """A page of the campaigns that `wanted` takes; raises VendorError `invalid` for a bad cursor."""

    def get_campaign(self, campaign_id: str) -> Campaign:
        """The campaign; raises VendorError `not-found`."""

    # Members (source 003)

    def write_member_sync(
        self, member_number: str, sync: MemberSync, *, profile: Mapping[str, Any] | None
    ) -> None:
        """Write CT Sync Status and CT Sync Error on the member; an older version changes nothing.

        `profile` is the member's data (the API's names): a CRM that holds the member itself leaves it alone,
        the built-in one keeps it, unless it was changed there since; None leaves the data alone. Writing the
        same again is harmless. Raises VendorError `not-found` when
        the CRM has no such member.
        """

    def write_member_push(self, member_number: str, push: MemberPush) -> None:
        """Write on the member what the loyalty programme says of him; writing the same again is harmless."""

    def get_member(self, member_number: str) -> Mapping[str, Any] | None:
        """The member: his own data under the API's names, `ctSyncStatus`, `ctSyncError`, and `crowdTwist`,
        which is what the loyalty programme has pushed (`profile`, and `segments` by name). None for nobody.

        A CRM that numbers the changes of its members says `version`, and who enrolled one here `partnerId`.
        """


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """Which customers are asked for; several conditions hold together.

    `email` ignores case, `phone` is E.164, `profile` is (community, author id), and `text` is contained in
    name, e-mail address or company, ignoring case.
    """

    email: str | None = None
    phone: str | None = None
    profile: tuple[str, str] | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records; `next` continues the list, None at its end."""

    items: list[dict[str, Any]]
    next: str | None


@runtime_checkable
class RecordReader(Protocol):
    """A CRM whose records can be read: by the ids that its CRM events carry, by search, and in lists.

    Records have the CRM API's field names and their own ids; `rev` only where the CRM counts changes.
    """

    def get_record(
        self,
        account_id: str,
        *,
        case_id: str | None = None,
        followup_id: str | None = None,
        task_id: str | None = None,
    ) -> dict[str, Any]:
        """The record; which ids are given says what it is.

        Raises VendorError `not-found` or `record-deleted`.
        """

    def find_customers(self, wanted: CustomerFilter, *, limit: int, cursor: str | None) -> RecordPage:
        """A page of the customers that `wanted` takes; deleted ones never count.

        Raises SwitchboardError `invalid` for a bad cursor.
        """

    def list_records(
        self,
        crm_object: Literal["case", "followup", "task"],
        account_id: str,
        case_id: str | None = None,
        *,
        limit: int,
        cursor: str | None,
    ) -> RecordPage:
        """A page of a customer's cases or tasks, or of a case's followups.

        Raises VendorError `not-found` or `record-deleted` for a customer or case that is not there, and
        SwitchboardError `invalid` for a bad cursor.
        """


@dataclass(frozen=True, slots=True)
class SurveyResponse:
    """One person's answers to one survey, as the CRM keeps them.

    `responded_at`: RFC 3339. `answers`: one (question code, question, answer) for each question, as text.
    """

    survey_id: str
    response_id: str
    status: str
    responded_at: str
    answers: tuple[tuple[str, str, str], ...] = ()
    survey_name: str | None = None
    invitation_id: str | None = None


@runtime_checkable
class SurveyKeeper(Protocol):
    """A CRM that keeps survey responses on its customers."""

    def find_customers_by_email(self, email: str) -> tuple[str, ...]:
        """The ids of the customers with this e-mail address, ignoring case; deleted ones never count."""

    def note_survey_invitation(self, customer_id: str, survey_id: str, url: str, *, reminders: int) -> None:
        """Write the personal survey URL on the customer, so that the CRM can send the mail.

        `reminders`: how many are due by now, 0 for the invitation itself. Writing the same again changes
        nothing. Raises VendorError `not-found` or `record-deleted`.
        """

    def upsert_survey_response(self, customer_id: str, response: SurveyResponse) -> None:
        """Write a response on its customer; the same response again takes the earlier one's place.

        Raises VendorError `not-found` or `record-deleted` when the customer is gone.
        """

    def survey_responses(self, customer_id: str) -> list[SurveyResponse]:
        """The customer's responses, by survey and response id."""
