"""Source 000: leads of Meta Lead Ads come in by the webhook, and by the backfill where it was missed."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.lead_backfill import app as backfill
from sandbox.vendors.meta import Meta
from switchboard import clock, links, meta_leads
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef
from tests.support.deployment import Context, Deployment, Reply
from tests.support.stand_ins import StandIn, serving

HOOK = "/hooks/facebook/leads"
ANN = {"full_name": "Ann Marie Lee", "email": "ann@example.com", "phone_number": "+4930111222"}


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with serving(Meta()) as server:
        yield server


@pytest.fixture
def meta(server: StandIn, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Meta:
    server.reset()
    server.connect(monkeypatch)
    assert isinstance(server.vendor, Meta)
    return server.vendor


def tell(deployment: Deployment, meta: Meta, lead: dict[str, Any], **changed: str) -> Reply:
    body, signature = meta.call(lead)
    headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"} | changed
    return deployment.call("POST", HOOK, raw=body, headers=headers, key=None)


def entries(deployment: Deployment) -> list[dict[str, Any]]:
    items = deployment.call("GET", "/ledger", query={"flow": "lead"}).json["items"]
    return [deployment.call("GET", f"/ledger/{item['ledgerId']}").json for item in items]


def customer(entry: dict[str, Any]) -> dict[str, Any]:
    held = crm()
    assert isinstance(held, BuiltinCrm)
    return held.records.get(RecordRef(entry["customerId"]))


def run_backfill() -> None:
    backfill.lambda_handler({}, Context(remaining=100_000))  # type: ignore[arg-type]


def test_the_handshake_answers_the_challenge(deployment: Deployment, meta: Meta) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": meta.credentials["verifyToken"]}
    reply = deployment.call("GET", HOOK, query=query | {"hub.challenge": "1158201444"}, key=None)
    assert (reply.status, reply.text) == (200, "1158201444")
    assert reply.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "changed",
    [
        {"hub.verify_token": "wrong"},
        {"hub.verify_token": ""},
        {"hub.verify_token": "würong"},
        {"hub.mode": "unsubscribe"},
        {"hub.challenge": None},
    ],
)
def test_a_handshake_of_somebody_else_is_refused(
    deployment: Deployment, meta: Meta, changed: dict[str, str | None]
) -> None:
    query = {
        "hub.mode": "subscribe",
        "hub.verify_token": meta.credentials["verifyToken"],
        "hub.challenge": "1",
    }
    sent = {name: value for name, value in (query | changed).items() if value is not None}
    assert deployment.call("GET", HOOK, query=sent, key=None).status == 403


def test_without_a_secret_the_hook_is_closed(deployment: Deployment) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"}
    assert deployment.call("GET", HOOK, query=query, key=None).status == 503
    assert deployment.call("POST", HOOK, {"entry": []}, key=None).status == 503


def test_a_lead_that_the_webhook_tells_of_becomes_one(deployment: Deployment, meta: Meta) -> None:
    lead = meta.fill_in(ANN | {"favourite_colour": "blue", "country": "de"})
    reply = tell(deployment, meta, lead)
    assert (reply.status, reply.json) == (200, {"received": 1})
    deployment.run_queues()
    [entry] = entries(deployment)
    assert entry["status"] == "synced"
    found = customer(entry)
    assert (found["firstName"], found["lastName"]) == ("Ann Marie", "Lee")
    assert (found["email"], found["phone"], found["country"]) == ("ann@example.com", "+4930111222", "DE")


def test_told_again_and_again_it_is_one_lead(deployment: Deployment, meta: Meta) -> None:
    lead = meta.fill_in(ANN)
    for _ in range(5):
        assert tell(deployment, meta, lead).status == 200
    deployment.run_queues()
    assert tell(deployment, meta, lead).status == 200
    deployment.run_queues()
    assert len(entries(deployment)) == 1


@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", "sha256=00", "sha1=abc", "garbage", "sha256=ü", "sha256=" + "0" * 64, "=", "sha256"],
)
def test_an_unsigned_call_is_refused(deployment: Deployment, meta: Meta, signature: str) -> None:
    reply = tell(deployment, meta, meta.fill_in(ANN), **{"X-Hub-Signature-256": signature})
    assert (reply.status, reply.json["code"]) == (401, "unauthorized")
    assert entries(deployment) == []


def test_a_byte_more_is_another_body(deployment: Deployment, meta: Meta) -> None:
    body, signature = meta.call(meta.fill_in(ANN))
    headers = {"X-Hub-Signature-256": signature}
    assert deployment.call("POST", HOOK, raw=body + b" ", headers=headers, key=None).status == 401
    capitals = {"X-Hub-Signature-256": signature.upper().replace("SHA256", "sha256")}
    assert deployment.call("POST", HOOK, raw=body, headers=capitals, key=None).status == 200


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"entry": 1},
        {"entry": [1, {"changes": 2}, {"changes": [3, {"field": "feed"}, {"field": "leadgen"}]}]},
        {"entry": [{"changes": [{"field": "leadgen", "value": {"leadgen_id": "../../me"}}]}]},
        {"entry": [{"changes": [{"field": "leadgen", "value": {"leadgen_id": True}}]}]},
    ],
)
def test_a_signed_call_that_tells_of_no_lead_is_taken(
    deployment: Deployment, meta: Meta, document: object
) -> None:
    import hashlib
    import hmac

    raw = json.dumps(document).encode()
    secret = meta.credentials["appSecret"].encode()
    headers = {"X-Hub-Signature-256": f"sha256={hmac.new(secret, raw, hashlib.sha256).hexdigest()}"}
    reply = deployment.call("POST", HOOK, raw=raw, headers=headers, key=None)
    assert (reply.status, reply.json) == (200, {"received": 0})


def test_a_lead_known_from_a_form_is_no_second_one(deployment: Deployment, meta: Meta) -> None:
    form = deployment.call("POST", "/leads", {"lastName": "Lee", "email": "ann@example.com"})
    tell(deployment, meta, meta.fill_in(ANN))
    deployment.run_queues()
    [entry] = [each for each in entries(deployment) if each["ledgerId"] != form.json["ledgerId"]]
    assert (entry["status"], entry["code"]) == ("unchanged", "duplicate-lead")
    assert entry["result"]["leadId"] == form.json["leadId"]


def test_a_lead_of_a_linked_campaign_keeps_its_source(deployment: Deployment, meta: Meta) -> None:
    campaign = deployment.call("POST", "/campaigns", {"name": "Spring"}).json
    path = f"/campaigns/{campaign['campaignId']}/links/238500"
    assert deployment.call("PUT", path, {"name": "On Facebook"}).status == 201
    tell(deployment, meta, meta.fill_in(ANN, campaign_id="238500"))
    deployment.run_queues()
    held = crm()
    assert isinstance(held, BuiltinCrm)
    [entry] = entries(deployment)
    lead = held.records.table.get(f"CUSTOMER#{entry['customerId']}", f"LEAD#{entry['result']['leadId']}")
    assert lead is not None
    assert lead["campaignSourceId"] == campaign["sourceId"] == links.source_of("238500")
    assert lead["form"] == {"network": "facebook", "pageId": "900800700", "formId": "100200300"}
    assert lead["externalId"].startswith("meta:")


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ({"kind": "down"}, "remote-unavailable", "retrying"),
        ({"kind": "status", "status": 400, "body": '{"error":{"code":190,"message":"expired"}}'}, None, None),
        ({"kind": "status", "status": 400, "body": '{"error":{"code":4,"message":"too many"}}'}, None, None),
    ],
)
def test_meta_away_is_asked_again(
    deployment: Deployment, server: StandIn, meta: Meta, fault: dict[str, Any], code: str, status: str
) -> None:
    server.fault(**fault)
    tell(deployment, meta, meta.fill_in(ANN))
    deployment.run_queues()
    [entry] = entries(deployment)
    assert entry["status"] == "retrying"
    server.heal()
    assert deployment.call("POST", f"/ledger/{entry['ledgerId']}/resubmit").status in (202, 409)
    deployment.run_queues()
    assert entries(deployment)[0]["status"] == "synced"


def test_a_lead_that_meta_has_no_more_is_a_data_error(deployment: Deployment, meta: Meta) -> None:
    lead = meta.fill_in(ANN)
    meta.leads.clear()
    tell(deployment, meta, lead)
    deployment.run_queues()
    assert (entries(deployment)[0]["status"], entries(deployment)[0]["code"]) == ("data_error", "not-found")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"email": "x@example.com"}, (None, "x@example.com")),
        ({"email": "x@example.com", "full_name": "Cher"}, (None, "Cher")),
        ({"email": "x@example.com", "last_name": "Doe", "phone_number": "call me"}, (None, "Doe")),
        ({"phone_number": "+4930111222", "country": "Atlantis", "last_name": "Doe"}, (None, "Doe")),
    ],
)
def test_what_people_write_into_forms_loses_no_lead(
    deployment: Deployment, meta: Meta, fields: dict[str, str], named: tuple[str | None, str]
) -> None:
    tell(deployment, meta, meta.fill_in(fields))
    deployment.run_queues()
    [entry] = entries(deployment)
    assert entry["status"] == "synced", entry
    assert (customer(entry).get("firstName"), customer(entry)["lastName"]) == named


def test_a_lead_without_any_contact_is_a_data_error(deployment: Deployment, meta: Meta) -> None:
    tell(deployment, meta, meta.fill_in({"full_name": "Nobody", "email": "none"}))
    deployment.run_queues()
    assert (entries(deployment)[0]["status"], entries(deployment)[0]["code"]) == ("data_error", "invalid")


def test_the_backfill_finds_what_the_webhook_missed(
    deployment: Deployment, server: StandIn, meta: Meta
) -> None:
    tell(deployment, meta, meta.fill_in(ANN))
    deployment.run_queues()
    meta.largest_page = 10
    for number in range(24):
        meta.fill_in({"email": f"missed.{number}@example.com"})
    meta.fill_in({"email": "old@example.com"}, created=int(time.time()) - 80 * 24 * 3600)
    meta.fill_in({"email": "other@example.com"}, form_id="77")

    for _ in range(2):
        run_backfill()
        listed = deployment.call("GET", "/ledger", query={"flow": "lead", "limit": "100"}).json["items"]
        assert len(listed) == 25
    assert len(server.lines("GET", "/leads")) == 6
    assert server.lines("GET", "/77/") == []


def test_the_backfill_reads_configured_forms_and_goes_on_after_a_bad_one(
    deployment: Deployment, server: StandIn, meta: Meta
) -> None:
    area = {"meta": {"formIds": ["66", "77"]}}
    assert deployment.call("PUT", "/settings/leads", area).status == 200
    meta.fill_in({"email": "other@example.com"}, form_id="77")
    server.fault(kind="status", status=400, path="/66/", body='{"error":{"code":100,"message":"no form"}}')

    run_backfill()

    deployment.run_queues()
    assert [entry["status"] for entry in entries(deployment)] == ["synced"]
    assert meta_leads.read_up_to("66") is None
    assert meta_leads.read_up_to("77") is not None


def test_how_far_the_backfill_looks_back() -> None:
    from functions.lead_backfill.logic import look_back

    now = clock.now()
    assert look_back(None, now, 7) == now - timedelta(days=7)
    assert look_back("2026-03-01T10:00:00.000Z", now, 7) == clock.parse("2026-03-01T09:00:00Z")


def test_the_backfills_place_never_goes_back(deployment: Deployment) -> None:
    meta_leads.was_read("1", "2026-03-02T00:00:00.000Z")
    meta_leads.was_read("1", "2026-03-01T00:00:00.000Z")
    assert meta_leads.read_up_to("1") == "2026-03-02T00:00:00.000Z"
