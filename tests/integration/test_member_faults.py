"""Members while everything goes wrong: late, twice, out of order, workers that die, CrowdTwist away."""

import itertools
import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.member_sync.app import do
from sandbox.vendors.crowdtwist import CrowdTwist
from switchboard import aws, breaker, config, connectors, work
from switchboard.connectors import crm
from switchboard.connectors import crowdtwist as connector
from switchboard.connectors.builtin_crm import BuiltinCrm
from switchboard.errors import VendorError
from switchboard.members import FLOW, Member, member_ledger_id
from switchboard.settings.members import MemberSettings
from tests.support import factories
from tests.support.deployment import Deployment
from tests.support.faults import Killed, killed_at
from tests.support.stand_ins import StandIn, serving

MEMBERS = int(os.environ.get("SWITCHBOARD_TEST_MEMBERS", "5"))
"""Of each of the ten seeds; 300 takes some minutes."""

LEASE = timedelta(seconds=60)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with serving(CrowdTwist()) as sandbox:
        yield sandbox


@pytest.fixture
def crowdtwist(deployment: Deployment, stand_in: StandIn) -> StandIn:
    stand_in.reset()
    stand_in.connect(deployment.patch)
    return stand_in


class Remembers:
    """CrowdTwist as a transport without a network: users, and the versions that each was sent, in order."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.seen: dict[str, list[int]] = defaultdict(list)
        self.creates = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        number = request.url.path.rpartition("/")[2]
        body = json.loads(request.content) if request.content else {}
        if request.method == "POST":
            number = body["third_party_id"]
            self.creates += 1
        elif number not in self.users:
            return httpx.Response(404, json={"error": "page_not_found", "message": "User does not exist."})
        if body:
            self.users[number] = body["custom_data"]["version"]
            self.seen[number].append(self.users[number])
        user = {"id": 1, "third_party_id": number, "custom_data": {"version": self.users[number]}}
        return httpx.Response(200, json=user)


def test_no_member_is_stale_and_no_version_goes_back(
    deployment: Deployment, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.connect(deployment.patch)
    vendor = Remembers()
    spoken_to = connector.CrowdTwist(MemberSettings, transport=httpx.MockTransport(vendor))
    monkeypatch.setattr("functions.member_sync.app.loyalty", lambda: spoken_to)
    monkeypatch.setattr(config, "STALENESS", 3600.0)
    for seed in range(10):
        shuffle_through(random.Random(seed), [f"{seed}-{member}" for member in range(MEMBERS)])
    assert vendor.users == {f"{seed}-{member}": 5 for seed in range(10) for member in range(MEMBERS)}
    for versions in vendor.seen.values():
        assert versions == sorted(versions)
    assert vendor.creates == 10 * MEMBERS


def shuffle_through(lots: random.Random, numbers: list[str]) -> None:
    """Five updates of each member in any order, some twice, with workers between; messages lost and twice."""
    updates = [(number, version) for number in numbers for version in range(1, 6)]
    updates += lots.sample(updates, len(updates) // 5)
    lots.shuffle(updates)
    messages: list[str] = []
    for number, version in updates:
        messages += [accept(number, version)] * lots.choice([0, 1, 1, 2])
        if lots.random() < 0.3 and messages:
            work.perform(messages.pop(lots.randrange(len(messages))), do, lease=LEASE)
    for number in numbers:
        work.perform(member_ledger_id(number), do, lease=LEASE)


def accept(number: str, version: int) -> str:
    fields = factories.member(version=version, attributes={"version": version})
    member = Member.model_validate(fields, strict=False)
    accepted = work.ledger().accept(
        partner_id="admin",
        flow=FLOW,
        entity=number,
        payload=member.model_dump(mode="json", by_alias=True, exclude_none=True),
        group=number,
        correlation_id="test",
        version=version,
        shared=True,
    )
    return accepted.entry.ledger_id


# Workers that die


@contextmanager
def killed_at_call(number: int, *, after: bool) -> Iterator[None]:
    """Kill the worker at its nth HTTP call, counted from 0: before it is sent, or `after` it took effect."""
    seen = 0
    send = httpx.Client.send

    def dying(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        nonlocal seen
        seen += 1
        if seen != number + 1:
            return send(client, request, **options)
        if after:
            send(client, request, **options)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.Client, "send", dying)
        yield


def put(deployment: Deployment, number: str, **fields: object) -> None:
    reply = deployment.call("PUT", f"/members/{number}", factories.member(**fields))
    assert reply.status == 202, reply.text


def state(deployment: Deployment, number: str) -> dict[str, Any]:
    found: dict[str, Any] = deployment.call("GET", f"/members/{number}/sync").json
    return found


def check_in_step(deployment: Deployment, crowdtwist: StandIn, number: str, last_name: str) -> None:
    """After the function's time-out and the sweeper's next look the member is in step, once, and told of."""
    deployment.pass_time(timedelta(seconds=61))
    deployment.sweep()
    deployment.run_queues()
    found = state(deployment, number)
    assert (found["status"], found["ctSyncStatus"]) == ("synced", "Success"), found
    held = [user for user in crowdtwist.control("users")["items"] if user["third_party_id"] == number]
    assert [user["last_name"] for user in held] == [last_name]
    in_crm = crm().get_member(number)
    assert in_crm is not None
    assert (in_crm["ctSyncStatus"], in_crm["lastName"]) == ("Success", last_name)


@pytest.mark.parametrize("known", [False, True], ids=["create", "update"])
@pytest.mark.parametrize("kill", [killed_at, killed_at_call], ids=["write", "call"])
def test_a_worker_killed_anywhere_neither_doubles_nor_loses_a_member(
    deployment: Deployment,
    crowdtwist: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
    kill: Callable[..., AbstractContextManager[None]],
) -> None:
    monkeypatch.setattr(config, "STALENESS", 3600.0)
    put(deployment, "warm")
    deployment.run_queues()
    killed = 0
    for point, after in itertools.product(range(20), (False, True)):
        number = f"m{point}-{after}"
        if known:
            put(deployment, number, version=1)
            deployment.run_queues()
        put(deployment, number, version=2, lastName="Later")
        try:
            with kill(point, after=after):
                deployment.run_queues()
        except Killed:
            killed += 1
            check_in_step(deployment, crowdtwist, number, "Later")
        else:
            break
    assert killed >= (2 if kill is killed_at_call else 8)


def test_a_dead_workers_message_does_not_hold_its_member_up(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1", version=1)
    url = deployment.queue_urls["MEMBER_QUEUE_URL"]
    # SQS hides the message of a worker that died, and its group with it, for minutes.
    assert aws.sqs().receive_message(QueueUrl=url)["Messages"]
    assert work.ledger().claim(member_ledger_id("1"), lease=LEASE)
    put(deployment, "1", version=2, lastName="Later")
    assert deployment.run_queues() == 0
    for _ in range(3):
        deployment.pass_time(timedelta(seconds=61))
        deployment.sweep()
        deployment.run_queues()
    assert state(deployment, "1")["status"] == "synced"
    assert [user["last_name"] for user in crowdtwist.control("users")["items"]] == ["Later"]


def test_nor_does_it_hold_up_a_resubmission(deployment: Deployment, crowdtwist: StandIn) -> None:
    put(deployment, "1", version=1)
    url = deployment.queue_urls["MEMBER_QUEUE_URL"]
    assert aws.sqs().receive_message(QueueUrl=url)["Messages"]
    work.perform(member_ledger_id("1"), do, lease=LEASE)  # as the sweeper's message has it done
    crowdtwist.forget_calls()
    assert deployment.call("POST", "/members/1/sync").status == 202
    assert deployment.run_queues() == 1
    assert (state(deployment, "1")["status"], crowdtwist.methods()) == ("synced", ["PUT"])


def test_a_newer_version_after_a_worker_died_is_sent_whatever_the_dead_one_did(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    member = factories.member(version=1, lastName="First")
    deployment.call("PUT", "/members/1", member)
    deployment.run_queues()
    put(deployment, "1", version=2, lastName="Second")
    with pytest.raises(Killed), killed_at_call(0, after=True):
        deployment.run_queues()
    # The data of version 1 again, which CrowdTwist no longer has.
    deployment.call("PUT", "/members/1", member | {"version": 3})
    deployment.run_queues()
    for _ in range(3):
        deployment.pass_time(timedelta(seconds=61))
        deployment.sweep()
        deployment.run_queues()
    assert [user["last_name"] for user in crowdtwist.control("users")["items"]] == ["First"]
    assert state(deployment, "1")["version"] == 3


def test_a_version_that_comes_while_an_older_one_is_sent_follows_it(
    deployment: Deployment, crowdtwist: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = factories.member(version=1, lastName="First")
    deployment.call("PUT", "/members/1", member)
    deployment.run_queues()
    put(deployment, "1", version=2, lastName="Second")
    update = connector.CrowdTwist.update

    def meanwhile(self: connector.CrowdTwist, number: str, fields: dict[str, Any]) -> Any:
        if fields["last_name"] == "Second":
            deployment.call("PUT", "/members/1", member | {"version": 3})
        return update(self, number, fields)

    monkeypatch.setattr(connector.CrowdTwist, "update", meanwhile)
    deployment.run_queues()
    deployment.run_queues()
    assert [user["last_name"] for user in crowdtwist.control("users")["items"]] == ["First"]
    assert state(deployment, "1")["status"] == "synced"
    names = [json.loads(call["body"])["last_name"] for call in crowdtwist.calls() if call["method"] == "PUT"]
    assert names == ["First", "Second", "First"]


# CrowdTwist away


def test_an_outage_under_load_costs_a_probe_an_interval_and_ends_by_itself(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    numbers = [f"m{index}" for index in range(16)]
    crowdtwist.fault(kind="status", status=503)
    for number in numbers[:12]:
        put(deployment, number, version=1)
    deployment.run_queues()
    assert len(crowdtwist.calls()) == breaker.THRESHOLD
    assert {state(deployment, number)["ctSyncStatus"] for number in numbers[:12]} == {"CT Failure"}
    held = state(deployment, numbers[10])
    assert (held["status"], held["code"], held["attempts"]) == ("retrying", "circuit-open", 0)
    for minute in range(4):
        crowdtwist.forget_calls()
        put(deployment, numbers[12 + minute], version=1)
        deployment.pass_time(timedelta(minutes=1))
        deployment.sweep()
        deployment.run_queues()
        assert len(crowdtwist.calls()) <= 1, minute
    crowdtwist.heal()
    # One tick for the probe, whose worker sends what waits; work that was due by itself may take another.
    for _ in range(2):
        deployment.pass_time(timedelta(minutes=1))
        deployment.sweep()
        deployment.run_queues()
    assert {state(deployment, number)["ctSyncStatus"] for number in numbers} == {"Success"}
    assert {user["third_party_id"] for user in crowdtwist.control("users")["items"]} == set(numbers)


def test_while_it_is_away_the_sweeper_sends_one_piece_a_minute(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    crowdtwist.fault(kind="status", status=503)
    for index in range(8):
        put(deployment, f"m{index}")
    deployment.run_queues()
    for _ in range(2):  # what had failed by itself before the breaker opened joins those that wait
        deployment.pass_time(timedelta(minutes=1))
        deployment.sweep()
        deployment.run_queues()
    deployment.pass_time(timedelta(minutes=1))
    deployment.sweep()
    assert deployment.run_queues() == 1


def test_a_spent_budget_delays_and_fails_nobody(deployment: Deployment, crowdtwist: StandIn) -> None:
    reply = deployment.call("PUT", "/settings/members", {"callsPerMinute": 6})
    assert reply.status == 200, reply.text
    for index in range(5):
        put(deployment, f"m{index}")
    deployment.run_queues()
    assert len(crowdtwist.calls()) == 6
    waiting = [state(deployment, f"m{index}") for index in range(5)]
    assert sorted(found["status"] for found in waiting) == ["retrying"] * 2 + ["synced"] * 3
    assert {found["code"] for found in waiting} == {None, "budget-spent"}
    assert {found["ctSyncStatus"] for found in waiting} == {None, "Success"}
    for _ in range(3):
        deployment.pass_time(timedelta(minutes=1))
        deployment.sweep()
        deployment.run_queues()
    assert {state(deployment, f"m{index}")["status"] for index in range(5)} == {"synced"}


def test_another_process_learns_of_the_outage(deployment: Deployment, crowdtwist: StandIn) -> None:
    crowdtwist.fault(kind="status", status=503)
    for index in range(6):
        put(deployment, f"m{index}")
    deployment.run_queues()
    crowdtwist.forget_calls()
    connectors.loyalty.cache_clear()  # a new process knows nothing but the table
    put(deployment, "late")
    deployment.run_queues()
    assert crowdtwist.calls() == []


def test_what_kills_every_worker_is_told_on_the_member(deployment: Deployment, crowdtwist: StandIn) -> None:
    put(deployment, "1", version=1)
    deployment.run_queues()
    put(deployment, "1", version=2, lastName="Later")
    deaths = die_until_given_up(deployment, lambda: killed_at_call(0, after=False))
    assert deaths == work.MAX_LOST_WORKERS
    found = state(deployment, "1")
    assert (found["status"], found["code"], found["ctSyncStatus"]) == (
        *("integration_failure", "worker-lost"),
        "OIC Failure",
    )
    in_crm = crm().get_member("1")
    assert in_crm is not None
    assert (in_crm["ctSyncStatus"], in_crm["ctSyncError"]) == ("OIC Failure", found["ctSyncError"])
    assert "died" in found["ctSyncError"]
    assert deployment.call("POST", "/members/1/sync").status == 202
    deployment.run_queues()
    check_in_step(deployment, crowdtwist, "1", "Later")


def test_where_telling_the_crm_kills_the_worker_too_the_sweeper_gives_up(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1", version=1)

    def dying(*_: object, **__: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BuiltinCrm, "write_member_sync", dying)
        assert die_until_given_up(deployment, nullcontext) == work.MAX_LOST_WORKERS + 1
    found = state(deployment, "1")
    assert (found["status"], found["code"], found["ctSyncStatus"]) == (
        *("integration_failure", "worker-lost"),
        "OIC Failure",
    )
    assert crm().get_member("1") is None


def test_a_write_back_that_waits_for_the_crm_is_all_that_is_left_to_do(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1", version=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BuiltinCrm, "write_member_sync", away)
        die_until_given_up(deployment, lambda: killed_at_call(0, after=False))
    assert state(deployment, "1")["status"] == "retrying"
    crowdtwist.forget_calls()
    deployment.pass_time(timedelta(minutes=10))
    deployment.sweep()
    deployment.run_queues()
    assert (state(deployment, "1")["code"], crowdtwist.calls()) == ("worker-lost", [])
    in_crm = crm().get_member("1")
    assert in_crm is not None
    assert in_crm["ctSyncStatus"] == "OIC Failure"


def away(*_: object, **__: object) -> None:
    raise VendorError("remote-unavailable", "The CRM is away.")


def die_until_given_up(deployment: Deployment, fault: Callable[[], AbstractContextManager[None]]) -> int:
    """Let every worker meet the fault, and the sweeper look, until there is no more work; counts the dead."""
    deaths = 0
    for _ in range(work.MAX_LOST_WORKERS + 2):
        try:
            with fault():
                deployment.run_queues()
        except Killed:
            deaths += 1
        if state(deployment, "1")["status"] != "in_progress":
            break
        deployment.pass_time(timedelta(seconds=61))
        deployment.sweep()
    return deaths
