"""Source 000: a form's lead becomes one lead in the CRM, on the customer whose it is."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from switchboard import work
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef
from tests.support import factories
from tests.support.deployment import Deployment, Reply
from tests.support.faults import Killed, killed_at


def send(deployment: Deployment, *, key: str | None = None, headers: Any = None, **fields: object) -> Reply:
    call = {"headers": headers} | ({"key": key} if key else {})
    return deployment.call("POST", "/leads", factories.lead(**fields), **call)


def settings(deployment: Deployment, **area: object) -> None:
    reply = deployment.call("PUT", "/settings/leads", area)
    assert reply.status == 200, reply.text


def builtin() -> BuiltinCrm:
    held = crm()
    assert isinstance(held, BuiltinCrm)
    return held


def test_a_lead_of_nobody_known_makes_its_customer(deployment: Deployment) -> None:
    reply = send(deployment, firstName="Ann", lastName="Lee", email="ann@example.com", company="Lee Ltd")
    assert reply.status == 201, reply.text
    assert (reply.json["status"], reply.json["assignedTo"]) == ("created", None)
    customer = builtin().records.get(RecordRef(reply.json["customerId"]))
    assert (customer["firstName"], customer["lastName"], customer["email"]) == (
        "Ann",
        "Lee",
        "ann@example.com",
    )
    assert (customer["company"], customer["temporary"]) == ("Lee Ltd", False)
    entry = work.ledger().get(reply.json["ledgerId"])
    assert entry is not None
    assert (entry.flow, entry.status, entry.customer_id) == ("lead", "synced", reply.json["customerId"])


@pytest.mark.parametrize(
    ("first", "second", "matched_on"),
    [
        ({"email": "Jane.Doe@Example.com"}, {"email": "jane.doe@example.COM"}, "email"),
        ({"email": None, "phone": "+49 30 1234567"}, {"phone": "030/123 45-67", "country": "DE"}, "phone"),
        ({"externalId": "7"}, {"externalId": "7"}, "externalId"),
    ],
)
def test_a_duplicate_is_refused_with_the_lead_that_is_there(
    deployment: Deployment, first: dict[str, Any], second: dict[str, Any], matched_on: str
) -> None:
    made = send(deployment, **first)
    again = send(deployment, **second)
    assert made.status == 201, made.text
    assert (again.status, again.json["code"]) == (409, "duplicate-lead")
    assert (again.json["leadId"], again.json["matchedOn"]) == (made.json["leadId"], matched_on)
    entry = work.ledger().get(again.json["ledgerId"])
    assert entry is not None
    assert (entry.status, entry.code) == ("unchanged", "duplicate-lead")


def test_dots_and_tags_matter_unless_configured(deployment: Deployment) -> None:
    assert send(deployment, email="jane.doe@example.com").status == 201
    assert send(deployment, email="janedoe@example.com").status == 201
    assert send(deployment, email="jane.doe+shop@example.com").status == 201
    settings(deployment, emailMatching={"ignoreDots": True, "ignoreTags": True})
    assert send(deployment, email="john.roe+a@example.com").status == 201
    assert send(deployment, email="johnroe+b@example.com").status == 409


def test_two_partners_external_ids_do_not_meet(deployment: Deployment) -> None:
    for key in (deployment.partner("leads:write"), deployment.partner("leads:write")):
        assert send(deployment, key=key, externalId="1").status == 201


def test_a_hundred_at_once_make_one_lead(deployment: Deployment) -> None:
    fields = factories.lead()
    send(deployment)  # what a process caches is cached now
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: deployment.call("POST", "/leads", fields), range(100)))
    assert sorted({reply.status for reply in replies}) == [201, 409]
    [made] = [reply.json["leadId"] for reply in replies if reply.status == 201]
    assert {reply.json["leadId"] for reply in replies} == {made}
    assert len(builtin().records.customers_of(email=fields["email"])) == 1


def test_the_lead_is_put_on_the_customer_with_its_e_mail_address(deployment: Deployment) -> None:
    jane = builtin().records.create_customer({"lastName": "Settled", "email": "jane@example.com"})
    reply = send(deployment, email="JANE@example.com", lastName="Other", phone="+4930111222")
    assert (reply.status, reply.json["customerId"]) == (201, jane["accountId"])
    assert builtin().records.get(RecordRef(jane["accountId"]))["lastName"] == "Settled"


def test_two_customers_with_the_phone_number_are_left_to_a_person(deployment: Deployment) -> None:
    twins = [builtin().records.create_customer({"lastName": "T", "phone": "+49301234567"}) for _ in range(2)]
    reply = send(deployment, phone="+49 30 1234567")
    assert (reply.status, reply.json["code"]) == (409, "ambiguous-lead")
    assert set(reply.json["candidates"]) == {twin["accountId"] for twin in twins}
    entry = work.ledger().get(send(deployment, phone="+49 30 1234567").json.get("ledgerId", "")) or None
    assert entry is None  # nothing was written that a second one could meet
    builtin().records.delete(RecordRef(twins[0]["accountId"]))
    assert send(deployment, phone="+49 30 1234567").json["customerId"] == twins[1]["accountId"]


def test_a_settled_ambiguity_is_resubmitted(deployment: Deployment) -> None:
    twins = [builtin().records.create_customer({"lastName": "T", "phone": "+49301234567"}) for _ in range(2)]
    send(deployment, phone="+49301234567")
    [failed] = deployment.call("GET", "/ledger", query={"status": "data_error"}).json["items"]
    builtin().records.delete(RecordRef(twins[0]["accountId"]))
    assert deployment.call("POST", f"/ledger/{failed['ledgerId']}/resubmit").status == 202
    deployment.run_queues()
    found = deployment.call("GET", f"/ledger/{failed['ledgerId']}").json
    assert (found["status"], found["customerId"]) == ("synced", twins[1]["accountId"])


def test_a_lead_completes_its_posts_temporary_author(deployment: Deployment) -> None:
    post = factories.post(authorName="jane_1")
    post_id = deployment.call("POST", "/social/posts", post).json["postId"]
    deployment.run_queues()
    author = deployment.call("GET", f"/social/posts/{post_id}").json["customerId"]
    refs = [{"community": post["community"], "uniqueId": post["uniqueId"]}]
    reply = send(deployment, firstName="Jane", lastName="Doe", email="jane@example.com", posts=refs)
    assert (reply.status, reply.json["customerId"]) == (201, author)
    customer = builtin().records.get(RecordRef(author))
    assert (customer["firstName"], customer["lastName"], customer["temporary"]) == ("Jane", "Doe", False)
    assert builtin().records.customers_of(email="jane@example.com")[0]["accountId"] == author


def test_a_lead_before_its_post_is_worked_on_shares_the_customer(deployment: Deployment) -> None:
    post = factories.post()
    post_id = deployment.call("POST", "/social/posts", post).json["postId"]
    refs = [{"community": post["community"], "uniqueId": post["uniqueId"]}]
    reply = send(deployment, lastName="Doe", posts=refs)
    deployment.run_queues()
    found = deployment.call("GET", f"/social/posts/{post_id}").json
    assert (found["customerId"], found["customerCreated"]) == (reply.json["customerId"], False)


def test_an_author_and_an_address_of_two_customers_are_left_to_a_person(deployment: Deployment) -> None:
    post = factories.post()
    deployment.call("POST", "/social/posts", post)
    deployment.run_queues()
    builtin().records.create_customer({"lastName": "Other", "email": "jane@example.com"})
    refs = [{"community": post["community"], "uniqueId": post["uniqueId"]}]
    reply = send(deployment, email="jane@example.com", posts=refs)
    assert (reply.status, len(reply.json["candidates"])) == (409, 2)


def test_another_partners_post_is_not_there(deployment: Deployment) -> None:
    post = factories.post()
    deployment.call("POST", "/social/posts", post, key=deployment.partner("social:write"))
    refs = [{"community": post["community"], "uniqueId": post["uniqueId"]}]
    reply = send(deployment, key=deployment.partner("leads:write"), posts=refs)
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/posts/0/uniqueId")


def test_the_first_rule_that_fits_assigns_the_lead(deployment: Deployment) -> None:
    rules = [
        {"when": {"country": "FR"}, "assignTo": "team-paris"},
        {"when": {"network": "Facebook", "formId": "9"}, "assignTo": "team-social"},
        {"when": {}, "assignTo": "team-rest"},
    ]
    settings(deployment, assignmentRules=rules)
    assert send(deployment, country="FR").json["assignedTo"] == "team-paris"
    assert send(deployment, form={"network": "facebook", "formId": "9"}).json["assignedTo"] == "team-social"
    assert send(deployment, country="DE").json["assignedTo"] == "team-rest"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"email": None, "phone": None}, "email"),
        ({"lastName": None}, "lastName"),
        ({"lastName": "  "}, "lastName"),
        ({"email": "nobody"}, "email"),
        ({"phone": "030 1234567"}, "phone"),
        ({"phone": "call me", "country": "DE"}, "phone"),
        ({"country": "UK"}, "country"),
        ({"surprise": 1}, "surprise"),
        ({"posts": [{"community": "twitter", "uniqueId": "never pushed"}]}, "posts"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_leaves_nothing(
    deployment: Deployment, fields: dict[str, Any], pointer: str
) -> None:
    reply = send(deployment, **fields)
    assert reply.status == 422, reply.text
    assert pointer in reply.json["errors"][0]["pointer"]
    assert deployment.call("GET", "/ledger").json["items"] == []


def test_answers_may_be_anything_that_json_has(deployment: Deployment) -> None:
    answers = {"budget": 12.5, "huge": 1e300, "tiny": 5e-324, "list": [None, {"deep": math.pi}], "": "\x00"}
    reply = send(deployment, answers=answers, consent={"newsletter": True})
    assert reply.status == 201, reply.text


def test_a_key_that_may_not_write_leads(deployment: Deployment) -> None:
    assert send(deployment, key=deployment.partner("social:write")).status == 403


def test_a_deleted_customers_lead_is_gone_with_him(deployment: Deployment) -> None:
    made = send(deployment, email="jane@example.com")
    builtin().records.delete(RecordRef(made.json["customerId"]))
    again = send(deployment, email="jane@example.com")
    assert again.status == 201
    assert again.json["customerId"] != made.json["customerId"]


def test_a_call_that_died_after_the_write_finds_its_own_lead(deployment: Deployment) -> None:
    """Killed at each of its requests in turn, the repeat with the same key makes one lead."""
    send(deployment)
    deaths = 0
    for request in range(30):
        fields = factories.lead()
        headers = {"Idempotency-Key": f"k-{request}"}
        try:
            with killed_at(request, after=True):
                first = deployment.call("POST", "/leads", fields, headers=headers)
        except Killed:
            deaths += 1
        else:
            assert first.status == 201
            break
        _let_the_leases_end()
        again = deployment.call("POST", "/leads", fields, headers=headers)
        if again.status == 409 and again.json["code"] == "in-progress":
            continue  # Powertools' own record of the first call lasts as long as the function could
        assert again.status == 201, again.text
        assert len(builtin().records.customers_of(email=fields["email"])) == 1
    assert deaths > 8


def _let_the_leases_end() -> None:
    from switchboard.aws import dynamodb

    for item in dynamodb().scan(TableName="StateTable")["Items"]:
        if "leaseUntil" in item:
            dynamodb().update_item(
                TableName="StateTable",
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET leaseUntil = :past",
                ExpressionAttributeValues={":past": {"S": "2000-01-01T00:00:00.000Z"}},
            )
    for item in dynamodb().scan(TableName="IdempotencyTable")["Items"]:
        dynamodb().delete_item(TableName="IdempotencyTable", Key={"id": item["id"]})
