"""Erasing a person: in every flow, every table and every file, whoever dies in between."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from sandbox.vendor import Vendor
from sandbox.vendors.crowdtwist import CrowdTwist
from sandbox.vendors.ocsio import OcsIo
from sandbox.vendors.questionpro import QuestionPro, response
from sandbox.vendors.sem import Sem
from sandbox.vendors.sink import Sink
from switchboard import aws, clock, queues, work
from switchboard.connectors.builtin_crm.published import mark_key
from tests.support import canary, factories
from tests.support.canary import EMAIL, FIRST, LAST, PHONE
from tests.support.deployment import Context, Deployment, Reply
from tests.support.faults import Killed, killed_at
from tests.support.stand_ins import StandIn, serving
from tests.support.surveys import INVITATIONS, SURVEY, answer, hook

LONG = 900_000
PUSH = "/hooks/crowdtwist/sandbox-crowdtwist-hook"


@dataclass
class World:
    """The bundle with all its vendors; `customer_id` is the canary's once it is filled."""

    deployment: Deployment
    vendors: dict[str, StandIn]
    customer_id: str = ""

    def ok(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        reply = self.deployment.call(method, path, body, **options)
        assert reply.status < 300, (method, path, reply.text)
        return reply.json if reply.text else None

    def erase(self) -> Reply:
        return self.deployment.call("DELETE", f"/customers/{self.customer_id}", query={"erase": "true"})

    def erasure(self) -> Any:
        return self.ok("GET", f"/customers/{self.customer_id}/erasure")


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, StandIn]]:
    with ExitStack() as stack:
        vendors: list[Vendor] = [CrowdTwist(), OcsIo(), QuestionPro(), Sem(), Sink()]
        yield {vendor.name: stack.enter_context(serving(vendor)) for vendor in vendors}


@pytest.fixture
def world(deployment: Deployment, stand_ins: dict[str, StandIn]) -> World:
    for name, sandbox in stand_ins.items():
        sandbox.reset()
        if name != "sink":
            sandbox.connect(deployment.patch)
    aws.s3().put_bucket_versioning(Bucket="dumps", VersioningConfiguration={"Status": "Enabled"})
    return World(deployment, stand_ins)


def once(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def fill(world: World) -> None:
    """Put the canary into every flow, finished and unfinished; the work is really done."""
    deployment, ok = world.deployment, world.ok
    ok("POST", "/triggers", {"url": f"{world.vendors['sink'].origin}/sink/x", "object": "*", "event": "*"})
    profile = {"community": "twitter", "authorId": "canary-1", "authorName": f"{FIRST} {LAST}"}
    text = f"I am {FIRST} {LAST}, {EMAIL}: no signal!"
    post = ok(
        "POST", "/social/posts", factories.post(uniqueId="p-1", body=text, **profile), headers=once("p")
    )
    deployment.settle()
    world.customer_id = ok("GET", f"/social/posts/{post['postId']}")["customerId"]
    said = {"body": f"Dear {FIRST} {LAST}, we are on it.", "agentId": "a-7"}
    ok("POST", f"/social/posts/{post['postId']}/replies", said)
    person = {"firstName": FIRST, "lastName": LAST, "email": EMAIL, "phone": PHONE}
    lead = person | {"posts": [{"community": "twitter", "uniqueId": "p-1"}], "answers": {"about": LAST}}
    ok("POST", "/leads", lead, headers=once("lead"))
    assert deployment.call("POST", "/leads", person).status == 409
    record = f"/crm/customers/{world.customer_id}"
    ok("PATCH", record, {"company": f"{LAST} GmbH"}, headers=once("patch"))
    case = ok("POST", f"{record}/cases", {"subject": f"Call {PHONE}"}, headers=once("case"))
    ok("POST", f"{record}/cases/{case['caseId']}/followups", {"body": f"{FIRST} called"})
    ok("POST", f"{record}/tasks", {"subject": f"Write to {EMAIL}"})
    ok("PUT", "/members/m-1", factories.member(**person))
    deployment.settle()
    ok("POST", PUSH, {"thirdPartyId": "m-1", "emailAddress": EMAIL, "firstName": FIRST}, key=None)
    charge = {"externalId": world.customer_id, "customerProfile": "p", "customName": f"{FIRST} {LAST}"}
    ok("POST", "/charging/customers", charge, headers=once("charge"))
    later = {"customName": f"{LAST}, {FIRST}"}
    path = f"/charging/customers/{world.customer_id}/custom-name"
    ok("PUT", path, later, headers={"Prefer": "respond-async"})
    invited = ok("POST", INVITATIONS, person_invited(), headers=once("invite"))
    deployment.settle()
    vendor = world.vendors["questionpro"]
    assert hook(deployment, answer(vendor, invited["surveyUrl"])) == 200
    some = [response(SURVEY, 900 + n, clock.now(), text=f"{FIRST} {n}") for n in range(3)]
    some[1]["customVariables"] = {"custom2": EMAIL}
    some[2] |= {"responseSet": [], "customVariables": {"custom2": "somebody@example.com"}}
    some[0] = response(SURVEY, 900, clock.now(), text="of somebody else")
    vendor.client.post(
        f"/_control/questionpro/surveys/{SURVEY}/responses", json={"items": some}
    ).raise_for_status()
    with long_lambda():
        ok("POST", f"/surveys/{SURVEY}/dumps", {})
        deployment.settle()
    # What is not done: waiting for its vendor, without a customer, kept out by a criterion.
    ok("PUT", "/settings/social", {"criteria": {"languages": ["xx"]}})
    ok("POST", "/social/posts", factories.post(uniqueId="p-2", body=text, **profile))
    world.vendors["crowdtwist"].fault(kind="status", status=503)
    ok("PUT", "/members/m-2", factories.member(**person | {"lastName": f"{LAST}-2"}))
    deployment.run_queues()


def person_invited() -> dict[str, Any]:
    return factories.invitation(
        email=EMAIL, firstName=FIRST, lastName=LAST, mobile=PHONE, transactionId="t-1"
    )


@contextmanager
def long_lambda() -> Iterator[None]:
    """Each step has a Lambda's longest time."""
    import tests.support.deployment as support

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "Context", lambda: Context(remaining=LONG))
        yield


def run(world: World) -> None:
    with long_lambda():
        world.deployment.settle()


def what_comes_late_is_turned_away(world: World, url: str) -> None:
    deployment = world.deployment
    world.vendors["crowdtwist"].heal()
    late = answer(world.vendors["questionpro"], url)
    assert hook(deployment, late) == 200
    world.ok("POST", PUSH, {"thirdPartyId": "m-1", "emailAddress": EMAIL}, key=None)
    assert deployment.call("PUT", "/members/m-1", factories.member(version=9)).json["code"] == "erased"
    assert deployment.call("POST", INVITATIONS, person_invited()).json["code"] == "erased"
    assert deployment.call("POST", "/leads", {}, headers=once("lead")).status == 422
    repeated = deployment.call(
        "PATCH", f"/crm/customers/{world.customer_id}", {"company": f"{LAST} GmbH"}, headers=once("patch")
    )
    assert repeated.status == 410
    with long_lambda():
        world.ok("POST", f"/surveys/{SURVEY}/dumps", {"full": True})
        deployment.settle()
    dump = world.ok("GET", f"/surveys/{SURVEY}/dumps")["items"][0]
    assert dump["countCheck"]["agrees"], dump
    deployment.pass_time(timedelta(hours=2))
    deployment.sweep()
    run(world)
    assert canary.found(deployment) == set()


def test_nothing_of_an_erased_person_is_left_anywhere_and_what_comes_late_brings_nobody_back(
    world: World,
) -> None:
    deployment = world.deployment
    bystander = world.ok("POST", "/crm/customers", factories.customer(lastName="Bystander"))
    fill(world)
    places = canary.found(deployment, queues=False)
    for table in (
        "CrmTable",
        "StateTable LEDGER",
        "StateTable INVITATION",
        "IdempotencyTable",
        "surveys/",
        "parts/",
    ):
        assert any(place.startswith(table) for place in places), table
    before = world.ok("GET", f"/customers/{world.customer_id}/timeline", query={"limit": "100"})["items"]
    url = world.ok("POST", INVITATIONS, person_invited())["surveyUrl"]

    reply = world.erase()
    assert (reply.status, reply.json["status"]) == (202, "running"), reply.text
    run(world)

    done = world.erasure()
    assert done["status"] == "done", done
    assert canary.found(deployment) == set()
    assert {"CrowdTwist", "QuestionPro", "OCS.io", "backups"} <= {one["system"] for one in done["byHand"]}
    assert done["counts"]["dump rows"] >= 2
    assert "left" not in done["counts"]
    again = world.erase()
    assert (again.status, again.json["erasureId"]) == (200, done["erasureId"])
    assert deployment.call("GET", f"/crm/customers/{world.customer_id}").status == 404
    assert deployment.call("GET", "/members/m-1").status == 404
    # The skeleton stays: the same pieces of work, with their states.
    after = world.ok("GET", f"/customers/{world.customer_id}/timeline", query={"limit": "100"})["items"]
    kept = {item["ledgerId"] for item in before if "ledgerId" in item}
    assert kept <= {item.get("ledgerId") for item in after}
    assert world.ok("GET", f"/crm/customers/{bystander['accountId']}")["lastName"] == "Bystander"
    # The dump's files are whole, and hold the others' rows.
    [dump] = world.ok("GET", f"/surveys/{SURVEY}/dumps")["items"]
    assert dump["rows"] == 2
    assert [file["rows"] for file in dump["files"]] == [2, 2]
    acts = world.ok("GET", "/audit")["items"]
    [erased] = [act for act in acts if act["action"] == "customer.erased"]
    assert (erased["by"], erased["target"]["customerId"]) == ("admin", world.customer_id)
    assert erased["made"]["entries"] >= 8
    what_comes_late_is_turned_away(world, url)


def test_an_erasure_survives_a_worker_that_dies_again_and_again(world: World) -> None:
    fill(world)
    assert world.erase().status == 202
    erasure_id = world.erasure()["erasureId"]
    request, deaths = 4, 0
    while world.erasure()["status"] == "running":
        world.deployment.pass_time(timedelta(minutes=16))
        entry = work.ledger().get(erasure_id)
        assert entry is not None
        queues.offer(entry)
        try:
            with killed_at(request, after=deaths % 2 == 1), long_lambda():
                world.deployment.run_queues("ERASURE_QUEUE_URL")
        except Killed:
            deaths += 1
            request += 9
            drain(world.deployment.queue_urls["ERASURE_QUEUE_URL"])
    assert deaths > 5
    assert world.erasure()["status"] == "done"
    run(world)
    assert canary.found(world.deployment) == set()


def drain(url: str) -> None:
    """Lose what waits in a queue."""
    while found := aws.sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            aws.sqs().delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_work_that_is_being_done_is_waited_for(world: World) -> None:
    deployment = world.deployment
    made = world.ok("POST", "/crm/customers", factories.customer())
    world.customer_id = made["accountId"]
    entry = (
        work.ledger()
        .accept(
            partner_id="admin",
            flow="member",
            entity="m-9",
            payload={"email": made["email"]},
            group="m-9",
            correlation_id="c",
            shared=True,
        )
        .entry
    )
    claimed = work.ledger().claim(entry.ledger_id, lease=timedelta(minutes=5))
    assert claimed is not None
    world.erase()
    run(world)
    assert world.erasure()["status"] == "running"
    assert world.ok("GET", f"/crm/customers/{world.customer_id}")["email"] == made["email"]
    assert work.ledger().record(claimed, "synced", result={"ctSyncError": made["email"]})
    deployment.pass_time(timedelta(minutes=2))
    deployment.sweep()
    run(world)
    assert world.erasure()["status"] == "done"
    assert made["email"] not in json.dumps(canary.tables())


def test_a_zombie_cannot_write_into_an_erased_entry(world: World) -> None:
    made = world.ok("POST", "/crm/customers", factories.customer())
    world.customer_id = made["accountId"]
    entry = (
        work.ledger()
        .accept(
            partner_id="p",
            flow="lead",
            entity="x",
            payload=made,
            group="g",
            correlation_id="c",
            customer_id=world.customer_id,
        )
        .entry
    )
    claimed = work.ledger().claim(entry.ledger_id, lease=timedelta(seconds=1))
    assert claimed is not None
    world.deployment.pass_time(timedelta(seconds=5))
    world.erase()
    run(world)
    assert not work.ledger().record(claimed, "synced", result={"words": made["email"]})
    assert made["email"] not in json.dumps(canary.tables())


def test_erasing_has_to_be_meant_and_may_be_asked_by_administrators_alone(world: World) -> None:
    deployment = world.deployment
    made = world.ok("POST", "/crm/customers", factories.customer())
    path = f"/customers/{made['accountId']}"
    for query in (None, {"erase": "false"}, {"erase": "TRUE"}):
        reply = deployment.call("DELETE", path, query=query)
        assert (reply.status, reply.json["code"]) == (422, "invalid")
        assert "erase" in reply.json["errors"][0]["pointer"]
    assert (
        deployment.call("DELETE", path, query={"erase": "true"}, key=deployment.partner("crm:write")).status
        == 403
    )
    for unknown in ("cus_00000000000000000000000000", "unlinked", "nobody%40example.com"):
        assert deployment.call("DELETE", f"/customers/{unknown}", query={"erase": "true"}).status == 404
    assert deployment.call("GET", f"{path}/erasure").status == 404
    assert deployment.call("GET", path.replace("/customers", "/crm/customers")).status == 200


def test_a_family_that_shares_a_number_is_told_apart(world: World) -> None:
    phone = "+493011122233"
    one = world.ok("POST", "/crm/customers", factories.customer(phone=phone))
    other = world.ok("POST", "/crm/customers", factories.customer(phone=phone, email="other@example.com"))
    theirs = (
        work.ledger()
        .accept(
            partner_id="p",
            flow="lead",
            entity="x",
            group="g",
            correlation_id="c",
            payload={"phone": phone, "email": "other@example.com"},
            customer_id=other["accountId"],
        )
        .entry
    )
    world.customer_id = one["accountId"]
    world.erase()
    run(world)
    assert world.erasure()["status"] == "done"
    assert world.ok("GET", f"/crm/customers/{other['accountId']}")["phone"] == phone
    kept = work.ledger().get(theirs.ledger_id)
    assert kept is not None
    assert kept.payload["email"] == "other@example.com"


def test_a_member_whom_only_the_crm_knew_is_not_brought_back_either(world: World) -> None:
    made = world.ok("POST", "/crm/customers", factories.customer(email=EMAIL))
    world.customer_id = made["accountId"]
    enrolled = factories.member(email=EMAIL, version=None)
    assert world.deployment.call("PUT", "/crm/members/m-7", enrolled).status == 201
    world.deployment.run_changes()
    mark = mark_key({"pk": "MEMBER#m-7", "sk": "MEMBER"})
    assert work.ledger().table.get(*mark) is not None
    world.erase()
    run(world)
    assert world.erasure()["status"] == "done"
    counts = world.erasure()["counts"]
    assert counts["members"] == 1
    assert work.ledger().table.get(*mark) is None
    assert world.deployment.call("GET", "/members/m-7").status == 404
    late = world.deployment.call("PUT", "/members/m-7", factories.member(version=9, email=EMAIL))
    assert (late.status, late.json["code"]) == (409, "erased")
    assert world.deployment.call("POST", "/members/m-7/sync").status == 409
    assert canary.found(world.deployment) == set()
    world.erase()  # again: what bars the member stands, and is nobody's work
    run(world)
    assert world.deployment.call("PUT", "/members/m-7", factories.member()).json["code"] == "erased"


def test_a_person_who_comes_back_is_erased_again(world: World) -> None:
    made = world.ok("POST", "/crm/customers", factories.customer())
    world.customer_id = made["accountId"]
    world.erase()
    run(world)
    world.deployment.pass_time(timedelta(minutes=1))
    late = (
        work.ledger()
        .accept(
            partner_id="p",
            flow="lead",
            entity="x",
            group="g",
            correlation_id="c",
            payload={"email": made["email"]},
            customer_id=made["accountId"],
        )
        .entry
    )
    assert world.erase().status == 202
    run(world)
    assert world.erasure()["status"] == "done"
    found = work.ledger().get(late.ledger_id)
    assert found is not None
    assert (found.payload, found.status) == ({}, "discarded")
