"""Source 004: the CRM API over the built-in CRM."""

from typing import Any

import pytest

from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm
from tests.support import factories
from tests.support.deployment import Deployment, Reply
from tests.support.faults import answer_lost

CUSTOMERS = "/crm/customers"


def create(deployment: Deployment, path: str = CUSTOMERS, body: object = None) -> Any:
    reply = deployment.call("POST", path, factories.customer() if body is None else body)
    assert reply.status == 201, reply.text
    return reply.json


def pointers(reply: Reply) -> str:
    assert reply.status == 422, reply.text
    return " ".join(error["pointer"] for error in reply.json["errors"])


def test_a_customer_is_created_read_changed_and_deleted(deployment: Deployment) -> None:
    created = deployment.call("POST", CUSTOMERS, factories.customer(phone="030 12345678", country="DE"))
    path = f"{CUSTOMERS}/{created.json['accountId']}"
    assert created.headers["Location"] == f"/v1{path}"
    assert created.json["phone"] == "+493012345678"
    assert created.json["temporary"] is False

    changed = deployment.call("PATCH", path, {"company": "Acme", "email": None})
    assert changed.status == 200
    read = deployment.call("GET", path)
    assert read.json == changed.json
    assert read.json["company"] == "Acme"
    assert read.json["email"] is None
    assert read.json["lastName"] == created.json["lastName"]
    assert read.headers["ETag"] == changed.headers["ETag"] != created.headers["ETag"]

    assert deployment.call("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {"company": "x"}), ("DELETE", None)):
        assert deployment.call(method, path, body).status == 404


@pytest.mark.parametrize(
    ("below", "new", "change"),
    [
        ("cases", {"subject": "No signal"}, {"status": "closed"}),
        ("tasks", {"subject": "Call back", "dueAt": "2026-12-01T10:00:00+02:00"}, {"status": "done"}),
    ],
)
def test_cases_and_tasks_belong_to_a_customer(
    deployment: Deployment, below: str, new: dict[str, str], change: dict[str, str]
) -> None:
    account_id = create(deployment)["accountId"]
    path = f"{CUSTOMERS}/{account_id}/{below}"
    made = create(deployment, path, new)
    own = f"{path}/{made['caseId'] if below == 'cases' else made['taskId']}"
    assert made["accountId"] == account_id
    assert deployment.call("PATCH", own, change).json["status"] == change["status"]
    assert deployment.call("GET", own).json["subject"] == new["subject"]
    assert len(deployment.call("GET", path).json["items"]) == 1
    assert deployment.call("DELETE", own).status == 204
    assert deployment.call("GET", own).status == 404
    assert deployment.call("GET", path).json["items"] == []
    nobody = f"{CUSTOMERS}/cus_nobody/{below}"
    assert deployment.call("POST", nobody, new).status == 404
    assert deployment.call("GET", nobody).status == 404


def test_a_time_is_kept_in_utc(deployment: Deployment) -> None:
    account_id = create(deployment)["accountId"]
    task = create(
        deployment,
        f"{CUSTOMERS}/{account_id}/tasks",
        {"subject": "Call back", "dueAt": "2026-12-01T10:00:00+02:00"},
    )
    assert task["dueAt"] == "2026-12-01T08:00:00.000Z"


def test_a_followup_is_added_and_deleted_never_changed(deployment: Deployment) -> None:
    account_id = create(deployment)["accountId"]
    case = create(deployment, f"{CUSTOMERS}/{account_id}/cases", {"subject": "No signal"})
    path = f"{CUSTOMERS}/{account_id}/cases/{case['caseId']}/followups"
    made = create(deployment, path, {"body": "We are on it."})
    own = f"{path}/{made['followupId']}"
    assert deployment.call("GET", own).json["body"] == "We are on it."
    refused = deployment.call("PATCH", own, {"body": "x"})
    assert (refused.status, refused.headers["Allow"]) == (405, "DELETE, GET")
    assert deployment.call("DELETE", own).status == 204
    assert deployment.call("GET", own).status == 404
    assert deployment.call("POST", f"{path.replace(case['caseId'], 'cas_none')}", {"body": "x"}).status == 404


def test_if_match_keeps_an_update_from_being_lost(deployment: Deployment) -> None:
    created = deployment.call("POST", CUSTOMERS, factories.customer())
    path = f"{CUSTOMERS}/{created.json['accountId']}"
    seen = {"If-Match": created.headers["ETag"]}
    assert deployment.call("PATCH", path, {"company": "one"}, headers=seen).status == 200
    for stale in (seen, {"If-Match": '"no-etag-of-ours"'}, {"If-Match": "1"}):
        for method, body in (("PATCH", {"company": "two"}), ("DELETE", None)):
            lost = deployment.call(method, path, body, headers=stale)
            assert (lost.status, lost.json["code"]) == (412, "precondition-failed")
    assert deployment.call("GET", path).json["company"] == "one"
    assert deployment.call("PATCH", path, {"company": "two"}, headers={"If-Match": "*"}).status == 200


def test_customers_are_found(deployment: Deployment) -> None:
    first = create(deployment, body=factories.customer(email="Jane.Roe@Example.com", phone="+493011112222"))
    create(deployment, body=factories.customer(lastName="Other", email="other@example.com"))
    own = first["accountId"]
    for query in (
        {"email": "jane.roe@example.COM"},
        {"phone": "+493011112222"},
        {"phone": " 493011112222"},
        {"phone": "030 1111 2222", "country": "DE"},
        {"q": "jane.ROE"},
        {"email": "jane.roe@example.com", "phone": "+493011112222"},
    ):
        found = deployment.call("GET", CUSTOMERS, query=query)
        assert [item["accountId"] for item in found.json["items"]] == [own], query
    nobody = {"email": "jane.roe@example.com", "phone": "+493099999999"}
    assert deployment.call("GET", CUSTOMERS, query=nobody).json["items"] == []
    deployment.call("DELETE", f"{CUSTOMERS}/{own}")
    for query in ({"email": "jane.roe@example.com"}, {"phone": "+493011112222"}, {"q": "jane.roe"}):
        assert deployment.call("GET", CUSTOMERS, query=query).json["items"] == []


def test_a_customer_is_found_by_a_social_profile(deployment: Deployment) -> None:
    held = crm()
    assert isinstance(held, BuiltinCrm)
    made = held.create_customer_from_profile(factories.profile(author_id="42"), key="k")
    query = {"community": "Twitter", "authorId": "42"}
    found = deployment.call("GET", CUSTOMERS, query=query).json["items"]
    assert [item["accountId"] for item in found] == [made.customer_id]
    assert found[0]["temporary"] is True
    assert found[0]["profiles"][0]["authorId"] == "42"
    assert "community" in pointers(deployment.call("GET", CUSTOMERS, query={"authorId": "42"}))
    path = f"{CUSTOMERS}/{made.customer_id}"
    assert deployment.call("PATCH", path, {"lastName": "Real"}).json["temporary"] is False


def test_lists_come_page_by_page(deployment: Deployment) -> None:
    ids = [create(deployment)["accountId"] for _ in range(5)]
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = deployment.call("GET", CUSTOMERS, query=query).json
        seen += [item["accountId"] for item in page["items"]]
        if page["next"] is None:
            break
        query = {"limit": "2", "cursor": page["next"]}
    assert seen == ids[::-1]
    for bad in ({"limit": "0"}, {"limit": "101"}, {"cursor": "x"}):
        assert deployment.call("GET", CUSTOMERS, query=bad).status == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "lastName"),
        ({"lastName": ""}, "lastName"),
        ({"lastName": "x", "email": "no address"}, "email"),
        ({"lastName": "x", "phone": "030 12345678"}, "phone"),
        ({"lastName": "x", "phone": "12", "country": "DE"}, "phone"),
        ({"lastName": "x", "phone": "+49 nobody"}, "phone"),
        ({"lastName": "x", "country": "Germany"}, "country"),
        ({"lastName": "x", "accountId": "mine"}, "accountId"),
    ],
)
def test_a_bad_customer_is_refused_by_field(deployment: Deployment, body: object, field: str) -> None:
    assert field in pointers(deployment.call("POST", CUSTOMERS, body))


def test_a_patch_cannot_take_what_must_be_there(deployment: Deployment) -> None:
    path = f"{CUSTOMERS}/{create(deployment)['accountId']}"
    assert "lastName" in pointers(deployment.call("PATCH", path, {"lastName": None}))
    national = deployment.call("PATCH", path, {"phone": "030 7654321"})
    assert national.json["phone"] == "+49307654321"  # the record's own country


def test_scopes(deployment: Deployment) -> None:
    reader, writer = deployment.partner("crm:read"), deployment.partner("crm:write")
    body = factories.customer()
    assert deployment.call("POST", CUSTOMERS, body, key=reader).status == 403
    assert deployment.call("POST", CUSTOMERS, body, key=writer).status == 201
    assert deployment.call("GET", CUSTOMERS, key=writer).status == 403
    assert len(deployment.call("GET", CUSTOMERS, key=reader).json["items"]) == 1


def test_a_change_leaves_a_ledger_entry_without_the_data(deployment: Deployment) -> None:
    made = create(deployment, body=factories.customer(email="hidden@example.com"))
    entries = deployment.call("GET", "/ledger", query={"flow": "crm_api"}).json["items"]
    assert [entry["customerId"] for entry in entries] == [made["accountId"]]
    entry = deployment.call("GET", f"/ledger/{entries[0]['ledgerId']}")
    assert entry.json["result"]["change"] == "created"
    assert "hidden" not in entry.text


def test_the_same_idempotency_key_creates_one_customer(deployment: Deployment) -> None:
    body, headers = factories.customer(), {"Idempotency-Key": "one"}
    first, again = (deployment.call("POST", CUSTOMERS, body, headers=headers) for _ in range(2))
    assert first.json == again.json
    assert len(deployment.call("GET", CUSTOMERS).json["items"]) == 1


def test_a_creation_whose_answer_got_lost_is_found_by_its_key(deployment: Deployment) -> None:
    """Found by the simulator: the repeat made a second customer."""
    body, headers = factories.customer(email="lost@example.com"), {"Idempotency-Key": "k"}
    with answer_lost("TransactWriteItems"):
        assert deployment.call("POST", "/crm/customers", body, headers=headers).status == 500
    again = deployment.call("POST", "/crm/customers", body, headers=headers)
    assert again.status == 201
    found = deployment.call("GET", "/crm/customers", query={"email": "lost@example.com"}).json["items"]
    assert [one["accountId"] for one in found] == [again.json["accountId"]]
