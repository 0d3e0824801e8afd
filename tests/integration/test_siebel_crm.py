"""Siebel as the CRM: the contract of the port against the sandbox, and what only Siebel does."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.vendors.siebel import Siebel as Vendor
from switchboard.connectors.siebel import Siebel
from switchboard.connectors.siebel.rest import basic_auth, classify
from switchboard.crm import UNLINKED, Campaign
from switchboard.dynamo import Table
from switchboard.http import ConnectorClient
from switchboard.secrets import Secret
from switchboard.settings.siebel import SiebelSettings
from tests.integration.crm_contract import CrmContract
from tests.support.sandboxed import Served, served
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
def server() -> Iterator[Served]:
    with served(Vendor()) as server:
        yield server


@pytest.fixture
def siebel(server: Served) -> Served:
    server.desk.reset()
    return server


@pytest.fixture
def vendor(siebel: Served) -> Vendor:
    assert isinstance(siebel.desk.vendor, Vendor)
    return siebel.desk.vendor


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mocked_aws():
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


def connector(siebel: Served, clock: Clock, **settings: Any) -> Siebel:
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
def crm(siebel: Served, clock: Clock) -> Siebel:
    return connector(siebel, clock)


@pytest.fixture
def desk(vendor: Vendor, clock: Clock) -> SiebelDesk:
    return SiebelDesk(vendor, clock)


class TestContract(CrmContract):
    """Siebel keeps the contract."""
