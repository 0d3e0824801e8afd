"""Source 001, step 5: the periodic dump, killed at every checkpoint."""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.vendors.questionpro import QuestionPro, response
from switchboard import aws, clock, work
from switchboard.connectors.builtin_crm import RecordRef
from switchboard.crm_events import new_event
from switchboard.dynamo import ConditionFailed
from switchboard.surveys import responses
from tests.support import factories, faults
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import StandIn, serving
from tests.support.surveys import (
    INVITATIONS,
    SURVEY,
    answer,
    builtin,
    hook,
    invite,
    settings,
    shown,
    tell,
    tick,
)

DUMPS = f"/surveys/{SURVEY}/dumps"
LONG = 900_000
"""Milliseconds of a Lambda: a whole dump in one slice."""


@pytest.fixture
def vendor(deployment: Deployment) -> Iterator[StandIn]:
    with serving(QuestionPro()) as sandbox:
        sandbox.connect(deployment.patch)
        yield sandbox


def many(vendor: StandIn, count: int) -> None:
    path = f"/_control/questionpro/surveys/{SURVEY}/responses"
    vendor.client.post(path, json={"count": count}).raise_for_status()


def some(vendor: StandIn, *items: dict[str, Any]) -> None:
    path = f"/_control/questionpro/surveys/{SURVEY}/responses"
    vendor.client.post(path, json={"items": items}).raise_for_status()


def item(number: int, **fields: Any) -> dict[str, Any]:
    moment = fields.pop("moment", None) or datetime.now(UTC)
    return response(SURVEY, number, moment, **fields)


def dump(deployment: Deployment, **body: Any) -> dict[str, Any]:
    """Start a dump and let it run to its end."""
    reply = deployment.call("POST", DUMPS, body)
    assert reply.status == 202, reply.text
    run_long(deployment)
    deployment.run_queues()  # the responses that the dump has put aside
    return state(deployment, reply.json["dumpId"])


def run_long(deployment: Deployment, *only: str) -> None:
    """Run the queues with a Lambda's whole time for each slice."""
    import tests.support.deployment as support

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "Context", lambda: Context(remaining=LONG))
        deployment.run_queues(*only)


def state(deployment: Deployment, dump_id: str) -> dict[str, Any]:
    reply = deployment.call("GET", f"{DUMPS}/{dump_id}")
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.json
    return found


def key_of(url: str) -> str:
    return url.partition("?")[0].partition("amazonaws.com/")[2].removeprefix("dumps/")


def content(found: dict[str, Any], kind: str) -> bytes:
    """The bytes of a file, which are what its sha256 is of."""
    [file] = [each for each in found["files"] if kind in each["format"]]
    held = aws.s3().get_object(Bucket="dumps", Key=key_of(file["url"]))["Body"].read()
    assert hashlib.sha256(held).hexdigest() == file["sha256"]
    assert file["rows"] == found["rows"]
    return held


def lines(found: dict[str, Any]) -> list[str]:
    return gzip.decompress(content(found, "json")).decode().splitlines()


def numbers(found: dict[str, Any]) -> list[int]:
    return [json.loads(line)["responseID"] for line in lines(found)]


def table(found: dict[str, Any]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content(found, "csv").decode(), newline="")))


class TestFiles:
    def test_a_dump_has_every_response_once(self, deployment: Deployment, vendor: StandIn) -> None:
        settings(deployment, pageSize=3)
        many(vendor, 8)
        dump_id = deployment.call("POST", DUMPS, {}).json["dumpId"]
        deployment.run_queues()  # with so little time that each page is a slice
        found = state(deployment, dump_id)
        assert (found["status"], found["rows"]) == ("complete", 8)
        assert len(set(numbers(found))) == 8
        assert found["countCheck"] == {"survey": 8, "ours": 8, "agrees": True}
        assert len(table(found)) == 9

    def test_a_line_is_the_vendors_item_unchanged(self, deployment: Deployment, vendor: StandIn) -> None:
        raw = '{"responseID":1, "surveyID":2,"z":1.50,"a":"\\u00e9 \\/ é \u2028","big":12345678901234567890}'
        page = f'{{"pagination":{{"totalItems":1,"totalPages":1,"currentPage":1}},\n"response":[\n{raw} ]}}'
        vendor.fault(kind="status", status=200, body=page)
        assert gzip.decompress(content(dump(deployment), "json")).decode() == raw + "\n"

    def test_the_csv_is_no_place_for_formulas(self, deployment: Deployment, vendor: StandIn) -> None:
        bad = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", 'a "quoted", cell\nof two lines']
        some(vendor, *(item(number, text=text) for number, text in enumerate(bad, 1)))
        rows = table(dump(deployment))
        column = rows[0].index("Q2 (7000001)")
        assert [row[column] for row in rows[1:]] == [f"'{text}" for text in bad[:-1]] + [bad[-1]]

    def test_columns_stay_where_they_are(self, deployment: Deployment, vendor: StandIn) -> None:
        some(vendor, item(1, status="Started"))
        first = table(dump(deployment))[0]
        some(vendor, item(2, custom={"custom9": "nine"}))
        second = table(dump(deployment))[0]
        assert second[: len(first)] == first
        assert set(second) - set(first) == {"Q2 (7000001)", "custom9"}

    def test_parquet_is_the_same_table(self, deployment: Deployment, vendor: StandIn, tmp_path: Path) -> None:
        settings(deployment, parquet=True)
        some(vendor, item(1, text="=1+1"), item(2, custom={"custom9": "nine"}))
        found = dump(deployment)
        path = tmp_path / "responses.parquet"
        path.write_bytes(content(found, "parquet"))
        with duckdb.connect() as database:
            answer_of = database.execute(
                'SELECT responseID, "Q2 (7000001)", custom9, externalReference FROM read_parquet(?)',
                [str(path)],
            )
            rows = answer_of.fetchall()
        assert rows == [("1", "=1+1", None, None), ("2", "Nothing.", "nine", None)]
        assert len(table(found)) == 3

    def test_the_manifest_tells_counts_and_digests(self, deployment: Deployment, vendor: StandIn) -> None:
        many(vendor, 2)
        found = dump(deployment)
        held = aws.s3().get_object(Bucket="dumps", Key=key_of(found["manifest"]))["Body"].read()
        manifest = json.loads(held)
        assert (manifest["rows"], manifest["dumpId"]) == (2, found["dumpId"])
        assert [file["sha256"] for file in manifest["files"]] == [file["sha256"] for file in found["files"]]

    def test_an_empty_survey_has_files_too(self, deployment: Deployment, vendor: StandIn) -> None:
        found = dump(deployment)
        assert (found["status"], found["rows"], lines(found)) == ("complete", 0, [])
        assert len(table(found)) == 1


class TestIncremental:
    def test_only_what_is_new_and_late_arrivals_too(self, deployment: Deployment, vendor: StandIn) -> None:
        now = datetime.now(UTC)
        some(vendor, item(1), item(2))
        assert numbers(dump(deployment)) == [1, 2]
        some(vendor, item(3), item(4, moment=now - timedelta(hours=5)))
        second = dump(deployment)
        assert numbers(second) == [3, 4]
        assert second["from"] < second["to"]
        assert second["countCheck"]["agrees"] is True
        assert dump(deployment)["rows"] == 0
        assert len(numbers(dump(deployment, full=True))) == 4

    def test_one_that_was_partial_comes_again_when_it_is_complete(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        some(vendor, item(1, status="Started"), item(2))
        dump(deployment)
        survey = vendor.vendor
        assert isinstance(survey, QuestionPro)
        survey.survey(SURVEY).items[0] = item(1)
        second = dump(deployment)
        assert numbers(second) == [1]
        assert second["countCheck"]["agrees"] is True

    def test_each_partner_is_given_everything(self, deployment: Deployment, vendor: StandIn) -> None:
        some(vendor, item(1))
        dump(deployment)
        key = deployment.partner("surveys:write", "surveys:read")
        dump_id = deployment.call("POST", DUMPS, {}, key=key).json["dumpId"]
        deployment.run_queues()
        assert deployment.call("GET", f"{DUMPS}/{dump_id}", key=key).json["rows"] == 1
        other = deployment.partner("surveys:read")
        assert deployment.call("GET", f"{DUMPS}/{dump_id}", key=other).status == 404
        assert deployment.call("GET", DUMPS, key=other).json["items"] == []
        assert len(deployment.call("GET", DUMPS).json["items"]) == 2

    def test_a_difference_is_told(self, deployment: Deployment, vendor: StandIn) -> None:
        some(vendor, item(1), item(2))
        dump(deployment)
        survey = vendor.vendor
        assert isinstance(survey, QuestionPro)
        del survey.survey(SURVEY).items[0]
        assert dump(deployment)["countCheck"] == {"survey": 1, "ours": 2, "agrees": False}


class TestOneAtATime:
    def test_a_second_run_is_refused_while_one_is_on(self, deployment: Deployment, vendor: StandIn) -> None:
        many(vendor, 2)
        first = deployment.call("POST", DUMPS, {}).json
        again = deployment.call("POST", DUMPS, {})
        assert (again.status, again.json["dumpId"]) == (409, first["dumpId"])
        other = deployment.call("POST", DUMPS, {}, key=deployment.partner("surveys:write"))
        assert (other.status, "dumpId" in other.json) == (409, False)
        deployment.run_queues()
        assert deployment.call("POST", DUMPS, {}).status == 202

    def test_one_that_is_resubmitted_waits_for_the_one_that_runs(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        many(vendor, 2)
        vendor.client.put("/_control/questionpro/limits", json={"quota": 0})
        first = dump(deployment)
        assert first["code"] == "remote-quota"
        vendor.client.put("/_control/questionpro/limits", json={"perMinute": 0})
        second = dump(deployment, full=True)
        assert second["code"] == "remote-rate"
        vendor.client.put("/_control/questionpro/limits", json={"perMinute": 300})
        assert deployment.call("POST", f"/ledger/{first['dumpId']}/resubmit", {}).status == 202
        deployment.run_queues()
        waiting = state(deployment, first["dumpId"])
        assert (waiting["status"], waiting["code"]) == ("running", "waits-for-earlier")
        for _ in range(2):
            deployment.pass_time(timedelta(minutes=2))
            deployment.sweep()
            run_long(deployment)
        assert len(numbers(state(deployment, second["dumpId"]))) == 2
        assert len(numbers(state(deployment, first["dumpId"]))) == 2

    def test_one_that_lost_its_lease_writes_nothing_more(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        """Two workers at once on one dump: the elder one's time is over, and he comes back."""
        settings(deployment, pageSize=2)
        many(vendor, 6)
        dump_id = deployment.call("POST", DUMPS, {}).json["dumpId"]
        elder = work.ledger().claim(dump_id, lease=timedelta(seconds=0))
        assert elder is not None
        from functions.survey_dump.app import Slice
        from functions.survey_dump.given import Given

        stale = Slice(elder, {}, Context(remaining=LONG))  # type: ignore[arg-type]
        stale.begin()
        stale._context.remaining = 0  # type: ignore[attr-defined]
        stale.checkpoint()
        deployment.pass_time(timedelta(minutes=10))
        deployment.sweep()
        deployment.run_queues()
        found = state(deployment, dump_id)
        assert found["status"] == "complete"
        stale._context.remaining = LONG  # type: ignore[attr-defined]
        with pytest.raises(ConditionFailed):
            stale.read_pages(Given())
        assert sorted(numbers(found)) == [10_000_000 + index for index in range(6)]


class TestFaults:
    def test_a_minute_that_is_full_is_waited_out(self, deployment: Deployment, vendor: StandIn) -> None:
        settings(deployment, pageSize=2)
        many(vendor, 6)
        vendor.client.put("/_control/questionpro/limits", json={"perMinute": 2})
        found = dump(deployment)
        assert (found["status"], found["code"]) == ("running", "remote-rate")
        vendor.client.put("/_control/questionpro/limits", json={"perMinute": 300})
        deployment.pass_time(timedelta(minutes=2))
        deployment.sweep()
        deployment.run_queues()
        found = state(deployment, found["dumpId"])
        assert (found["status"], len(set(numbers(found)))) == ("complete", 6)

    def test_a_quota_that_is_used_up_ends_the_dump_and_says_so(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        settings(deployment, pageSize=2)
        many(vendor, 6)
        vendor.client.put("/_control/questionpro/limits", json={"quota": 1})
        found = dump(deployment)
        assert (found["status"], found["code"]) == ("failed", "remote-quota")
        assert "Please contact" in found["error"]
        vendor.client.put("/_control/questionpro/limits", json={})
        assert deployment.call("POST", f"/ledger/{found['dumpId']}/resubmit", {}).status == 202
        deployment.run_queues()
        found = state(deployment, found["dumpId"])
        assert (found["status"], sorted(numbers(found))) == (
            "complete",
            [10_000_000 + index for index in range(6)],
        )

    @pytest.mark.parametrize("lie", ["stuckPage", "wrongPage"])
    def test_a_page_that_comes_again_is_an_error(
        self, deployment: Deployment, vendor: StandIn, lie: str
    ) -> None:
        settings(deployment, pageSize=2)
        many(vendor, 6)
        vendor.client.put("/_control/questionpro/lies", json={lie: True})
        reply = deployment.call("POST", DUMPS, {})
        run_long(deployment)
        found = state(deployment, reply.json["dumpId"])
        assert (found["status"], found["code"]) == ("failed", "remote-unexpected")
        assert "page" in found["error"]

    def test_killed_at_every_request_nothing_is_lost_or_doubled(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        """The worker dies at one request after the other, before and after it took effect."""
        settings(deployment, pageSize=3)
        many(vendor, 8)
        some(vendor, item(1, custom={"custom1": "nobody@example.com"}))
        dump_id = deployment.call("POST", DUMPS, {}).json["dumpId"]
        deaths = 0
        for attempt in range(200):
            if state(deployment, dump_id)["status"] != "running":
                break
            # Every other one gets as far as a checkpoint: who never does is parked after five deaths.
            request = attempt // 4 if attempt % 2 else 22
            try:
                with faults.killed_at(request, after=attempt % 4 < 2):
                    deployment.run_queues()
            except faults.Killed:
                deaths += 1
            deployment.pass_time(timedelta(minutes=40))
            deployment.sweep()
        deployment.run_queues()
        found = state(deployment, dump_id)
        assert found["status"] == "complete"
        assert deaths >= 8
        assert sorted(numbers(found)) == [1] + [10_000_000 + index for index in range(8)]
        assert found["unmatched"] == 9

    def test_killed_between_every_two_durable_writes(self, deployment: Deployment, vendor: StandIn) -> None:
        """Behind each write to the ledger and to S3, one after the other, until a dump needs no more."""
        area = {"surveys": {f"9{number}": {"pageSize": 2} for number in range(40)}}
        assert deployment.call("PUT", "/settings/surveys", area).status == 200
        writes = 0
        while True:
            survey = f"9{writes}"
            path = f"/_control/questionpro/surveys/{survey}/responses"
            vendor.client.post(path, json={"count": 4}).raise_for_status()
            dump_id = deployment.call("POST", f"/surveys/{survey}/dumps", {}).json["dumpId"]
            vendor.forget_calls()
            with faults.killed_behind_write(writes) as died:
                try:
                    run_long(deployment, "SURVEY_DUMP_QUEUE_URL")
                except faults.Killed:
                    deployment.pass_time(timedelta(minutes=20))
                    deployment.sweep()
            run_long(deployment, "SURVEY_DUMP_QUEUE_URL")
            found = deployment.call("GET", f"/surveys/{survey}/dumps/{dump_id}").json
            assert found["status"] == "complete", (writes, found)
            assert numbers(found) == [10_000_000 + index for index in range(4)], writes
            assert len(table(found)) == 5
            assert found["countCheck"]["agrees"] is True
            pages = [call for call in vendor.calls() if call["query"]["perPage"] == ["2"]]
            assert len(pages) <= 3, writes
            if not died:
                break
            writes += 1
        assert writes >= 12

    def test_a_dead_worker_costs_at_most_a_page(self, deployment: Deployment, vendor: StandIn) -> None:
        settings(deployment, pageSize=2)
        many(vendor, 8)
        dump_id = deployment.call("POST", DUMPS, {}).json["dumpId"]
        with pytest.raises(faults.Killed), faults.killed_at(5, after=False):
            run_long(deployment)
        deployment.pass_time(timedelta(minutes=20))
        deployment.sweep()
        run_long(deployment)
        assert state(deployment, dump_id)["status"] == "complete"
        pages = [call["query"]["page"] for call in vendor.calls() if call["query"]["perPage"] == ["2"]]
        assert len(pages) <= 5


class TestIntoTheCrm:
    def responses(self, deployment: Deployment, customer_id: str) -> list[dict[str, Any]]:
        query = {"customerId": customer_id}
        items: list[dict[str, Any]] = deployment.call(
            "GET", f"/surveys/{SURVEY}/responses", query=query
        ).json["items"]
        return items

    def test_a_response_lands_on_its_customer(self, deployment: Deployment, vendor: StandIn) -> None:
        """By the invitation's customer, by an e-mail address, by the external reference."""
        ids = [
            builtin().records.create_customer(factories.customer(email=f"jane.{name}@example.com"))[
                "accountId"
            ]
            for name in "abc"
        ]
        issued = invite(deployment, email="someone@example.com", customerId=ids[0])
        answered = answer(vendor, issued["surveyUrl"])
        some(
            vendor,
            item(2, custom={"custom4": "Jane.B@example.com"}),
            item(3) | {"externalReference": ids[2]},
        )
        found = dump(deployment)
        assert (found["imported"], found["unmatched"]) == (3, 0)
        [first], [second], [third] = (self.responses(deployment, customer_id) for customer_id in ids)
        assert first["responseId"] == str(answered["responseID"])
        assert first["invitationId"] == issued["invitationId"]
        assert [first["answers"][0][name] for name in ("code", "answer")] == ["Q1", "Always"]
        assert (second["responseId"], third["responseId"]) == ("2", "3")
        status = deployment.call("GET", f"{INVITATIONS}/{issued['invitationId']}").json["status"]
        assert status == "responded"
        again = dump(deployment, full=True)
        assert again["imported"] == 3
        assert len(self.responses(deployment, ids[0])) == 1
        query = {"flow": "survey_response", "customerId": ids[0]}
        assert len(deployment.call("GET", "/ledger", query=query).json["items"]) == 1

    def test_one_that_matches_nobody_waits_for_its_customer(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        issued = invite(deployment, email="late@example.com")
        answer(vendor, issued["surveyUrl"])
        assert dump(deployment)["unmatched"] == 1
        [entry] = deployment.call("GET", "/ledger", query={"flow": "survey_response"}).json["items"]
        assert (entry["status"], entry["code"]) == ("retrying", "waits-for-customer")
        customer = builtin().records.create_customer(factories.customer(email="Late@Example.com"))
        tell(
            deployment,
            new_event("customer", "create", origin="builtin", account_id=customer["accountId"]),
        )
        assert len(self.responses(deployment, customer["accountId"])) == 1
        found = deployment.call("GET", f"/ledger/{entry['ledgerId']}").json
        assert (found["status"], found["customerId"]) == ("synced", customer["accountId"])

    def test_webhook_and_dump_bring_it_once(self, deployment: Deployment, vendor: StandIn) -> None:
        customer = builtin().records.create_customer(factories.customer())
        issued = invite(deployment, customerId=customer["accountId"])
        hook(deployment, answer(vendor, issued["surveyUrl"]))
        assert len(self.responses(deployment, customer["accountId"])) == 1
        assert dump(deployment)["imported"] == 1
        assert len(self.responses(deployment, customer["accountId"])) == 1
        items = deployment.call("GET", "/ledger", query={"flow": "survey_response"}).json["items"]
        assert [entry["status"] for entry in items] == ["synced"]

    def test_one_of_enormous_size_is_kept_as_far_as_it_goes(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        customer = builtin().records.create_customer(factories.customer(email="jane@example.com"))
        question = item(1, text="😀" * 4_000)["responseSet"][1]
        for number, email in ((1, "jane@example.com"), (2, "late@example.com")):
            some(vendor, item(number, custom={"custom1": email}) | {"responseSet": [question] * 60})
        found = dump(deployment)
        assert (found["status"], found["imported"], found["unmatched"]) == ("complete", 1, 1)
        [kept] = self.responses(deployment, customer["accountId"])
        assert 10 < len(kept["answers"]) < 60
        assert len(json.loads(lines(found)[0])["responseSet"]) == 60

    def test_a_crm_that_keeps_no_responses_costs_no_dump(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        issued = invite(deployment)
        answer(vendor, issued["surveyUrl"])
        deployment.patch.setattr(responses, "crm", object)
        found = dump(deployment)
        assert (found["status"], found["imported"], found["unmatched"]) == ("complete", 0, 1)
        assert shown(deployment, issued["invitationId"])["status"] == "responded"
        assert deployment.call("GET", "/ledger", query={"flow": "survey_response"}).json["items"] == []

    def test_they_go_with_their_customer(self, deployment: Deployment, vendor: StandIn) -> None:
        customer = builtin().records.create_customer(factories.customer())
        issued = invite(deployment, customerId=customer["accountId"])
        hook(deployment, answer(vendor, issued["surveyUrl"]))
        builtin().records.delete(RecordRef(customer["accountId"]))
        assert self.responses(deployment, customer["accountId"]) == []


class TestSchedule:
    def test_a_nightly_dump_starts_once_at_its_time(self, deployment: Deployment, vendor: StandIn) -> None:
        many(vendor, 2)
        soon = clock.now() + timedelta(hours=2)
        expression = f"cron({soon.minute} {soon.hour} * * ? *)"
        settings(deployment, schedule={"expression": expression})
        tick()
        assert deployment.call("GET", DUMPS).json["items"] == []
        deployment.pass_time(timedelta(hours=2, minutes=1))
        tick()
        tick()
        deployment.run_queues()
        tick()
        [found] = deployment.call("GET", DUMPS).json["items"]
        assert (found["status"], found["rows"]) == ("complete", 2)
        deployment.pass_time(timedelta(days=1))
        tick()
        assert len(deployment.call("GET", DUMPS).json["items"]) == 2

    def test_a_rate_runs_at_once_and_waits_for_one_that_is_on(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        settings(deployment, schedule={"expression": "rate(5 minutes)"})
        deployment.call("POST", DUMPS, {})
        tick()
        assert len(deployment.call("GET", DUMPS).json["items"]) == 1
        deployment.run_queues()
        tick()
        assert len(deployment.call("GET", DUMPS).json["items"]) == 2
