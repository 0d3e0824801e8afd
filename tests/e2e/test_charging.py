"""Charging on the deployed stack: a customer's life, concurrent top-ups, an outage, a new customer."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import httpx
import pytest

from tests.e2e.conftest import PartnerClient
from tests.e2e.waiting import until
from tools.stack import Stack

FAULTS = "/_control/ocsio/faults"


@pytest.fixture
def caller(partner: PartnerClient, sandbox: httpx.Client) -> Iterator[httpx.Client]:
    """An ordering system; the OCS is well again afterwards."""
    yield partner("charging:write", "charging:read")
    sandbox.delete(FAULTS).raise_for_status()


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex[:8]


def made(caller: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = caller.post(f"charging/{path}", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_customers_life(caller: httpx.Client, mark: str) -> None:
    customer, account, subscriber, plan = (f"{kind}-{mark}" for kind in "casp")
    made(caller, "customers", {"externalId": customer, "customerProfile": "b2b"})
    made(
        caller,
        "accounts",
        {
            "externalId": account,
            "accountProfile": "p",
            "customer": {"externalId": customer},
            "currency": "EUR",
        },
    )
    made(
        caller,
        "subscribers",
        {"externalId": subscriber, "account": {"externalId": account}, "subscriberProfile": "p"},
    )
    made(caller, f"subscribers/{subscriber}/subscriptions", {"offer": "gold", "externalId": plan})
    for state in ("SUSPENDED", "ACTIVE"):
        answer = caller.put(f"charging/subscribers/{subscriber}/state", json={"state": state})
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    refused = caller.put(f"charging/subscribers/{subscriber}/state", json={"state": "INACTIVE"})
    assert refused.status_code == 409
    assert caller.get(f"charging/customers/{customer}").json()["refId"]
    assert caller.get(f"charging/customers/nobody-{mark}").status_code == 404


def test_concurrent_top_ups_with_repeats_and_lost_answers(
    caller: httpx.Client, sandbox: httpx.Client, mark: str
) -> None:
    made(caller, "customers", {"externalId": mark, "customerProfile": "b2b"})
    made(caller, f"customers/{mark}/subscriptions", {"offer": "gold", "externalId": mark})
    fault = {"kind": "answerLost", "method": "POST", "rate": 0.3, "seed": 3}
    sandbox.post(FAULTS, json=fault).raise_for_status()

    def top_up(number: int) -> int:
        headers = {"Idempotency-Key": f"{mark}-{number % 30}"}
        body = {"operation": "add", "amount": 2.5, "units": "EUR"}
        while True:
            answer = caller.patch(f"charging/subscriptions/{mark}/balances/main", json=body, headers=headers)
            if answer.status_code not in (409, 503):  # still running; the OCS gave no answer
                return answer.status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(top_up, range(45))) == {200}
    sandbox.delete(FAULTS).raise_for_status()
    [balance] = caller.get(f"charging/subscriptions/{mark}").json()["balances"]
    assert balance["amount"] == 75.0


def test_an_outage_is_waited_out_in_order(
    caller: httpx.Client, api: httpx.Client, sandbox: httpx.Client, mark: str
) -> None:
    sandbox.post(FAULTS, json={"kind": "down"}).raise_for_status()
    prefer = {"Prefer": "respond-async, wait=2"}
    customer = {"externalId": mark, "customerProfile": "b2b"}
    account = {"externalId": mark, "accountProfile": "p", "customer": {"externalId": mark}}
    answers = [
        caller.post("charging/customers", json=customer, headers=prefer),
        caller.post("charging/accounts", json=account, headers=prefer),
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (f"charging/operations/{answer.json()['operationId']}" for answer in answers)
    sandbox.delete(FAULTS).raise_for_status()
    api.post(f"ledger/{answers[0].json()['operationId']}/resubmit").raise_for_status()

    def done() -> bool | None:
        return True if caller.get(second).json()["status"] == "synced" else None

    # The second is called by the first, not by its own clock.
    until(done)
    assert caller.get(first).json()["status"] == "synced"
    assert caller.get(f"charging/accounts/{mark}").json()["customer"] == {"externalId": mark}


def test_a_new_customer_of_the_crm_is_provisioned(
    caller: httpx.Client, api: httpx.Client, stack: Stack, mark: str
) -> None:
    before = api.get("settings/charging").json()["version"]
    rule = {"object": "customer", "event": "create", "where": {"country": "DE"}, "customerProfile": "b2c"}
    api.put("settings/charging", json={"provisioning": [rule]}).raise_for_status()
    aws = {"endpoint_url": stack.aws_endpoint, "region_name": stack.region}
    aws |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    # A record as the CRM keeps it; its event is put on the bus as the CRM's publisher does.
    item = {
        "pk": f"CUSTOMER#{mark}",
        "sk": "CUSTOMER",
        "accountId": mark,
        "lastName": "Miller",
        "country": "DE",
    }
    item |= {"object": "customer"}
    wire: Any = {name: {"S": value} for name, value in item.items()} | {"rev": {"N": "1"}}
    boto3.client("dynamodb", **aws).put_item(TableName=stack.outputs["CrmTableName"], Item=wire)  # type: ignore[call-overload]
    detail = {"eventId": f"evt_{mark}", "object": "customer", "event": "create", "origin": "builtin"}
    detail |= {"occurredAt": "2026-03-01T09:30:00.000Z", "accountId": mark}
    boto3.client("events", **aws).put_events(  # type: ignore[call-overload]
        Entries=[
            {
                "EventBusName": stack.outputs["CrmEventBusName"],
                "Source": "switchboard.crm",
                "DetailType": "customer.create",
                "Detail": json.dumps(detail),
            }
        ]
    )
    try:
        found = until(
            lambda: (
                answer.json()
                if (answer := caller.get(f"charging/customers/{mark}")).status_code == 200
                else None
            )
        )
        assert found["customName"] == "Miller"
    finally:
        api.post("settings/charging/rollback", json={"version": before}).raise_for_status()
