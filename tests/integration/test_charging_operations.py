"""Every row of the table: a good call, each invalid field, the OCS refusing, down, and its answer lost."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.vendors.ocsio import OcsIo
from switchboard.charging.operations import OPERATIONS, Operation
from tests.integration.charging_cases import CASES, filled, merged
from tests.support.deployment import Deployment, Reply, deployed
from tests.support.stand_ins import StandIn, serving

_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """A customer with an account, a subscriber and a subscription, for one operation to be called on."""

    deployment: Deployment
    ocs: StandIn
    ids: dict[str, str]

    def call(self, operation: Operation, body: Any, key: str | None = None) -> Reply:
        path = "/charging/" + filled(CASES[operation.name].path, self.ids)
        headers = {"Idempotency-Key": key} if key else {}
        return self.deployment.call(operation.method, path, body, headers=headers)

    def good(self, operation: Operation) -> Any:
        return filled(CASES[operation.name].good, self.ids)

    def writes(self) -> list[Any]:
        return [json.loads(call["body"]) for call in self.ocs.calls() if call["method"] == "POST"]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Deployment, StandIn]]:
    """One deployment and one OCS for the whole table: the cases have ids of their own."""
    with deployed() as deployment, pytest.MonkeyPatch.context() as patch, serving(OcsIo()) as ocs:
        ocs.connect(patch)
        patch.setattr("switchboard.config.STALENESS", 3600.0)
        yield deployment, ocs


@pytest.fixture
def world(shared: tuple[Deployment, StandIn]) -> World:
    deployment, ocs = shared
    ocs.heal()
    number = next(_numbers)
    ids = {name: f"{name}-{number}" for name in ("c", "a", "s", "o", "r", "new")}
    _plant(ocs, "customers", {"externalId": ids["c"], "customerProfile": "p"})
    _plant(
        ocs, "accounts", {"externalId": ids["a"], "accountProfile": "p", "customer": {"externalId": ids["c"]}}
    )
    resource = {"primaryResourceType": "msisdn", "primaryResource": ids["r"]}
    subscriber = {"externalId": ids["s"], "subscriberProfile": "p", "account": {"externalId": ids["a"]}}
    _plant(ocs, "subscribers", subscriber | resource)
    offer = {"externalId": ids["o"], "offer": "gold", "customer": {"externalId": ids["c"]}}
    _plant(ocs, "subscriptions", offer, "create-on-customer")
    ocs.forget_calls()
    return World(deployment, ocs, ids)


def _plant(ocs: StandIn, kind: str, body: dict[str, Any], verb: str = "create") -> None:
    ocs.client.post(
        f"/ocsio/v1/casm/{kind}/{verb}",
        json={"requestId": f"planted-{next(_numbers)}"} | body,
        headers={"Authorization": f"Bearer {OcsIo.credentials['apiKey']}"},
    ).raise_for_status()


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.name)
def operation(request: pytest.FixtureRequest) -> Operation:
    held: Operation = request.param
    return held


def test_the_table_has_the_44_use_cases_and_a_case_for_each() -> None:
    counted = [operation.name for operation in OPERATIONS if operation.counted]
    groups = [name.partition(".")[0] for name in counted]
    numbers = {group: groups.count(group) for group in groups}
    # The balances are the subscription's last two.
    assert numbers == {"customer": 8, "account": 10, "subscriber": 10, "subscription": 5 + 2, "offer": 9}
    assert len(counted) == 44
    assert {operation.name for operation in OPERATIONS} == CASES.keys()


def test_a_good_call_and_its_repeat(world: World, operation: Operation) -> None:
    body = world.good(operation)
    first = world.call(operation, body, key=f"good-{operation.name}")
    assert first.status == operation.status, first.text
    shown = first.json
    expected = filled(CASES[operation.name].shows, world.ids)
    assert {name: shown.get(name) for name in expected} == expected
    [write] = world.writes()
    assert write["requestId"]
    if operation.action not in ("create", "offer"):
        assert write[operation.kind] == {
            "externalId": filled(CASES[operation.name].path, world.ids).split("/")[1]
        }
    again = world.call(operation, body, key=f"good-{operation.name}")
    assert (again.status, again.json) == (first.status, shown)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(world.writes()) == 1


def test_each_invalid_field_is_named_and_the_ocs_is_not_called(world: World, operation: Operation) -> None:
    case = CASES[operation.name]
    assert case.invalid
    for field, changes in case.invalid:
        body = filled(merged(case.good, changes), world.ids)
        reply = world.call(operation, body)
        assert reply.status == 422, (changes, reply.text)
        assert any(field in error["pointer"] for error in reply.json["errors"]), (changes, reply.json)
    assert world.ocs.calls() == []


def test_the_ocs_refuses(world: World, operation: Operation) -> None:
    body = world.good(operation)
    case = CASES[operation.name]
    if case.refused is None:
        words, status, code = "The system says no.", 502, "remote-refused"
        world.ocs.fault(kind="status", method="POST", status=400, body=json.dumps({"message": words}))
    else:
        if "taken" in case.refused.values():
            _take(world, operation)
        body = merged(body, filled(case.refused, world.ids))
        taken = "taken" in case.refused.values()
        words, status, code = "", *((409, "conflict") if taken else (502, "remote-refused"))
    reply = world.call(operation, body)
    assert (reply.status, reply.json["code"]) == (status, code), reply.text
    assert words in reply.json["detail"]
    state = world.deployment.call("GET", f"/charging/operations/{reply.json['operationId']}").json
    assert (state["status"], state["code"]) == ("data_error", code)


def _take(world: World, operation: Operation) -> None:
    held = world.ocs.control("entities")
    if operation.action == "external-id":
        if not any(one["externalId"] == "taken" for one in held[operation.kind]):
            extra = (
                {"offer": "gold"} if operation.kind == "subscription" else {f"{operation.kind}Profile": "p"}
            )
            verb = "create-on-customer" if operation.kind == "subscription" else "create"
            _plant(world.ocs, f"{operation.kind}s", {"externalId": "taken"} | extra, verb)
        return
    primary = {"primaryResourceType": "msisdn", "primaryResource": "taken"}
    _plant(world.ocs, "subscribers", {"externalId": "holder", "subscriberProfile": "p"} | primary)


def test_the_ocs_is_down_and_a_repeat_does_it_later(world: World, operation: Operation) -> None:
    body, key = world.good(operation), f"down-{operation.name}"
    world.ocs.fault(kind="status", status=503, headers={"Retry-After": "60"})
    away = world.call(operation, body, key=key)
    assert (away.status, away.json["code"]) == (503, "remote-unavailable"), away.text
    assert away.headers["Retry-After"] == "60"
    world.ocs.heal()
    done = world.call(operation, body, key=key)
    assert done.status == operation.status, done.text
    expected = filled(CASES[operation.name].shows, world.ids)
    assert {name: done.json.get(name) for name in expected} == expected


def test_a_lost_answer_is_resolved_within_the_call(world: World, operation: Operation) -> None:
    world.ocs.fault(kind="answerLost", method="POST", count=1)
    reply = world.call(operation, world.good(operation))
    assert reply.status == operation.status, reply.text
    expected = filled(CASES[operation.name].shows, world.ids)
    assert {name: reply.json.get(name) for name in expected} == expected
    writes = world.writes()
    assert len({write["requestId"] for write in writes}) == 1
    # A balance does not show what became of it: it is sent again, as the same request.
    assert len(writes) == (2 if operation.action in ("balance", "balances") else 1)
