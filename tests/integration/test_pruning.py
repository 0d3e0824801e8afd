"""Payloads whose time is over: removed, with their hash kept, and never before the work has ended."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest

from functions.retention import pruning
from functions.retention.app import lambda_handler
from switchboard import work
from switchboard.ledger import Entry
from tests.support import factories
from tests.support.deployment import Context, Deployment
from tests.support.faults import Killed, killed_at


def accept(entity: str, flow: str = "lead", status: Any = "synced", **fields: Any) -> Entry:
    payload = {"email": f"{entity}@example.com"}
    facts: dict[str, Any] = {"partner_id": "admin", "group": "g", "correlation_id": "c", "payload": payload}
    return work.ledger().accept(flow=flow, entity=entity, status=status, **facts | fields).entry


def prune() -> None:
    assert lambda_handler({}, Context()) is None  # type: ignore[arg-type]


def now(entry: Entry) -> Entry:
    found = work.ledger().get(entry.ledger_id)
    assert found is not None
    return found


def test_the_payload_goes_and_its_hash_stays(deployment: Deployment) -> None:
    old = accept("old")
    text = json.dumps(old.payload, separators=(",", ":"))
    deployment.pass_time(timedelta(days=29))
    young = accept("young")
    prune()
    assert now(old).payload == old.payload
    deployment.pass_time(timedelta(days=2))
    prune()
    assert (now(old).payload, now(old).payload_hash) == ({}, hashlib.sha256(text.encode()).hexdigest())
    assert now(old).status == "synced"
    assert now(young).payload_hash is None
    prune()
    assert now(old).payload_hash == hashlib.sha256(text.encode()).hexdigest()


def test_unfinished_work_keeps_its_payload_until_it_ends(deployment: Deployment) -> None:
    entry = accept("waiting", status="pending")
    deployment.pass_time(timedelta(days=60))
    prune()
    assert now(entry).payload == entry.payload
    claimed = work.ledger().claim(entry.ledger_id, lease=timedelta(minutes=1))
    assert claimed is not None
    assert work.ledger().record(claimed, "synced")
    deployment.pass_time(timedelta(days=5))
    prune()
    assert now(entry).payload == entry.payload  # it ended five days ago
    deployment.pass_time(timedelta(days=31))
    prune()
    assert now(entry).payload == {}


@pytest.mark.parametrize("status", ["remote_failure"])
def test_resubmitting_what_was_pruned_is_a_clear_conflict(deployment: Deployment, status: str) -> None:
    entry = accept("failed", status=status, code="remote-unexpected")
    deployment.pass_time(timedelta(days=31))
    prune()
    reply = deployment.call("POST", f"/ledger/{entry.ledger_id}/resubmit")
    assert (reply.status, reply.json["code"]) == (409, "payload-pruned")
    assert deployment.call("POST", f"/ledger/{entry.ledger_id}/discard", {"reason": "old"}).status == 200


def test_a_member_is_pruned_again_after_each_update(deployment: Deployment) -> None:
    def put(version: int) -> Entry:
        payload = factories.member(version=version)
        return accept("m-1", flow="member", shared=True, version=version, payload=payload)

    entry = put(1)
    for version in (2, 3):
        deployment.pass_time(timedelta(days=31))
        prune()
        assert now(entry).payload == {}
        put(version)
        assert now(entry).payload_hash is None
        assert now(entry).payload["version"] == version


def test_ids_that_later_work_needs_stay(deployment: Deployment) -> None:
    sent = factories.post(uniqueId="u-1", community="twitter", authorId="a-1")
    post_id = deployment.call("POST", "/social/posts", sent).json["postId"]
    deployment.run_queues()
    deployment.pass_time(timedelta(days=31))
    prune()
    assert now_of(post_id).payload == {"community": "twitter", "uniqueId": "u-1", "authorId": "a-1"}
    answered = deployment.call("POST", f"/social/posts/{post_id}/replies", {"body": "Late", "agentId": "a"})
    assert answered.status == 202
    thread = factories.post(uniqueId="u-2", parentId="u-1", community="twitter", authorId="a-1")
    second = deployment.call("POST", "/social/posts", thread).json["postId"]
    lead = factories.lead(posts=[{"community": "twitter", "uniqueId": "u-1"}])
    assert deployment.call("POST", "/leads", lead).status == 201
    deployment.run_queues()
    assert deployment.call("GET", f"/social/posts/{second}").json["status"] == "synced"
    assert deployment.call("POST", "/social/posts", sent).status == 200


def now_of(ledger_id: str) -> Entry:
    found = work.ledger().get(ledger_id)
    assert found is not None
    return found


def test_a_run_that_dies_or_ends_early_is_gone_on_with(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_PAGE", 3)
    entries = [accept(f"e-{number}") for number in range(20)]
    deployment.pass_time(timedelta(days=31))
    request, deaths = 5, 0
    while any(now(entry).payload for entry in entries):
        try:
            with killed_at(request, after=deaths % 2 == 0):
                prune()
        except Killed:
            deaths += 1
            request += 5
    assert deaths > 2


def test_the_days_are_a_setting(deployment: Deployment) -> None:
    assert deployment.call("PUT", "/settings/retention", {"payloadDays": 0}).status == 422
    assert deployment.call("PUT", "/settings/retention", {"payloadDays": 7}).status == 200
    entry = accept("week")
    deployment.pass_time(timedelta(days=8))
    prune()
    assert now(entry).payload == {}
