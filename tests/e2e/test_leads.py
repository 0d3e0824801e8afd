"""The rest of source 000 on the deployed stack: replies, leads, campaigns."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.e2e.waiting import UNFINISHED, finished, until
from tests.support import factories


def fresh_post(**fields: Any) -> dict[str, Any]:
    mark = uuid.uuid4().hex
    return factories.post(**({"uniqueId": mark, "authorId": f"author-{mark}"} | fields))


def fresh_lead(**fields: Any) -> dict[str, Any]:
    return factories.lead(**({"email": f"{uuid.uuid4().hex}@example.com"} | fields))


def pushed(api: httpx.Client, post: dict[str, Any]) -> str:
    answer = api.post("/social/posts", json=post)
    assert answer.status_code == 202, answer.text
    post_id: str = answer.json()["postId"]
    return post_id


def replied(api: httpx.Client, post_id: str) -> dict[str, Any]:
    path = f"/social/posts/{post_id}/replies"
    assert api.post(path, json={"body": "We are on it.", "agentId": "a-7"}).status_code == 202

    def look() -> dict[str, Any] | None:
        [reply] = api.get(path).json()["items"]
        return None if reply["status"] in UNFINISHED else reply

    return until(look, "the reply to be sent")


def test_a_reply_is_posted_once_and_noted(api: httpx.Client, sandbox: httpx.Client) -> None:
    post_id = pushed(api, fresh_post())
    assert finished(api, f"/social/posts/{post_id}")["status"] == "synced"
    reply = replied(api, post_id)
    assert reply["status"] == "sent"
    posted = sandbox.get("/_control/sem/replies").json()["items"]
    assert sum(each["id"] == reply["replyId"] for each in posted) == 1
    assert reply["caseId"] == api.get(f"/social/posts/{post_id}").json()["caseId"]


def test_a_hundred_simultaneous_leads_are_one(api: httpx.Client) -> None:
    lead = fresh_lead()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.post("/leads", json=lead), range(100)))
    assert sorted({answer.status_code for answer in answers}) == [201, 409]
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len({answer.json()["leadId"] for answer in answers}) == 1


def test_metas_webhook_is_taken_once(
    api: httpx.Client, anonymous: httpx.Client, sandbox: httpx.Client
) -> None:
    fields = {"full_name": "Ann Lee", "email": f"{uuid.uuid4().hex}@example.com"}
    call = sandbox.post("/_control/meta/leads", json={"fields": fields}).json()
    headers = {"X-Hub-Signature-256": call["signature"], "Content-Type": "application/json"}
    listed = api.get("/ledger", params={"flow": "lead", "limit": 100}).json()["items"]
    before = {entry["ledgerId"] for entry in listed}
    hook = "/hooks/facebook/leads"
    for _ in range(2):
        assert anonymous.post(hook, content=call["body"], headers=headers).status_code == 200
    assert anonymous.post(hook, content=call["body"] + " ", headers=headers).status_code == 401
    query = {"hub.mode": "subscribe", "hub.verify_token": "sandbox-meta-verify-token", "hub.challenge": "42"}
    assert anonymous.get(hook, params=query).text == "42"

    def look() -> dict[str, Any] | None:
        items = api.get("/ledger", params={"flow": "lead"}).json()["items"]
        done = [each for each in items if each["ledgerId"] not in before and each["status"] not in UNFINISHED]
        return done[0] if done else None

    assert until(look, "the lead")["status"] == "synced"
    calls = sandbox.get("/_control/meta/calls").json()["items"]
    assert sum(call["leadgenId"] in each["path"] for each in calls) == 1


def test_campaigns_are_made_found_and_linked(api: httpx.Client) -> None:
    name = f"Spring {uuid.uuid4().hex}"
    made = api.post("/campaigns", json={"name": name, "startDate": "2026-03-01"}).json()
    query = {"name": name.upper(), "startDate": "2026-03-01", "endDate": "2026-03-01"}
    assert api.get("/campaigns", params=query).json()["items"] == [made]
    link = f"/campaigns/{made['campaignId']}/links/2385"
    assert api.put(link, json={"name": "On Facebook"}).status_code == 201
    assert [each["name"] for each in api.get(f"/campaigns/{made['campaignId']}/links").json()["items"]] == [
        "On Facebook"
    ]
    assert api.delete(link).status_code == 204
