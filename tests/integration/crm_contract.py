"""The contract of the CRM port: what every `CrmConnector` has to pass.

A CRM's own test module subclasses `CrmContract` and gives it two fixtures: `crm`, the connector, and `desk`,
the people who work in that CRM. No test here knows which CRM it is.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, Protocol

import pytest

from switchboard.crm import (
    UNLINKED,
    Campaign,
    CampaignFilter,
    CrmConnector,
    Customer,
    CustomerFilter,
    LeadReader,
    MemberPush,
    MemberSync,
    RecordReader,
    SurveyKeeper,
    SurveyResponse,
)
from switchboard.errors import VendorError
from tests.support.factories import key, new_case, new_lead, profile

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

ODD_TEXTS = [
    'O\'Brien "the #1" <script>alert(1)</script>',
    "名無し 👩‍👩‍👧‍👦 é e\u0301 \u202eevil",
    "a#b/c?d&e=f%20+;|*\\[Name]=LIKE '*'",
    "  spaces, a tab\tand\na line  ",
    "x" * 10_000,
]

PROFILE = {"firstName": "Jane", "lastName": "Miller", "email": "jane@example.com", "attributes": {"x": 1.5}}


class Desk(Protocol):
    """The people who work in the CRM, and its clock: what the port has no verb for."""

    def wait(self, duration: timedelta) -> None:
        """Let time pass in the CRM."""

    def add_profile(self, customer_id: str, community: str, author_id: str) -> None:
        """Put one more social profile on a customer; whoever carries it already keeps it."""

    def set_name(self, customer_id: str, first_name: str, last_name: str) -> None:
        """Complete a customer with a real name."""

    def delete_customer(self, customer_id: str) -> None:
        """Delete a customer."""

    def close_case(self, customer_id: str, case_id: str) -> None:
        """Close a case."""

    def cases(self, customer_id: str) -> dict[str, tuple[str, str]]:
        """Subject and description of each of the customer's cases, by case id."""

    def followups(self, customer_id: str, case_id: str) -> list[str]:
        """The texts of a case's followups, in any order."""

    def add_customer(self, name: str, *, email: str | None = None, phone: str | None = None) -> str:
        """Add a customer with this last name, and answer its id."""

    def contact_of(self, customer_id: str) -> tuple[str | None, str, str | None, str | None]:
        """A customer's first and last name, e-mail address and phone number."""

    def leads(self, customer_id: str) -> dict[str, str | None]:
        """The campaign's source id of each of the customer's leads, by lead id."""

    def campaigns(self, *campaigns: Campaign) -> None:
        """Make these the CRM's only campaigns; their ids count for nothing."""

    def add_task(self, customer_id: str, subject: str) -> str:
        """Add a task for a customer, and answer its id."""

    def enrol_member(self, number: str, first_name: str, last_name: str) -> None:
        """Enrol a member of the loyalty programme, where that is done in the CRM."""


def at_once[T](*calls: Callable[[], T]) -> list[T]:
    """Run the calls in threads of their own, and return what they return."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


class CrmContract:
    """The suite; `crm` and `desk` are fixtures of the subclass."""

    @pytest.fixture
    def customer(self, crm: CrmConnector) -> Customer:
        """A temporary customer."""
        return crm.create_customer_from_profile(profile(), key=key())

    # Customers

    def test_an_unknown_profile_has_no_customers(self, crm: CrmConnector) -> None:
        match = crm.find_customers_by_profile("twitter", "nobody", key="k")

        assert match.customers == ()
        assert match.only is None

    def test_a_new_customer_has_the_user_name_twice_and_is_temporary(self, crm: CrmConnector) -> None:
        jane = profile(author_name="jane_doe", handle="@jane")

        made = crm.create_customer_from_profile(jane, key=key())
        found = crm.find_customers_by_profile(jane.community, jane.author_id, key="k").only

        assert (made.first_name, made.last_name) == ("jane_doe", "jane_doe")
        assert made.temporary
        assert made.created
        assert found == Customer(made.customer_id, "jane_doe", "jane_doe", temporary=True)

    def test_the_same_key_again_is_the_same_customer(self, crm: CrmConnector) -> None:
        jane, work = profile(), key()

        assert crm.create_customer_from_profile(jane, key=work) == crm.create_customer_from_profile(
            jane, key=work
        )
        assert len(crm.find_customers_by_profile(jane.community, jane.author_id, key="k").customers) == 1

    def test_two_keys_for_one_profile_make_one_customer(self, crm: CrmConnector) -> None:
        jane = profile()

        first = crm.create_customer_from_profile(jane, key=key())
        second = crm.create_customer_from_profile(jane, key=key())

        assert second.customer_id == first.customer_id
        assert (first.created, second.created) == (True, False)

    def test_many_at_once_for_one_profile_make_one_customer(self, crm: CrmConnector) -> None:
        jane = profile()
        keys = [key() for _ in range(8)]

        made = at_once(*(lambda work=work: crm.create_customer_from_profile(jane, key=work) for work in keys))

        assert len({each.customer_id for each in made}) == 1
        assert [each.created for each in made].count(True) == 1
        assert crm.find_customers_by_profile(jane.community, jane.author_id, key="k").only is not None

    def test_one_key_many_times_at_once_makes_one_customer(self, crm: CrmConnector) -> None:
        jane, work = profile(), key()

        made = at_once(*[lambda: crm.create_customer_from_profile(jane, key=work)] * 8)

        assert len(set(made)) == 1
        assert crm.find_customers_by_profile(jane.community, jane.author_id, key="k").only is not None

    def test_one_author_id_in_two_communities_is_two_customers(self, crm: CrmConnector) -> None:
        here = crm.create_customer_from_profile(profile(community="twitter", author_id="42"), key=key())
        there = crm.create_customer_from_profile(profile(community="forum", author_id="42"), key=key())

        assert here.customer_id != there.customer_id
        assert _only(crm, "twitter", "42") == here.customer_id
        assert _only(crm, "forum", "42") == there.customer_id

    def test_the_case_of_a_community_does_not_matter_that_of_an_author_id_does(
        self, crm: CrmConnector
    ) -> None:
        jane = crm.create_customer_from_profile(profile(community="Twitter", author_id="aB"), key=key())

        assert _only(crm, "tWITTER", "aB") == jane.customer_id
        assert _only(crm, "twitter", "ab") is None

    @pytest.mark.parametrize("separator", ["#", "/", ":", "|", " ", "\x00", "\n", ",", "''", '","'])
    def test_separators_in_ids_mix_up_nobody(self, crm: CrmConnector, separator: str) -> None:
        one = profile(community=f"a{separator}b", author_id="c")
        other = profile(community="a", author_id=f"b{separator}c")

        first = crm.create_customer_from_profile(one, key=key())
        second = crm.create_customer_from_profile(other, key=key())

        assert first.customer_id != second.customer_id
        assert _only(crm, one.community, one.author_id) == first.customer_id
        assert _only(crm, other.community, other.author_id) == second.customer_id

    def test_a_very_long_author_id(self, crm: CrmConnector) -> None:
        jane = profile(author_id="9" * 5_000)

        made = crm.create_customer_from_profile(jane, key=key())

        assert _only(crm, jane.community, jane.author_id) == made.customer_id
        assert _only(crm, jane.community, jane.author_id[1:]) is None

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_odd_names_come_back_unchanged(self, crm: CrmConnector, text: str) -> None:
        jane = profile(author_name=text)

        crm.create_customer_from_profile(jane, key=key())
        found = crm.find_customers_by_profile(jane.community, jane.author_id, key="k").only

        assert found is not None
        assert (found.first_name, found.last_name) == (text, text)

    def test_two_customers_with_one_profile_are_never_narrowed_down(
        self, crm: CrmConnector, desk: Desk
    ) -> None:
        jane = profile()
        one = crm.create_customer_from_profile(jane, key=key())
        other = crm.create_customer_from_profile(profile(), key=key())
        desk.add_profile(other.customer_id, jane.community, jane.author_id)

        match = crm.find_customers_by_profile(jane.community, jane.author_id, key="k")

        assert {each.customer_id for each in match.customers} == {one.customer_id, other.customer_id}
        assert match.only is None

    def test_one_customer_with_two_profiles(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        desk.add_profile(customer.customer_id, "forum", "jane-in-the-forum")
        desk.add_profile(customer.customer_id, "forum", "jane-in-the-forum")

        assert _only(crm, "forum", "jane-in-the-forum") == customer.customer_id

    def test_a_temporary_customer_follows_the_user_name(self, crm: CrmConnector, desk: Desk) -> None:
        jane = profile(author_name="jane")
        made = crm.create_customer_from_profile(jane, key=key())
        desk.add_profile(made.customer_id, "forum", "jane-in-the-forum")

        renamed = crm.rename_temporary_customer(
            made.customer_id, profile(author_id=jane.author_id, author_name="jane2")
        )

        assert (renamed.first_name, renamed.last_name, renamed.temporary) == ("jane2", "jane2", True)
        for community, author_id in (("twitter", jane.author_id), ("forum", "jane-in-the-forum")):
            found = crm.find_customers_by_profile(community, author_id, key="k").only
            assert found == Customer(made.customer_id, "jane2", "jane2", temporary=True)

    def test_a_settled_customer_keeps_the_name(self, crm: CrmConnector, desk: Desk) -> None:
        jane = profile(author_name="jane")
        made = crm.create_customer_from_profile(jane, key=key())
        desk.set_name(made.customer_id, "Jane", "Miller")

        answered = crm.rename_temporary_customer(
            made.customer_id, profile(author_id=jane.author_id, author_name="x")
        )
        found = crm.find_customers_by_profile(jane.community, jane.author_id, key="k").only

        assert answered == found == Customer(made.customer_id, "Jane", "Miller", temporary=False)

    def test_after_a_deletion_the_next_post_makes_a_new_customer(self, crm: CrmConnector, desk: Desk) -> None:
        jane = profile()
        gone = crm.create_customer_from_profile(jane, key=key())
        desk.add_profile(gone.customer_id, "forum", "jane-in-the-forum")

        desk.delete_customer(gone.customer_id)

        assert _only(crm, jane.community, jane.author_id) is None
        assert _only(crm, "forum", "jane-in-the-forum") is None
        new = crm.create_customer_from_profile(jane, key=key())
        assert new.created
        assert new.customer_id != gone.customer_id
        assert _only(crm, jane.community, jane.author_id) == new.customer_id

    def test_a_repeat_does_not_bring_a_deleted_customer_back(self, crm: CrmConnector, desk: Desk) -> None:
        jane, work = profile(), key()
        gone = crm.create_customer_from_profile(jane, key=work)
        desk.delete_customer(gone.customer_id)

        with pytest.raises(VendorError) as raised:
            crm.create_customer_from_profile(jane, key=work)

        assert raised.value.code == "record-deleted"
        assert _only(crm, jane.community, jane.author_id) is None

    def test_a_deleted_customer_is_not_renamed(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        desk.delete_customer(customer.customer_id)

        with pytest.raises(VendorError):
            crm.rename_temporary_customer(customer.customer_id, profile())

    # Cases

    def test_a_new_case_is_open_and_holds_what_was_given(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        asked = new_case(assigned_to="team-network")

        case = crm.open_case(customer.customer_id, asked, key=key())

        assert (case.customer_id, case.status) == (customer.customer_id, "open")
        assert case.assigned_to == "team-network"
        assert case.created
        assert desk.cases(customer.customer_id) == {case.case_id: (asked.subject, asked.description)}

    def test_opening_with_the_same_key_opens_one_case(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        asked, work = new_case(), key()

        opened = at_once(*[lambda: crm.open_case(customer.customer_id, asked, key=work)] * 4)
        opened.append(crm.open_case(customer.customer_id, asked, key=work))

        assert len(set(opened)) == 1
        assert opened[0].created
        assert len(desk.cases(customer.customer_id)) == 1

    def test_two_keys_open_two_cases(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        asked = new_case()

        one = crm.open_case(customer.customer_id, asked, key=key())
        other = crm.open_case(customer.customer_id, asked, key=key())

        assert set(desk.cases(customer.customer_id)) == {one.case_id, other.case_id}

    def test_a_deleted_customer_gets_no_case(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        desk.delete_customer(customer.customer_id)

        with pytest.raises(VendorError):
            crm.open_case(customer.customer_id, new_case(), key=key())

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_odd_texts_come_back_unchanged(
        self, crm: CrmConnector, desk: Desk, customer: Customer, text: str
    ) -> None:
        asked = new_case(subject=text[:200], description=text)

        case = crm.open_case(customer.customer_id, asked, key=key())
        crm.append_to_case(customer.customer_id, case.case_id, text, key=key(), active_within=WEEK)

        assert desk.cases(customer.customer_id) == {case.case_id: (text[:200], text)}
        assert desk.followups(customer.customer_id, case.case_id) == [text]

    # Threading into a case

    def test_a_followup_goes_into_an_open_case(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        desk.wait(WEEK - SECOND)

        appended = crm.append_to_case(
            customer.customer_id, case.case_id, "still", key=key(), active_within=WEEK
        )

        assert appended is not None
        assert (appended.customer_id, appended.case_id) == (customer.customer_id, case.case_id)
        assert appended.status == "open"
        assert not appended.created
        assert desk.followups(customer.customer_id, case.case_id) == ["still"]

    def test_each_followup_keeps_the_case_active(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        for body in ("one", "two", "three"):
            desk.wait(WEEK - DAY)
            assert crm.append_to_case(customer.customer_id, case.case_id, body, key=key(), active_within=WEEK)

        assert sorted(desk.followups(customer.customer_id, case.case_id)) == ["one", "three", "two"]

    def test_nothing_goes_into_a_case_that_was_inactive_too_long(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        desk.wait(WEEK + SECOND)

        assert (
            crm.append_to_case(customer.customer_id, case.case_id, "x", key=key(), active_within=WEEK) is None
        )
        assert desk.followups(customer.customer_id, case.case_id) == []

    def test_nothing_goes_into_a_closed_case(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        desk.close_case(customer.customer_id, case.case_id)

        assert (
            crm.append_to_case(customer.customer_id, case.case_id, "x", key=key(), active_within=WEEK) is None
        )
        assert desk.followups(customer.customer_id, case.case_id) == []

    def test_nothing_goes_into_a_case_that_is_not_there(self, crm: CrmConnector, customer: Customer) -> None:
        assert (
            crm.append_to_case(customer.customer_id, "no-such-case", "x", key=key(), active_within=WEEK)
            is None
        )

    def test_appending_with_the_same_key_adds_one_followup(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        work = key()

        def append() -> str | None:
            appended = crm.append_to_case(
                customer.customer_id, case.case_id, "once", key=work, active_within=WEEK
            )
            return appended.case_id if appended else None

        assert set(at_once(*[append] * 4)) == {case.case_id}
        assert desk.followups(customer.customer_id, case.case_id) == ["once"]

    def test_a_repeat_after_the_case_was_closed_answers_the_case(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        work = key()
        crm.append_to_case(customer.customer_id, case.case_id, "once", key=work, active_within=WEEK)
        desk.close_case(customer.customer_id, case.case_id)
        desk.wait(WEEK + DAY)

        repeated = crm.append_to_case(
            customer.customer_id, case.case_id, "once", key=work, active_within=WEEK
        )

        assert repeated is not None
        assert (repeated.case_id, repeated.status) == (case.case_id, "closed")
        assert desk.followups(customer.customer_id, case.case_id) == ["once"]

    # Finding the open case of a conversation

    def test_the_open_case_of_a_conversation_is_found(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(customer.customer_id, new_case(conversation="c-1"), key=key())
        crm.open_case(customer.customer_id, new_case(conversation="c-2"), key=key())
        desk.wait(WEEK - SECOND)

        found = crm.find_open_case(customer.customer_id, "c-1", key="k", active_within=WEEK)

        assert found is not None
        assert (found.case_id, found.status, found.created) == (case.case_id, "open", False)

    def test_of_two_open_cases_the_latest_active_is_found(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        one, other = (
            crm.open_case(customer.customer_id, new_case(conversation="c"), key=key()) for _ in range(2)
        )
        for case in (one, other, one):
            desk.wait(DAY)
            crm.append_to_case(customer.customer_id, case.case_id, "x", key=key(), active_within=WEEK)

        found = crm.find_open_case(customer.customer_id, "c", key="k", active_within=WEEK)

        assert found is not None
        assert found.case_id == one.case_id

    def test_closed_stale_foreign_and_other_cases_are_not_found(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        stranger = crm.create_customer_from_profile(profile(), key=key())
        crm.open_case(customer.customer_id, new_case(conversation="stale"), key=key())
        desk.wait(WEEK + SECOND)
        closed = crm.open_case(customer.customer_id, new_case(conversation="closed"), key=key())
        desk.close_case(customer.customer_id, closed.case_id)
        crm.open_case(stranger.customer_id, new_case(conversation="foreign"), key=key())
        crm.open_case(customer.customer_id, new_case(conversation="other"), key=key())
        crm.open_case(customer.customer_id, new_case(conversation=None), key=key())

        for conversation in ("stale", "closed", "foreign", "othe", "other2", ""):
            assert crm.find_open_case(customer.customer_id, conversation, key="k", active_within=WEEK) is None

    def test_the_open_case_is_found_among_many(self, crm: CrmConnector, customer: Customer) -> None:
        description = "x" * 30_000
        for number in range(60):
            case = new_case(conversation=f"c-{number}", description=description)
            crm.open_case(customer.customer_id, case, key=key())

        for number in (0, 31, 59):
            assert (
                crm.find_open_case(customer.customer_id, f"c-{number}", key="k", active_within=WEEK)
                is not None
            )

    # A case whose customer a person has to settle

    def test_an_unlinked_case_is_threaded_into_as_any_other(self, crm: CrmConnector, desk: Desk) -> None:
        work = key()
        case = crm.open_case(UNLINKED, new_case(conversation="c", candidates=("a", "b")), key=work)

        assert case.customer_id == UNLINKED
        assert crm.open_case(UNLINKED, new_case(conversation="c"), key=work) == case
        found = crm.find_open_case(UNLINKED, "c", key="k", active_within=WEEK)
        assert found is not None
        assert found.case_id == case.case_id
        assert crm.append_to_case(UNLINKED, case.case_id, "more", key=key(), active_within=WEEK)
        assert desk.followups(UNLINKED, case.case_id) == ["more"]

    def test_a_linked_case_is_the_customers_with_all_its_followups(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        asked = new_case(conversation="c")
        case = crm.open_case(UNLINKED, asked, key=key())
        bodies = [f"followup {number}" for number in range(5)]
        for body in bodies:
            crm.append_to_case(UNLINKED, case.case_id, body, key=key(), active_within=WEEK)

        linked = crm.link_case(case.case_id, customer.customer_id)

        assert (linked.customer_id, linked.case_id, linked.status) == (
            customer.customer_id,
            case.case_id,
            "open",
        )
        assert desk.cases(customer.customer_id) == {case.case_id: (asked.subject, asked.description)}
        assert sorted(desk.followups(customer.customer_id, case.case_id)) == bodies
        assert desk.cases(UNLINKED) == {}
        assert crm.find_open_case(UNLINKED, "c", key="k", active_within=WEEK) is None
        assert crm.find_open_case(customer.customer_id, "c", key="k", active_within=WEEK) is not None

    def test_linking_twice_changes_nothing(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        case = crm.open_case(UNLINKED, new_case(), key=key())
        crm.append_to_case(UNLINKED, case.case_id, "more", key=key(), active_within=WEEK)

        linked = [crm.link_case(case.case_id, customer.customer_id) for _ in range(2)]
        linked += at_once(*[lambda: crm.link_case(case.case_id, customer.customer_id)] * 3)

        assert len(set(linked)) == 1
        assert desk.followups(customer.customer_id, case.case_id) == ["more"]

    def test_a_case_that_has_its_customer_is_not_given_to_another(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        stranger = crm.create_customer_from_profile(profile(), key=key())
        case = crm.open_case(UNLINKED, new_case(), key=key())
        crm.link_case(case.case_id, customer.customer_id)

        with pytest.raises(VendorError) as raised:
            crm.link_case(case.case_id, stranger.customer_id)

        assert raised.value.code == "conflict"
        assert desk.cases(stranger.customer_id) == {}

    def test_a_case_is_not_linked_to_a_deleted_customer(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(UNLINKED, new_case(), key=key())
        desk.delete_customer(customer.customer_id)

        with pytest.raises(VendorError):
            crm.link_case(case.case_id, customer.customer_id)

        assert set(desk.cases(UNLINKED)) == {case.case_id}

    def test_a_case_that_is_not_there_is_not_linked(self, crm: CrmConnector, customer: Customer) -> None:
        with pytest.raises(VendorError) as raised:
            crm.link_case("no-such-case", customer.customer_id)

        assert raised.value.code == "not-found"

    def test_work_that_knows_the_case_as_unlinked_finds_it_at_its_customer(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        opened, appended = key(), key()
        case = crm.open_case(UNLINKED, new_case(), key=opened)
        crm.append_to_case(UNLINKED, case.case_id, "before", key=appended, active_within=WEEK)
        crm.link_case(case.case_id, customer.customer_id)

        again = crm.open_case(UNLINKED, new_case(), key=opened)
        repeat = crm.append_to_case(UNLINKED, case.case_id, "before", key=appended, active_within=WEEK)
        later = crm.append_to_case(UNLINKED, case.case_id, "after", key=key(), active_within=WEEK)

        for known in (again, repeat, later):
            assert known is not None
            assert (known.customer_id, known.case_id) == (customer.customer_id, case.case_id)
        assert sorted(desk.followups(customer.customer_id, case.case_id)) == ["after", "before"]
        assert desk.cases(UNLINKED) == {}

    # Noting an answer on a case

    def test_a_note_goes_into_an_open_and_into_a_closed_case_once(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        first, second = key(), key()
        for work in (first, first):
            crm.note_on_case(customer.customer_id, case.case_id, "answered", key=work)
        desk.close_case(customer.customer_id, case.case_id)
        crm.note_on_case(customer.customer_id, case.case_id, "answered late", key=second)

        assert sorted(desk.followups(customer.customer_id, case.case_id)) == ["answered", "answered late"]

    def test_a_note_follows_a_case_to_its_customer(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        case = crm.open_case(UNLINKED, new_case(), key=key())
        crm.link_case(case.case_id, customer.customer_id)

        crm.note_on_case(UNLINKED, case.case_id, "answered", key=key())

        assert desk.followups(customer.customer_id, case.case_id) == ["answered"]

    def test_a_note_on_no_case_is_refused(self, crm: CrmConnector, customer: Customer) -> None:
        with pytest.raises(VendorError) as raised:
            crm.note_on_case(customer.customer_id, "no-such-case", "x", key=key())

        assert raised.value.code in ("not-found", "record-deleted")

    # Leads

    def test_a_lead_of_nobody_known_makes_a_customer(self, crm: CrmConnector, desk: Desk) -> None:
        asked = new_lead(first_name="Ann", last_name="Lee", phone="+4930111222", assigned_to="team-a")

        lead = crm.create_lead(asked, key=key())

        assert lead.assigned_to == "team-a"
        assert desk.contact_of(lead.customer_id) == ("Ann", "Lee", asked.email, "+4930111222")
        assert list(desk.leads(lead.customer_id)) == [lead.lead_id]

    def test_the_same_key_again_is_the_same_lead(self, crm: CrmConnector, desk: Desk) -> None:
        asked, work = new_lead(), key()

        made = {crm.create_lead(asked, key=work) for _ in range(3)}

        assert len(made) == 1
        assert len(desk.leads(made.pop().customer_id)) == 1

    @pytest.mark.parametrize(
        ("first", "second", "matched_on"),
        [
            ({"email": "Jane@example.com"}, {"email": "jane@EXAMPLE.com"}, "email"),
            ({"email": None, "phone": "+4930111222"}, {"phone": "+4930111222"}, "phone"),
            ({"external_id": "meta:1"}, {"external_id": "meta:1"}, "externalId"),
            (
                {"external_id": "meta:1", "email": "a@example.com", "phone": "+4930111222"},
                {"external_id": "meta:2", "email": "a@example.com", "phone": "+4930111222"},
                "email",
            ),
        ],
    )
    def test_a_duplicate_lead_is_refused(
        self,
        crm: CrmConnector,
        desk: Desk,
        first: dict[str, str | None],
        second: dict[str, str | None],
        matched_on: str,
    ) -> None:
        made = crm.create_lead(new_lead(**first), key=key())

        with pytest.raises(VendorError) as raised:
            crm.create_lead(new_lead(**second), key=key())

        assert raised.value.code == "duplicate-lead"
        assert raised.value.extra == {"leadId": made.lead_id, "matchedOn": matched_on}
        assert len(desk.leads(made.customer_id)) == 1

    def test_a_look_up_tells_what_would_become_of_a_lead(self, crm: CrmConnector, desk: Desk) -> None:
        assert isinstance(crm, LeadReader)
        work, asked = key(), new_lead()
        assert crm.look_up_lead(asked, key=work) == (None, None)
        made = crm.create_lead(asked, key=work)
        assert crm.look_up_lead(asked, key=work) == (made.lead_id, made.customer_id)
        with pytest.raises(VendorError) as raised:
            crm.look_up_lead(asked, key=key())
        assert (raised.value.code, raised.value.extra["leadId"]) == ("duplicate-lead", made.lead_id)

    def test_many_leads_of_one_person_at_once_make_one(self, crm: CrmConnector, desk: Desk) -> None:
        asked = new_lead()

        def create(work: str) -> str:
            try:
                return crm.create_lead(asked, key=work).customer_id
            except VendorError as error:
                return error.code

        works = [key() for _ in range(8)]
        made = at_once(*(lambda work=work: create(work) for work in works))

        [customer_id] = [each for each in made if each != "duplicate-lead"]
        assert len(desk.leads(customer_id)) == 1

    def test_a_lead_is_put_on_the_customer_it_belongs_to(self, crm: CrmConnector, desk: Desk) -> None:
        by_email = desk.add_customer("Mail", email="Jane@example.com")
        by_phone = desk.add_customer("Phone", phone="+4930111222")

        mailed = crm.create_lead(new_lead(email="jane@example.com", last_name="X"), key=key())
        called = crm.create_lead(new_lead(phone="+4930111222", last_name="Y"), key=key())

        assert (mailed.customer_id, called.customer_id) == (by_email, by_phone)
        assert desk.contact_of(by_email)[:2] == (None, "Mail")

    def test_two_customers_that_match_get_no_lead(self, crm: CrmConnector, desk: Desk) -> None:
        twins = [desk.add_customer("Twin", phone="+4930111222") for _ in range(2)]
        work = key()

        with pytest.raises(VendorError) as raised:
            crm.create_lead(new_lead(phone="+4930111222"), key=work)

        assert raised.value.code == "ambiguous-lead"
        assert raised.value.extra == {"candidates": sorted(twins)}
        assert [desk.leads(twin) for twin in twins] == [{}, {}]
        desk.delete_customer(twins[0])
        assert crm.create_lead(new_lead(phone="+4930111222"), key=work).customer_id == twins[1]

    def test_a_lead_completes_the_temporary_author_of_its_posts(self, crm: CrmConnector, desk: Desk) -> None:
        jane = profile()
        made = crm.create_customer_from_profile(jane, key=key())
        asked = new_lead(first_name="Jane", last_name="Doe", profiles=(jane,))

        lead = crm.create_lead(asked, key=key())

        assert lead.customer_id == made.customer_id
        assert desk.contact_of(made.customer_id) == ("Jane", "Doe", asked.email, None)
        found = crm.find_customers_by_profile(jane.community, jane.author_id, key="k").only
        assert found == Customer(made.customer_id, "Jane", "Doe", temporary=False)

    def test_a_leads_new_author_is_the_customer_from_then_on(self, crm: CrmConnector) -> None:
        jane = profile()

        lead = crm.create_lead(new_lead(profiles=(jane,)), key=key())

        assert _only(crm, jane.community, jane.author_id) == lead.customer_id

    # Campaigns

    def test_campaigns_are_found_by_name_and_start(self, crm: CrmConnector, desk: Desk) -> None:
        desk.campaigns(
            Campaign("", "", "Spring Push", "Social", "active", date(2026, 3, 1)),
            Campaign("", "", "Summer push", None, "planned", date(2026, 6, 1), date(2026, 7, 1)),
            Campaign("", "", "Undated", None, None),
        )

        def names(**wanted: Any) -> set[str]:
            page = crm.find_campaigns(CampaignFilter(**wanted), limit=100, cursor=None)
            assert page.next is None
            return {campaign.name for campaign in page.items}

        assert names() == {"Spring Push", "Summer push", "Undated"}
        assert names(name="PUSH") == {"Spring Push", "Summer push"}
        assert names(name="push*") == set()
        assert names(started_from=date(2026, 3, 1)) == {"Spring Push", "Summer push"}
        assert names(started_from=date(2026, 3, 2)) == {"Summer push"}
        assert names(started_until=date(2026, 3, 1)) == {"Spring Push"}
        assert names(started_until=date(2026, 2, 28)) == set()
        assert names(status="Planned") == {"Summer push"}

    def test_a_campaign_is_the_same_alone_and_in_the_list(self, crm: CrmConnector, desk: Desk) -> None:
        desk.campaigns(Campaign("", "", "Spring", "Social", "active", date(2026, 3, 1), date(2026, 4, 1)))

        [listed] = crm.find_campaigns(CampaignFilter(), limit=10, cursor=None).items

        assert crm.get_campaign(listed.campaign_id) == listed
        assert (listed.type, listed.status) == ("Social", "active")
        assert (listed.start_date, listed.end_date) == (date(2026, 3, 1), date(2026, 4, 1))
        lead = crm.create_lead(new_lead(campaign_source_id=listed.source_id), key=key())
        assert desk.leads(lead.customer_id) == {lead.lead_id: listed.source_id}

    def test_pages_of_campaigns_have_each_once(self, crm: CrmConnector, desk: Desk) -> None:
        desk.campaigns(
            *(
                Campaign("", "", f"Campaign {number}", None, "active" if number % 2 else "planned")
                for number in range(23)
            )
        )
        for wanted, count in ((CampaignFilter(), 23), (CampaignFilter(status="active"), 11)):
            found: list[str] = []
            cursor: str | None = None
            while True:
                page = crm.find_campaigns(wanted, limit=5, cursor=cursor)
                found += [campaign.name for campaign in page.items]
                assert len(page.items) <= 5
                cursor = page.next
                if cursor is None:
                    break
            assert len(found) == len(set(found)) == count

    @pytest.mark.parametrize("campaign_id", ["no-such", "cmp_0", "", "../x", "1-ABC' OR 'a'='a"])
    def test_a_campaign_that_is_not_there(self, crm: CrmConnector, campaign_id: str) -> None:
        with pytest.raises(VendorError) as raised:
            crm.get_campaign(campaign_id)

        assert raised.value.code == "not-found"

    def test_a_bad_cursor_is_refused(self, crm: CrmConnector) -> None:
        with pytest.raises(VendorError) as raised:
            crm.find_campaigns(CampaignFilter(), limit=5, cursor="0.-1")

        assert raised.value.code == "invalid"

    # Members

    def test_how_a_member_stands_is_written_on_the_member(self, crm: CrmConnector, desk: Desk) -> None:
        number = member_of(desk)
        taken = MemberSync("Data Error", "Email Address is already taken", 1)

        crm.write_member_sync(number, taken, profile=PROFILE)
        crm.write_member_sync(number, taken, profile=PROFILE)

        member = crm.get_member(number)
        assert member is not None
        assert (member["ctSyncStatus"], member["ctSyncError"]) == (taken.status, taken.error)

        crm.write_member_sync(number, MemberSync("Success", None, 2, 269654579), profile=PROFILE)

        member = crm.get_member(number)
        assert member is not None
        assert member["ctSyncStatus"] == "Success"
        assert not member.get("ctSyncError")
        assert (member["memberNumber"], member["lastName"]) == (number, PROFILE["lastName"])

    def test_what_the_loyalty_programme_says_is_written_on_the_member(
        self, crm: CrmConnector, desk: Desk
    ) -> None:
        number = member_of(desk)

        crm.write_member_push(number, MemberPush("2026-03-01T09:30:00Z", profile={"totalPoints": 170}))
        for name in ("Gold", "Berlin"):
            crm.write_member_push(number, MemberPush("2026-03-01T09:30:00Z", segment=name, entered=True))
        crm.write_member_push(number, MemberPush("2026-03-02T09:30:00Z", segment="Berlin", entered=False))

        member = crm.get_member(number)
        assert member is not None
        assert member["crowdTwist"]["profile"]["totalPoints"] == 170
        assert set(member["crowdTwist"]["segments"]) == {"Gold"}

    def test_nobody_has_an_unknown_member_number(self, crm: CrmConnector) -> None:
        assert crm.get_member("no-such-member") is None

    # Records

    def test_records_are_read_by_their_ids(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        reader = reading(crm)
        owner = customer.customer_id
        case = crm.open_case(owner, new_case(subject="No signal", priority=None), key=key())
        crm.append_to_case(owner, case.case_id, "Still none", key=key(), active_within=WEEK)
        task = desk.add_task(owner, "Call back")
        [followup] = reader.list_records("followup", owner, case.case_id, limit=5, cursor=None).items

        person = reader.get_record(owner)
        assert (person["accountId"], person["lastName"], person["temporary"]) == (
            owner,
            customer.last_name,
            True,
        )
        assert [each["community"] for each in person["profiles"]] == ["twitter"]
        found = reader.get_record(owner, case_id=case.case_id)
        assert (found["accountId"], found["caseId"]) == (owner, case.case_id)
        assert (found["subject"], found["status"], found["assignedTo"]) == (
            "No signal",
            "open",
            "team-network",
        )
        assert found["lastActivityAt"].startswith("2026-03-01T")
        read = reader.get_record(owner, case_id=case.case_id, followup_id=followup["followupId"])
        assert (read["body"], read["caseId"]) == ("Still none", case.case_id)
        assert reader.get_record(owner, task_id=task)["subject"] == "Call back"
        desk.close_case(owner, case.case_id)
        assert reader.get_record(owner, case_id=case.case_id)["status"] == "closed"

    def test_records_that_are_not_there_or_anothers(
        self, crm: CrmConnector, desk: Desk, customer: Customer
    ) -> None:
        reader = reading(crm)
        owner, other = customer.customer_id, desk.add_customer("Other")
        case = crm.open_case(owner, new_case(), key=key()).case_id
        second = crm.open_case(owner, new_case(), key=key()).case_id
        crm.append_to_case(owner, case, "x", key=key(), active_within=WEEK)
        task = desk.add_task(owner, "Call back")
        [followup] = reader.list_records("followup", owner, case, limit=5, cursor=None).items
        for ids in (
            {"account_id": "nobody"},
            {"account_id": "1-ZZZ"},
            {"account_id": other, "case_id": case},
            {"account_id": other, "task_id": task},
            {"account_id": owner, "case_id": "1-ZZZ"},
            {"account_id": owner, "case_id": second, "followup_id": followup["followupId"]},
            {"account_id": other, "case_id": case, "followup_id": followup["followupId"]},
        ):
            with pytest.raises(VendorError) as raised:
                reader.get_record(**ids)
            assert raised.value.code in ("not-found", "record-deleted"), ids
        with pytest.raises(VendorError):
            reader.list_records("case", "1-ZZZ", limit=5, cursor=None)
        with pytest.raises(VendorError):
            reader.list_records("followup", other, case, limit=5, cursor=None)

    def test_lists_of_records_have_each_once(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        reader = reading(crm)
        owner = customer.customer_id
        opened = {crm.open_case(owner, new_case(), key=key()).case_id for _ in range(5)}
        tasks = {desk.add_task(owner, f"Call {number}") for number in range(3)}
        crm.open_case(desk.add_customer("Other"), new_case(), key=key())

        seen: list[str] = []
        cursor = None
        while True:
            page = reader.list_records("case", owner, limit=2, cursor=cursor)
            assert len(page.items) <= 2
            seen += [case["caseId"] for case in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert (len(seen), set(seen)) == (5, opened)
        page = reader.list_records("task", owner, limit=3, cursor=None)
        assert ({task["taskId"] for task in page.items}, page.next) == (tasks, None)

    def test_customers_are_searched_for(self, crm: CrmConnector, desk: Desk, customer: Customer) -> None:
        reader = reading(crm)
        jane = desk.add_customer("Millington", email="Jane@Example.com", phone="+4930111222")
        desk.add_profile(jane, "twitter", "jane")

        def found(**wanted: Any) -> list[str]:
            page = reader.find_customers(CustomerFilter(**wanted), limit=10, cursor=None)
            return [record["accountId"] for record in page.items]

        assert found(email="jane@example.COM") == [jane]
        assert found(email="nobody@example.com") == []
        assert found(phone="+4930111222") == [jane]
        assert found(profile=("Twitter", "jane")) == [jane]
        assert found(profile=("twitter", "nobody")) == []
        assert found(text="illingt") == [jane]
        assert found(email="jane@example.com", phone="+49") == []
        assert found(profile=("twitter", "jane"), text="other") == []
        assert set(found()) == {jane, customer.customer_id}

    # Surveys

    def test_surveys_stand_on_the_customer(self, crm: CrmConnector, desk: Desk) -> None:
        assert isinstance(crm, SurveyKeeper)
        jane = desk.add_customer("Miller", email="Jane@Example.com")
        assert crm.find_customers_by_email("jane@example.COM") == (jane,)
        assert crm.find_customers_by_email('x"@example.com') == ()
        for _ in range(2):
            crm.note_survey_invitation(jane, "s1", "https://survey.example/1", reminders=0)
        crm.note_survey_invitation(jane, "s1", "https://survey.example/1", reminders=1)
        answers = (("Q1", "How was it?", "名無し, “good”\n"), ("Q2", "Again?", "yes"))
        first = SurveyResponse("s1", "r1", "partial", "2026-03-01T10:00:00Z", answers[:1], "NPS", "inv")
        done = SurveyResponse("s1", "r1", "complete", "2026-03-01T10:05:00Z", answers, "NPS", "inv")
        second = SurveyResponse("s1", "r2", "complete", "2026-03-02T10:00:00Z")
        for response in (second, first, done, done):
            crm.upsert_survey_response(jane, response)
        assert crm.survey_responses(jane) == [done, second]
        assert reading(crm).list_records("task", jane, limit=5, cursor=None).items == []

        desk.delete_customer(jane)
        with pytest.raises(VendorError) as refused:
            crm.upsert_survey_response(jane, done)
        assert refused.value.code in ("not-found", "record-deleted")
        with pytest.raises(VendorError) as refused:
            crm.note_survey_invitation(jane, "s1", "https://survey.example/1", reminders=2)
        assert refused.value.code in ("not-found", "record-deleted")
        assert crm.find_customers_by_email("jane@example.com") == ()


def reading(crm: CrmConnector) -> RecordReader:
    """The connector as a reader of records."""
    assert isinstance(crm, RecordReader)
    return crm


def _only(crm: CrmConnector, community: str, author_id: str) -> str | None:
    match = crm.find_customers_by_profile(community, author_id, key="k")
    assert len(match.customers) <= 1
    return match.only.customer_id if match.only else None


def member_of(desk: Desk) -> str:
    number = key("member")
    desk.enrol_member(number, "Jane", "Miller")
    return number
