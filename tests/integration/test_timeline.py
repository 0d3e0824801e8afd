"""What happened around a customer, in one list: each flow, whose it is, page by page."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.vendors.crowdtwist import CrowdTwist
from sandbox.vendors.ocsio import OcsIo
from sandbox.vendors.questionpro import QuestionPro
from sandbox.vendors.sem import Sem
from switchboard import work
from tests.support import factories
from tests.support.deployment import ADMIN_KEY, Deployment, Reply
from tests.support.stand_ins import StandIn, serving
from tests.support.surveys import INVITATIONS, answer, hook

EMAIL = "tim.line@example.com"


@pytest.fixture
def survey_vendor(deployment: Deployment) -> Iterator[StandIn]:
    with serving(QuestionPro()) as sandbox:
        sandbox.connect(deployment.patch)
        yield sandbox


@pytest.fixture
def vendors(deployment: Deployment) -> Iterator[None]:
    with serving(CrowdTwist()) as loyalty, serving(OcsIo()) as ocs, serving(Sem()) as sem:
        for sandbox in (loyalty, ocs, sem):
            sandbox.connect(deployment.patch)
        yield


def timeline(deployment: Deployment, customer_id: str, *, key: str = ADMIN_KEY, **query: str) -> Reply:
    return deployment.call("GET", f"/customers/{customer_id}/timeline", key=key, query=query)


def items(deployment: Deployment, customer_id: str, **query: str) -> list[dict[str, Any]]:
    reply = timeline(deployment, customer_id, **{"limit": "100"} | query)
    assert reply.status == 200, reply.text
    found: list[dict[str, Any]] = reply.json["items"]
    return found


def test_every_flow_is_in_it(deployment: Deployment, vendors: None, survey_vendor: StandIn) -> None:
    def ok(method: str, path: str, body: object, **options: Any) -> Any:
        reply = deployment.call(method, path, body, **options)
        assert reply.status < 300, (path, reply.text)
        return reply.json

    # Nobody listens there: what is shown is that it was owed.
    ok("POST", "/triggers", {"url": "http://127.0.0.1:9/x", "object": "case", "event": "create"})
    post = ok("POST", "/social/posts", factories.post(uniqueId="t-1", community="twitter", authorId="t-1"))
    deployment.run_queues()
    customer_id = ok("GET", f"/social/posts/{post['postId']}", None)["customerId"]
    reply = ok("POST", f"/social/posts/{post['postId']}/replies", {"body": "Hello", "agentId": "a"})
    lead = ok(
        "POST", "/leads", factories.lead(email=EMAIL, posts=[{"community": "twitter", "uniqueId": "t-1"}])
    )
    assert lead["customerId"] == customer_id
    assert deployment.call("POST", "/leads", factories.lead(email=EMAIL)).status == 409
    ok("PUT", "/members/t-1", factories.member(email=EMAIL))
    charged = {"externalId": customer_id, "customerProfile": "p"}
    ok("POST", "/charging/customers", charged)
    ok(
        "PUT",
        f"/charging/customers/{customer_id}/custom-name",
        {"customName": "x"},
        headers={"Prefer": "respond-async"},
    )
    invited = ok("POST", INVITATIONS, factories.invitation(email=EMAIL))
    deployment.settle()
    assert hook(deployment, answer(survey_vendor, invited["surveyUrl"])) == 200

    found = items(deployment, customer_id)
    by_flow: dict[str, list[dict[str, Any]]] = {}
    for item in found:
        by_flow.setdefault(item["flow"], []).append(item)
    assert by_flow.keys() >= {
        *("social_post", "social_reply", "lead", "member", "charging", "survey_invitation"),
        *("survey_response", "trigger_delivery"),
    }
    assert [item["at"] for item in found] == sorted((item["at"] for item in found), reverse=True)
    [posted] = by_flow["social_post"]
    assert (posted["postId"], posted["status"], posted["caseCreated"]) == (post["postId"], "synced", True)
    [replied] = by_flow["social_reply"]
    assert (replied["replyId"], replied["postId"]) == (reply["replyId"], post["postId"])
    assert [one.get("leadId") for one in by_flow["lead"]] == [lead["leadId"], lead["leadId"]]
    assert by_flow["member"][0]["memberNumber"] == "t-1"
    assert {one["operation"] for one in by_flow["charging"]} == {"customer.create", "customer.custom-name"}
    assert by_flow["survey_invitation"][0]["invitationId"] == invited["invitationId"]
    assert by_flow["survey_response"][0]["invitationId"] == invited["invitationId"]
    [delivery] = by_flow["trigger_delivery"]
    assert (delivery["type"], delivery["caseId"]) == ("case.create", posted["caseId"])
    assert all(None not in item.values() for item in found)


def test_failed_work_is_in_it_too(deployment: Deployment) -> None:
    made = deployment.call("POST", "/crm/customers", factories.customer()).json
    customer_id = made["accountId"]
    charged = {"externalId": customer_id, "customerProfile": "p"}
    assert deployment.call("POST", "/charging/customers", charged).status == 503
    body = factories.invitation(customerId=customer_id)
    assert deployment.call("POST", INVITATIONS, body).status == 503
    found = {item["flow"]: item for item in items(deployment, customer_id)}
    assert found["charging"]["code"] == found["survey_invitation"]["code"] == "not-configured"


def test_a_partner_sees_its_own(deployment: Deployment) -> None:
    one, other = (deployment.partner("leads:write", "ledger:read") for _ in range(2))
    lead = deployment.call("POST", "/leads", factories.lead(email=EMAIL), key=one).json
    customer_id = lead["customerId"]
    deployment.call("POST", f"/crm/customers/{customer_id}/tasks", {"subject": "Call"})
    assert [item["flow"] for item in timeline(deployment, customer_id, key=one).json["items"]] == ["lead"]
    assert {item["flow"] for item in items(deployment, customer_id)} == {"lead", "crm_api"}
    # To whom nothing of it belongs, there is no such customer.
    hidden, unknown = (timeline(deployment, each, key=other) for each in (customer_id, "cus_unknown"))
    assert hidden.status == unknown.status == 404
    assert hidden.json["detail"] == unknown.json["detail"]
    assert timeline(deployment, customer_id, key=deployment.partner("leads:write")).status == 403


def test_pages_follow_each_other(deployment: Deployment) -> None:
    customer_id = deployment.call("POST", "/crm/customers", factories.customer()).json["accountId"]
    for number in range(6):
        deployment.call("POST", f"/crm/customers/{customer_id}/tasks", {"subject": f"Task {number}"})
    seen: list[str] = []
    query = {"limit": "3"}
    for _ in range(4):
        page = timeline(deployment, customer_id, **query).json
        seen += [item["ledgerId"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert len(seen) == len(set(seen)) == 7
    assert seen == [item["ledgerId"] for item in items(deployment, customer_id)]
    for bad in ({"cursor": "x"}, {"limit": "0"}, {"limit": "x"}):
        assert timeline(deployment, customer_id, **bad).status == 422


def test_a_customer_without_any_work_is_there_all_the_same(deployment: Deployment) -> None:
    from tests.support.surveys import builtin

    made = builtin().records.create_customer({"lastName": "Miller"})
    reply = timeline(deployment, made["accountId"])
    assert (reply.status, reply.json) == (200, {"items": [], "next": None})
    assert timeline(deployment, "cus_00000000000000000000000000").status == 404


def test_a_delivery_that_failed_for_good_is_there_once(deployment: Deployment) -> None:
    customer_id = deployment.call("POST", "/crm/customers", factories.customer()).json["accountId"]
    work.ledger().accept(
        partner_id="admin",
        flow="trigger_delivery",
        entity="dlv_gone_00",
        payload={"deliveryId": "dlv_gone_00"},
        group="g",
        correlation_id="c",
        status="remote_failure",
        code="delivery-failed",
        result={"deliveryId": "dlv_gone_00", "triggerId": "trg_gone"},
        customer_id=customer_id,
    )
    [kept] = [item for item in items(deployment, customer_id) if item["flow"] == "trigger_delivery"]
    assert (kept["deliveryId"], kept["status"]) == ("dlv_gone_00", "remote_failure")
