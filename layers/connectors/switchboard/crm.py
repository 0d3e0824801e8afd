"""The CRM port: what Switchboard asks of a CRM, whichever it is.

`CrmConnector` is the Protocol, the dataclasses are what crosses it. `connectors/builtin_crm` keeps
the CRM in DynamoDB; `tests/integration/crm_contract.py` is the suite that every CRM has to pass.

Every write takes a `key`: a name that the caller derives from its own work (its ledger id). The same key
never writes twice, so a worker that was killed after the write simply repeats it.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

UNLINKED = "unlinked"
"""The `customer_id` of a case whose customer a person has still to settle."""


@dataclass(frozen=True, slots=True)
class SocialProfile:
    """A person on one social network: the network's own id of the author, unique in its community."""

    community: str
    author_id: str
    author_name: str
    handle: str | None = None


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

    def find_open_case(self, customer_id: str, conversation: str, *, active_within: timedelta) -> Case | None:
        """The customer's open case of this conversation whose last activity is within `active_within`."""

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


@runtime_checkable
class RecordReader(Protocol):
    """A CRM whose records can be read by the ids that its CRM events carry."""

    def get_record(
        self,
        account_id: str,
        *,
        case_id: str | None = None,
        followup_id: str | None = None,
        task_id: str | None = None,
    ) -> dict[str, Any]:
        """The record under the CRM API's field names; which ids are given says what it is.

        Raises VendorError `not-found` or `record-deleted`.
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
