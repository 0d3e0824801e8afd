"""Source 004 on the deployed stack: a record changes, URLs are called, the record is fetched back."""

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import boto3
import httpx
import pytest
from standardwebhooks import Webhook

from switchboard.triggers import store
from tests.e2e.conftest import PartnerClient
from tests.e2e.waiting import until
from tools.stack import CREDENTIALS, Stack

WAIT_SECONDS = 60.0


@pytest.fixture
def tag(sandbox: httpx.Client) -> Iterator[str]:
    """A path of the sink that nobody else uses."""
    yield uuid.uuid4().hex
    sandbox.delete("/_control/sink/faults")


def calls(sandbox: httpx.Client, tag: str) -> list[Any]:
    found = sandbox.get("/_control/sink/calls").json()["items"]
    return [call for call in found if tag in call["path"]]


def create(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_edited_case_is_told_and_fetched_back(
    stack: Stack, sandbox: httpx.Client, partner: PartnerClient, tag: str
) -> None:
    client = partner("triggers:write", "triggers:read", "crm:write", "crm:read")
    url = f"{stack.sandbox_url}/sink/{tag}"
    create(client, "/triggers", {"url": f"{url}/edit", "object": "case", "event": "edit"})
    webhook = create(
        client, "/triggers", {"url": f"{url}/all", "object": "*", "event": "*", "format": "webhook"}
    )
    customer = create(client, "/crm/customers", {"lastName": "Miller", "email": f"{tag}@example.com"})
    cases = f"/crm/customers/{customer['accountId']}/cases"
    case = create(client, cases, {"subject": "No signal"})
    client.patch(f"{cases}/{case['caseId']}", json={"priority": "high"}).raise_for_status()

    [call] = until(lambda: calls(sandbox, f"{tag}/edit"))
    assert call["target"].endswith(f"/edit?AccountID={customer['accountId']}&CaseID={case['caseId']}")
    query = {name: values[0] for name, values in call["query"].items()}
    fetched = client.get(f"/crm/customers/{query['AccountID']}/cases/{query['CaseID']}").json()
    assert fetched["priority"] == "high"

    def signed() -> list[Any] | None:
        found = calls(sandbox, f"{tag}/all")
        return found if len(found) == 3 else None

    told = until(signed)
    for one in told:
        Webhook(webhook["secret"]).verify(one["body"], one["headers"])
    assert {json.loads(one["body"])["type"] for one in told} == {
        "customer.create",
        "case.create",
        "case.edit",
    }


def test_the_second_attempt_comes_after_five_seconds(
    stack: Stack, sandbox: httpx.Client, partner: PartnerClient, tag: str
) -> None:
    client = partner("triggers:write", "triggers:read", "events:write")
    fault = {"kind": "status", "status": 503, "count": 1, "path": tag}
    sandbox.post("/_control/sink/faults", json=fault).raise_for_status()
    url = f"{stack.sandbox_url}/sink/{tag}"
    trigger = create(client, "/triggers", {"url": url, "object": "customer", "event": "delete"})
    event = {"object": "customer", "event": "delete", "accountId": tag}
    assert client.post("/crm/events", json=event).status_code == 202

    path = f"/triggers/{trigger['triggerId']}/deliveries"
    [found] = until(lambda: client.get(path, params={"status": "delivered"}).json()["items"])
    first, second = (datetime.fromisoformat(one["at"]) for one in found["attempts"])
    assert timedelta(seconds=3.9) <= second - first <= timedelta(seconds=8)


def test_what_8x8_tells_is_pulled(stack: Stack, sandbox: httpx.Client, api: httpx.Client, tag: str) -> None:
    number = str(int(tag[:12], 16))
    email = f"{tag}@example.com"
    record = {"LASTNAME": "Müller", "EMAIL": email}
    sandbox.put(f"/_control/vcc/records/Customer/{number}", json=record).raise_for_status()
    secret = sandbox_secret(stack)
    hook = f"{stack.api_url}/hooks/vcc/{secret['hookToken']}/customer/create"
    answer = httpx.get(hook, params={"AccountID": number}, trust_env=False, timeout=30)
    assert answer.status_code == 200
    wrong = hook.replace(secret["hookToken"], "wrong")
    assert httpx.post(wrong, params={"AccountID": number}, trust_env=False, timeout=30).status_code == 404

    found = until(lambda: api.get("/crm/customers", params={"email": email}).json()["items"])
    assert [(one["accountId"], one["lastName"]) for one in found] == [(number, "Müller")]


def sandbox_secret(stack: Stack) -> dict[str, str]:
    client = boto3.client("secretsmanager", **_aws(stack))
    found: dict[str, str] = json.loads(
        client.get_secret_value(SecretId=stack.outputs["VccSecretArn"])["SecretString"]
    )
    return found


def _aws(stack: Stack) -> dict[str, Any]:
    return {
        "endpoint_url": stack.aws_endpoint,
        "region_name": stack.region,
        "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }


def test_one_of_a_thousand_hangs_and_the_others_do_not_notice(
    stack: Stack, sandbox: httpx.Client, api: httpx.Client, tag: str
) -> None:
    hanging = f"{tag}/7/"
    fault = {"kind": "hang", "seconds": 60, "path": hanging}
    sandbox.post("/_control/sink/faults", json=fault).raise_for_status()
    triggers = [f"trg_{tag[:20]}{number:06d}" for number in range(1000)]
    _write_triggers(stack, triggers, f"{stack.sandbox_url}/sink/{tag}")
    try:
        since = sandbox.get("/_control/sink/calls").json()["last"]
        event = {"object": "task", "event": "delete", "accountId": tag, "taskId": "t"}
        assert api.post("/crm/events", json=event).status_code == 202

        def others() -> dict[str, Any] | None:
            found = sandbox.get("/_control/sink/calls", params={"since": since}).json()["items"]
            told = {call["path"]: call for call in found if tag in call["path"] and call["status"] == 200}
            return told if len(told) == 999 else None

        told = until(others)
    finally:
        _delete_triggers(stack, triggers)
    times = sorted(datetime.fromisoformat(call["at"]) for call in told.values())
    gaps = [later - earlier for earlier, later in pairwise(times)]
    # Nobody waited for the one that hangs: its time-out is ten seconds, and the gaps were 0.3 to 0.7 s.
    assert max(gaps) < timedelta(seconds=5)


def _write_triggers(stack: Stack, ids: list[str], url: str) -> None:
    table = boto3.resource("dynamodb", **_aws(stack)).Table(stack.outputs["ConfigTableName"])
    with table.batch_writer() as batch:
        for number, trigger_id in enumerate(ids):
            batch.put_item(
                {
                    "pk": store.PARTITION,
                    "sk": trigger_id,
                    "partnerId": "admin",
                    "url": f"{url}/{number}/",
                    "object": "task",
                    "event": "delete",
                    "format": "query",
                    "method": "GET",
                    "status": "active",
                    "createdAt": "2026-11-22T00:00:00.000Z",
                    "updatedAt": "2026-11-22T00:00:00.000Z",
                    "where": "{}",
                    "ordered": False,
                    "oldSecrets": [],
                }
            )


def _delete_triggers(stack: Stack, ids: list[str]) -> None:
    table = boto3.resource("dynamodb", **_aws(stack)).Table(stack.outputs["ConfigTableName"])
    with table.batch_writer() as batch:
        for trigger_id in ids:
            batch.delete_item(Key={"pk": store.PARTITION, "sk": trigger_id})
