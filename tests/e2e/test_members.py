"""Source 003 on the deployed stack: members reach CrowdTwist, and an outage ends by itself."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from switchboard import clock
from switchboard.members import member_ledger_id
from switchboard.work import MAX_LOST_WORKERS
from tests.e2e.bench import Bench
from tests.e2e.conftest import PartnerClient
from tests.e2e.waiting import until
from tests.support import factories

RECOVERY_SECONDS = 100.0
"""The sweeper's minute, the probe, and the work of all that waited."""


def calls_about(sandbox: httpx.Client, number: str) -> list[dict[str, Any]]:
    """CrowdTwist's calls that name a member, in its path or body."""
    calls = sandbox.get("/_control/crowdtwist/calls").json()["items"]
    return [call for call in calls if number in call["path"] or number in call["body"]]


def methods(sandbox: httpx.Client, number: str) -> list[str]:
    return [call["method"] for call in calls_about(sandbox, number)]


@contextmanager
def faulty(sandbox: httpx.Client, *faults: dict[str, Any]) -> Iterator[None]:
    """CrowdTwist misbehaves in these ways."""
    try:
        for fault in faults:
            sandbox.post("/_control/crowdtwist/faults", json=fault).raise_for_status()
        yield
    finally:
        sandbox.delete("/_control/crowdtwist/faults").raise_for_status()


def failed(client: httpx.Client, number: str) -> dict[str, Any]:
    """Where a member stands as soon as something has gone wrong."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/members/{number}/sync").json()
        return found if found["ctSyncStatus"] not in (None, "Success") else None

    return until(look, f"{number} to fail")


def synced(client: httpx.Client, number: str, version: int = 1, seconds: float = 30.0) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/members/{number}/sync").json()
        finished = found["status"] not in ("pending", "in_progress", "retrying", "unknown")
        return found if finished and found["version"] == version else None

    return until(look, f"member {number}", seconds=seconds)


def test_a_member_is_created_updated_refused_and_corrected(
    partner: PartnerClient, sandbox: httpx.Client
) -> None:
    sandbox.post("/_control/crowdtwist/reset").raise_for_status()
    crm = partner("members:write", "members:read")
    one, other = (uuid.uuid4().hex for _ in range(2))
    first = factories.member(email=f"{one}@example.com")
    answer = crm.put(f"/members/{one}", json=first)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert synced(crm, one)["ctSyncStatus"] == "Success"
    assert crm.put(f"/members/{one}", json=first | {"version": 2, "lastName": "Later"}).status_code == 202
    assert synced(crm, one, 2)["status"] == "synced"
    assert crm.put(f"/members/{one}", json=first).json()["status"] == "superseded"
    crm.put(f"/members/{other}", json=factories.member(email=f"{one}@example.com"))
    refused = synced(crm, other)
    assert (refused["ctSyncStatus"], refused["ctSyncError"]) == (
        "Data Error",
        "Email Address is already taken",
    )
    crm.put(f"/members/{other}", json=factories.member(email=f"{other}@example.com", version=2))
    assert synced(crm, other, 2)["ctSyncStatus"] == "Success"
    assert crm.get(f"/members/{other}").json()["ctSyncStatus"] == "Success"
    users = sandbox.get("/_control/crowdtwist/users").json()["items"]
    assert {user["third_party_id"]: user["last_name"] for user in users} == {one: "Later", other: "Miller"}


def test_an_outage_costs_few_calls_and_ends_by_itself(partner: PartnerClient, sandbox: httpx.Client) -> None:
    sandbox.post("/_control/crowdtwist/reset").raise_for_status()
    crm = partner("members:write", "members:read")
    sandbox.post("/_control/crowdtwist/faults", json={"kind": "status", "status": 503}).raise_for_status()
    numbers = [uuid.uuid4().hex for _ in range(15)]
    try:
        for number in numbers:
            member = factories.member(email=f"{number}@example.com")
            assert crm.put(f"/members/{number}", json=member).status_code == 202

        def all_failed() -> bool:
            states = [crm.get(f"/members/{number}/sync").json() for number in numbers]
            return all(state["ctSyncStatus"] == "CT Failure" for state in states)

        until(all_failed, "CT Failure on every member")
        calls = sandbox.get("/_control/crowdtwist/calls").json()["items"]
        # Workers that have not looked at the breaker within the last second may each add one.
        assert len(calls) < len(numbers)
    finally:
        sandbox.delete("/_control/crowdtwist/faults").raise_for_status()
    for number in numbers:
        assert synced(crm, number, seconds=RECOVERY_SECONDS)["ctSyncStatus"] == "Success"
    users = sandbox.get("/_control/crowdtwist/users").json()["items"]
    assert {user["third_party_id"] for user in users} == set(numbers)
    assert len(users) == len(numbers)


def test_older_updates_change_nothing_and_those_that_wait_become_one(
    partner: PartnerClient, sandbox: httpx.Client
) -> None:
    crm = partner("members:write", "members:read")
    number = uuid.uuid4().hex
    member = factories.member(email=f"{number}@example.com")

    def put(version: int, name: str = "Miller") -> tuple[int, str]:
        answer = crm.put(f"/members/{number}", json=member | {"version": version, "lastName": name})
        return answer.status_code, answer.json()["status"]

    assert put(2) == (202, "pending")
    assert synced(crm, number, 2)["status"] == "synced"
    assert put(3) == (202, "pending")
    assert synced(crm, number, 3)["status"] == "unchanged"
    assert put(1, "Older") == (200, "superseded")
    assert put(3) == (200, "unchanged")
    assert methods(sandbox, number) == ["PUT", "POST"]
    with faulty(sandbox, {"kind": "slow", "path": number, "count": 1}):
        assert put(4, "Fourth")[0] == 202
        until(lambda: len(calls_about(sandbox, number)) == 3, "the call")
        waiting = [put(version, f"Version {version}") for version in (7, 5, 8, 6, 8)]
    assert [status for status, _ in waiting] == [202, 200, 202, 200, 200]
    assert synced(crm, number, 8)["ctSyncStatus"] == "Success"
    sent = [json.loads(call["body"])["last_name"] for call in calls_about(sandbox, number)[2:]]
    assert sent == ["Fourth", "Version 8"]
    # Somebody has this e-mail address already: the member itself.
    nobody = json.dumps({"error": "page_not_found", "message": "User does not exist."})
    with faulty(sandbox, {"kind": "status", "status": 404, "body": nobody, "path": number, "count": 1}):
        put(9, "Ninth")
        assert synced(crm, number, 9)["status"] == "synced"
    assert methods(sandbox, number)[4:] == ["PUT", "POST", "PUT"]


def test_eight_who_resubmit_at_once_make_one_effect(partner: PartnerClient, sandbox: httpx.Client) -> None:
    crm, other = partner("members:write", "members:read"), partner("members:write", "members:read")
    number = uuid.uuid4().hex
    crm.put(f"/members/{number}", json=factories.member(email=f"{number}@example.com"))
    synced(crm, number)
    slow = {"kind": "slow", "path": number, "count": 1, "seconds": 2}
    with faulty(sandbox, slow), ThreadPoolExecutor(8) as pool:
        # Eight authorizers at work: the emulator's gateway takes a call for arrived when it is authorized.
        list(pool.map(lambda _: crm.get(f"/members/{number}/sync"), range(8)))
        answers = list(pool.map(lambda _: crm.post(f"/members/{number}/sync"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"in-progress"}
    assert synced(crm, number)["history"][-2]["reason"] == "resubmitted"
    assert methods(sandbox, number) == ["PUT", "POST", "PUT"]
    for method, path in (("GET", ""), ("GET", "/sync"), ("POST", "/sync")):
        assert other.request(method, f"/members/{number}{path}").status_code == 404


def test_what_goes_wrong_for_a_while_stands_on_the_member_until_it_is_over(
    partner: PartnerClient, sandbox: httpx.Client, bench: Bench
) -> None:
    crm = partner("members:write", "members:read")
    number = {what: uuid.uuid4().hex for what in ("500", "429", "down", "lost update", "lost create")}
    known = number["lost update"]
    crm.put(f"/members/{known}", json=factories.member(email=f"{known}@example.com"))
    synced(crm, known)
    kinds: dict[str, dict[str, Any]] = {
        "500": {"kind": "status", "status": 500},
        "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "120"}},
        "down": {"kind": "down"},
        "lost update": {"kind": "answerLost"},
    }
    faults = [fault | {"path": number[what], "count": 1} for what, fault in kinds.items()]
    # Four failures in a row, and an answer before the fifth: the breaker stays closed.
    lost: dict[str, Any] = {"kind": "answerLost", "method": "POST", "count": 1}
    refused: dict[str, dict[str, Any]] = {}
    with faulty(sandbox, *faults, lost):
        for what, each in number.items():
            member = factories.member(email=f"{each}@example.com", version=2, lastName="Later")
            assert crm.put(f"/members/{each}", json=member).status_code == 202
            refused[what] = failed(crm, each)
    for what, found in refused.items():
        in_crm = crm.get(f"/members/{number[what]}").json()
        assert (found["ctSyncStatus"], in_crm["ctSyncStatus"]) == ("CT Failure", "CT Failure"), what
        assert found["ctSyncError"] == in_crm["ctSyncError"]
        assert found["action"]
        assert found["attempts"] == 1
        assert found["status"] == ("retrying" if what in ("500", "429") else "unknown")
    move = refused["429"]["history"][-1]
    assert round((clock.parse(move["retryAt"]) - clock.parse(move["at"])).total_seconds()) >= 120
    bench.pass_by(*map(member_ledger_id, number.values()))
    for what, each in number.items():
        found = synced(crm, each, 2)
        assert (found["ctSyncStatus"], found["ctSyncError"], found["attempts"]) == ("Success", None, 2), what
        assert crm.get(f"/members/{each}").json()["ctSyncStatus"] == "Success"
    # What was lost is looked up, and sent again only where it had not arrived.
    assert methods(sandbox, number["500"]) == ["PUT", "PUT", "POST"]
    assert methods(sandbox, number["down"]) == ["PUT", "GET", "PUT", "POST"]
    assert methods(sandbox, number["lost create"]) == ["PUT", "POST", "GET"]
    assert methods(sandbox, known)[-2:] == ["PUT", "GET"]


def test_what_kills_its_workers_is_told_on_the_member_and_put_right_by_one_call(
    partner: PartnerClient, sandbox: httpx.Client, bench: Bench
) -> None:
    crm = partner("members:write", "members:read")
    number = uuid.uuid4().hex
    member = factories.member(email=f"{number}@example.com")
    crm.put(f"/members/{number}", json=member)
    synced(crm, number)
    with faulty(sandbox, {"kind": "hang", "path": number, "count": 1}):
        crm.put(f"/members/{number}", json=member | {"version": 2, "lastName": "Later"})
        until(lambda: len(calls_about(sandbox, number)) == 3, "the worker to call")
        assert bench.kill_workers("MemberSyncFunction")
    assert crm.get(f"/members/{number}/sync").json()["status"] == "in_progress"
    assert crm.post(f"/members/{number}/sync").status_code == 409
    # As if those after it had died too.
    bench.pass_by(member_ledger_id(number), unrecorded=MAX_LOST_WORKERS)
    found, in_crm = synced(crm, number, 2), crm.get(f"/members/{number}").json()
    assert (found["status"], found["code"]) == ("integration_failure", "worker-lost")
    assert (found["ctSyncStatus"], in_crm["ctSyncStatus"]) == ("OIC Failure", "OIC Failure")
    assert found["ctSyncError"] == in_crm["ctSyncError"]
    assert found["action"]
    assert len(calls_about(sandbox, number)) == 3
    # The dead worker's message still holds its group in the queue, but not this.
    assert crm.post(f"/members/{number}/sync").status_code == 202
    assert synced(crm, number, 2)["ctSyncStatus"] == "Success"
    assert methods(sandbox, number)[3:] == ["GET", "PUT"]
    assert crm.get(f"/members/{number}").json()["ctSyncStatus"] == "Success"


def test_calls_are_signed_where_the_settings_say_so(
    api: httpx.Client, partner: PartnerClient, sandbox: httpx.Client
) -> None:
    crm = partner("members:write", "members:read")
    signed, keyed = uuid.uuid4().hex, uuid.uuid4().hex
    before = api.get("/settings/members").json()["settings"]
    try:
        assert api.put("/settings/members", json=before | {"authentication": "hmac"}).status_code == 200
        crm.put(f"/members/{signed}", json=factories.member(email=f"{signed}@example.com"))
        assert synced(crm, signed)["ctSyncStatus"] == "Success"
    finally:
        api.put("/settings/members", json=before).raise_for_status()
    crm.put(f"/members/{keyed}", json=factories.member(email=f"{keyed}@example.com"))
    assert synced(crm, keyed)["ctSyncStatus"] == "Success"
    for number, scheme in ((signed, "CTApiV2Auth"), (keyed, "CTApiKey")):
        made = calls_about(sandbox, number)
        assert [call["status"] for call in made] == [404, 200]
        assert {call["headers"]["x-ct-authorization"].split()[0] for call in made} == {scheme}


def test_what_crowdtwist_pushes_stands_on_the_member(
    anonymous: httpx.Client, partner: PartnerClient, sandbox: httpx.Client
) -> None:
    crm = partner("members:write", "members:read", "crm:read")
    number = uuid.uuid4().hex
    crm.put(f"/members/{number}", json=factories.member(email=f"{number}@example.com"))
    synced(crm, number)
    known = {"third_party_id": number, "type": "segment", "user_id": 10}
    moves = [("A", "entered", "01"), ("A", "exited", "03"), ("A", "entered", "02"), ("B", "entered", "01")]
    pushes: list[dict[str, Any]] = [
        known | {"name": name, "event": event, "date_occurred": f"2026-07-{day}T18:29:18Z"}
        for name, event, day in moves
    ]
    pushes.append({"thirdPartyId": number, "emailAddress": f"other-{number}@example.com"})
    for push in pushes:
        assert anonymous.post("/hooks/crowdtwist/another-token", json=push).status_code == 404
        assert anonymous.post("/hooks/crowdtwist/sandbox-crowdtwist-hook", json=push).status_code == 200

    def held() -> dict[str, Any] | None:
        found = crm.get(f"/crm/members/{number}").json()
        return found if found["crowdTwist"]["profile"] else None

    found = until(held, "the push to stand on the member")
    assert [segment["name"] for segment in found["crowdTwist"]["segments"]] == ["B"]
    assert (found["email"], found["ctSyncStatus"]) == (f"{number}@example.com", "Success")
    assert methods(sandbox, number) == ["PUT", "POST"]
