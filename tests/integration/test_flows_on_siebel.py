"""Sources 001, 002 and 004 with Siebel as the CRM: records are read from it, surveys stand in it."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.vendors.siebel import Siebel
from switchboard import connectors
from tests.support.deployment import Deployment
from tests.support.stand_ins import Sandbox, StandIn, serving
from tests.support.surveys import SURVEY, settings


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with serving(Siebel()) as siebel:
        yield siebel


@pytest.fixture
def siebel(server: StandIn, deployment: Deployment) -> Siebel:
    server.reset()
    server.connect(deployment.patch)
    deployment.patch.setenv("CRM_CONNECTOR", "siebel")
    connectors.crm.cache_clear()
    vendor = server.vendor
    assert isinstance(vendor, Siebel)
    return vendor


@pytest.fixture
def vendors(sandbox: Sandbox, deployment: Deployment) -> Sandbox:
    """QuestionPro and the OCS."""
    import json

    from switchboard import aws

    for name, variable in (("questionpro", "QUESTIONPRO"), ("ocsio", "OCSIO")):
        secret = json.dumps(sandbox.secret(name))
        made = aws.secretsmanager().create_secret(Name=name, SecretString=secret)
        deployment.patch.setenv(f"{variable}_SECRET_ARN", made["ARN"])
    return sandbox


def contact(siebel: Siebel, **fields: str) -> str:
    given = {"First Name": "Jane", "Last Name": "Miller", "Email Address": "jane@example.com"}
    return siebel.add("Contact", given | {"Country": "DE", "Cellular Phone #": "+4930111222"} | fields)["Id"]


def tell(deployment: Deployment, **fields: str) -> None:
    reply = deployment.call("POST", "/crm/events", fields)
    assert reply.status == 202, reply.text
    deployment.settle()


def test_the_crm_api_reads_through_to_siebel(deployment: Deployment, siebel: Siebel) -> None:
    jane = contact(siebel)
    siebel.add("SM Contact Social Profile", {"Contact Id": jane, "Community": "twitter", "Author": "j"})
    case = siebel.add(
        "Service Request",
        {"Contact Id": jane, "Abstract": "No signal", "Status": "Open", "Priority": "2-High"},
    )["Id"]
    followup = siebel.add("Action", {"Activity SR Id": case, "Comment": "Called"})["Id"]
    task = siebel.add("Action", {"Contact Id": jane, "Description": "Call", "Due": "03/01/2026 10:00:00"})

    def get(path: str, **query: str) -> dict[str, Any]:
        reply = deployment.call("GET", f"/crm/customers{path}", query=query or None)
        assert reply.status == 200, reply.text
        found: dict[str, Any] = reply.json
        return found

    person = get(f"/{jane}")
    assert (person["email"], person["country"], person["temporary"]) == ("jane@example.com", "DE", False)
    assert person["profiles"] == [
        {"community": "twitter", "authorId": "j", "authorName": None, "handle": None}
    ]
    assert (person["rev"], person["createdAt"][:2]) == (0, "20")
    shown = get(f"/{jane}/cases/{case}")
    assert (shown["subject"], shown["status"], shown["priority"]) == ("No signal", "open", "2-High")
    assert [each["caseId"] for each in get(f"/{jane}/cases")["items"]] == [case]
    assert get(f"/{jane}/cases/{case}/followups/{followup}")["body"] == "Called"
    assert [each["body"] for each in get(f"/{jane}/cases/{case}/followups")["items"]] == ["Called"]
    assert get(f"/{jane}/tasks/{task['Id']}")["dueAt"] == "2026-03-01T10:00:00.000Z"
    assert [each["subject"] for each in get(f"/{jane}/tasks")["items"]] == ["Call"]
    for query in (
        {"email": "JANE@example.com"},
        {"phone": "+4930111222"},
        {"community": "Twitter", "authorId": "j"},
        {"q": "mill"},
        {},
    ):
        assert [each["accountId"] for each in get("", **query)["items"]] == [jane], query


def test_what_siebel_does_not_have_or_take(deployment: Deployment, siebel: Siebel) -> None:
    jane = contact(siebel)
    for path in ("1-ZZZ", "x", f"{jane}/cases/1-ZZZ", f"{jane}/tasks/1-ZZZ", "1-ZZZ/cases"):
        assert deployment.call("GET", f"/crm/customers/{path}").status == 404, path
    for query in ({"q": 'x" OR [Id] LIKE "*'}, {"email": '"*"'}, {"cursor": "!"}, {"limit": "0"}):
        reply = deployment.call("GET", "/crm/customers", query=query)
        assert reply.status in (400, 422), (query, reply.text)
    for method, path, body in (
        ("POST", "", {"lastName": "X"}),
        ("PATCH", f"/{jane}", {"lastName": "X"}),
        ("DELETE", f"/{jane}", None),
        ("POST", f"/{jane}/cases", {"subject": "X"}),
        ("POST", f"/{jane}/tasks", {"subject": "X"}),
    ):
        reply = deployment.call(method, f"/crm/customers{path}", body)
        assert (reply.status, reply.json["code"]) == (409, "crm-elsewhere"), path


def test_siebel_away_is_a_503(deployment: Deployment, siebel: Siebel, server: StandIn) -> None:
    jane = contact(siebel)
    server.fault(kind="status", status=503)
    try:
        reply = deployment.call("GET", f"/crm/customers/{jane}")
        assert reply.status == 503
        assert reply.headers["Retry-After"]
    finally:
        server.heal()


def test_a_new_contact_is_set_up_in_the_ocs(deployment: Deployment, siebel: Siebel, vendors: Sandbox) -> None:
    rule = {"object": "customer", "event": "create", "where": {"country": "DE"}, "customerProfile": "b2c"}
    assert deployment.call("PUT", "/settings/charging", {"provisioning": [rule]}).status == 200
    jane = contact(siebel)
    tell(deployment, object="customer", event="create", accountId=jane)
    found = deployment.call("GET", f"/charging/customers/{jane}")
    assert (found.status, found.json["customName"]) == (200, "Jane Miller")


def test_a_closed_case_asks_and_the_answer_stands_on_the_contact(
    deployment: Deployment, siebel: Siebel, vendors: Sandbox
) -> None:
    import httpx

    rule = {"object": "case", "event": "edit", "where": {"status": "closed"}}
    settings(deployment, rules=[rule | {"parameters": {"subject": "subject"}}])
    jane = contact(siebel)
    case = siebel.add("Service Request", {"Contact Id": jane, "Abstract": "No signal", "Status": "Closed"})
    for _ in range(2):
        tell(deployment, object="case", event="edit", accountId=jane, caseId=case["Id"], eventId="e")
    [asked] = [row for row in siebel.components["Action"].rows.values() if row["Contact Id"] == jane]
    assert (asked["Type"], asked["Description"]) == ("Survey Invitation", SURVEY)

    answered = httpx.post(
        f"{vendors.url}/_control/questionpro/answers",
        json={"surveyUrl": asked["Comment"]},
        trust_env=False,
    ).json()
    token = vendors.secret("questionpro")["hookToken"]
    assert deployment.call("POST", f"/hooks/questionpro/{token}", answered, key=None).status in (200, 202)
    deployment.settle()
    reply = deployment.call("GET", f"/surveys/{SURVEY}/responses", query={"customerId": jane})
    [kept] = reply.json["items"]
    assert kept["responseId"] == str(answered["responseID"])
    assert kept["answers"]
