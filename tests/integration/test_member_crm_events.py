"""Source 003 by CRM events: a member that is changed in the CRM reaches CrowdTwist, whoever changes it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.vendors.crowdtwist import CrowdTwist
from sandbox.vendors.siebel import Siebel
from switchboard import connectors, work
from switchboard.ledger import entry_id
from tests.support import factories
from tests.support.deployment import Deployment, Reply
from tests.support.faults import Killed, killed_at
from tests.support.stand_ins import StandIn, serving


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with serving(CrowdTwist()) as sandbox:
        yield sandbox


@pytest.fixture
def crowdtwist(deployment: Deployment, stand_in: StandIn) -> StandIn:
    stand_in.reset()
    stand_in.connect(deployment.patch)
    return stand_in


@pytest.fixture(scope="module")
def siebel_server() -> Iterator[StandIn]:
    with serving(Siebel()) as siebel:
        yield siebel


@pytest.fixture
def siebel(siebel_server: StandIn, deployment: Deployment) -> StandIn:
    """Siebel as the CRM, without members."""
    siebel_server.reset()
    siebel_server.heal()
    siebel_server.connect(deployment.patch)
    deployment.patch.setenv("CRM_CONNECTOR", "siebel")
    connectors.crm.cache_clear()
    return siebel_server


def data(**fields: Any) -> dict[str, Any]:
    """The body of a PUT /crm/members/{n}."""
    return factories.member(**{"version": None} | fields)


def enrol(deployment: Deployment, number: str, **fields: Any) -> Reply:
    reply = deployment.call("PUT", f"/crm/members/{number}", data(**fields))
    assert reply.status in (200, 201), reply.text
    return reply


def change(deployment: Deployment, number: str, **fields: Any) -> Reply:
    reply = deployment.call("PATCH", f"/crm/members/{number}", fields)
    assert reply.status == 200, reply.text
    return reply


def tell(deployment: Deployment, number: str, event: str = "edit", **fields: Any) -> str:
    body = {"object": "member", "event": event, "memberNumber": number} | fields
    reply = deployment.call("POST", "/crm/events", body)
    assert reply.status == 202, reply.text
    event_id: str = reply.json["eventId"]
    return event_id


def sync(deployment: Deployment, number: str) -> dict[str, Any]:
    found: dict[str, Any] = deployment.call("GET", f"/members/{number}/sync").json
    return found


def users(crowdtwist: StandIn) -> dict[str, dict[str, Any]]:
    return {user["third_party_id"]: user for user in crowdtwist.control("users")["items"]}


# The built-in CRM


def test_a_member_of_the_built_in_crm_is_enrolled_changed_and_in_step(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    made = enrol(deployment, "1", email="jane@example.com")
    assert (made.status, made.json["email"], made.headers["ETag"]) == (201, "jane@example.com", '"1"')
    deployment.settle()
    assert users(crowdtwist)["1"]["email_address"] == "jane@example.com"
    assert sync(deployment, "1")["ctSyncStatus"] == "Success"
    change(deployment, "1", lastName="Smith", attributes={"tariff": "silver"})
    deployment.settle()
    user = users(crowdtwist)["1"]
    assert (user["last_name"], user["custom_data"]) == ("Smith", {"tariff": "silver"})
    shown = deployment.call("GET", "/crm/members/1").json
    assert (shown["lastName"], shown["ctSyncStatus"]) == ("Smith", "Success")
    assert crowdtwist.methods() == ["PUT", "POST", "PUT"]


def test_neither_write_backs_nor_pushes_come_round_again(deployment: Deployment, crowdtwist: StandIn) -> None:
    enrol(deployment, "1")
    deployment.settle()
    deployment.call("PUT", "/members/2", factories.member(version=1))
    deployment.settle()
    push = {"third_party_id": "1", "type": "segment", "name": "Big", "event": "entered"}
    push["date_occurred"] = "2026-03-01T10:00:00Z"
    assert deployment.call("POST", "/hooks/crowdtwist/sandbox-crowdtwist-hook", push).status == 200
    calls = len(crowdtwist.calls())
    deployment.settle()
    assert len(crowdtwist.calls()) == calls == 4
    events = [entry for entry in entries(deployment) if entry["flow"] == "member_event"]
    segments = deployment.call("GET", "/crm/members/1").json["crowdTwist"]["segments"]
    assert [segment["name"] for segment in segments] == ["Big"]
    assert [entry["status"] for entry in events] == ["synced"]  # that of the enrolment, nothing else


def entries(deployment: Deployment) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployment.call("GET", "/ledger", query={"limit": "100"}).json["items"]
    return found


def test_a_change_in_the_crm_takes_no_version_away_from_who_numbers_them(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    member = factories.member(version=7, email="wrong@example.com")
    deployment.call("PUT", "/members/1", member)
    deployment.settle()
    change(deployment, "1", email="right@example.com")
    change(deployment, "1", email="righter@example.com")
    deployment.settle()
    assert users(crowdtwist)["1"]["email_address"] == "righter@example.com"
    assert (sync(deployment, "1")["status"], sync(deployment, "1")["version"]) == ("synced", 7)
    late = deployment.call("PUT", "/members/1", member)
    assert (late.status, late.json["status"]) == (200, "superseded")
    newer = deployment.call("PUT", "/members/1", member | {"version": 8, "city": "Hamburg"})
    assert newer.status == 202
    deployment.settle()
    assert users(crowdtwist)["1"]["city"] == "Hamburg"
    assert deployment.call("GET", "/crm/members/1").json["email"] == "wrong@example.com"


def test_a_change_of_what_times_order_is_the_newest(deployment: Deployment, crowdtwist: StandIn) -> None:
    member = factories.member(version=None, modifiedAt="2026-03-01T10:00:00Z")
    deployment.call("PUT", "/members/1", member)
    deployment.settle()
    change(deployment, "1", lastName="Smith")
    deployment.settle()
    later = deployment.call("PUT", "/members/1", member | {"modifiedAt": "2026-03-01T10:00:01Z"})
    assert later.json["status"] == "superseded"
    assert users(crowdtwist)["1"]["last_name"] == "Smith"


def test_a_change_during_the_synchronization_is_not_overwritten_by_the_write_back(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    enrol(deployment, "1", lastName="First")
    deployment.run_changes()
    deployment.run_queues("MEMBER_EVENT_QUEUE_URL")  # accepted as it was
    change(deployment, "1", lastName="Second")
    deployment.run_queues("MEMBER_QUEUE_URL")  # the first data go to CrowdTwist, and are written back
    assert users(crowdtwist)["1"]["last_name"] == "First"
    assert deployment.call("GET", "/crm/members/1").json["lastName"] == "Second"
    deployment.settle()
    assert users(crowdtwist)["1"]["last_name"] == "Second"


def test_a_newer_version_that_was_sent_goes_before_an_older_change(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    deployment.call("PUT", "/members/1", factories.member(version=1))
    deployment.settle()
    deployment.call("PUT", "/members/1", factories.member(version=2, lastName="Sent"))
    change(deployment, "1", lastName="Edited")  # of version 1: the second is not in the CRM yet
    deployment.run_changes()
    deployment.run_queues("MEMBER_EVENT_QUEUE_URL")
    deployment.settle()
    assert users(crowdtwist)["1"]["last_name"] == "Sent"
    assert deployment.call("GET", "/crm/members/1").json["lastName"] == "Sent"


def test_a_data_error_is_corrected_in_the_crm(deployment: Deployment, crowdtwist: StandIn) -> None:
    enrol(deployment, "1", email="jane@example.com")
    enrol(deployment, "2", email="jane@example.com")
    deployment.settle()
    shown = deployment.call("GET", "/crm/members/2").json
    assert (shown["ctSyncStatus"], shown["ctSyncError"]) == ("Data Error", "Email Address is already taken")
    change(deployment, "2", email="jane.miller@example.com")
    deployment.settle()
    shown = deployment.call("GET", "/crm/members/2").json
    assert (shown["ctSyncStatus"], shown["ctSyncError"]) == ("Success", None)
    assert users(crowdtwist)["2"]["email_address"] == "jane.miller@example.com"


def test_whose_a_member_is(deployment: Deployment, crowdtwist: StandIn) -> None:
    agent = deployment.partner("crm:write", "crm:read", "members:read")
    shop = deployment.partner("members:write", "members:read")
    assert deployment.call("PUT", "/crm/members/1", data(), key=agent).status == 201
    deployment.call("PUT", "/members/2", factories.member(), key=shop)
    deployment.settle()
    changed = deployment.call("PATCH", "/crm/members/2", {"lastName": "Smith"}, key=agent)
    assert changed.status == 200
    deployment.settle()
    assert users(crowdtwist)["2"]["last_name"] == "Smith"
    assert deployment.call("GET", "/members/1/sync", key=agent).status == 200
    assert deployment.call("GET", "/members/2/sync", key=agent).status == 404
    assert deployment.call("GET", "/members/2/sync", key=shop).json["ctSyncStatus"] == "Success"
    assert deployment.call("GET", "/members/1", key=shop).status == 404
    assert deployment.call("GET", "/crm/members/1", key=shop).status == 403


def test_what_is_no_change_of_a_member_is_refused(deployment: Deployment) -> None:
    enrol(deployment, "1")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"lastName": None}, "lastName"),
        ({"email": "nobody"}, "email"),
        ({"phone": "030 123456", "country": None}, "phone"),
        ({"version": 3}, "version"),
        ({"dateOfBirth": "04.12.1980"}, "dateOfBirth"),
    ]
    for fields, pointer in wrong:
        reply = deployment.call("PATCH", "/crm/members/1", fields)
        assert reply.status == 422, reply.text
        assert any(pointer in error["pointer"] for error in reply.json["errors"]), reply.text
    assert deployment.call("PUT", "/crm/members/1", factories.member(version=1)).status == 422
    assert deployment.call("PATCH", "/crm/members/2", {"lastName": "Smith"}).status == 404
    assert deployment.call("GET", "/crm/members/2").status == 404
    assert deployment.call("GET", "/crm/members/a*b").status == 422
    headers = {"If-Match": '"7"'}
    for method, body in (("PATCH", {"lastName": "Smith"}), ("PUT", data())):
        assert deployment.call(method, "/crm/members/1", body, headers=headers).status == 412
    same = deployment.call("PATCH", "/crm/members/1", {"lastName": "Smith"}, headers={"If-Match": '"1"'})
    assert (same.status, same.headers["ETag"]) == (200, '"2"')


def test_a_wildcard_trigger_gets_no_member_events(deployment: Deployment, crowdtwist: StandIn) -> None:
    body = {"url": "http://127.0.0.1:9/x", "object": "*", "event": "*"}
    trigger = deployment.call("POST", "/triggers", body).json["triggerId"]
    enrol(deployment, "1")
    deployment.settle()
    assert deployment.call("GET", f"/triggers/{trigger}/deliveries").json["items"] == []
    assert deployment.call("POST", "/triggers", body | {"object": "member"}).status == 422


# Events from outside


def siebel_member(siebel: StandIn, number: str, **fields: str) -> dict[str, str]:
    vendor = siebel.vendor
    assert isinstance(vendor, Siebel)
    given = {"First Name": "Jane", "Last Name": "Miller", "Email Address": f"m{number}@example.com"}
    return vendor.add("LOY Member", given | {"Member Number": number} | fields)


def test_a_member_of_siebel_comes_in_by_the_api(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn
) -> None:
    held = siebel_member(
        siebel,
        "1-A",
        **{"Phone": "+4930123456", "Postal Code": "10115", "Birth Date": "12/04/1980"},
        **{"City": "Berlin", "State": "BE", "Country": "DE", "Email Opt In": "Y"},
    )
    tell(deployment, "1-A", "create")
    deployment.settle()
    user = users(crowdtwist)["1-A"]
    assert {name: user[name] for name in ("last_name", "postal_code", "city", "state", "country")} == {
        "last_name": "Miller",
        "postal_code": "10115",
        "city": "Berlin",
        "state": "BE",
        "country": "DE",
    }
    assert (user["date_of_birth"], user["receive_email_updates"]) == (344736000, True)
    assert user["mobile_phone_number"] == "+4930123456"
    assert held["CT Sync Status"] == "Success"
    held["Last Name"] = "Smith"
    tell(deployment, "1-A")
    deployment.settle()
    assert users(crowdtwist)["1-A"]["last_name"] == "Smith"
    assert deployment.call("GET", "/crm/members/1-A").json["lastName"] == "Smith"
    refused = deployment.call("PATCH", "/crm/members/1-A", {"lastName": "X"})
    assert (refused.status, refused.json["code"]) == (409, "crm-elsewhere")


def test_duplicates_and_events_out_of_order_make_one_call_for_each_state(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn
) -> None:
    held = siebel_member(siebel, "1-A", **{"Last Name": "First"})
    first = tell(deployment, "1-A", "create", eventId="one", occurredAt="2026-03-01T10:00:00Z")
    deployment.settle()
    held["Last Name"] = "Third"
    tell(deployment, "1-A", eventId="three", occurredAt="2026-03-01T10:00:02Z")
    tell(deployment, "1-A", eventId="two", occurredAt="2026-03-01T10:00:01Z")
    assert tell(deployment, "1-A", "create", eventId="one", occurredAt="2026-03-01T10:00:00Z") == first
    deployment.settle()
    tell(deployment, "1-A", eventId="four")  # Siebel tells of our own write-back
    deployment.settle()
    assert users(crowdtwist)["1-A"]["last_name"] == "Third"
    assert crowdtwist.methods() == ["PUT", "POST", "PUT"]
    assert len(siebel.lines("PUT", "LOY Member")) == 2


def test_an_event_that_was_entered_behind_a_clock_is_read_all_the_same(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.member_sync import events

    held = siebel_member(siebel, "1-A")
    tell(deployment, "1-A", "create")
    deployment.settle()
    held["Last Name"] = "Smith"
    monkeypatch.setattr(events, "order_of", lambda moment: 1)
    tell(deployment, "1-A")
    deployment.settle()
    assert users(crowdtwist)["1-A"]["last_name"] == "Smith"


def test_a_version_that_comes_in_while_siebel_is_read_hides_no_change(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = siebel_member(siebel, "1-A", **{"Last Name": "Seventh"})
    deployment.call("PUT", "/members/1-A", factories.member(version=7, lastName="Seventh"))
    deployment.settle()
    held["Last Name"] = "Ninth"
    tell(deployment, "1-A")
    reader = connectors.crm()
    read = reader.get_member

    def while_a_version_comes_in(number: str) -> Any:
        monkeypatch.undo()
        found = read(number)
        deployment.call("PUT", "/members/1-A", factories.member(version=8, lastName="Eighth"))
        return found

    monkeypatch.setattr(reader, "get_member", while_a_version_comes_in)
    deployment.settle()
    deployment.pass_time(work.LONGEST_RETRY)
    deployment.sweep()
    deployment.settle()
    assert users(crowdtwist)["1-A"]["last_name"] == "Ninth"


def test_siebel_away_loses_no_event(deployment: Deployment, crowdtwist: StandIn, siebel: StandIn) -> None:
    siebel_member(siebel, "1-A")
    siebel.fault(kind="status", status=503)
    tell(deployment, "1-A", "create")
    deployment.settle()
    assert crowdtwist.calls() == []
    entry = event_entry("1-A")
    assert (entry.status, entry.code) == ("retrying", "remote-unavailable")
    siebel.heal()
    deployment.pass_time(work.LONGEST_RETRY * 2)
    deployment.sweep()
    deployment.settle()
    assert sync(deployment, "1-A")["ctSyncStatus"] == "Success"


def event_entry(number: str) -> Any:
    found = work.ledger().get(entry_id("admin", "member_event", number))
    assert found is not None
    return found


def test_what_siebel_lacks_stands_on_the_member(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn
) -> None:
    held = siebel_member(siebel, "1-A")
    tell(deployment, "1-A", "create")
    deployment.settle()
    held["Email Address"] = ""
    tell(deployment, "1-A")
    deployment.settle()
    assert held["CT Sync Status"] == "Data Error"
    assert "email" in held["CT Sync Error"]
    assert event_entry("1-A").status == "data_error"
    held["Email Address"] = "m1-A@example.com"  # as it was
    tell(deployment, "1-A")
    deployment.settle()
    assert (held["CT Sync Status"], held["CT Sync Error"]) == ("Success", "")
    assert crowdtwist.methods() == ["PUT", "POST"]


def test_a_member_that_siebel_does_not_have_is_told_to_the_operator(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn
) -> None:
    tell(deployment, "1-B", "create")
    deployment.settle()
    entry = event_entry("1-B")
    assert (entry.status, entry.code) == ("data_error", "not-found")
    siebel_member(siebel, "1-B")
    assert deployment.call("POST", f"/ledger/{entry.ledger_id}/resubmit").status == 202
    deployment.settle()
    assert sync(deployment, "1-B")["ctSyncStatus"] == "Success"


def test_a_failed_member_is_tried_again_when_siebel_tells_of_it(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn
) -> None:
    """Source 003: "Update the member to re-trigger the synchronization flow"."""
    siebel_member(siebel, "1-A")
    tell(deployment, "1-A", "create")
    deployment.run_queues("MEMBER_EVENT_QUEUE_URL")
    known = work.ledger().get(sync(deployment, "1-A")["ledgerId"])
    assert known is not None
    work.ledger().park(known, status="integration_failure", code="worker-lost")
    tell(deployment, "1-A")
    deployment.settle()
    assert sync(deployment, "1-A")["ctSyncStatus"] == "Success"


def test_killed_at_each_point_an_event_makes_one_member(
    deployment: Deployment, crowdtwist: StandIn, siebel: StandIn
) -> None:
    died = 0
    for point in range(9):
        number = f"1-K{point}"
        siebel_member(siebel, number)
        tell(deployment, number, "create")
        try:
            with killed_at(point, after=bool(point % 2)):
                deployment.run_queues("MEMBER_EVENT_QUEUE_URL")
        except Killed:
            died += 1
        deployment.pass_time(work.LONGEST_RETRY)
        deployment.sweep()
        deployment.settle()
        assert sync(deployment, number)["ctSyncStatus"] == "Success", point
    assert died >= 5
    made = [json.loads(call["body"]) for call in crowdtwist.calls() if call["method"] == "POST"]
    assert len({body["third_party_id"] for body in made}) == len(made) == 9


def test_what_is_no_event_of_a_member_is_refused(deployment: Deployment) -> None:
    good = {"object": "member", "event": "edit", "memberNumber": "1-A"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"event": "delete"}, "event"),
        ({"memberNumber": None}, "memberNumber"),
        ({"memberNumber": "a*b"}, "memberNumber"),
        ({"accountId": "1"}, "accountId"),
        ({"object": "customer", "memberNumber": None}, "accountId"),
        ({"object": "customer", "accountId": "1"}, "memberNumber"),
    ]
    for fields, pointer in wrong:
        body = {name: value for name, value in (good | fields).items() if value is not None}
        reply = deployment.call("POST", "/crm/events", body)
        assert reply.status == 422, (fields, reply.text)
        assert any(pointer in error["pointer"] for error in reply.json["errors"]), reply.text
    assert deployment.call("POST", "/hooks/vcc/x/member/edit").status == 404
    partner = deployment.partner("members:write")
    assert deployment.call("POST", "/crm/events", good, key=partner).status == 403
