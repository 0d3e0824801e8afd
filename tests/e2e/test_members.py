"""Source 003 on the deployed stack: members reach CrowdTwist, and an outage ends by itself."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from tests.e2e.conftest import PartnerClient
from tests.support import factories

RECOVERY_SECONDS = 100.0
"""The sweeper's minute, the probe, and the work of all that waited."""


def wait_for[T](look: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (found := look()) is not None:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited in vain for {what}")


def synced(client: httpx.Client, number: str, version: int = 1, seconds: float = 30.0) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/members/{number}/sync").json()
        finished = found["status"] not in ("pending", "in_progress", "retrying", "unknown")
        return found if finished and found["version"] == version else None

    return wait_for(look, f"member {number}", seconds)


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

        def all_failed() -> bool | None:
            states = [crm.get(f"/members/{number}/sync").json() for number in numbers]
            return all(state["ctSyncStatus"] == "CT Failure" for state in states) or None

        wait_for(all_failed, "CT Failure on every member")
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
