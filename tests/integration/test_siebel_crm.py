"""Siebel as the CRM: the contract of the port against the sandbox, and what only Siebel does."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.vendors.siebel import Siebel as Vendor
from switchboard.connectors.siebel import Siebel
from switchboard.connectors.siebel.rest import basic_auth, classify, literal, plain
from switchboard.crm import UNLINKED, Campaign, CampaignFilter
from switchboard.dynamo import Table
from switchboard.errors import AnswerLost, VendorError
from switchboard.http import ConnectorClient
from switchboard.secrets import Secret
from switchboard.settings.siebel import SiebelSettings
from tests.integration.crm_contract import WEEK, CrmContract
from tests.support.factories import key, new_case, new_lead, profile
from tests.support.stand_ins import StandIn, serving
from tests.support.tables import mocked_aws


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


class SiebelDesk:
    """People who work with Siebel, on its own screens."""

    def __init__(self, vendor: Vendor, clock: Clock) -> None:
        self._vendor = vendor
        self._clock = clock

    def _rows(self, component: str) -> dict[str, dict[str, str]]:
        return self._vendor.components[component].rows

    def wait(self, duration: timedelta) -> None:
        self._clock.moment += duration

    def add_profile(self, customer_id: str, community: str, author_id: str) -> None:
        fields = {"Contact Id": customer_id, "Community": community, "Author": author_id}
        self._vendor.add("SM Contact Social Profile", fields)

    def set_name(self, customer_id: str, first_name: str, last_name: str) -> None:
        self._rows("Contact")[customer_id] |= {"First Name": first_name, "Last Name": last_name}

    def delete_customer(self, customer_id: str) -> None:
        self._vendor.delete("Contact", customer_id)

    def close_case(self, customer_id: str, case_id: str) -> None:
        self._rows("Service Request")[case_id]["Status"] = "Closed"

    def cases(self, customer_id: str) -> dict[str, tuple[str, str]]:
        whose = "" if customer_id == UNLINKED else customer_id
        return {
            row["Id"]: (row["Abstract"], row["Description"])
            for row in self._rows("Service Request").values()
            if row.get("Contact Id", "") == whose
        }

    def followups(self, customer_id: str, case_id: str) -> list[str]:
        return [row["Comment"] for row in self._rows("Action").values() if row["Activity SR Id"] == case_id]

    def add_task(self, customer_id: str, subject: str) -> str:
        return self._vendor.add("Action", {"Contact Id": customer_id, "Description": subject})["Id"]

    def enrol_member(self, number: str, first_name: str, last_name: str) -> None:
        fields = {"Member Number": number, "First Name": first_name, "Last Name": last_name}
        self._vendor.add("LOY Member", fields)

    def add_customer(self, name: str, *, email: str | None = None, phone: str | None = None) -> str:
        fields = {"Last Name": name, "Email Address": email or "", "Cellular Phone #": phone or ""}
        return self._vendor.add("Contact", fields)["Id"]

    def contact_of(self, customer_id: str) -> tuple[str | None, str, str | None, str | None]:
        row = self._rows("Contact")[customer_id]
        return (
            row.get("First Name") or None,
            row["Last Name"],
            row.get("Email Address") or None,
            row.get("Cellular Phone #") or None,
        )

    def leads(self, customer_id: str) -> dict[str, str | None]:
        rows = self._rows("Lead").values()
        return {row["Id"]: row.get("Source Code") for row in rows if row["Contact Id"] == customer_id}

    def campaigns(self, *campaigns: Campaign) -> None:
        self._rows("Campaign").clear()
        for number, campaign in enumerate(campaigns):
            dates = {"Start Date": campaign.start_date, "End Date": campaign.end_date}
            fields = {"Source Id": f"SRC-{number}", "Campaign Name": campaign.name}
            fields |= {"Type": campaign.type or "", "Status": campaign.status or ""}
            fields |= {name: day.strftime("%m/%d/%Y") if day else "" for name, day in dates.items()}
            self._vendor.add("Campaign", fields)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with serving(Vendor()) as server:
        yield server


@pytest.fixture
def siebel(server: StandIn) -> StandIn:
    server.reset()
    return server


@pytest.fixture
def vendor(siebel: StandIn) -> Vendor:
    assert isinstance(siebel.vendor, Vendor)
    return siebel.vendor


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mocked_aws():
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


def connector(siebel: StandIn, clock: Clock, **settings: Any) -> Siebel:
    secret = Secret("siebel", siebel.secret)
    client = ConnectorClient(
        "siebel",
        auth=basic_auth,
        classify=classify,
        secret=lambda name, *, refresh=False: secret,
        sleep=lambda seconds: None,
        deadline=5.0,
    )
    named = SiebelSettings.model_validate(settings)
    return Siebel(client, Table(os.environ["STATE_TABLE"]), now=clock, settings=lambda: named)


@pytest.fixture
def crm(siebel: StandIn, clock: Clock) -> Siebel:
    return connector(siebel, clock)


@pytest.fixture
def desk(vendor: Vendor, clock: Clock) -> SiebelDesk:
    return SiebelDesk(vendor, clock)


class TestContract(CrmContract):
    """Siebel keeps the contract."""


# What goes wrong


def test_an_insert_whose_answer_was_lost_makes_one_record(
    crm: Siebel, desk: SiebelDesk, siebel: StandIn, vendor: Vendor
) -> None:
    siebel.fault(kind="answerLost", count=1, method="POST", path="Contact/Contact$")
    siebel.fault(kind="answerLost", count=1, method="POST", path="SM Contact Social Profile$")
    customer = crm.create_customer_from_profile(profile(), key=key())
    siebel.fault(kind="answerLost", count=1, method="POST", path="Service Request/Service Request$")
    case = crm.open_case(customer.customer_id, new_case(), key=key())
    siebel.fault(kind="answerLost", count=1, method="POST", path="Service Request/Action$")
    crm.append_to_case(customer.customer_id, case.case_id, "once", key=key(), active_within=WEEK)

    assert customer.created
    assert case.created
    assert len(vendor.components["Contact"].rows) == 1
    assert list(desk.cases(customer.customer_id)) == [case.case_id]
    assert desk.followups(customer.customer_id, case.case_id) == ["once"]


def test_a_lead_whose_answer_was_lost_is_found_and_not_sent_again(
    crm: Siebel, desk: SiebelDesk, siebel: StandIn
) -> None:
    siebel.fault(kind="answerLost", path="CreateLeads")

    lead = crm.create_lead(new_lead(), key=key())

    assert list(desk.leads(lead.customer_id)) == [lead.lead_id]
    assert len(siebel.lines("POST", "CreateLeads")) == 1


def test_a_lead_that_siebel_never_took_is_unknown_until_it_is_asked_again(
    crm: Siebel, desk: SiebelDesk, siebel: StandIn
) -> None:
    asked, work = new_lead(), key()
    siebel.fault(kind="down", path="CreateLeads")
    with pytest.raises(AnswerLost):
        crm.create_lead(asked, key=work)

    siebel.heal()
    lead = crm.create_lead(asked, key=work)

    assert list(desk.leads(lead.customer_id)) == [lead.lead_id]


@pytest.mark.parametrize(
    "verb", ["open_case", "append_to_case", "create_lead", "find_customers", "campaigns"]
)
def test_siebel_away_is_worth_a_repeat(crm: Siebel, siebel: StandIn, verb: str) -> None:
    customer = crm.create_customer_from_profile(profile(), key=key())
    case = crm.open_case(customer.customer_id, new_case(), key=key())
    calls: dict[str, Callable[[], object]] = {
        "open_case": lambda: crm.open_case(customer.customer_id, new_case(), key=key()),
        "append_to_case": lambda: crm.append_to_case(
            customer.customer_id, case.case_id, "x", key=key(), active_within=WEEK
        ),
        "create_lead": lambda: crm.create_lead(new_lead(), key=key()),
        "find_customers": lambda: crm.find_customers_by_profile("twitter", "a", key="k"),
        "campaigns": lambda: crm.find_campaigns(CampaignFilter(), limit=5, cursor=None),
    }
    for fault in ({"kind": "down"}, {"kind": "status", "status": 503}, {"kind": "status", "status": 429}):
        siebel.fault(**fault)
        with pytest.raises(VendorError) as raised:
            calls[verb]()
        assert raised.value.error.retryable
        siebel.heal()
    assert calls[verb]() is not None


@pytest.mark.parametrize(
    ("status", "words", "code", "retryable"),
    [
        (500, "Required field(SBL-DAT-00498)", "remote-refused", False),
        (500, "No user key(SBL-EAI-04397)", "remote-refused", False),
        (500, "Not on the list(SBL-EAI-04401)", "remote-refused", False),
        (200, "Refused all the same(SBL-BPR-00162)", "remote-refused", False),
        (200, "Refused without a code", "remote-refused", False),
        (500, "No such field(SBL-DAT-00416)", "remote-unexpected", False),
        (404, "No such resource(SBL-EAI-50257)", "remote-unexpected", False),
        (403, "Access denied(SBL-DAT-00825)", "remote-auth", True),
        (500, "Could not connect(SBL-NET-01201)", "remote-unavailable", True),
        (500, "No code at all", "remote-unavailable", True),
        (503, "<html>gateway</html>", "remote-unavailable", True),
        (401, "Wrong password(SBL-DAT-00565)", "remote-auth", True),
    ],
)
def test_how_siebels_failures_are_classified(
    crm: Siebel, siebel: StandIn, status: int, words: str, code: str, retryable: bool
) -> None:
    siebel.fault(kind="status", status=status, body=json.dumps({"ERROR": words}))

    with pytest.raises(VendorError) as raised:
        crm.find_open_case("1-ABC", "c", key="k", active_within=WEEK)

    assert (raised.value.code, raised.value.error.retryable) == (code, retryable)


def test_a_refusal_under_200_is_a_refusal(crm: Siebel, siebel: StandIn, desk: SiebelDesk) -> None:
    with pytest.raises(VendorError) as raised:
        crm.create_lead(new_lead(campaign_source_id="no such campaign"), key=key())

    assert raised.value.code == "remote-refused"
    assert "Source Code" in raised.value.detail


# What is sent


@pytest.mark.parametrize("value", ['a" OR "a"="a', "*", "j?ne", "a\\b", "a\nb", "\x00", "", "  ", "a\x7f"])
def test_a_value_that_could_break_out_of_a_search_is_refused(value: str) -> None:
    with pytest.raises(VendorError) as raised:
        literal(value)
    assert raised.value.code == "invalid"
    assert literal(plain(value)) == f'"{plain(value)}"'


def test_an_address_that_a_search_cannot_carry_is_the_senders_fault(crm: Siebel, siebel: StandIn) -> None:
    with pytest.raises(VendorError) as raised:
        crm.create_lead(new_lead(email="x\"OR[Id]~='*'@example.com"), key=key())

    assert (raised.value.code, raised.value.fields[0].pointer) == ("invalid", "/email")
    assert siebel.lines() == []


def test_no_search_can_be_broken_out_of(crm: Siebel) -> None:
    jane = crm.create_customer_from_profile(profile(author_id="jane"), key=key())
    for author_id in (
        'x" OR [Author] LIKE "*',
        "*",
        "j?ne",
        'jane" OR "1"="1',
        "x') OR [Author] IS NOT NULL",
    ):
        match = crm.find_customers_by_profile("twitter", author_id, key="k")
        assert match.customers == ()
    for customer_id in ("1-A' OR '1'='1", '" OR "" = "', "../1-ABC", jane.customer_id + "/x"):
        with pytest.raises(VendorError):
            crm.rename_temporary_customer(customer_id, profile())


def test_more_records_than_a_page_are_all_read(crm: Siebel, desk: SiebelDesk, siebel: StandIn) -> None:
    for number in range(230):
        contact = desk.add_customer(f"Twin {number}")
        desk.add_profile(contact, "twitter", "many")
    siebel.forget_calls()

    match = crm.find_customers_by_profile("twitter", "many", key="k")

    assert len(match.customers) == 230
    assert len(siebel.lines("GET", "SM Contact Social Profile")) == 3


def test_no_rule_leaves_the_case_to_the_assignment_manager(crm: Siebel, siebel: StandIn) -> None:
    customer = crm.create_customer_from_profile(profile(), key=key())

    ours = crm.open_case(customer.customer_id, new_case(assigned_to="team-network"), key=key())
    assert siebel.lines("POST", "Assign") == []
    theirs = crm.open_case(customer.customer_id, new_case(assigned_to=None), key=key())

    assert (ours.assigned_to, theirs.assigned_to) == ("team-network", "SIEBEL-ASSIGNED")


def test_an_assignment_manager_that_refuses_costs_no_case(crm: Siebel, siebel: StandIn) -> None:
    customer = crm.create_customer_from_profile(profile(), key=key())
    siebel.fault(kind="status", status=500, body='{"ERROR": "No rule(SBL-ASG-00001)"}', path="Assign")

    case = crm.open_case(customer.customer_id, new_case(assigned_to=None), key=key())

    assert (case.created, case.assigned_to) == (True, None)


def test_names_and_view_modes_are_settings(siebel: StandIn, clock: Clock, vendor: Vendor) -> None:
    renamed = connector(
        siebel, clock, contacts={"fields": {"phone": "Company"}}, requests={"viewMode": "Sales Rep"}
    )
    lead = renamed.create_lead(new_lead(), key=key())
    vendor.components["Contact"].rows[lead.customer_id]["Company"] = "+4930111222"
    with pytest.raises(VendorError):
        renamed.note_on_case(lead.customer_id, "1-XYZ", "x", key=key())
    customer = renamed.create_lead(new_lead(phone="+4930111222", email=None), key=key())
    assert customer.customer_id == lead.customer_id


def test_pages_of_campaigns_that_repeat_themselves_end_in_an_error() -> None:
    page = {
        "MKTG Campaign IO": {"ListOf": {"Campaign": {"Id": "1-A", "Source Id": "S", "Campaign Name": "C"}}}
    }
    client = ConnectorClient(
        "siebel",
        auth=lambda secret: None,
        classify=classify,
        secret=lambda name, *, refresh=False: Secret("siebel", {"baseUrl": "https://siebel.example"}),
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json=page)),
    )
    crm = Siebel(client, Table(os.environ["STATE_TABLE"]), settings=SiebelSettings)

    with pytest.raises(VendorError) as raised:
        crm.find_campaigns(CampaignFilter(), limit=100, cursor=None)

    assert raised.value.code == "remote-unexpected"
