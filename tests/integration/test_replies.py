"""Source 000: an agent's answer goes out through the engagement platform and is noted on the case."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.social_reply import app as social_reply
from sandbox.vendors.sem import Sem
from switchboard import work
from switchboard.aws import dynamodb
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef
from tests.support import factories
from tests.support.deployment import ADMIN_KEY, Deployment, Reply
from tests.support.faults import Killed, killed_at
from tests.support.stand_ins import StandIn, serving


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with serving(Sem()) as server:
        yield server


@pytest.fixture
def sem(server: StandIn, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    server.reset()
    server.connect(monkeypatch)
    return server


def posted(sem: StandIn) -> list[dict[str, Any]]:
    vendor = sem.vendor
    assert isinstance(vendor, Sem)
    return vendor.replies


def a_post(deployment: Deployment, *, key: str = ADMIN_KEY, **fields: object) -> dict[str, Any]:
    accepted = deployment.call("POST", "/social/posts", factories.post(**fields), key=key)
    deployment.run_queues()
    found: dict[str, Any] = deployment.call("GET", f"/social/posts/{accepted.json['postId']}").json
    return found


def answer(deployment: Deployment, post_id: str, body: str = "We are on it.", **call: Any) -> Reply:
    return deployment.call(
        "POST", f"/social/posts/{post_id}/replies", {"body": body, "agentId": "a-7"}, **call
    )


def replies(deployment: Deployment, post_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployment.call("GET", f"/social/posts/{post_id}/replies").json["items"]
    return found


def followups(post: dict[str, Any]) -> list[str]:
    held = crm()
    assert isinstance(held, BuiltinCrm)
    return [each["body"] for each in held.records.parts("followup", post["customerId"], post["caseId"]).items]


def make_due() -> None:
    """Let what waits for its repeat, or for a dead worker's lease, be due now."""
    for item in dynamodb().scan(TableName="StateTable")["Items"]:
        if "dueAt" in item:
            dynamodb().update_item(
                TableName="StateTable",
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET dueAt = :past, leaseUntil = :past",
                ExpressionAttributeValues={":past": {"S": "2000-01-01T00:00:00.000Z"}},
            )


def repeat(deployment: Deployment) -> None:
    make_due()
    deployment.sweep()
    deployment.run_queues()


def test_an_answer_is_sent_and_noted_on_the_case(deployment: Deployment, sem: StandIn) -> None:
    post = a_post(deployment, uniqueId="9001/x")
    accepted = answer(deployment, post["postId"])
    assert (accepted.status, accepted.json["status"]) == (202, "pending")
    deployment.run_queues()
    [reply] = replies(deployment, post["postId"])
    assert (reply["replyId"], reply["status"]) == (accepted.json["replyId"], "sent")
    assert reply["sentAt"]
    [sent] = posted(sem)
    assert (sent["messageId"], sent["body"], sent["agentId"]) == ("9001/x", "We are on it.", "a-7")
    [followup] = followups(post)
    assert followup.startswith("We are on it.")
    assert "a-7" in followup


def test_several_answers_are_listed_in_their_order(deployment: Deployment, sem: StandIn) -> None:
    post = a_post(deployment)
    for number in range(5):
        answer(deployment, post["postId"], body=f"Answer {number}")
    deployment.run_queues()
    path = f"/social/posts/{post['postId']}/replies"
    first = deployment.call("GET", path, query={"limit": "3"}).json
    second = deployment.call("GET", path, query={"limit": "3", "cursor": first["next"]}).json
    listed = [reply["body"] for page in (first, second) for reply in page["items"]]
    assert listed == [f"Answer {number}" for number in range(5)]
    assert [reply["body"] for reply in posted(sem)] == listed


def test_a_repeat_with_its_key_is_one_answer(deployment: Deployment, sem: StandIn) -> None:
    post = a_post(deployment)
    both = [answer(deployment, post["postId"], headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert both[0].json["replyId"] == both[1].json["replyId"]
    deployment.run_queues()
    assert len(posted(sem)) == 1
    assert len(replies(deployment, post["postId"])) == 1


def test_an_answer_that_was_lost_on_the_way_back_is_not_sent_again(
    deployment: Deployment, sem: StandIn
) -> None:
    post = a_post(deployment)
    sem.fault(kind="answerLost", count=1)
    answer(deployment, post["postId"])
    deployment.run_queues()
    assert replies(deployment, post["postId"])[0]["status"] == "unknown"
    repeat(deployment)
    assert replies(deployment, post["postId"])[0]["status"] == "sent"
    assert len(posted(sem)) == 1
    assert len(followups(post)) == 1


def test_the_platform_away_is_asked_again(deployment: Deployment, sem: StandIn) -> None:
    post = a_post(deployment)
    sem.fault(kind="status", status=503)
    answer(deployment, post["postId"])
    deployment.run_queues()
    assert replies(deployment, post["postId"])[0]["status"] == "retrying"
    sem.heal()
    repeat(deployment)
    assert replies(deployment, post["postId"])[0]["status"] == "sent"
    assert len(posted(sem)) == 1


def test_an_answer_that_the_platform_refuses_is_told(deployment: Deployment, sem: StandIn) -> None:
    post = a_post(deployment)
    sem.fault(kind="status", status=422, body="The message is too long")
    answer(deployment, post["postId"])
    deployment.run_queues()
    [reply] = replies(deployment, post["postId"])
    assert (reply["status"], reply["code"]) == ("data_error", "remote-refused")
    assert "too long" in reply["error"]


def test_an_answer_to_a_post_that_waits_is_sent_at_once_and_noted_later(
    deployment: Deployment, sem: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = deployment.call("POST", "/social/posts", factories.post())
    post_id = accepted.json["postId"]
    answer(deployment, post_id)
    deployment._work_on(
        "SOCIAL_REPLY_QUEUE_URL", "social_reply", deployment._receive("SOCIAL_REPLY_QUEUE_URL")
    )
    [waiting] = replies(deployment, post_id)
    assert (waiting["status"], waiting["code"]) == ("retrying", "waits-for-earlier")
    assert waiting["sentAt"]
    deployment.run_queues()
    repeat(deployment)
    assert replies(deployment, post_id)[0]["status"] == "sent"
    assert len(posted(sem)) == 1
    assert len(followups(deployment.call("GET", f"/social/posts/{post_id}").json)) == 1


def test_a_killed_worker_sends_and_notes_once(deployment: Deployment, sem: StandIn) -> None:
    for request in range(12):
        sem.reset()
        post = a_post(deployment)
        reply_id = answer(deployment, post["postId"]).json["replyId"]
        try:
            with killed_at(request, after=True):
                work.perform(reply_id, social_reply.do, lease=timedelta(seconds=30))
        except Killed:
            make_due()
            work.perform(reply_id, social_reply.do, lease=timedelta(seconds=30))
        else:
            break
        assert replies(deployment, post["postId"])[0]["status"] == "sent", request
        assert len(posted(sem)) == 1, request
        assert len(followups(post)) == 1, request
    assert request > 3


def test_only_ones_own_posts_are_answered(deployment: Deployment, sem: StandIn) -> None:
    mine, theirs = deployment.partner("social:write"), deployment.partner("social:write")
    post = a_post(deployment, key=mine)
    assert answer(deployment, post["postId"], key=theirs).status == 404
    path = f"/social/posts/{post['postId']}/replies"
    assert deployment.call("GET", path, key=theirs).status == 404
    assert answer(deployment, "led_nobody", key=mine).status == 404
    assert answer(deployment, post["postId"], key=mine).status == 202
    assert len(deployment.call("GET", path, key=mine).json["items"]) == 1


@pytest.mark.parametrize(
    "body", [{}, {"body": "x"}, {"body": " ", "agentId": "a"}, {"body": "x", "agentId": 7}]
)
def test_half_an_answer_is_refused(deployment: Deployment, body: dict[str, Any]) -> None:
    post = a_post(deployment)
    assert deployment.call("POST", f"/social/posts/{post['postId']}/replies", body).status == 422


def test_a_filtered_post_has_no_case_to_answer_in(deployment: Deployment) -> None:
    assert deployment.call("PUT", "/settings/social", {"criteria": {"languages": ["fr"]}}).status == 200
    post_id = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
    assert answer(deployment, post_id).status == 409


def test_an_answer_after_the_case_was_closed_is_noted_all_the_same(
    deployment: Deployment, sem: StandIn
) -> None:
    post = a_post(deployment)
    held = crm()
    assert isinstance(held, BuiltinCrm)
    held.records.update(RecordRef(post["customerId"], post["caseId"]), {"status": "closed"})
    answer(deployment, post["postId"])
    deployment.run_queues()
    assert replies(deployment, post["postId"])[0]["status"] == "sent"
    assert len(followups(post)) == 1


def test_without_the_platforms_secret_an_answer_waits(deployment: Deployment) -> None:
    post = a_post(deployment)
    reply_id = answer(deployment, post["postId"]).json["replyId"]
    deployment.run_queues()
    entry = work.ledger().get(reply_id)
    assert entry is not None
    assert (entry.status, entry.code) == ("retrying", "not-configured")
