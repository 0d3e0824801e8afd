"""Source 002: the OCS's use cases, against a stand-in with real state."""

from collections.abc import Iterator

import pytest

from sandbox.vendors.ocsio import OcsIo
from switchboard import aws
from tests.support.deployment import Deployment, Reply
from tests.support.vendors import Sandbox, configured, serving

CUSTOMER = {"externalId": "c-1", "customerProfile": "b2b", "customName": "Demo Customer"}


@pytest.fixture
def ocs(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The charging system, connected."""
    aws.eventbridge().create_event_bus(Name="crm-events")
    monkeypatch.setenv("CRM_EVENT_BUS", "crm-events")
    with serving(OcsIo()) as sandbox:
        configured(sandbox, monkeypatch)
        yield sandbox


def put(deployment: Deployment, path: str, body: object, **options: object) -> Reply:
    return deployment.call("PUT", f"/charging/{path}", body, **options)  # type: ignore[arg-type]


def test_a_customers_life(deployment: Deployment, ocs: Sandbox) -> None:
    made = deployment.call("POST", "/charging/customers", CUSTOMER)
    assert made.status == 201, made.text
    assert made.json["externalId"] == "c-1"
    assert made.json["refId"]
    assert made.json["state"] == "ACTIVE"
    assert made.headers["Location"] == "/v1/charging/customers/c-1"
    account = {
        "externalId": "a-1",
        "accountProfile": "p",
        "customer": {"externalId": "c-1"},
        "currency": "EUR",
    }
    assert deployment.call("POST", "/charging/accounts", account).status == 201
    subscriber = {"externalId": "s-1", "subscriberProfile": "p", "account": {"externalId": "a-1"}}
    assert deployment.call("POST", "/charging/subscribers", subscriber).status == 201
    offer = {"offer": "gold", "externalId": "o-1"}
    assert deployment.call("POST", "/charging/subscribers/s-1/subscriptions", offer).status == 201
    topped = deployment.call(
        "PATCH",
        "/charging/subscriptions/o-1/balances/main",
        {"operation": "add", "amount": 10.5, "units": "EUR"},
    )
    assert topped.status == 200, topped.text
    assert topped.json["balances"] == [{"balanceId": "main", "amount": 10.5, "units": "EUR"}]
    for state in ("SUSPENDED", "ACTIVE", "DEACTIVATED"):
        reply = put(deployment, "customers/c-1/state", {"state": state})
        assert (reply.status, reply.json["state"]) == (200, state), reply.text
    final = put(deployment, "customers/c-1/state", {"state": "ACTIVE"})
    assert final.status == 409
    print(final.text)
