"""Every vendor's connector stands behind the shared breaker: work waits, callers are told, all gets done."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.vcc_sweep import app as vcc_sweep
from sandbox.vendor import Vendor
from sandbox.vendors.meta import Meta
from sandbox.vendors.ocsio import OcsIo
from sandbox.vendors.sem import Sem
from sandbox.vendors.siebel import Siebel
from sandbox.vendors.vcc import Vcc
from switchboard import breaker, connectors, observability
from switchboard.breaker import PATIENT_THRESHOLD, Breaker
from switchboard.errors import VendorError
from tests.support import factories
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import StandIn, serving

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, StandIn]]:
    vendors: list[Vendor] = [Siebel(), Sem(), Meta(), Vcc(), OcsIo()]
    with (
        serving(vendors[0]) as siebel,
        serving(vendors[1]) as sem,
        serving(vendors[2]) as meta,
        serving(vendors[3]) as vcc,
        serving(vendors[4]) as ocs,
    ):
        yield {one.vendor.name: one for one in (siebel, sem, meta, vcc, ocs)}


@pytest.fixture
def vendors(
    stand_ins: dict[str, StandIn], deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> dict[str, StandIn]:
    for one in stand_ins.values():
        one.reset()
        one.connect(monkeypatch)
    return stand_ins


def opened(connector: str) -> None:
    """Another worker has found the vendor away."""
    Breaker(connector, threshold=1).failed(VendorError("remote-unavailable"), probe=False)


def later(deployment: Deployment) -> None:
    """Two minutes, each with its sweep: the first sends the probe, the second what still waits."""
    for _ in range(2):
        deployment.pass_time(MINUTE)
        deployment.sweep()
        deployment.run_queues()


def with_siebel(deployment: Deployment) -> None:
    deployment.patch.setenv("CRM_CONNECTOR", "siebel")
    connectors.crm.cache_clear()


def a_post(deployment: Deployment, _: StandIn) -> None:
    with_siebel(deployment)
    assert deployment.call("POST", "/social/posts", factories.post()).status == 202


def a_reply(deployment: Deployment, _: StandIn) -> None:
    post = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
    deployment.run_queues()
    body = {"body": "On it.", "agentId": "a-7"}
    assert deployment.call("POST", f"/social/posts/{post}/replies", body).status == 202


def a_lead(deployment: Deployment, meta: StandIn) -> None:
    vendor = meta.vendor
    assert isinstance(vendor, Meta)
    body, signature = vendor.call(vendor.fill_in({"full_name": "Ann Lee", "email": "ann@example.com"}))
    headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
    assert deployment.call("POST", "/hooks/facebook/leads", raw=body, headers=headers, key=None).status == 200


def a_pull(deployment: Deployment, vcc: StandIn) -> None:
    path = f"/hooks/vcc/{vcc.secret['hookToken']}/customer/edit"
    assert deployment.call("GET", path, key=None, query={"AccountID": "1001"}).status == 200


def a_charge(deployment: Deployment, _: StandIn) -> None:
    body = {"externalId": "c-1", "customerProfile": "p"}
    reply = deployment.call("POST", "/charging/customers", body, headers={"Prefer": "respond-async, wait=2"})
    assert reply.status == 202, reply.text


WORK: list[tuple[str, str, Callable[[Deployment, StandIn], None]]] = [
    ("siebel", "social_post", a_post),
    ("sem", "social_reply", a_reply),
    ("meta", "lead", a_lead),
    ("vcc", "record_sync", a_pull),
    ("ocsio", "charging", a_charge),
]


@pytest.mark.parametrize(("connector", "flow", "make"), WORK, ids=[one[0] for one in WORK])
def test_work_waits_uncalled_for_a_vendor_that_is_away_and_is_done_when_it_is_back(
    deployment: Deployment,
    vendors: dict[str, StandIn],
    connector: str,
    flow: str,
    make: Callable[[Deployment, StandIn], None],
) -> None:
    opened(connector)
    make(deployment, vendors[connector])
    deployment.run_queues()
    [entry] = deployment.call("GET", "/ledger", query={"flow": flow}).json["items"]
    assert (entry["status"], entry["code"], entry["attempts"]) == ("retrying", "circuit-open", 0)
    assert vendors[connector].lines() == []
    later(deployment)
    [entry] = deployment.call("GET", "/ledger", query={"flow": flow}).json["items"]
    assert entry["status"] == "synced", entry
    assert not any(state.is_open for state in breaker.everyone())


CALLS: list[tuple[str, str, str, Any]] = [
    ("siebel", "POST", "/leads", {"lastName": "Lee", "email": "ann@example.com"}),
    ("siebel", "GET", "/campaigns", None),
    ("ocsio", "GET", "/charging/customers/c-1", None),
    ("ocsio", "POST", "/charging/customers", {"externalId": "c-1", "customerProfile": "p"}),
]


@pytest.mark.parametrize(
    ("connector", "method", "path", "body"), CALLS, ids=[f"{one[1]} {one[2]}" for one in CALLS]
)
def test_a_caller_who_waits_is_told_before_any_call(
    deployment: Deployment, vendors: dict[str, StandIn], connector: str, method: str, path: str, body: Any
) -> None:
    if connector == "siebel":
        with_siebel(deployment)
    opened(connector)
    reply = deployment.call(method, path, body)
    assert (reply.status, reply.json["code"]) == (503, "circuit-open")
    assert 1 <= int(reply.headers["Retry-After"]) <= breaker.PROBE_INTERVAL.total_seconds()
    assert vendors[connector].lines() == []


def test_one_callers_bad_moment_opens_nothing_but_an_outage_does(
    deployment: Deployment, vendors: dict[str, StandIn]
) -> None:
    ocs = vendors["ocsio"]
    ocs.fault(kind="status", status=503)
    codes = []
    for _ in range(6):
        codes.append(deployment.call("GET", "/charging/customers/c-1").json["code"])
    assert codes == ["remote-unavailable"] * 5 + ["circuit-open"]
    assert len(ocs.lines()) == PATIENT_THRESHOLD
    ocs.heal()
    deployment.pass_time(timedelta(seconds=9))
    breaker.forget()
    assert deployment.call("GET", "/charging/customers/c-1").status == 404  # the probe, which is answered
    assert not any(state.is_open for state in breaker.everyone())


def test_a_top_up_that_the_breaker_kept_here_is_known_not_to_be_sent(
    deployment: Deployment, vendors: dict[str, StandIn]
) -> None:
    assert deployment.call("PUT", "/settings/charging", {"requestIdDeduplicates": False}).status == 200
    made = {"externalId": "c-1", "customerProfile": "p"}
    assert deployment.call("POST", "/charging/customers", made).status == 201
    offer = {"offer": "gold", "externalId": "o-1"}
    assert deployment.call("POST", "/charging/customers/c-1/subscriptions", offer).status == 201
    opened("ocsio")
    breaker.forget()
    call = ("PATCH", "/charging/subscriptions/o-1/balances/main")
    body = {"operation": "add", "amount": 5, "units": "EUR", "reason": "gift"}
    key = {"Idempotency-Key": "gift-1"}
    assert deployment.call(*call, body, headers=key).json["code"] == "circuit-open"
    deployment.pass_time(MINUTE)
    breaker.forget()
    # Were it taken for perhaps sent, it would be `outcome-unknown` now.
    assert deployment.call(*call, body, headers=key).status == 200


def test_the_hourly_comparison_leaves_a_vendor_alone_that_is_away(
    deployment: Deployment, vendors: dict[str, StandIn]
) -> None:
    opened("vcc")
    vcc_sweep.lambda_handler({}, Context())  # type: ignore[arg-type]
    assert vendors["vcc"].lines() == []


def test_each_call_is_measured_and_each_failure_counted_by_its_code(
    deployment: Deployment, vendors: dict[str, StandIn], capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.patch.setenv("POWERTOOLS_SERVICE_NAME", "charging")
    vendors["ocsio"].fault(kind="status", status=503, count=1)
    capsys.readouterr()
    assert deployment.call("GET", "/charging/customers/c-1").status == 404
    lines = metric_lines(capsys.readouterr().out)
    [measured] = [line for line in lines if "VendorMilliseconds" in line]
    # One metric for all steps that call this vendor, so not under the name of the step.
    assert (measured["connector"], measured["service"]) == ("ocsio", observability.MEASURED_BY)
    assert len(measured["VendorMilliseconds"]) == 2
    failures = {line["code"]: line["VendorFailures"] for line in lines if "VendorFailures" in line}
    # What is looked up and not there is no failure of the vendor's.
    assert failures == {"remote-unavailable": [1.0]}


def metric_lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]
