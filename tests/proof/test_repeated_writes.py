"""The SDK's own retry: each write takes effect, its answer gets lost, and the SDK makes it a second time.

The second one meets what the first has written. Nobody waits for a lease to end that is his own, nobody is
told that somebody else is at his work, and nothing is done twice.
"""

import json

import pytest

from switchboard import aws
from tests.support import factories
from tests.support.deployment import Deployment
from tests.support.faults import sent_twice
from tests.support.stand_ins import Sandbox

WRITES = ("UpdateItem", "PutItem")


@pytest.fixture
def connected(deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The bundle with CrowdTwist; events are delivered without the waits that order takes."""
    held = json.dumps(sandbox.secret("crowdtwist"))
    made = aws.secretsmanager().create_secret(Name="crowdtwist", SecretString=held)
    deployment.patch.setenv("CROWDTWIST_SECRET_ARN", made["ARN"])
    monkeypatch.setattr("functions.trigger_fanout.app._SETTLING_SECONDS", 0)
    return deployment


def test_a_lead_is_created_while_its_caller_waits(connected: Deployment) -> None:
    with sent_twice(*WRITES):
        made = connected.call("POST", "/leads", factories.lead(email="twice@example.com"))
    assert made.status == 201, made.text


def test_with_a_key_the_caller_is_asked_to_come_again_and_nothing_is_done_twice(
    connected: Deployment,
) -> None:
    """The key's record cannot say whose it is, so it counts as another call's until its lease ends."""
    body, headers = factories.lead(email="keyed@example.com"), {"Idempotency-Key": "k"}
    with sent_twice("PutItem"):
        refused = connected.call("POST", "/leads", body, headers=headers)
    assert (refused.status, refused.headers["Retry-After"]) == (409, "2")
    [held] = aws.dynamodb().scan(TableName="IdempotencyTable")["Items"]
    aws.dynamodb().update_item(
        TableName="IdempotencyTable",
        Key={"id": held["id"]},
        UpdateExpression="SET in_progress_expiration = :past",
        ExpressionAttributeValues={":past": {"N": "0"}},
    )
    assert connected.call("POST", "/leads", body, headers=headers).status == 201


def test_a_post_has_one_case_and_no_turn_of_the_sweeper(connected: Deployment) -> None:
    with sent_twice(*WRITES):
        post = connected.call("POST", "/social/posts", factories.post())
        connected.run_queues()
    assert post.status == 202, post.text
    found = connected.call("GET", f"/social/posts/{post.json['postId']}").json
    assert (found["status"], found["caseCreated"]) == ("synced", True)
    cases = connected.call("GET", f"/crm/customers/{found['customerId']}/cases").json["items"]
    assert len(cases) == 1


def test_a_member_is_synced_at_once(connected: Deployment) -> None:
    with sent_twice(*WRITES):
        assert connected.call("PUT", "/members/m-1", factories.member()).status == 202
        connected.run_queues()
    found = connected.call("GET", "/members/m-1/sync").json
    assert (found["status"], found["attempts"]) == ("synced", 1)


@pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])
def test_an_event_is_delivered_once_and_at_once(
    connected: Deployment, sandbox: Sandbox, ordered: bool
) -> None:
    body = {"url": f"{sandbox.url}/sink/twice", "object": "case", "event": "edit", "ordered": ordered}
    trigger = connected.call("POST", "/triggers", body).json
    with sent_twice(*WRITES):
        told = {"object": "case", "event": "edit", "accountId": "a", "caseId": "c"}
        assert connected.call("POST", "/crm/events", told).status == 202
        connected.run_queues()
    deliveries = connected.call("GET", f"/triggers/{trigger['triggerId']}/deliveries").json["items"]
    assert [one["status"] for one in deliveries] == ["delivered"]
    assert len([call for call in sandbox.calls("sink") if "twice" in call["path"]]) == 1
