"""The whole of source 000 with Siebel as the CRM, and with Siebel away in the middle of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.vendors.sem import Sem
from sandbox.vendors.siebel import Siebel
from switchboard import connectors
from switchboard.aws import dynamodb
from tests.support import factories
from tests.support.deployment import Deployment
from tests.support.stand_ins import StandIn, serving


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[StandIn, StandIn]]:
    with serving(Siebel()) as siebel, serving(Sem()) as sem:
        yield siebel, sem


@pytest.fixture
def siebel(
    servers: tuple[StandIn, StandIn], deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> StandIn:
    for server in servers:
        server.reset()
        server.connect(monkeypatch)
    monkeypatch.setenv("CRM_CONNECTOR", "siebel")
    connectors.crm.cache_clear()
    return servers[0]


def rows(siebel: StandIn, component: str) -> list[dict[str, str]]:
    vendor = siebel.vendor
    assert isinstance(vendor, Siebel)
    return list(vendor.components[component].rows.values())


def state(deployment: Deployment, post_id: str) -> dict[str, Any]:
    found: dict[str, Any] = deployment.call("GET", f"/social/posts/{post_id}").json
    return found


def later(deployment: Deployment) -> None:
    """Some minutes later: what waits for its repeat is due."""
    for item in dynamodb().scan(TableName="StateTable")["Items"]:
        if "dueAt" in item:
            dynamodb().update_item(
                TableName="StateTable",
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET dueAt = :past",
                ExpressionAttributeValues={":past": {"S": "2000-01-01T00:00:00.000Z"}},
            )
    deployment.sweep()
    deployment.run_queues()


def test_post_thread_reply_lead_and_campaign(deployment: Deployment, siebel: StandIn) -> None:
    post = factories.post(uniqueId="1", authorId="jane", authorName="jane_1")
    first = deployment.call("POST", "/social/posts", post).json["postId"]
    thread = factories.post(uniqueId="2", authorId="jane", authorName="jane_1", parentId="1")
    second = deployment.call("POST", "/social/posts", thread).json["postId"]
    deployment.run_queues()
    found, threaded = state(deployment, first), state(deployment, second)
    assert (found["status"], found["customerCreated"], found["caseCreated"]) == ("synced", True, True)
    assert (threaded["caseId"], threaded["caseCreated"]) == (found["caseId"], False)

    reply = {"body": "On it.", "agentId": "a-7"}
    assert deployment.call("POST", f"/social/posts/{first}/replies", reply).status == 202
    deployment.run_queues()
    [sent] = deployment.call("GET", f"/social/posts/{first}/replies").json["items"]
    assert sent["status"] == "sent"
    assert len(rows(siebel, "Action")) == 2

    [campaign] = deployment.call("GET", "/campaigns", query={"name": "summer"}).json["items"]
    lead = factories.lead(
        firstName="Jane",
        lastName="Doe",
        campaignSourceId=campaign["sourceId"],
        posts=[{"community": "twitter", "uniqueId": "1"}],
    )
    made = deployment.call("POST", "/leads", lead)
    assert (made.status, made.json["customerId"]) == (201, found["customerId"])
    [contact] = rows(siebel, "Contact")
    assert (contact["First Name"], contact["Last Name"], contact["Email Address"]) == (
        "Jane",
        "Doe",
        lead["email"],
    )
    [held] = rows(siebel, "Lead")
    assert (held["Id"], held["Source Code"]) == (made.json["leadId"], campaign["sourceId"])
    again = deployment.call("POST", "/leads", lead)
    assert (again.status, again.json["leadId"]) == (409, made.json["leadId"])
    assert deployment.call("POST", "/campaigns", {"name": "x"}).status == 409


def test_siebel_away_in_the_middle_loses_nothing_and_does_nothing_twice(
    deployment: Deployment, siebel: StandIn
) -> None:
    posts = [factories.post() for _ in range(5)]
    ids = [deployment.call("POST", "/social/posts", post).json["postId"] for post in posts[:2]]
    deployment.run_queues()
    siebel.fault(kind="down", path="Service Request")
    ids.append(deployment.call("POST", "/social/posts", posts[2]).json["postId"])
    deployment.run_queues()
    siebel.fault(kind="status", status=503)
    ids += [deployment.call("POST", "/social/posts", post).json["postId"] for post in posts[3:]]
    deployment.run_queues()
    refused = deployment.call("POST", "/leads", factories.lead(email="jane@example.com"))
    statuses = [state(deployment, post_id)["status"] for post_id in ids]
    assert statuses == ["synced", "synced", "retrying", "retrying", "retrying"]
    assert refused.status == 503
    assert refused.headers["Retry-After"]
    assert deployment.call("GET", "/campaigns").status == 503

    siebel.heal()
    later(deployment)

    assert {state(deployment, post_id)["status"] for post_id in ids} == {"synced"}
    assert len(rows(siebel, "Service Request")) == len(rows(siebel, "SM Contact Social Profile")) == 5
    # The lead that could not be taken at once is done too; sent again, it is the same one.
    [lead] = rows(siebel, "Lead")
    again = deployment.call("POST", "/leads", factories.lead(email="jane@example.com"))
    assert (again.status, again.json["leadId"]) == (409, lead["Id"])
    assert len(rows(siebel, "Contact")) == 6


def test_a_lead_refused_while_siebel_is_away_is_repeated_under_its_key(
    deployment: Deployment, siebel: StandIn
) -> None:
    lead, headers = factories.lead(), {"Idempotency-Key": "k-1"}
    siebel.fault(kind="status", status=503)
    assert deployment.call("POST", "/leads", lead, headers=headers).status == 503
    siebel.heal()
    assert deployment.call("POST", "/leads", lead, headers=headers).status == 201
    later(deployment)
    assert len(rows(siebel, "Lead")) == 1


def test_answers_lost_after_the_write_make_no_second_record(deployment: Deployment, siebel: StandIn) -> None:
    for path in ("Contact/Contact$", "SM Contact Social Profile$", "Service Request$", "CreateLeads"):
        siebel.fault(kind="answerLost", count=4, method="POST", path=path)
    post_id = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
    for _ in range(8):
        deployment.run_queues()
        later(deployment)
    assert state(deployment, post_id)["status"] == "synced"
    assert deployment.call("POST", "/leads", factories.lead()).status == 201
    assert len(rows(siebel, "Service Request")) == len(rows(siebel, "Lead")) == 1
    assert len(rows(siebel, "SM Contact Social Profile")) == 1


def test_a_hundred_leads_at_once_are_one_in_siebel(deployment: Deployment, siebel: StandIn) -> None:
    from concurrent.futures import ThreadPoolExecutor

    lead = factories.lead()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: deployment.call("POST", "/leads", lead), range(40)))
    assert sorted({reply.status for reply in replies}) == [201, 409]
    assert [reply.status for reply in replies].count(201) == 1
    assert len(rows(siebel, "Lead")) == len(rows(siebel, "Contact")) == 1


def test_a_data_error_of_siebel_is_not_repeated(deployment: Deployment, siebel: StandIn) -> None:
    words = '{"ERROR": "Abstract is required(SBL-DAT-00498)"}'
    siebel.fault(kind="status", status=500, body=words, method="POST", path="Service Request$")
    post_id = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
    deployment.run_queues()
    found = state(deployment, post_id)
    assert (found["status"], found["code"]) == ("data_error", "remote-refused")
    assert "SBL-DAT-00498" in found["error"]


def test_without_a_secret_the_work_waits(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_CONNECTOR", "siebel")
    connectors.crm.cache_clear()
    post_id = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
    deployment.run_queues()
    found = state(deployment, post_id)
    assert (found["status"], found["code"]) == ("retrying", "not-configured")
    assert deployment.call("GET", "/campaigns").status == 503
