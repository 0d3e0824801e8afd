"""The ledger's promises: versions, leases, history, and what the operators' routes make of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from switchboard import aws, clock, ledger, work
from switchboard.dynamo import ConditionFailed
from switchboard.errors import AnswerLost, SwitchboardError
from switchboard.ledger import Accepted, Entry, Ledger
from tests.support import factories
from tests.support.deployment import Deployment

LEASE = timedelta(seconds=30)


@pytest.fixture
def book(deployment: Deployment) -> Ledger:
    return work.ledger()


def accept(book: Ledger, *, version: int = 1, entity: str = "m-1", partner_id: str = "p") -> Accepted:
    return book.accept(
        partner_id=partner_id,
        flow="social_post",
        entity=entity,
        payload={"version": version},
        group="g",
        correlation_id="c",
        version=version,
    )


def claim(book: Ledger, entry: Entry) -> Entry:
    claimed = book.claim(entry.ledger_id, lease=LEASE)
    assert claimed is not None
    return claimed


def test_only_a_newer_version_is_taken(book: Ledger) -> None:
    assert accept(book, version=2).is_new
    for version in (1, 2):
        repeated = accept(book, version=version)
        assert not repeated.is_new
        assert repeated.entry.version == 2
    newer = accept(book, version=3)
    assert newer.is_new
    assert newer.entry.payload == {"version": 3}


def test_one_worker_at_a_time_holds_an_entry(book: Ledger, deployment: Deployment) -> None:
    entry = accept(book).entry
    claim(book, entry)
    assert book.claim(entry.ledger_id, lease=LEASE) is None
    assert book.is_held(entry.ledger_id)
    deployment.pass_time(LEASE + timedelta(seconds=1))
    assert not book.is_held(entry.ledger_id)
    assert claim(book, entry).attempts == 2


def test_a_worker_that_lost_its_lease_records_nothing(book: Ledger, deployment: Deployment) -> None:
    entry = accept(book).entry
    slow = claim(book, entry)
    deployment.pass_time(LEASE * 2)
    quick = claim(book, entry)
    assert book.record(quick, "synced", result={"id": "quick"})
    assert not book.record(slow, "data_error", code="invalid")
    found = book.get(entry.ledger_id)
    assert found is not None
    assert (found.status, found.result) == ("synced", {"id": "quick"})


def test_a_newer_version_waits_for_the_worker_and_stays_to_be_done(book: Ledger) -> None:
    entry = accept(book, version=1).entry
    claimed = claim(book, entry)
    accept(book, version=2)
    assert book.claim(entry.ledger_id, lease=LEASE) is None
    assert not book.record(claimed, "synced")
    found = book.get(entry.ledger_id)
    assert found is not None
    assert (found.status, found.version) == ("pending", 2)
    assert found.history[-1]["superseded"] is True
    assert claim(book, entry).payload == {"version": 2}


def test_a_finished_entry_is_claimed_no_more(book: Ledger) -> None:
    entry = accept(book).entry
    book.record(claim(book, entry), "synced")
    assert book.claim(entry.ledger_id, lease=LEASE) is None
    assert not book.is_held(entry.ledger_id)


def test_the_history_is_whole_however_long(book: Ledger) -> None:
    entry = accept(book).entry
    for version in range(2, 101):
        accept(book, version=version)
    found = book.get(entry.ledger_id)
    assert found is not None
    assert len(found.history) < 50
    assert [move["version"] for move in book.full_history(found)] == list(range(1, 101))


def test_a_decision_on_an_entry_that_moved_on_is_refused(book: Ledger) -> None:
    seen = accept(book).entry
    claim(book, seen)
    with pytest.raises(ConditionFailed):
        book.discard(seen, correlation_id="c", reason="late", by="admin")


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "attempts", "status"),
        [
            (SwitchboardError("remote-refused"), 1, "data_error"),
            (SwitchboardError("remote-unavailable"), 1, "retrying"),
            (SwitchboardError("remote-auth"), 1, "retrying"),
            (AnswerLost(), 1, "unknown"),
            (SwitchboardError("internal"), 1, "retrying"),
            (SwitchboardError("internal"), work.MAX_BREAKDOWNS, "integration_failure"),
            (SwitchboardError("not-configured"), work.MAX_ATTEMPTS, "integration_failure"),
            (SwitchboardError("remote-unavailable"), work.MAX_ATTEMPTS, "remote_failure"),
            (SwitchboardError("remote-unexpected"), 1, "remote_failure"),
        ],
    )
    def test_each_failure_has_its_state(
        self, book: Ledger, error: SwitchboardError, attempts: int, status: str
    ) -> None:
        entry = replace(claim(book, accept(book).entry), attempts=attempts)
        outcome, retry_in = work.failed(entry, error)
        assert outcome.status == status
        assert (retry_in is not None) is (status in ("retrying", "unknown"))

    def test_the_wait_grows_to_a_quarter_of_an_hour_and_keeps_retry_after(self) -> None:
        error = SwitchboardError("remote-unavailable")
        waits = [work.retry_delay(attempt, error) for attempt in range(1, 20)]
        assert timedelta(seconds=12) <= waits[0] <= timedelta(seconds=18)
        assert timedelta(minutes=12) <= waits[-1] <= timedelta(minutes=18)
        asked = SwitchboardError("remote-rate", retry_after=3600)
        assert work.retry_delay(1, asked) == timedelta(hours=1)

    def test_a_failure_is_repeated_by_the_sweeper_when_it_is_due(
        self, book: Ledger, deployment: Deployment
    ) -> None:
        entry = accept(book).entry
        calls: list[int] = []

        def do(entry: Entry, result: dict[str, Any]) -> work.Outcome:
            calls.append(entry.attempts)
            result["seen"] = entry.attempts
            if entry.attempts == 1:
                raise SwitchboardError("remote-unavailable", "away")
            return work.Outcome("synced")

        work.perform(entry.ledger_id, do, lease=LEASE)
        found = book.get(entry.ledger_id)
        assert found is not None
        assert (found.status, found.code, found.detail) == ("retrying", "remote-unavailable", "away")
        assert found.result == {"seen": 1}
        assert list(book.due("retrying", limit=10)) == []
        deployment.pass_time(timedelta(minutes=1))
        assert [due.ledger_id for due in book.due("retrying", limit=10)] == [entry.ledger_id]
        work.perform(entry.ledger_id, do, lease=LEASE)
        done = book.get(entry.ledger_id)
        assert done is not None
        assert (done.status, done.code, calls) == ("synced", None, [1, 2])
        assert list(book.due("retrying", limit=10)) == []

    def test_a_message_that_was_overtaken_wakes_nothing(self, book: Ledger) -> None:
        entry = accept(book).entry
        claimed = claim(book, entry)
        book.record(claimed, "retrying", code="remote-rate", retry_in=timedelta(hours=1))
        assert book.claim(entry.ledger_id, lease=LEASE, revision=entry.revision) is None
        found = book.get(entry.ledger_id)
        assert found is not None
        assert book.claim(entry.ledger_id, lease=LEASE, revision=found.revision) is not None

    def test_orderly_repeats_are_not_taken_for_lost_workers(
        self, book: Ledger, deployment: Deployment
    ) -> None:
        entry = accept(book).entry
        for _ in range(8):
            book.record(claim(book, entry), "retrying", code="remote-unavailable", retry_in=timedelta(0))
        claim(book, entry)
        deployment.pass_time(timedelta(minutes=2))
        deployment.sweep()
        found = book.get(entry.ledger_id)
        assert found is not None
        assert (found.status, found.attempts, found.lost_workers) == ("in_progress", 9, 1)

    def test_one_entry_that_cannot_be_sent_keeps_no_other_from_it(
        self, book: Ledger, deployment: Deployment
    ) -> None:
        for number in range(4):
            book.accept(
                partner_id="p",
                flow="flow_without_a_queue" if number == 0 else "social_post",
                entity=f"e-{number}",
                payload={},
                group="g",
                correlation_id="c",
            )
        deployment.pass_time(timedelta(minutes=10))
        deployment.sweep()
        answer = aws.sqs().get_queue_attributes(
            QueueUrl=deployment.queue_urls["SOCIAL_POST_QUEUE_URL"],
            AttributeNames=["ApproximateNumberOfMessages"],
        )
        assert answer["Attributes"]["ApproximateNumberOfMessages"] == "3"

    def test_work_that_kills_its_worker_is_parked(self, book: Ledger, deployment: Deployment) -> None:
        entry = accept(book).entry
        for _ in range(5):
            claim(book, entry)
            deployment.pass_time(timedelta(hours=2))
        deployment.sweep()
        parked = book.get(entry.ledger_id)
        assert parked is not None
        assert (parked.status, parked.code) == ("integration_failure", "worker-lost")


class TestRoutes:
    def test_entries_are_listed_newest_first_filtered_and_paged(self, deployment: Deployment) -> None:
        ids = [deployment.call("POST", "/social/posts", factories.post()).json["postId"] for _ in range(5)]
        deployment.run_queues()
        seen: list[str] = []
        query = {"limit": "2", "flow": "social_post", "status": "synced"}
        while True:
            page = deployment.call("GET", "/ledger", query=query).json
            seen += [item["ledgerId"] for item in page["items"]]
            assert all("history" not in item for item in page["items"])
            if page["next"] is None:
                break
            query |= {"cursor": page["next"]}
        assert seen == list(reversed(ids))
        assert deployment.call("GET", "/ledger", query={"status": "retrying"}).json["items"] == []
        later = clock.timestamp(timedelta(minutes=1))
        assert deployment.call("GET", "/ledger", query={"since": later}).json["items"] == []

    @pytest.mark.parametrize("query", [{"status": "lost"}, {"since": "yesterday"}, {"cursor": "Zm9v"}])
    def test_a_bad_filter_is_422(self, deployment: Deployment, query: dict[str, str]) -> None:
        assert deployment.call("GET", "/ledger", query=query).status == 422

    def test_an_entry_shows_its_moves(self, deployment: Deployment) -> None:
        post_id = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
        deployment.run_queues()
        found = deployment.call("GET", f"/ledger/{post_id}").json
        assert [move["status"] for move in found["history"]] == ["pending", "synced"]
        assert all(move["at"] and move["correlationId"] for move in found["history"])

    def test_failures_are_summed_up_by_cause(self, deployment: Deployment) -> None:
        book = work.ledger()
        for number in range(3):
            entry = claim(book, accept(book, entity=f"e-{number}", partner_id="admin").entry)
            book.record(entry, "data_error", code="remote-refused")
        [group] = deployment.call("GET", "/ledger/summary").json["items"]
        assert (group["flow"], group["code"], group["count"]) == ("social_post", "remote-refused", 3)
        assert group["action"]
        assert deployment.call("GET", f"/ledger/{group['sample']}").json["code"] == "remote-refused"

    def test_a_partner_sees_and_moves_its_own_work_only(self, deployment: Deployment) -> None:
        mine = deployment.partner("social:write", "ledger:read", "ledger:write")
        theirs = deployment.partner("ledger:read", "ledger:write")
        post_id = deployment.call("POST", "/social/posts", factories.post(), key=mine).json["postId"]
        assert len(deployment.call("GET", "/ledger", key=mine).json["items"]) == 1
        assert deployment.call("GET", "/ledger", key=theirs).json["items"] == []
        assert deployment.call("GET", f"/ledger/{post_id}", key=theirs).status == 404
        assert deployment.call("POST", f"/ledger/{post_id}/resubmit", key=theirs).status == 404
        assert deployment.call("GET", "/ledger").json["items"][0]["ledgerId"] == post_id
        for partner in deployment.call("GET", "/partners").json["items"]:
            deployment.call("DELETE", f"/partners/{partner['partnerId']}")
        assert deployment.call("GET", "/ledger").json["items"][0]["ledgerId"] == post_id

    def test_done_work_is_neither_repeated_nor_ended(self, deployment: Deployment) -> None:
        post_id = deployment.call("POST", "/social/posts", factories.post()).json["postId"]
        deployment.run_queues()
        assert deployment.call("POST", f"/ledger/{post_id}/resubmit").status == 409
        assert deployment.call("POST", f"/ledger/{post_id}/discard", {"reason": "x"}).status == 409

    def test_failed_work_is_ended_with_a_reason(self, deployment: Deployment) -> None:
        book = work.ledger()
        entry = claim(book, accept(book, partner_id="admin").entry)
        book.record(entry, "data_error", code="remote-refused")
        ended = deployment.call("POST", f"/ledger/{entry.ledger_id}/discard", {"reason": "not ours"})
        assert (ended.status, ended.json["status"]) == (200, "discarded")
        assert ended.json["history"][-1]["reason"] == "not ours"
        assert deployment.call("GET", "/ledger/summary").json["items"] == []


def test_entries_of_two_months_come_in_order(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    real = clock.now
    expected = []
    for days in (40, 20, 0):
        monkeypatch.setattr(clock, "now", lambda days=days: real() - timedelta(days=days))
        expected.append(accept(book, entity=f"{days}").entry.ledger_id)
    since = clock.rfc3339(real() - timedelta(days=90))
    before = clock.rfc3339(real() + timedelta(seconds=1))
    for partner_id in ("p", None):
        found = [item["ledgerId"] for item in book.recent(partner_id, before=before, since=since)]
        assert found == list(reversed(expected))
    assert list(book.recent(None, before="9999-12", since="0001-01")) != []
    assert ledger.SHARDS > 1
