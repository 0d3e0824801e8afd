"""The main job on the deployed stack: pushed posts become customers and cases, however they are pushed."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.waiting import finished
from tests.support import factories


def fresh(**fields: Any) -> dict[str, Any]:
    """A post that no earlier run has pushed."""
    mark = uuid.uuid4().hex
    return factories.post(**({"uniqueId": mark, "authorId": f"author-{mark}"} | fields))


@pytest.fixture
def settings(api: httpx.Client) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Change the area `social` for one test."""
    before = api.get("/settings/social").json()["version"]

    def change(area: dict[str, Any]) -> None:
        assert api.put("/settings/social", json=area).status_code == 200

    yield change
    assert api.post("/settings/social/rollback", json={"version": before}).status_code == 200


def test_fifty_copies_at_once_make_one_case(api: httpx.Client) -> None:
    post = fresh()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: api.post("/social/posts", json=post), range(50)))
    assert sorted({answer.status_code for answer in answers}) == [200, 202]
    assert [answer.status_code for answer in answers].count(202) == 1
    [post_id] = {answer.json()["postId"] for answer in answers}
    found = finished(api, f"/social/posts/{post_id}")
    assert (found["status"], found["customerCreated"], found["caseCreated"]) == ("synced", True, True)
    assert api.get(f"/ledger/{post_id}").json()["attempts"] == 1


def test_two_posts_of_one_new_author_at_once_make_one_customer(api: httpx.Client) -> None:
    author = uuid.uuid4().hex
    posts = [fresh(authorId=author) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda post: api.post("/social/posts", json=post), posts))
    first, second = (finished(api, f"/social/posts/{answer.json()['postId']}") for answer in answers)
    assert first["customerId"] == second["customerId"]
    assert sorted([first["customerCreated"], second["customerCreated"]]) == [False, True]
    assert first["caseId"] != second["caseId"]


def test_a_conversation_is_one_case_and_a_stranger_in_it_another(api: httpx.Client) -> None:
    root = fresh()
    reply = fresh(authorId=root["authorId"], parentId=root["uniqueId"])
    stranger = fresh(parentId=root["uniqueId"])
    ids = [api.post("/social/posts", json=post).json()["postId"] for post in (root, reply, stranger)]
    opened, threaded, other = (finished(api, f"/social/posts/{post_id}") for post_id in ids)
    assert threaded["caseId"] == opened["caseId"]
    assert threaded["caseCreated"] is False
    assert other["caseId"] != opened["caseId"]


def test_criteria_and_rules_are_in_force_when_the_call_returns(
    api: httpx.Client, settings: Callable[[dict[str, Any]], None]
) -> None:
    settings(
        {
            "criteria": {"keywords": ["signal"]},
            "ownAccounts": [{"community": "twitter", "authorId": "us"}],
            "assignmentRules": [{"when": {"topics": ["network"]}, "assignTo": "team-network"}],
        }
    )
    taken = api.post("/social/posts", json=fresh())
    kept_out = api.post("/social/posts", json=fresh(body="What a day."))
    own = api.post("/social/posts", json=fresh(authorId="us"))
    assert (taken.status_code, kept_out.status_code, own.status_code) == (202, 200, 200)
    assert kept_out.json()["criterion"] == "keywords"
    assert own.json()["criterion"] == "ownAccounts"
    assert finished(api, f"/social/posts/{taken.json()['postId']}")["assignedTo"] == "team-network"


def test_one_partners_posts_are_not_anothers(partner: Callable[..., httpx.Client]) -> None:
    mine, theirs = partner("social:write"), partner("social:write")
    post = fresh()
    first = mine.post("/social/posts", json=post)
    second = theirs.post("/social/posts", json=post)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["postId"] != second.json()["postId"]
    assert theirs.get(f"/social/posts/{first.json()['postId']}").status_code == 404


def test_the_same_idempotency_key_gets_the_first_answer(api: httpx.Client) -> None:
    post, headers = fresh(), {"Idempotency-Key": uuid.uuid4().hex}
    first = api.post("/social/posts", json=post, headers=headers)
    again = api.post("/social/posts", json=post, headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    other = api.post("/social/posts", json=fresh(), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
