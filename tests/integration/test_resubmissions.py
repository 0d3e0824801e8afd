"""Resubmissions: by cause, canary first, dry runs, corrections; exact whoever else does the same."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from functions.sweeper import resubmission
from switchboard import aws, clock, resubmissions, work
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.work import Outcome
from tests.support import factories
from tests.support.deployment import Deployment
from tests.support.faults import Killed, killed_at

LEASE = timedelta(seconds=30)


def failed(
    number: int, *, partner_id: str = "admin", code: str = "remote-refused", flow: str = "lead"
) -> Entry:
    """A lead that failed once."""
    payload = {"lastName": f"Miller {number}", "email": f"m{number}@example.com"}
    accepted = work.ledger().accept(
        partner_id=partner_id,
        flow=flow,
        entity=f"api:{number}",
        payload=payload,
        group=f"g{number}",
        correlation_id="c",
    )
    claimed = work.ledger().claim(accepted.entry.ledger_id, lease=LEASE)
    assert claimed is not None
    outcome, retry_in = work.failed(claimed, SwitchboardError(code))
    work.ledger().record(claimed, outcome.status, code=code, detail="no", retry_in=retry_in)
    found = work.ledger().get(claimed.ledger_id)
    assert found is not None
    return found


def entry(ledger_id: str) -> Entry:
    found = work.ledger().get(ledger_id)
    assert found is not None
    return found


def ask(deployment: Deployment, body: dict[str, Any], **how: Any) -> Any:
    answer = deployment.call("POST", "/ledger/resubmissions", body, **how)
    assert answer.status == 202, answer.text
    return answer.json


def state(deployment: Deployment, asked: dict[str, Any], **how: Any) -> Any:
    return deployment.call("GET", f"/ledger/resubmissions/{asked['resubmissionId']}", **how).json


def take_step(asked: dict[str, Any]) -> None:
    resubmission.step(asked["resubmissionId"])


class Leads:
    """Lead work that refuses whom it is told to refuse, and counts whom it did."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.refused: set[str] = set()
        self.done: list[str] = []
        from functions.lead_work import app

        patch.setattr(app, "do", self.do)

    def do(self, entry: Entry, result: Item) -> Outcome:
        self.done.append(entry.ledger_id)
        if entry.ledger_id in self.refused:
            raise SwitchboardError("remote-refused", "still no")
        return Outcome()


@pytest.fixture
def leads(monkeypatch: pytest.MonkeyPatch) -> Leads:
    return Leads(monkeypatch)


def settle(deployment: Deployment) -> None:
    """Run the queues until the run is over; moto keeps delayed messages back in real time."""
    for _ in range(20):
        deployment.run_queues()
        for run in open_runs():
            resubmission.step(run)


def open_runs() -> list[str]:
    page = work.ledger().table.query("openKey = :key", {":key": "resubmission"}, index="Open")
    return [item["pk"].partition("#")[2] for item in page.items]


def test_the_first_entry_goes_alone_and_the_rest_follows_when_it_succeeds(
    deployment: Deployment, leads: Leads
) -> None:
    entries = [failed(number) for number in range(5)]
    asked = ask(deployment, {"code": "remote-refused"})
    assert asked["matched"] == 5
    take_step(asked)
    assert [entry(each.ledger_id).status for each in entries].count("pending") == 1
    now = state(deployment, asked)
    assert (now["status"], now["resubmitted"]) == ("canary", 1)
    assert now["canary"] == entries[0].ledger_id
    take_step(asked)  # the canary has come to no end yet
    assert state(deployment, asked)["resubmitted"] == 1
    settle(deployment)
    now = state(deployment, asked)
    assert (now["status"], now["resubmitted"], now["succeeded"], now["failed"]) == ("complete", 5, 5, 0)
    assert sorted(leads.done) == sorted(each.ledger_id for each in entries)
    assert deployment.call("GET", "/ledger/summary").json["items"] == []


def test_a_canary_that_fails_again_stops_the_run(deployment: Deployment, leads: Leads) -> None:
    entries = [failed(number) for number in range(3)]
    leads.refused = {entries[0].ledger_id}
    asked = ask(deployment, {"flow": "lead", "status": "data_error"})
    settle(deployment)
    now = state(deployment, asked)
    assert (now["status"], now["resubmitted"], now["failed"]) == ("stopped", 1, 1)
    assert "remote-refused" in now["detail"]
    assert leads.done == [entries[0].ledger_id]
    assert [entry(each.ledger_id).attempts for each in entries[1:]] == [1, 1]


def test_what_is_repeated_by_itself_can_be_done_again_at_once(deployment: Deployment, leads: Leads) -> None:
    entries = [failed(number, code="remote-auth") for number in range(2)]
    [cause] = deployment.call("GET", "/ledger/summary").json["items"]
    assert (cause["code"], cause["count"], cause["retrying"]) == ("remote-auth", 2, 2)
    failed(9, code="waits-for-earlier")
    assert len(deployment.call("GET", "/ledger/summary").json["items"]) == 1
    asked = ask(deployment, {"flow": "lead"})
    settle(deployment)
    assert state(deployment, asked)["succeeded"] == 2
    assert {*leads.done} == {each.ledger_id for each in entries}


def test_one_that_runs_or_is_done_is_skipped_and_counted(deployment: Deployment, leads: Leads) -> None:
    running, done, late = (failed(number) for number in range(3))
    asked = ask(deployment, {"ledgerIds": [running.ledger_id, done.ledger_id, late.ledger_id]})
    for one in (running, done):
        work.ledger().reopen(one, correlation_id="c", reason="by another way")
        claimed = work.ledger().claim(one.ledger_id, lease=LEASE)
        assert claimed is not None
        if one is done:
            work.ledger().record(claimed, "synced")
    settle(deployment)
    now = state(deployment, asked)
    assert (now["status"], now["skipped"], now["resubmitted"], now["canary"]) == (
        "complete",
        2,
        1,
        late.ledger_id,
    )
    assert leads.done == [late.ledger_id]


def test_eight_at_once_do_each_entry_once(deployment: Deployment, leads: Leads) -> None:
    entries = [failed(number) for number in range(6)]
    with ThreadPoolExecutor(8) as threads:
        asked = list(threads.map(lambda _: ask(deployment, {"code": "remote-refused"}), range(8)))
        for _ in range(12):
            list(threads.map(take_step, asked))
            deployment.run_queues("LEAD_QUEUE_URL")
    states = [state(deployment, one) for one in asked]
    assert {one["status"] for one in states} == {"complete"}
    assert sum(one["resubmitted"] for one in states) == len(entries)
    assert sorted(leads.done) == sorted(each.ledger_id for each in entries)


def test_a_run_survives_the_death_of_its_worker_at_any_request(deployment: Deployment, leads: Leads) -> None:
    entries = [failed(number) for number in range(3)]
    asked = ask(deployment, {"code": "remote-refused"})
    deaths = 0
    for request in (0, 1, 2, 3, 4, 5):
        for after in (False, True):
            try:
                with killed_at(request, after=after):
                    take_step(asked)
            except Killed:
                deaths += 1
            deployment.run_queues("LEAD_QUEUE_URL")
    assert deaths > 6
    deployment.pass_time(timedelta(minutes=4))
    for _ in range(3):
        deployment.sweep()
        settle(deployment)
    now = state(deployment, asked)
    assert (now["status"], now["resubmitted"], now["succeeded"]) == ("complete", 3, 3)
    assert sorted(leads.done) == sorted(each.ledger_id for each in entries)


def test_the_sweeper_moves_a_run_on_whose_message_was_lost(
    deployment: Deployment, leads: Leads, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(1)
    with monkeypatch.context() as patch:
        patch.setattr(resubmissions, "offer", lambda run, delay=0: None)
        asked = ask(deployment, {"flow": "lead"})
    assert deployment.run_queues() == 0
    deployment.pass_time(timedelta(minutes=3))
    deployment.sweep()
    settle(deployment)
    assert state(deployment, asked)["status"] == "complete"


def test_a_partner_does_its_own_entries_only(deployment: Deployment, leads: Leads) -> None:
    key = deployment.partner("ledger:read", "ledger:write")
    me = deployment.call("GET", "/partners").json["items"][0]["partnerId"]
    mine, theirs = failed(1, partner_id=me), failed(2)
    asked = ask(deployment, {"code": "remote-refused"}, key=key)
    assert asked["matched"] == 1
    refused = deployment.call("POST", "/ledger/resubmissions", {"ledgerIds": [theirs.ledger_id]}, key=key)
    assert refused.status == 404
    others = ask(deployment, {"code": "remote-refused"})
    settle(deployment)
    assert state(deployment, asked, key=key)["succeeded"] == 1
    path = f"/ledger/resubmissions/{others['resubmissionId']}"
    assert deployment.call("GET", path, key=key).status == 404
    assert sorted(leads.done) == sorted([mine.ledger_id, theirs.ledger_id])


UNCLEAR: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "/ledgerIds"),
    ({"dryRun": True}, "/ledgerIds"),
    ({"ledgerIds": ["led_x"], "flow": "lead"}, "/ledgerIds"),
    ({"ledgerIds": []}, "/ledgerIds"),
    ({"status": "synced"}, "/status"),
    ({"status": "fine"}, "/status"),
    ({"since": "yesterday"}, "/since"),
    ({"flow": "lead", "colour": "red"}, "/colour"),
)


def test_a_request_that_is_not_clear_is_refused(deployment: Deployment) -> None:
    for body, pointer in UNCLEAR:
        answer = deployment.call("POST", "/ledger/resubmissions", body)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer), body


def test_nothing_that_fits_is_complete_at_once(deployment: Deployment) -> None:
    asked = ask(deployment, {"since": clock.timestamp(timedelta(hours=1))})
    now = state(deployment, asked)
    assert (now["matched"], now["status"]) == (0, "complete")
    assert deployment.call("GET", "/ledger/resubmissions/rsb_none").status == 404


def test_the_same_call_again_is_the_same_run(deployment: Deployment) -> None:
    failed(1)
    headers = {"Idempotency-Key": "once"}
    first = ask(deployment, {"flow": "lead"}, headers=headers)
    assert ask(deployment, {"flow": "lead"}, headers=headers) == first


def test_a_run_of_many_goes_part_by_part(
    deployment: Deployment, leads: Leads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resubmissions, "PART", 2)
    for number in range(5):
        failed(number)
    leads.refused = {failed(5).ledger_id}
    asked = ask(deployment, {"flow": "lead"})
    settle(deployment)
    now = state(deployment, asked)
    assert (now["status"], now["resubmitted"], now["succeeded"], now["failed"]) == ("complete", 6, 5, 1)


class TestDryRun:
    def test_it_tells_what_each_would_do_and_does_nothing(self, deployment: Deployment) -> None:
        known = deployment.call("POST", "/leads", {"lastName": "Miller", "email": "m1@example.com"}).json
        entries = [failed(number) for number in (1, 2)]
        answer = deployment.call("POST", "/ledger/resubmissions", {"flow": "lead", "dryRun": True})
        assert answer.status == 200
        assert (answer.json["matched"], answer.json["lookedUp"]) == (2, 2)
        told = {item["ledgerId"]: item["would"] for item in answer.json["items"]}
        assert known["leadId"] in told[entries[0].ledger_id]
        assert told[entries[1].ledger_id] == "create the customer and the lead"
        assert entry(entries[0].ledger_id) == entries[0]
        assert deployment.run_queues() == 0

    def test_what_is_beyond_its_calls_is_told(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from functions.operations import resubmissions as routes

        monkeypatch.setattr(routes, "CALLS", 1)
        for number in (1, 2):
            failed(number)
        items = deployment.call("POST", "/ledger/resubmissions", {"flow": "lead", "dryRun": True}).json[
            "items"
        ]
        assert ["not looked up" in item["would"] for item in items] == [False, True]

    def test_one_that_is_done_would_be_skipped(self, deployment: Deployment) -> None:
        lead = deployment.call("POST", "/leads", {"lastName": "Miller", "email": "m1@example.com"}).json
        body = {"ledgerIds": [lead["ledgerId"]], "dryRun": True}
        [item] = deployment.call("POST", "/ledger/resubmissions", body).json["items"]
        assert item["would"] == "be skipped: it is synced"

    def test_a_post_is_looked_up_in_the_crm(self, deployment: Deployment) -> None:
        post = deployment.call("POST", "/social/posts", factories.post()).json
        deployment.run_queues()
        claimed = failed_again(post["postId"])
        [item] = deployment.call(
            "POST", "/ledger/resubmissions", {"ledgerIds": [claimed], "dryRun": True}
        ).json["items"]
        assert item["would"].startswith("add the post to the case")


def failed_again(ledger_id: str) -> str:
    work.ledger().reopen(entry(ledger_id), correlation_id="c", reason="test")
    claimed = work.ledger().claim(ledger_id, lease=LEASE)
    assert claimed is not None
    work.ledger().record(claimed, "data_error", code="remote-refused")
    return ledger_id


class TestCorrections:
    def correct(self, deployment: Deployment, ledger_id: str, data: object) -> Any:
        return deployment.call("POST", f"/ledger/{ledger_id}/resubmit", {"data": data})

    def test_corrected_data_is_done_and_the_original_kept(self, deployment: Deployment) -> None:
        one = failed(1)
        assert entry(one.ledger_id).original is None
        answer = self.correct(deployment, one.ledger_id, {"email": "right@example.com", "company": "Acme"})
        assert answer.status == 202
        assert self.correct(deployment, one.ledger_id, {"email": "x@example.com"}).status == 409
        deployment.run_queues()
        shown = deployment.call("GET", f"/ledger/{one.ledger_id}").json
        assert shown["status"] == "synced"
        assert shown["data"]["email"] == "right@example.com"
        assert shown["originalData"]["email"] == "m1@example.com"
        [move] = [move for move in shown["history"] if move.get("reason") == "corrected"]
        assert (move["by"], move["fields"]) == ("admin", ["company", "email"])
        customers = deployment.call("GET", "/crm/customers", query={"email": "right@example.com"}).json
        assert len(customers["items"]) == 1

    def test_null_takes_a_field_away_and_the_first_original_stays(self, deployment: Deployment) -> None:
        one = failed(1)
        self.correct(deployment, one.ledger_id, {"company": "Acme"})
        claimed = work.ledger().claim(one.ledger_id, lease=LEASE)
        assert claimed is not None
        work.ledger().record(claimed, "data_error", code="remote-refused")
        self.correct(deployment, one.ledger_id, {"company": None, "phone": "+4930123456"})
        shown = deployment.call("GET", f"/ledger/{one.ledger_id}").json
        assert shown["data"] == {"lastName": "Miller 1", "email": "m1@example.com", "phone": "+4930123456"}
        assert shown["originalData"] == {"lastName": "Miller 1", "email": "m1@example.com"}

    def test_corrections_keep_the_rules_of_the_flow(self, deployment: Deployment) -> None:
        one = failed(1)
        wrong: tuple[tuple[dict[str, Any], str], ...] = (
            ({"email": "no address"}, "/data/email"),
            ({"email": None}, "/data/email"),
            ({"colour": "red"}, "/data/colour"),
            ({"phone": "abc", "country": "DE"}, "/data/phone"),
            ({"posts": [{"community": "x", "uniqueId": "y"}]}, "/data/posts/0/uniqueId"),
        )
        for data, pointer in wrong:
            answer = self.correct(deployment, one.ledger_id, data)
            assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer), data
        assert entry(one.ledger_id) == one

    def test_what_names_the_work_stays(self, deployment: Deployment) -> None:
        post = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
        deployment.run_queues()
        failed_again(post)
        answer = self.correct(deployment, post, {"uniqueId": "other"})
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/data/uniqueId")
        assert self.correct(deployment, post, {"body": "better"}).status == 202

    def test_a_discarded_entry_is_a_conflict(self, deployment: Deployment) -> None:
        one = failed(1)
        deployment.call("POST", f"/ledger/{one.ledger_id}/discard", {"reason": "spam"})
        assert self.correct(deployment, one.ledger_id, {"company": "Acme"}).status == 409
        assert deployment.call("POST", f"/ledger/{one.ledger_id}/resubmit").status == 409

    def test_what_may_have_been_done_is_not_changed(self, deployment: Deployment) -> None:
        one = failed(1, code="remote-timeout")
        work.ledger().reopen(one, correlation_id="c", reason="test")
        claimed = work.ledger().claim(one.ledger_id, lease=LEASE)
        assert claimed is not None
        work.ledger().record(claimed, "unknown", code="remote-timeout", retry_in=LEASE)
        answer = self.correct(deployment, one.ledger_id, {"company": "Acme"})
        assert answer.status == 409
        assert "without corrections" in answer.json["detail"]

    def test_data_that_is_kept_elsewhere_is_not_corrected_here(self, deployment: Deployment) -> None:
        one = failed(1, flow="record_sync")
        assert self.correct(deployment, one.ledger_id, {"object": "case"}).status == 409
        assert deployment.call("GET", f"/ledger/{one.ledger_id}").json["data"] is None

    def test_no_body_and_no_data_are_as_it_stands(self, deployment: Deployment) -> None:
        bodies: tuple[dict[str, Any] | None, ...] = (None, {}, {"data": {}})
        for number, body in enumerate(bodies):
            one = failed(number)
            answer = deployment.call("POST", f"/ledger/{one.ledger_id}/resubmit", body)
            assert answer.status == 202
            assert answer.json["history"][-1]["reason"] == "resubmitted"
            assert answer.json["originalData"] is None


def test_a_message_for_a_step_that_was_taken_takes_no_other(deployment: Deployment, leads: Leads) -> None:
    failed(1)
    asked = ask(deployment, {"flow": "lead"})
    url = deployment.queue_urls["RESUBMISSION_QUEUE_URL"]
    [message] = aws.sqs().receive_message(QueueUrl=url)["Messages"]
    body = json.loads(message["Body"])
    take_step(asked)
    before = resubmissions.runs().get(asked["resubmissionId"])
    resubmission.step(body["resubmissionId"], body["revision"])
    assert resubmissions.runs().get(asked["resubmissionId"]) == before
