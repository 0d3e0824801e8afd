"""Source 002: life cycles, hierarchies, attributes, balances, later operations, provisioning."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from sandbox.vendors.ocsio import OcsIo
from switchboard import aws, crm_events, work
from switchboard.charging.execution import execute
from switchboard.charging.jobs import Job
from switchboard.charging.operations import BY_NAME
from switchboard.connectors import ocsio
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item
from switchboard.errors import AnswerLost
from switchboard.ledger import Entry
from switchboard.settings.charging import ChargingSettings
from tests.support import factories
from tests.support.deployment import Context, Deployment, Reply
from tests.support.faults import Killed, killed_at
from tests.support.stand_ins import StandIn, serving

LATER = {"Prefer": "respond-async"}
IF_AWAY = {"Prefer": "respond-async, wait=2"}
UNFINISHED = {"pending", "in_progress", "retrying", "unknown"}


@pytest.fixture
def ocs(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The charging system, connected."""
    with serving(OcsIo()) as sandbox:
        sandbox.connect(monkeypatch)
        yield sandbox


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[CrmEvent]:
    """The CRM events that are put on the bus."""
    events: list[CrmEvent] = []
    monkeypatch.setattr(crm_events, "publish", events.extend)
    return events


def call(deployment: Deployment, method: str, path: str, body: Any = None, **options: Any) -> Reply:
    return deployment.call(method, f"/charging/{path}", body, **options)


def made(deployment: Deployment, kind: str, external_id: str, **fields: Any) -> Any:
    """An entity that the OCS has."""
    body = {"externalId": external_id, f"{kind}Profile": "p"} | fields
    reply = call(deployment, "POST", f"{kind}s", body)
    assert reply.status == 201, reply.text
    return reply.json


def subscription(deployment: Deployment, external_id: str = "o-1") -> None:
    made(deployment, "customer", "c-1")
    body = {"offer": "gold", "externalId": external_id}
    assert call(deployment, "POST", "customers/c-1/subscriptions", body).status == 201


def state_of(deployment: Deployment, reply: Reply, **options: Any) -> Any:
    assert reply.status == 202, reply.text
    found = deployment.call("GET", f"/charging/operations/{reply.json['operationId']}", **options)
    assert found.status == 200
    return found.json


def writes(ocs: StandIn) -> list[dict[str, Any]]:
    return [json.loads(one["body"]) for one in ocs.calls() if one["method"] == "POST"]


# life cycle, hierarchy --------------------------------------------------------------------------------------


WAYS = [
    (["ACTIVE", "INACTIVE"], "SUSPENDED or DEACTIVATED"),
    (["INACTIVE", "SUSPENDED"], "ACTIVE or DEACTIVATED"),
    (["ACTIVE", "SUSPENDED", "INACTIVE"], "ACTIVE or DEACTIVATED"),
    (["ACTIVE", "DEACTIVATED", "ACTIVE"], "final"),
]


def test_an_illegal_state_is_409_and_names_the_legal_ones(deployment: Deployment, ocs: StandIn) -> None:
    for number, ([first, *between, illegal], legal) in enumerate(WAYS):
        path = f"customers/c-{number}/state"
        made(deployment, "customer", f"c-{number}", state={"state": first, "stateReason": "r"})
        for state in between:
            assert call(deployment, "PUT", path, {"state": state}).json["state"] == state
        before = len(writes(ocs))
        reply = call(deployment, "PUT", path, {"state": illegal})
        assert (reply.status, reply.json["code"]) == (409, "conflict")
        assert legal in reply.json["detail"]
        assert reply.json["state"] == [first, *between][-1]
        assert len(writes(ocs)) == before


def test_the_same_state_again_is_no_call(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1")
    before = len(writes(ocs))
    reply = call(deployment, "PUT", "customers/c-1/state", {"state": "ACTIVE"})
    assert (reply.status, reply.json["state"]) == (200, "ACTIVE")
    assert len(writes(ocs)) == before


def test_a_state_goes_out_as_the_ocs_wants_it(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1")
    made(deployment, "account", "a-1", customer={"externalId": "c-1"})
    body = {
        "state": "SUSPENDED",
        "stateValidFrom": "2024-05-01T00:00:00+02:00",
        "pending": False,
        "subordinateUpdated": True,
    }
    assert call(deployment, "PUT", "customers/c-1/state", body).status == 200
    sent = writes(ocs)[-1]
    assert sent["customer"] == {"externalId": "c-1"}
    assert sent["subordinateUpdated"] is True
    assert sent["state"] == {
        "state": "SUSPENDED",
        "stateReason": "dfltSuspended",
        "stateValidFrom": "2024-05-01T00:00:00+02:00",
        "pending": False,
    }
    assert call(deployment, "GET", "accounts/a-1").json["state"] == "SUSPENDED"


def test_an_account_hierarchy_has_no_loop(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1")
    made(deployment, "account", "top", customer={"externalId": "c-1"})
    made(deployment, "account", "middle", customer={"externalId": "c-1"}, parent={"externalId": "top"})
    bottom = made(deployment, "account", "bottom", parent={"externalId": "middle"})
    before = len(writes(ocs))
    for parent in ({"externalId": "top"}, {"externalId": "bottom"}, {"refId": bottom["refId"]}):
        reply = call(deployment, "PATCH", "accounts/top", {"parent": parent})
        assert (reply.status, reply.json["code"]) == (409, "conflict"), reply.text
    assert len(writes(ocs)) == before
    assert call(deployment, "PATCH", "accounts/bottom", {"parent": {"externalId": "top"}}).status == 200
    assert call(deployment, "PATCH", "accounts/bottom", {"parent": None}).json["parent"] is None


def test_a_swap_of_a_resource_that_is_not_there_is_404(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "subscriber", "s-1", primaryResource="10.0.0.1", primaryResourceType="ipV4")
    before = len(writes(ocs))
    body = {"resourceType": "ipV4", "resource": "10.0.0.2"}
    assert call(deployment, "PUT", "subscribers/s-1/resources/10.0.0.9", body).status == 404
    assert len(writes(ocs)) == before
    assert call(deployment, "PUT", "subscribers/s-1/resources/10.0.0.1", body).status == 200
    sent = writes(ocs)[-1]
    assert (sent["swapResource"], sent["resource"]) == ("10.0.0.1", "10.0.0.2")
    assert sent["transactionId"] != sent["requestId"]


# ids --------------------------------------------------------------------------------------------------------


def test_ids_taken_unknown_and_of_the_ocs(deployment: Deployment, ocs: StandIn) -> None:
    customer = made(deployment, "customer", "c-1")
    body = {"externalId": "c-1", "customerProfile": "p"}
    taken = call(deployment, "POST", "customers", body)
    assert (taken.status, taken.json["code"]) == (409, "conflict")
    call(deployment, "PUT", "customers/c-1/state", {"state": "DEACTIVATED"})
    assert call(deployment, "POST", "customers", body).status == 409
    assert call(deployment, "GET", "customers/nobody").status == 404
    assert call(deployment, "PUT", "customers/nobody/state", {"state": "ACTIVE"}).status == 404
    assert call(deployment, "PUT", "customers/nobody/custom-name", {"customName": "x"}).status == 404
    by_ref = {"idType": "refId"}
    assert call(deployment, "GET", f"customers/{customer['refId']}", query=by_ref).json["externalId"] == "c-1"
    assert call(deployment, "GET", "customers/c-1", query={"idType": "ssn"}).status == 422


def test_what_is_made_without_an_id_gets_one(deployment: Deployment, ocs: StandIn) -> None:
    ocs.fault(kind="answerLost", method="POST", count=1)
    reply = call(deployment, "POST", "customers", {"customerProfile": "p"})
    assert reply.status == 201
    assert call(deployment, "GET", f"customers/{reply.json['externalId']}").status == 200
    assert len(ocs.control("entities")["customer"]) == 1


def test_a_null_beside_an_id_says_nothing(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1")
    body = {"accountProfile": "p", "externalId": "a-1", "customer": {"externalId": "c-1", "refId": None}}
    assert call(deployment, "POST", "accounts", body).status == 201
    assert "refId" not in json.dumps(writes(ocs)[-1])


def test_the_vendors_words_reach_the_caller(deployment: Deployment, ocs: StandIn) -> None:
    reply = call(deployment, "POST", "customers", {"customerProfile": "missing"})
    assert (reply.status, reply.json["code"]) == (502, "remote-refused")
    assert reply.json["detail"] == "Profile is not configured in the system."
    assert "vendor_status" not in reply.json


def test_without_a_secret_it_is_503(deployment: Deployment) -> None:
    reply = call(deployment, "POST", "customers", {"customerProfile": "p"})
    assert (reply.status, reply.json["code"]) == (503, "not-configured")


# custom attributes ------------------------------------------------------------------------------------------


def test_put_replaces_and_patch_merges(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1", customAttributes={"a": "1", "b": "2"})
    path = "customers/c-1/custom-attributes"
    merged = call(deployment, "PATCH", path, {"customAttributes": {"b": "3", "c": "4"}})
    assert merged.json["customAttributes"] == {"a": "1", "b": "3", "c": "4"}
    assert writes(ocs)[-1]["customAttributes"] == {"a": "1", "b": "3", "c": "4"}
    replaced = call(deployment, "PUT", path, {"customAttributes": {"d": "5"}})
    assert replaced.json["customAttributes"] == {"d": "5"}


def test_merges_at_the_same_time_lose_nothing(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1")
    ocs.fault(kind="slow", seconds=0.02)

    def merge(number: int) -> int:
        body = {"customAttributes": {f"key{number}": str(number)}}
        return call(deployment, "PATCH", "customers/c-1/custom-attributes", body).status

    call(deployment, "GET", "customers/c-1")
    with ThreadPoolExecutor(4) as pool:
        wanted = Job(BY_NAME["customer.merge-attributes"], {"externalId": "c-1"}, None, {})
        outcomes = list(pool.map(lambda number: _merged(wanted, number), range(8)))
    assert outcomes == ["synced"] * 8
    held = ocs.control("entities")["customer"][0]["customAttributes"]
    assert held == {f"key{number}": str(number) for number in range(8)}
    assert merge(8) == 200


def _merged(wanted: Job, number: int) -> str:
    body = {"customAttributes": {f"key{number}": str(number)}}
    job = Job(wanted.operation, wanted.reference, None, body)
    return execute(
        entry_of(job, f"merge-{number}"),
        {},
        ocs=ocsio.ocs(),
        settings=ChargingSettings(),
        table=work.ledger().table,
        look_only=False,
    ).status


def test_a_change_in_between_is_merged_with(
    deployment: Deployment, ocs: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(deployment, "customer", "c-1", customAttributes={"a": "1"})
    write = ocsio.OcsIo.write

    def after_somebody_else(self: ocsio.OcsIo, path: str, body: Any) -> Any:
        ocs.client.patch(
            "/_control/ocsio/entities/customer/c-1", json={"customAttributes": {"a": "1", "theirs": "2"}}
        ).raise_for_status()
        return write(self, path, body)

    monkeypatch.setattr(ocsio.OcsIo, "write", after_somebody_else)
    reply = call(deployment, "PATCH", "customers/c-1/custom-attributes", {"customAttributes": {"ours": "3"}})
    assert reply.json["customAttributes"] == {"a": "1", "theirs": "2", "ours": "3"}


def test_a_set_without_its_mandatory_keys_is_422(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1", customAttributes={"vat": "1"})
    settings = {"mandatoryAttributes": {"customers": ["vat"]}}
    assert deployment.call("PUT", "/settings/charging", settings).status == 200
    path, before = "customers/c-1/custom-attributes", len(writes(ocs))
    for method, where, body in (
        ("PUT", path, {"customAttributes": {"x": "1"}}),
        ("POST", "customers", {"customerProfile": "p", "customAttributes": {"x": "1"}}),
        ("PATCH", "customers/c-1", {"customAttributes": {"x": "1"}}),
    ):
        reply = call(deployment, method, where, body)
        assert reply.status == 422, reply.text
        assert "vat" in reply.json["errors"][0]["pointer"]
    assert len(writes(ocs)) == before
    assert call(deployment, "PATCH", path, {"customAttributes": {"x": "1"}}).status == 200


# balances ---------------------------------------------------------------------------------------------------


def entry_of(job: Job, ledger_id: str) -> Entry:
    facts: dict[str, Any] = {
        "flow": "charging",
        "entity": ledger_id,
        "partner_id": "p",
        "status": "in_progress",
    }
    facts |= {"version": 1, "revision": 2, "attempts": 1, "group": "g", "result": {}, "correlation_id": "c"}
    facts |= {"created_at": "", "updated_at": ""}
    return Entry(ledger_id=ledger_id, payload=job.payload(), **facts)


def test_a_thousand_top_ups_with_repeats_and_lost_answers_end_at_the_right_sum(
    deployment: Deployment, ocs: StandIn
) -> None:
    subscription(deployment)
    ocs.fault(kind="answerLost", method="POST", rate=0.1, seed=7)
    system = ocsio.ocs()

    def top_up(number: int) -> str:
        body = {"operation": "add", "amount": 0.1, "units": "EUR"}
        job = Job(BY_NAME["subscription.balance"], {"externalId": "o-1"}, "main", body)
        entry = entry_of(job, f"top-up-{number % 1000}")
        result: Item = {}
        while True:
            try:
                return execute(
                    entry,
                    result,
                    ocs=system,
                    settings=ChargingSettings(),
                    table=work.ledger().table,
                    look_only=False,
                ).status
            except AnswerLost:
                continue

    with ThreadPoolExecutor(16) as pool:
        # One in ten is called twice at the same time.
        assert set(pool.map(top_up, range(1100))) == {"synced"}
    ocs.heal()
    [balance] = call(deployment, "GET", "subscriptions/o-1").json["balances"]
    assert balance == {"balanceId": "main", "amount": 100.0, "units": "EUR"}
    assert any(one["fault"] == "answerLost" for one in ocs.calls())


def test_a_repeated_top_up_moves_money_once(deployment: Deployment, ocs: StandIn) -> None:
    subscription(deployment)
    path, headers = "subscriptions/o-1/balances/main", {"Idempotency-Key": "k"}
    body = {"operation": "add", "amount": 10}
    ocs.fault(kind="answerLost", method="POST")
    lost = call(deployment, "PATCH", path, body, headers=headers)
    assert (lost.status, lost.json["code"]) == (503, "remote-timeout")
    other = call(deployment, "PATCH", path, body | {"amount": 20}, headers=headers)
    assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")
    ocs.heal()
    done = call(deployment, "PATCH", path, body, headers=headers)
    assert done.json["balances"] == [{"balanceId": "main", "amount": 10.0}]
    assert call(deployment, "PATCH", path, body, headers=headers).json == done.json
    assert call(deployment, "PATCH", path, body | {"operation": "subtract", "amount": 4}).json[
        "balances"
    ] == [{"balanceId": "main", "amount": 6.0}]


def test_where_request_ids_are_not_honoured_a_lost_top_up_is_left_to_a_person(
    deployment: Deployment, ocs: StandIn
) -> None:
    subscription(deployment)
    assert deployment.call("PUT", "/settings/charging", {"requestIdDeduplicates": False}).status == 200
    path, headers = "subscriptions/o-1/balances/main", {"Idempotency-Key": "k"}
    ocs.fault(kind="answerLost", method="POST", count=1)
    before = len(writes(ocs))
    for _ in range(2):
        reply = call(deployment, "PATCH", path, {"operation": "add", "amount": 10}, headers=headers)
        assert (reply.status, reply.json["code"]) == (503, "outcome-unknown")
    assert len(writes(ocs)) == before + 1
    balances = [{"balanceId": "data", "operation": "add", "amount": 1}]
    assert call(deployment, "PATCH", "subscriptions/o-1/balances", {"balances": balances}).status == 200


def test_several_balances_are_changed_all_or_none(deployment: Deployment, ocs: StandIn) -> None:
    subscription(deployment)
    good = {"balanceId": "main", "operation": "add", "amount": 5}
    body = {"balances": [good, {"balanceId": "missing", "operation": "add", "amount": 5}]}
    reply = call(deployment, "PATCH", "subscriptions/o-1/balances", body)
    assert reply.status == 207
    assert [item["status"] for item in reply.json["items"]] == ["not_done", "refused"]
    assert reply.json["items"][1]["error"] == "Balance service is not configured."
    assert call(deployment, "GET", "subscriptions/o-1").json["balances"] == []
    [entry] = deployment.call("GET", "/ledger", query={"status": "data_error"}).json["items"]
    assert entry["code"] == "remote-refused"


# the ledger and the caller ----------------------------------------------------------------------------------


def test_a_synchronous_call_has_its_ledger_entry(deployment: Deployment, ocs: StandIn) -> None:
    made(deployment, "customer", "c-1")
    made(deployment, "account", "a-1", customer={"externalId": "c-1"})
    call(deployment, "PUT", "accounts/a-1/custom-name", {"customName": "x"})
    items = deployment.call("GET", "/ledger", query={"flow": "charging"}).json["items"]
    assert [item["status"] for item in items] == ["synced"] * 3
    assert {item["customerId"] for item in items} == {"c-1"}


def test_a_call_that_was_told_as_failed_is_not_done_behind_its_callers_back(
    deployment: Deployment, ocs: StandIn
) -> None:
    ocs.fault(kind="down")
    body, headers = {"externalId": "c-1", "customerProfile": "p"}, {"Idempotency-Key": "k"}
    reads = call(deployment, "POST", "customers", body, headers=headers)
    assert reads.status == 503
    operation = f"/charging/operations/{reads.json['operationId']}"
    assert deployment.call("GET", operation).json["status"] == "unknown"
    ocs.heal()
    deployment.pass_time(timedelta(minutes=1))
    deployment.sweep()
    deployment.run_queues()
    assert deployment.call("GET", operation).json["code"] == "not-done"
    assert call(deployment, "GET", "customers/c-1").status == 404
    assert call(deployment, "POST", "customers", body, headers=headers).status == 201
    assert deployment.call("GET", operation).json["status"] == "synced"


def test_an_operator_has_a_failed_call_done_though_the_ocs_is_still_away(
    deployment: Deployment, ocs: StandIn
) -> None:
    ocs.fault(kind="down")
    reply = call(deployment, "POST", "customers", {"externalId": "c-1", "customerProfile": "p"})
    assert deployment.call("POST", f"/ledger/{reply.json['operationId']}/resubmit").status == 202
    deployment.run_queues()
    ocs.heal()
    deployment.pass_time(timedelta(minutes=1))
    deployment.sweep()
    deployment.run_queues()
    assert call(deployment, "GET", "customers/c-1").status == 200


def test_a_lost_answer_that_nobody_asks_about_is_resolved_by_looking(
    deployment: Deployment, ocs: StandIn
) -> None:
    ocs.fault(kind="answerLost")
    reply = call(deployment, "POST", "customers", {"externalId": "c-1", "customerProfile": "p"})
    assert reply.status == 503
    ocs.heal()
    deployment.pass_time(timedelta(minutes=1))
    deployment.sweep()
    deployment.run_queues()
    found = deployment.call("GET", f"/charging/operations/{reply.json['operationId']}").json
    assert (found["status"], found["externalId"]) == ("synced", "c-1")


def test_a_worker_that_dies_anywhere_creates_one_customer(deployment: Deployment, ocs: StandIn) -> None:
    for request in range(8):
        body = {"externalId": f"c-{request}", "customerProfile": "p"}
        headers = {"Idempotency-Key": f"k-{request}"}
        try:
            with killed_at(request, after=True):
                assert call(deployment, "POST", "customers", body, headers=headers).status == 201
        except Killed:
            # The leases of the entry and of the Idempotency-Key end.
            deployment.pass_time(timedelta(minutes=2))
            table = os.environ["IDEMPOTENCY_TABLE"]
            for item in aws.dynamodb().scan(TableName=table)["Items"]:
                if item["status"]["S"] == "INPROGRESS":
                    aws.dynamodb().delete_item(TableName=table, Key={"id": item["id"]})
        reply = call(deployment, "POST", "customers", body, headers=headers)
        assert (reply.status, reply.json["externalId"]) == (201, f"c-{request}"), reply.text
        assert len(ocs.control("entities")["customer"]) == request + 1


def test_another_partner_does_not_see_an_operation(deployment: Deployment, ocs: StandIn) -> None:
    mine, theirs = (deployment.partner("charging:write", "charging:read") for _ in range(2))
    body = {"externalId": "c-1", "customerProfile": "p"}
    reply = call(deployment, "POST", "customers", body, key=mine, headers=LATER)
    operation = f"/charging/operations/{reply.json['operationId']}"
    assert deployment.call("GET", operation, key=mine).status == 200
    assert deployment.call("GET", operation, key=theirs).status == 404
    assert deployment.call("GET", operation, key=deployment.partner("charging:write")).status == 404
    assert deployment.call("GET", operation, key=deployment.partner("crm:read")).status == 403
    reader = deployment.partner("charging:read")
    assert call(deployment, "POST", "customers", body, key=reader).status == 403
    assert call(deployment, "GET", "customers/c-1", key=deployment.partner("charging:write")).status == 403


# later ------------------------------------------------------------------------------------------------------


def test_an_operation_for_later_is_followed(
    deployment: Deployment, ocs: StandIn, published: list[CrmEvent]
) -> None:
    body = {"externalId": "c-1", "customerProfile": "p"}
    reply = call(deployment, "POST", "customers", body, headers=LATER)
    assert reply.headers["Location"] == f"/v1/charging/operations/{reply.json['operationId']}"
    assert reply.headers["Preference-Applied"] == "respond-async"
    assert ocs.calls() == []
    assert state_of(deployment, reply)["status"] == "pending"
    deployment.run_queues()
    done = state_of(deployment, reply)
    assert (done["status"], done["externalId"], done["operation"]) == ("synced", "c-1", "customer.create")
    assert done["refId"]
    assert [(event.type, event.account_id) for event in published] == [("customer.edit", "c-1")]


def test_a_refused_operation_for_later_says_why(
    deployment: Deployment, ocs: StandIn, published: list[CrmEvent]
) -> None:
    reply = call(
        deployment, "POST", "customers", {"externalId": "c-1", "customerProfile": "missing"}, headers=LATER
    )
    deployment.run_queues()
    done = state_of(deployment, reply)
    assert (done["status"], done["code"]) == ("data_error", "remote-refused")
    assert "not configured" in done["error"]
    assert [event.account_id for event in published] == ["c-1"]


def test_while_the_ocs_is_away_the_order_of_a_customer_is_kept(
    deployment: Deployment, ocs: StandIn, published: list[CrmEvent]
) -> None:
    ocs.fault(kind="down")
    bodies = [
        ("POST", "customers", {"externalId": "c-1", "customerProfile": "p"}),
        ("POST", "accounts", {"externalId": "a-1", "accountProfile": "p", "customer": {"externalId": "c-1"}}),
        (
            "POST",
            "subscribers",
            {"externalId": "s-1", "subscriberProfile": "p", "account": {"externalId": "a-1"}},
        ),
        ("PUT", "subscribers/s-1/state", {"state": "SUSPENDED"}),
        ("PUT", "subscribers/s-1/state", {"state": "ACTIVE"}),
        ("PUT", "subscribers/s-1/custom-name", {"customName": "last"}),
    ]
    replies = [
        call(deployment, *one, headers=IF_AWAY if number < 3 else LATER) for number, one in enumerate(bodies)
    ]
    deployment.run_queues()
    assert {state_of(deployment, reply)["status"] for reply in replies} <= UNFINISHED
    ocs.heal()
    # Not even a call that could be done at once overtakes the ones that wait.
    replies.append(
        call(deployment, "PUT", "customers/c-1/custom-name", {"customName": "behind"}, headers=IF_AWAY)
    )
    for _ in range(3):
        deployment.pass_time(timedelta(minutes=2))
        deployment.sweep()
        deployment.run_queues()
    assert [state_of(deployment, reply)["status"] for reply in replies] == ["synced"] * 7
    paths = [one["path"] for one in ocs.calls() if one["method"] == "POST" and one["status"] == 200]
    assert [path.removeprefix("/v1/casm/") for path in paths] == [
        "customers/create",
        "accounts/create",
        "subscribers/create",
        "subscribers/update-state",
        "subscribers/update-state",
        "subscribers/update-custom-name",
        "customers/update-custom-name",
    ]
    assert {event.account_id for event in published} == {"c-1"}


def test_with_wait_it_is_done_at_once_when_the_ocs_is_there(deployment: Deployment, ocs: StandIn) -> None:
    body = {"externalId": "c-1", "customerProfile": "p"}
    assert call(deployment, "POST", "customers", body, headers=IF_AWAY).status == 201
    again = call(deployment, "POST", "customers", body, headers=IF_AWAY)
    assert again.status == 409
    assert deployment.run_queues() == 0


def test_a_message_that_comes_twice_does_nothing_twice(
    deployment: Deployment, ocs: StandIn, published: list[CrmEvent]
) -> None:
    subscription(deployment)
    body = {"operation": "add", "amount": 10}
    reply = call(deployment, "PATCH", "subscriptions/o-1/balances/main", body, headers=LATER)
    from functions.charging_work.app import lambda_handler

    record = {"messageId": "m", "body": json.dumps({"ledgerId": reply.json["operationId"]})}
    record |= {"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:1:q.fifo", "attributes": {}}  # type: ignore[dict-item]
    for _ in range(2):
        assert lambda_handler({"Records": [record]}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    deployment.run_queues()
    assert call(deployment, "GET", "subscriptions/o-1").json["balances"][0]["amount"] == 10.0


def test_a_queue_worker_that_dies_anywhere_moves_money_once(
    deployment: Deployment, ocs: StandIn, published: list[CrmEvent]
) -> None:
    subscription(deployment)
    body = {"operation": "add", "amount": 10}
    for request in range(8):
        reply = call(deployment, "PATCH", f"subscriptions/o-1/balances/b{request}", body, headers=LATER)
        try:
            with killed_at(request, after=True):
                deployment.run_queues()
        except Killed:
            deployment.pass_time(timedelta(minutes=3))
            deployment.sweep()
            deployment.run_queues()
        assert state_of(deployment, reply)["status"] == "synced"
    balances = call(deployment, "GET", "subscriptions/o-1").json["balances"]
    assert [balance["amount"] for balance in balances] == [10.0] * 8


# provisioning -----------------------------------------------------------------------------------------------


def provision(account_id: str, times: int = 1) -> None:
    """The bus hands over the event of a new customer."""
    from functions.charging_provision.app import lambda_handler

    event = crm_events.new_event("customer", "create", origin="builtin", account_id=account_id)
    detail = json.loads(event.model_dump_json(by_alias=True, exclude_none=True))
    body = json.dumps({"source": "switchboard.crm", "detail-type": event.type, "detail": detail})
    record = {"messageId": "m", "body": body, "eventSource": "aws:sqs", "attributes": {}}
    for _ in range(times):
        assert lambda_handler({"Records": [record]}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]


def new_customer(**fields: Any) -> str:
    from switchboard.connectors import crm
    from switchboard.connectors.builtin_crm import BuiltinCrm

    held = crm()
    assert isinstance(held, BuiltinCrm)
    record = held.records.create_customer(factories.customer(**fields))
    return str(record["accountId"])


RULES = {
    "provisioning": [
        {
            "object": "customer",
            "event": "create",
            "where": {"country": "DE"},
            "customerProfile": "b2c",
            "accountProfile": "postpaid",
            "subscriberProfile": "mobile",
        }
    ]
}


def test_a_new_customer_of_the_crm_is_set_up_in_the_ocs(
    deployment: Deployment, ocs: StandIn, published: list[CrmEvent]
) -> None:
    assert deployment.call("PUT", "/settings/charging", RULES).status == 200
    account_id = new_customer()
    provision(account_id, times=2)
    deployment.run_queues()
    found = ocs.control("entities")
    assert [len(found[kind]) for kind in ("customer", "account", "subscriber")] == [1, 1, 1]
    assert found["customer"][0]["externalId"] == account_id
    assert found["customer"][0]["customName"] == "Jane Miller"
    assert found["account"][0]["customer"] == {"externalId": account_id}
    assert call(deployment, "GET", f"subscribers/{account_id}").json["account"] == {"externalId": account_id}


def test_a_customer_that_no_rule_fits_or_that_is_gone_is_left_alone(
    deployment: Deployment, ocs: StandIn
) -> None:
    provision(new_customer())
    assert deployment.call("PUT", "/settings/charging", RULES).status == 200
    provision(new_customer(country="FR"))
    provision("cus_gone")
    assert deployment.run_queues() == 0


BAD_SETTINGS: list[dict[str, Any]] = [
    {"provisioning": [{"object": "case", "event": "create", "customerProfile": "p"}]},
    {"provisioning": [{"object": "customer", "event": "create"}]},
    {"provisioning": [{**RULES["provisioning"][0], "where": {"$nor": 1}}]},
    {"paths": {"customer.explode": "customers/explode"}},
    {"paths": {"customer.create": "https://elsewhere.example/"}},
    {"mandatoryAttributes": {"dogs": []}},
]


def test_bad_settings_are_refused(deployment: Deployment) -> None:
    for settings in BAD_SETTINGS:
        assert deployment.call("PUT", "/settings/charging", settings).status == 422, settings


def test_an_id_that_nothing_can_have_is_404(deployment: Deployment, ocs: StandIn) -> None:
    for strange in ("x" * 3000, "a%00b"):
        assert call(deployment, "GET", f"customers/{strange}").status == 404
        assert call(deployment, "PUT", f"customers/{strange}/state", {"state": "ACTIVE"}).status == 404
    assert ocs.calls() == []


def test_a_path_can_be_set(deployment: Deployment, ocs: StandIn) -> None:
    assert (
        deployment.call("PUT", "/settings/charging", {"paths": {"customer.create": "customers/new"}}).status
        == 200
    )
    call(deployment, "POST", "customers", {"customerProfile": "p"})
    assert ocs.calls()[-1]["path"] == "/v1/casm/customers/new"
