"""What a unit of work costs at AWS: its requests, counted, times the list prices.

    PYTHONPATH=.:layers/connectors python -m benchmarks.bill

The requests are counted on a mocked account, in the code that is deployed; a process has read its settings
and its partner before, as a warm one has. Writes of DynamoDB are counted with their
index entries; the last column adds API Gateway and Lambda.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.client import BaseClient

from benchmarks import page
from switchboard import aws, config
from tests.support import factories
from tests.support.deployment import Deployment, deployed
from tests.support.stand_ins import Sandbox, serving_all
from tests.support.surveys import SURVEY

PRICES_OF = "2026-11-22, us-east-1, on demand, without free tier or savings plan"
DOLLARS_A_MILLION = {
    "DynamoDB write unit": 0.625,
    "DynamoDB read unit": 0.125,
    "SQS FIFO request": 0.50,
    "EventBridge event": 1.00,
    "Lambda request": 0.20,
    "API Gateway request": 3.50,
}
"""List prices in US dollars (aws.amazon.com: DynamoDB, SQS, EventBridge, Lambda and API Gateway pricing)."""

GB_SECOND = 0.0000133334
"""Lambda on arm64, US dollars."""

_MEMORY_GB = 0.5
_LAMBDA_MILLISECONDS = 40
"""Billed for one warm call of a step: some 5 ms of CPU and the waits for DynamoDB; an assumption."""

_LEDGER_UNITS = 5
"""Write units of one write of a ledger entry: the entry, its index entries `Recent` and `Everyone`, and two
of `Open`, where the entry of the old state goes and that of the new one comes."""

_TRANSACTED = 2
"""Times as much as a plain write."""

_versions = itertools.count(1)
_VENDORS = ("crowdtwist", "sem", "ocsio", "questionpro")


@dataclass(frozen=True)
class Unit:
    """One unit of work.

    Attributes:
        name: as the report has it.
        most: DynamoDB requests that it may take.
        prepare: makes what it needs, and warms the process.
        do: the call that brings it; the queues are run after it.
        gateway, steps: calls of API Gateway and of functions.
    """

    name: str
    most: int
    prepare: Callable[[Deployment, Sandbox, str], Any]
    do: Callable[[Deployment, str, Any], None]
    gateway: int = 1
    steps: int = 2


@dataclass
class Made:
    """The requests of one unit."""

    calls: Counter[str] = field(default_factory=Counter)
    write_units: int = 0
    keys: list[str] = field(default_factory=list)

    @property
    def dynamodb(self) -> int:
        """Requests to DynamoDB."""
        return sum(number for name, number in self.calls.items() if name.startswith("dynamodb."))

    @property
    def sent(self) -> int:
        """Requests that put messages on queues."""
        return self.calls["sqs.SendMessage"] + self.calls["sqs.SendMessageBatch"]

    @property
    def dollars(self) -> float:
        """US dollars a million, of the requests alone; a message is sent, received and deleted."""
        reads = self.calls["dynamodb.GetItem"] + self.calls["dynamodb.Query"]
        return (
            self.write_units * DOLLARS_A_MILLION["DynamoDB write unit"]
            + reads * DOLLARS_A_MILLION["DynamoDB read unit"]
            + self.sent * 3 * DOLLARS_A_MILLION["SQS FIFO request"]
            + self.calls["events.PutEvents"] * DOLLARS_A_MILLION["EventBridge event"]
        )

    def dollars_with_compute(self, unit: Unit) -> float:
        """US dollars a million, with API Gateway and Lambda."""
        compute = unit.steps * (
            DOLLARS_A_MILLION["Lambda request"] + GB_SECOND * 1e6 * _MEMORY_GB * _LAMBDA_MILLISECONDS / 1000
        )
        return self.dollars + compute + unit.gateway * DOLLARS_A_MILLION["API Gateway request"]


def _nothing(*_: Any) -> None:
    return


def _post(deployment: Deployment, key: str, _: Any) -> None:
    _accepted(deployment.call("POST", "/social/posts", factories.post(), key=key))


def _member(deployment: Deployment, key: str, _: Any) -> None:
    _accepted(deployment.call("PUT", f"/members/{factories.key('m')}", factories.member(), key=key))


def _a_member(deployment: Deployment, _: Sandbox, key: str) -> str:
    """One who is in step already, and is a customer of the CRM."""
    number = factories.key("m")
    _accepted(deployment.call("POST", "/crm/customers", factories.customer(email=f"{number}@example.com")))
    _update(deployment, key, number)
    deployment.run_queues()
    return number


def _update(deployment: Deployment, key: str, number: str) -> None:
    changed = factories.member(
        email=f"{number}@example.com", lastName=factories.key("Miller"), version=next(_versions)
    )
    _accepted(deployment.call("PUT", f"/members/{number}", changed, key=key))


def _lead(deployment: Deployment, key: str, _: Any) -> None:
    _accepted(deployment.call("POST", "/leads", factories.lead(), key=key))


def _a_trigger(deployment: Deployment, sandbox: Sandbox, key: str) -> None:
    hook = {"url": f"{sandbox.url}/sink/a", "object": "case", "event": "edit"}
    _accepted(deployment.call("POST", "/triggers", hook, key=key))


def _event(deployment: Deployment, key: str, _: Any) -> None:
    body = {"object": "case", "event": "edit", "accountId": "a", "caseId": factories.key("c")}
    _accepted(deployment.call("POST", "/crm/events", body, key=key))


def _a_post(deployment: Deployment, _: Sandbox, key: str) -> str:
    made = deployment.call("POST", "/social/posts", factories.post(), key=key)
    deployment.run_queues()
    post_id: str = made.json["postId"]
    return post_id


def _reply(deployment: Deployment, key: str, post_id: str) -> None:
    body = {"body": "Hello", "agentId": "a-7"}
    _accepted(deployment.call("POST", f"/social/posts/{post_id}/replies", body, key=key))


def _invitation(deployment: Deployment, key: str, _: Any) -> None:
    body = factories.invitation()
    _accepted(deployment.call("POST", f"/surveys/{SURVEY}/invitations", body, key=key))


def _a_subscription(deployment: Deployment, _: Sandbox, key: str) -> None:
    made = {"externalId": "c-1", "customerProfile": "p"}
    _accepted(deployment.call("POST", "/charging/customers", made, key=key))
    offer = {"offer": "gold", "externalId": "o-1"}
    _accepted(deployment.call("POST", "/charging/customers/c-1/subscriptions", offer, key=key))


def _balance(deployment: Deployment, key: str, _: Any) -> None:
    body = {"operation": "add", "amount": 1, "units": "EUR"}
    headers = {"Idempotency-Key": factories.key()}
    path = "/charging/subscriptions/o-1/balances/main"
    _accepted(deployment.call("PATCH", path, body, key=key, headers=headers))


def _accepted(reply: Any) -> None:
    if reply.status >= 300:
        raise AssertionError(reply.text)


UNITS = (
    Unit("a social post, to its case", 6, _nothing, _post),
    Unit("an agent's reply, to the network and the case", 8, _a_post, _reply),
    Unit("a lead, while its caller waits", 7, _nothing, _lead, steps=1),
    Unit("a new member, to CrowdTwist and the CRM", 5, _nothing, _member),
    Unit("a member's update, to CrowdTwist and the CRM", 4, _a_member, _update),
    Unit("a CRM event, delivered to one trigger", 4, _a_trigger, _event, steps=3),
    Unit("a survey invitation", 11, _nothing, _invitation, steps=1),
    Unit("a change of a balance, with its key", 6, _a_subscription, _balance, steps=1),
)
"""The limits of a post, a member (4) and a delivery (3, and the fan-out's query) are the project's goals, the
others are held where they are. A new member costs one more: the CRM is asked which customer he is, as it is
for each update of one who is none."""


def write_units(operation: str, arguments: Mapping[str, Any]) -> int:
    """What DynamoDB charges for a write, of items up to 1 KB, with their index entries."""
    if operation == "TransactWriteItems":
        writes = [body for item in arguments["TransactItems"] for body in item.values()]
        return _TRANSACTED * sum(_units_of(body) for body in writes)
    return _units_of(arguments) if operation in ("PutItem", "UpdateItem", "DeleteItem") else 0


def _units_of(write: Mapping[str, Any]) -> int:
    key = write.get("Key") or write.get("Item") or {}
    return _LEDGER_UNITS if key.get("pk", {}).get("S", "").startswith("LEDGER#") else 1


@contextmanager
def counting(made: Made) -> Iterator[None]:
    """Count every AWS request of this block."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def count(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        of_the_test = operation in ("ReceiveMessage", "DeleteMessage")
        if not of_the_test:
            made.calls[f"{service}.{operation}"] += 1
            made.keys.append(
                f"{operation} {arguments.get('Key') or arguments.get('Item', {}).get('pk')}"[:80]
            )
            made.write_units += write_units(operation, arguments)
        return call(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", count)
        yield


def measure(deployment: Deployment, sandbox: Sandbox, unit: Unit) -> Made:
    """Do the unit twice; the second is counted, when all that a process reads once has been read."""
    for vendor in _VENDORS:
        secret = json.dumps(sandbox.secret(vendor))
        made = aws.secretsmanager().create_secret(Name=vendor, SecretString=secret)
        deployment.patch.setenv(f"{vendor.upper()}_SECRET_ARN", made["ARN"])
    key = deployment.partner(
        *("social:write", "leads:write", "members:write", "events:write", "triggers:write"),
        *("surveys:write", "charging:write"),
    )
    held = unit.prepare(deployment, sandbox, key)
    deployment.patch.setattr(config, "STALENESS", 3600.0)
    unit.do(deployment, key, held)
    deployment.run_queues()
    counted = Made()
    with counting(counted):
        unit.do(deployment, key, held)
        deployment.run_queues()
    counted.calls["dynamodb.GetItem"] -= 1  # the authorizer's, which API Gateway keeps for five minutes
    return counted


def section(found: list[tuple[Unit, Made]]) -> str:
    """The page's section."""
    lines = [
        "## What a unit of work costs",
        "",
        f"AWS requests, counted, and list prices of {PRICES_OF}. Write units are DynamoDB's, with the index"
        f" entries. Compute: {_LAMBDA_MILLISECONDS} ms of {_MEMORY_GB} GB a call of a function, assumed.",
        "",
        "| unit of work | DynamoDB requests | at most | write units | SQS | bus | $ a million | all in |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for unit, made in found:
        events, all_in = made.calls["events.PutEvents"], made.dollars_with_compute(unit)
        lines.append(
            f"| {unit.name} | {made.dynamodb} | {unit.most} | {made.write_units} | {made.sent} "
            f"| {events} | {made.dollars:.2f} | {all_in:.2f} |"
        )
    lines += ["", "![US dollars a million, all in](cost.svg)"]
    return "\n".join(lines)


def main() -> None:
    """Count, and write the section and its plot."""
    os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Switchboard")
    found = []
    with serving_all() as sandbox:
        for unit in UNITS:
            sandbox.reset()
            with deployed() as deployment:
                found.append((unit, measure(deployment, sandbox, unit)))
    dollars = [(unit.name, made.dollars_with_compute(unit)) for unit, made in found]
    page.bars(page.SECTIONS / "cost.svg", "US dollars for a million, all in", dollars, "$")
    text = section(found)
    page.write_section("cost", text)
    print(text)


if __name__ == "__main__":
    main()
