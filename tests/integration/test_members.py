"""Source 003: a member of the CRM is kept in step with CrowdTwist."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sandbox.vendors.crowdtwist import CrowdTwist
from switchboard import aws, clock, queues, work
from switchboard.connectors import crm
from switchboard.members import member_ledger_id
from tests.support import factories
from tests.support.deployment import ADMIN_KEY, Deployment, Reply
from tests.support.stand_ins import StandIn, serving


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with serving(CrowdTwist()) as sandbox:
        yield sandbox


@pytest.fixture
def crowdtwist(deployment: Deployment, stand_in: StandIn) -> StandIn:
    """CrowdTwist without users and faults, and the connector's secret in the account."""
    stand_in.reset()
    stand_in.connect(deployment.patch)
    return stand_in


def put(deployment: Deployment, number: str, *, key: str = ADMIN_KEY, **fields: Any) -> Reply:
    return deployment.call("PUT", f"/members/{number}", factories.member(**fields), key=key)


def sync(deployment: Deployment, number: str) -> dict[str, Any]:
    reply = deployment.call("GET", f"/members/{number}/sync")
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.json
    return found


def users(crowdtwist: StandIn) -> dict[str, dict[str, Any]]:
    return {user["third_party_id"]: user for user in crowdtwist.control("users")["items"]}


def work_until_quiet(deployment: Deployment, *, ticks: int = 6) -> None:
    """Minutes go by: the queues run, the sweeper looks."""
    deployment.run_queues()
    for _ in range(ticks):
        deployment.pass_time(timedelta(minutes=1))
        deployment.sweep()
        deployment.run_queues()


# Created, updated, left alone


def test_a_new_member_is_created(deployment: Deployment, crowdtwist: StandIn) -> None:
    reply = put(deployment, "1-ABC", email="jane@example.com", version=3)
    assert (reply.status, reply.json["status"]) == (202, "pending")
    assert reply.json["ledgerId"] == member_ledger_id("1-ABC")
    deployment.run_queues()
    user = users(crowdtwist)["1-ABC"]
    assert user["email_address"] == "jane@example.com"
    assert user["date_of_birth"] == 344736000
    assert user["receive_email_updates"] is True
    found = sync(deployment, "1-ABC")
    assert (found["status"], found["ctSyncStatus"], found["ctSyncError"]) == ("synced", "Success", None)
    assert (found["version"], found["crowdTwistId"]) == (3, user["id"])
    assert [move["status"] for move in found["history"]] == ["pending", "synced"]


def test_the_calls_are_as_the_vendor_documents_them(deployment: Deployment, crowdtwist: StandIn) -> None:
    put(deployment, "1-ABC", email="jane@example.com")
    deployment.run_queues()
    update, create = crowdtwist.calls()
    assert (update["method"], update["path"]) == ("PUT", "/v2/users/1-ABC")
    assert update["query"] == {"id_type": ["third_party_id"]}
    assert update["status"] == 404
    assert (create["method"], create["path"], create["query"]) == ("POST", "/v2/users", {})
    assert create["headers"]["x-ct-authorization"] == "CTApiKey sandbox-crowdtwist-key"
    assert json.loads(create["body"]) == {
        "third_party_id": "1-ABC",
        "first_name": "Jane",
        "last_name": "Miller",
        "email_address": "jane@example.com",
        "mobile_phone_number": "+4930123456",
        "postal_code": "10115",
        "date_of_birth": 344736000,
        "country": "DE",
        "receive_email_updates": 1,
        "custom_data": {"tariff": "gold"},
    }


def test_a_known_member_is_updated_with_one_call(deployment: Deployment, crowdtwist: StandIn) -> None:
    put(deployment, "1", version=1)
    deployment.run_queues()
    crowdtwist.forget_calls()
    put(deployment, "1", version=2, lastName="Smith", emailOptIn=False)
    deployment.run_queues()
    assert crowdtwist.methods() == ["PUT"]
    user = users(crowdtwist)["1"]
    assert (user["last_name"], user["receive_email_updates"]) == ("Smith", False)


def test_an_update_that_changes_nothing_makes_no_call(deployment: Deployment, crowdtwist: StandIn) -> None:
    member = factories.member(version=1)
    deployment.call("PUT", "/members/1", member)
    deployment.run_queues()
    crowdtwist.forget_calls()
    assert deployment.call("PUT", "/members/1", member | {"version": 2}).status == 202
    deployment.run_queues()
    assert crowdtwist.calls() == []
    assert (sync(deployment, "1")["status"], sync(deployment, "1")["version"]) == ("unchanged", 2)


def test_an_older_update_is_superseded_and_a_repeated_one_changes_nothing(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1", version=5, lastName="Newer")
    deployment.run_queues()
    crowdtwist.forget_calls()
    older = put(deployment, "1", version=4, lastName="Older")
    repeated = put(deployment, "1", version=5, lastName="Newer")
    deployment.run_queues()
    assert (older.status, older.json["status"]) == (200, "superseded")
    assert (repeated.status, repeated.json["status"]) == (200, "synced")
    assert crowdtwist.calls() == []
    assert users(crowdtwist)["1"]["last_name"] == "Newer"


def test_modification_times_order_updates_too(deployment: Deployment, crowdtwist: StandIn) -> None:
    put(deployment, "1", version=None, modifiedAt="2026-03-01T10:00:00.000002Z", lastName="Newer")
    older = put(
        deployment, "1", version=None, modifiedAt="2026-03-01T11:00:00.000001+01:00", lastName="Older"
    )
    deployment.run_queues()
    assert older.json["status"] == "superseded"
    assert users(crowdtwist)["1"]["last_name"] == "Newer"


def test_updates_that_wait_collapse_into_the_newest(deployment: Deployment, crowdtwist: StandIn) -> None:
    for version in range(1, 6):
        put(deployment, "1", version=version, lastName=f"Version {version}")
    deployment.run_queues()
    assert crowdtwist.methods() == ["PUT", "POST"]
    assert users(crowdtwist)["1"]["last_name"] == "Version 5"


def test_what_is_no_member_is_refused_with_its_field(deployment: Deployment) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"lastName": None}, "lastName"),
        ({"email": "nobody"}, "email"),
        ({"phone": "030 123456", "country": None}, "phone"),
        ({"country": "Germany"}, "country"),
        ({"dateOfBirth": "04.12.1980"}, "dateOfBirth"),
        ({"version": None}, "version"),
        ({"version": "7"}, "version"),
        ({"nickname": "J"}, "nickname"),
        ({"attributes": {"a": {"b": 1}}}, "attributes"),
    ]
    for fields, pointer in wrong:
        reply = put(deployment, "1", **fields)
        assert reply.status == 422, reply.text
        assert any(pointer in error["pointer"] for error in reply.json["errors"]), reply.text
    for number in ("a" * 65, "-1", "a*b"):
        assert put(deployment, number).status == 422
    assert deployment.call("GET", "/members/1/sync").status == 404


# What goes wrong


def test_a_data_error_stands_on_the_member_until_it_is_corrected(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1", email="jane@example.com")
    put(deployment, "2", email="jane@example.com", version=1)
    deployment.run_queues()
    found = sync(deployment, "2")
    assert (found["status"], found["code"]) == ("data_error", "already-taken")
    assert (found["ctSyncStatus"], found["ctSyncError"]) == ("Data Error", "Email Address is already taken")
    assert found["action"]
    in_crm = deployment.call("GET", "/members/2").json
    assert (in_crm["ctSyncStatus"], in_crm["ctSyncError"]) == ("Data Error", "Email Address is already taken")
    crowdtwist.forget_calls()
    work_until_quiet(deployment)
    assert crowdtwist.calls() == []  # never by itself

    put(deployment, "2", email="jane.miller@example.com", version=2)
    deployment.run_queues()
    found = sync(deployment, "2")
    assert (found["status"], found["ctSyncStatus"], found["ctSyncError"]) == ("synced", "Success", None)
    in_crm = deployment.call("GET", "/members/2").json
    assert (in_crm["ctSyncStatus"], in_crm["ctSyncError"]) == ("Success", None)
    assert users(crowdtwist)["2"]["email_address"] == "jane.miller@example.com"


def test_a_value_that_only_the_member_itself_has_is_no_error(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    crowdtwist.fault(kind="status", status=404, method="PUT", count=1, body=_NOBODY)
    put(deployment, "1", email="jane@example.com", version=1)
    headers = {"X-CT-Authorization": "CTApiKey sandbox-crowdtwist-key"}
    user = {"first_name": "J", "last_name": "M", "email_address": "jane@example.com", "third_party_id": "1"}
    crowdtwist.client.post("/crowdtwist/v2/users", json=user, headers=headers).raise_for_status()
    deployment.run_queues()
    assert sync(deployment, "1")["status"] == "synced"
    assert users(crowdtwist)["1"]["first_name"] == "Jane"


_NOBODY = json.dumps({"error": "page_not_found", "message": "User does not exist."})


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "down"},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503, "body": "<html>maintenance</html>"},
        {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}",
)
def test_an_outage_is_repaired_by_itself(
    deployment: Deployment, crowdtwist: StandIn, fault: dict[str, Any]
) -> None:
    crowdtwist.fault(**fault)
    put(deployment, "1")
    deployment.run_queues()
    found = sync(deployment, "1")
    assert found["status"] in ("retrying", "unknown")
    assert found["ctSyncStatus"] == "CT Failure"
    assert found["ctSyncError"]
    assert deployment.call("GET", "/members/1").json["ctSyncStatus"] == "CT Failure"
    crowdtwist.heal()
    work_until_quiet(deployment, ticks=1)
    assert sync(deployment, "1")["ctSyncStatus"] == "Success"
    assert deployment.call("GET", "/members/1").json["ctSyncStatus"] == "Success"


def test_retry_after_is_obeyed(deployment: Deployment, crowdtwist: StandIn) -> None:
    crowdtwist.fault(kind="status", status=429, headers={"Retry-After": "240"}, count=1)
    put(deployment, "1")
    work_until_quiet(deployment, ticks=3)
    assert crowdtwist.methods() == ["PUT"]
    work_until_quiet(deployment, ticks=2)
    assert sync(deployment, "1")["status"] == "synced"


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_lost_answer_is_resolved_by_reading_the_member_back(
    deployment: Deployment, crowdtwist: StandIn, method: str
) -> None:
    if method == "PUT":
        put(deployment, "1", attributes={}, version=1)
        deployment.run_queues()
        crowdtwist.forget_calls()
    crowdtwist.fault(kind="answerLost", method=method, count=1)
    put(deployment, "1", attributes={}, lastName="Later", version=2)
    deployment.run_queues()
    found = sync(deployment, "1")
    assert (found["status"], found["ctSyncStatus"]) == ("unknown", "CT Failure")
    work_until_quiet(deployment, ticks=1)
    assert sync(deployment, "1")["status"] == "synced"
    assert crowdtwist.methods()[-2:] == [method, "GET"]
    assert [user["last_name"] for user in crowdtwist.control("users")["items"]] == ["Later"]


def test_a_call_that_was_lost_before_it_took_effect_is_sent_again(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    crowdtwist.fault(kind="down", method="POST", count=1)
    put(deployment, "1")
    deployment.run_queues()
    assert sync(deployment, "1")["status"] == "unknown"
    work_until_quiet(deployment, ticks=1)
    assert crowdtwist.methods() == ["PUT", "POST", "GET", "PUT", "POST"]
    assert list(users(crowdtwist)) == ["1"]


def test_a_refused_key_is_ours_and_not_the_members_error(deployment: Deployment, stand_in: StandIn) -> None:
    stand_in.reset()
    arn = stand_in.connect(deployment.patch, apiKey="not the key")
    put(deployment, "1")
    deployment.run_queues()
    found = sync(deployment, "1")
    assert (found["status"], found["code"], found["ctSyncStatus"]) == (
        "retrying",
        "remote-auth",
        "OIC Failure",
    )
    aws.secretsmanager().put_secret_value(SecretId=arn, SecretString=json.dumps(stand_in.secret))
    assert deployment.call("POST", "/settings/reload").status == 200
    work_until_quiet(deployment, ticks=1)
    assert sync(deployment, "1")["ctSyncStatus"] == "Success"


def test_signed_calls_need_no_key(deployment: Deployment, stand_in: StandIn) -> None:
    stand_in.reset()
    arn = stand_in.connect(deployment.patch, apiKey=None)
    assert deployment.call("PUT", "/settings/members", {"authentication": "hmac"}).status == 200
    put(deployment, "1:A", version=1)
    deployment.run_queues()
    put(deployment, "1:A", version=2, lastName="Müller-Söhne")  # the bytes are signed
    stand_in.fault(kind="answerLost", count=1)
    work_until_quiet(deployment, ticks=1)
    assert stand_in.methods() == ["PUT", "POST", "PUT", "GET"]
    assert (sync(deployment, "1:A")["ctSyncStatus"], list(users(stand_in))) == ("Success", ["1:A"])
    wrong = stand_in.secret | {"hmacPrivateKey": "another key"}
    for held, code in ((wrong, "remote-auth"), (wrong | {"hmacPublicKey": ""}, "not-configured")):
        aws.secretsmanager().put_secret_value(SecretId=arn, SecretString=json.dumps(held))
        assert deployment.call("POST", "/settings/reload").status == 200
        put(deployment, code)
        deployment.run_queues()
        found = sync(deployment, code)
        assert (found["code"], found["ctSyncStatus"]) == (code, "OIC Failure")


def test_a_connector_that_is_not_configured_is_our_failure(deployment: Deployment) -> None:
    deployment.patch.delenv("CROWDTWIST_SECRET_ARN", raising=False)
    put(deployment, "1")
    deployment.run_queues()
    found = sync(deployment, "1")
    assert (found["code"], found["ctSyncStatus"]) == ("not-configured", "OIC Failure")


def test_a_wrong_address_is_no_fault_of_the_member(deployment: Deployment, crowdtwist: StandIn) -> None:
    crowdtwist.fault(kind="status", status=404, body="<html>nothing here</html>", count=1)
    put(deployment, "1")
    deployment.run_queues()
    found = sync(deployment, "1")
    assert (found["status"], found["ctSyncStatus"]) == ("retrying", "CT Failure")
    work_until_quiet(deployment, ticks=1)
    assert sync(deployment, "1")["ctSyncStatus"] == "Success"


def test_the_crm_is_told_until_it_knows_and_crowdtwist_is_not_called_again(
    deployment: Deployment, crowdtwist: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from switchboard.errors import VendorError

    def away(*_: object, **__: object) -> None:
        raise VendorError("remote-unavailable", "The CRM is away.")

    with monkeypatch.context() as patch:
        patch.setattr(type(crm()), "write_member_sync", away)
        put(deployment, "1", email="jane@example.com")
        put(deployment, "2", email="jane@example.com")
        deployment.run_queues()
        assert sync(deployment, "1")["status"] == "retrying"
        found = sync(deployment, "2")
        assert (found["status"], found["ctSyncStatus"]) == ("retrying", "Data Error")
    crowdtwist.forget_calls()
    work_until_quiet(deployment, ticks=1)
    assert crowdtwist.calls() == []
    assert sync(deployment, "1")["status"] == "synced"
    assert sync(deployment, "2")["status"] == "data_error"
    assert deployment.call("GET", "/members/1").json["ctSyncStatus"] == "Success"
    assert deployment.call("GET", "/members/2").json["ctSyncStatus"] == "Data Error"


# Resubmission


def test_a_resubmitted_member_is_sent_even_when_nothing_has_changed(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1")
    deployment.run_queues()
    crowdtwist.forget_calls()
    assert deployment.call("POST", "/members/1/sync").status == 202
    deployment.run_queues()
    assert crowdtwist.methods() == ["PUT"]
    assert sync(deployment, "1")["history"][-2]["reason"] == "resubmitted"


def test_eight_resubmissions_at_once_make_one_effect(deployment: Deployment, crowdtwist: StandIn) -> None:
    put(deployment, "1", email="jane@example.com")
    put(deployment, "2", email="jane@example.com")
    deployment.run_queues()
    crowdtwist.forget_calls()
    statuses = sorted(deployment.call("POST", "/members/2/sync").status for _ in range(8))
    assert statuses == [202] + [409] * 7
    deployment.run_queues()
    assert crowdtwist.methods() == ["PUT", "POST", "PUT"]


@pytest.mark.parametrize("path", ["/members/1/sync", f"/ledger/{member_ledger_id('1')}/resubmit"])
def test_so_do_eight_of_which_the_last_wait_for_a_function_until_the_first_is_done(
    deployment: Deployment, crowdtwist: StandIn, path: str
) -> None:
    refusal = json.dumps({"error": "param_error", "message": "No."})
    crowdtwist.fault(kind="status", status=400, body=refusal)
    put(deployment, "1")
    deployment.run_queues()
    crowdtwist.forget_calls()
    statuses, at_once = [], clock.now()
    for _ in range(8):
        statuses.append(deployment.call("POST", path, arrived=at_once).status)
        deployment.run_queues()
    assert statuses == [202] + [409] * 7
    assert crowdtwist.methods() == ["PUT"]
    assert deployment.call("POST", path).status == 202


def test_the_general_resubmission_works_on_members_too(deployment: Deployment, crowdtwist: StandIn) -> None:
    refusal = json.dumps({"error": "param_error", "message": "No."})
    crowdtwist.fault(kind="status", status=400, body=refusal, count=1)
    put(deployment, "1")
    deployment.run_queues()
    assert sync(deployment, "1")["status"] == "data_error"
    reply = deployment.call("POST", f"/ledger/{member_ledger_id('1')}/resubmit")
    assert reply.status == 202, reply.text
    deployment.run_queues()
    assert sync(deployment, "1")["status"] == "synced"


# Whose a member is


def test_a_member_is_the_partners_who_brought_it(deployment: Deployment, crowdtwist: StandIn) -> None:
    mine, theirs = (deployment.partner("members:write", "members:read") for _ in range(2))
    assert put(deployment, "1", key=mine, version=1).status == 202
    deployment.run_queues()
    for method, path in (("GET", "/members/1"), ("GET", "/members/1/sync"), ("POST", "/members/1/sync")):
        assert deployment.call(method, path, key=theirs).status == 404
        assert deployment.call(method, path, key=mine).status in (200, 202)
    assert put(deployment, "1", key=theirs, version=2).status == 404
    assert put(deployment, "1", version=2).status == 202  # an administrator, in the partner's name
    assert deployment.call("GET", "/members/1/sync", key=mine).json["version"] == 2


def test_the_members_of_a_partner_who_is_gone_pass_to_the_next(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    from switchboard import partners

    gone = partners.create("gone", ("members:write",))
    assert put(deployment, "1", key=gone.api_key, version=1).status == 202
    partners.delete(gone.partner_id)
    heir = deployment.partner("members:write", "members:read", "ledger:read")
    assert put(deployment, "1", key=heir, version=2).status == 202
    assert deployment.call("GET", "/members/1/sync", key=heir).status == 200
    assert [item["flow"] for item in deployment.call("GET", "/ledger", key=heir).json["items"]] == ["member"]


def test_scopes_are_kept_apart(deployment: Deployment) -> None:
    reader, writer = deployment.partner("members:read"), deployment.partner("members:write")
    assert put(deployment, "1", key=reader).status == 403
    assert deployment.call("GET", "/members/1/sync", key=writer).status == 403
    assert deployment.call("GET", "/members/1/sync", key=reader).status == 404


# What CrowdTwist pushes


def push(deployment: Deployment, body: object, *, token: str = "sandbox-crowdtwist-hook") -> Reply:
    return deployment.call("POST", f"/hooks/crowdtwist/{token}", body, key=None)


def segment(**fields: object) -> dict[str, object]:
    return {
        "user_id": 10,
        "email_address": "joe@example.com",
        "third_party_id": "1",
        "type": "segment",
        "name": "Users in New York",
        "subscription_id": 200,
        "event": "entered",
        "trigger": "segment criteria",
        "date_occurred": "2022-07-27T18:29:18Z",
    } | fields


def test_segments_stand_on_the_member_whatever_order_they_come_in(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1")
    assert push(deployment, segment()).status == 200
    assert push(deployment, segment(name="Gold", subscription_id=7)).status == 200
    deployment.run_queues()
    held = deployment.call("GET", "/members/1").json["crowdTwist"]["segments"]
    assert held == [
        {"name": "Gold", "since": "2022-07-27T18:29:18+00:00"},
        {"name": "Users in New York", "since": "2022-07-27T18:29:18+00:00"},
    ]
    push(deployment, segment(event="exited", date_occurred="2022-08-01T00:00:00Z"))
    push(deployment, segment(date_occurred="2022-07-30T00:00:00Z"))  # an older one, late
    deployment.run_queues()
    held = deployment.call("GET", "/members/1").json["crowdTwist"]["segments"]
    assert [each["name"] for each in held] == ["Gold"]


def test_a_pushed_profile_stands_beside_the_members_own_data(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    put(deployment, "1", email="jane@example.com", attributes={"score": 1.5})
    deployment.run_queues()
    crowdtwist.forget_calls()
    push(deployment, {"thirdPartyId": "1", "emailAddress": "new@example.com", "share": 0.25})
    deployment.run_queues()
    member = deployment.call("GET", "/members/1").json
    assert member["crowdTwist"]["profile"]["emailAddress"] == "new@example.com"
    assert member["crowdTwist"]["profile"]["share"] == 0.25
    assert member["email"] == "jane@example.com"
    assert member["attributes"] == {"score": 1.5}
    assert member["ctSyncStatus"] == "Success"
    assert crowdtwist.calls() == []


def test_a_push_about_nobody_of_ours_is_taken_and_ignored(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    for body in ({}, {"third_party_id": None, "user_id": 1}, {"third_party_id": ""}, {"third_party_id": [1]}):
        reply = push(deployment, body)
        assert (reply.status, reply.json["status"]) == (200, "ignored")


def test_a_wrong_token_is_not_found_and_without_a_secret_the_hook_is_shut(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    assert push(deployment, segment(), token="wrong").status == 404
    assert push(deployment, segment(), token="ä").status == 404
    deployment.patch.delenv("CROWDTWIST_SECRET_ARN")
    assert push(deployment, segment()).status == 404
    assert deployment.run_queues() == 0


def test_a_push_that_is_no_object_is_refused(deployment: Deployment, crowdtwist: StandIn) -> None:
    for raw in (b"[]", b"7", b"{", b"\xff", b""):
        reply = deployment.call("POST", "/hooks/crowdtwist/sandbox-crowdtwist-hook", raw=raw, key=None)
        assert reply.status in (400, 422), raw


def test_a_lost_message_is_found_by_the_sweeper(
    deployment: Deployment, crowdtwist: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(queues, "offer", lambda entry: None)
        put(deployment, "1")
    work_until_quiet(deployment, ticks=3)
    assert sync(deployment, "1")["status"] == "synced"
    assert work.ledger().get(member_ledger_id("1")) is not None
