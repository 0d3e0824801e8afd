"""GET /overview, and the counters and metrics behind it: exact whatever dies, and free for the work."""

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest

from functions.metrics_rollup import logic
from switchboard import aws, breaker, clock, counts, standing, work
from switchboard.breaker import Breaker
from switchboard.errors import VendorError
from tests.support import factories
from tests.support.deployment import Context, Deployment, Reply
from tests.support.faults import Killed, counted, killed_at
from tests.support.stand_ins import serving


def overview(deployment: Deployment, **options: Any) -> dict[str, Any]:
    reply = deployment.call("GET", "/overview", **options)
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.json
    return found


def flow(found: dict[str, Any], name: str) -> dict[str, Any]:
    [one] = [one for one in found["flows"] if one["flow"] == name]
    return dict(one)


def post(deployment: Deployment, number: int, **options: Any) -> Reply:
    reply = deployment.call("POST", "/social/posts", factories.post(uniqueId=f"p-{number}"), **options)
    assert reply.status == 202, reply.text
    return reply


def ambiguous(deployment: Deployment) -> None:
    """A lead that fails, since two customers have its number."""
    for name in ("Ann", "Bea"):
        customer = {"lastName": name, "phone": "+4930111222"}
        assert deployment.call("POST", "/crm/customers", customer).status == 201
    lead = {"lastName": "Lee", "phone": "+4930111222"}
    assert deployment.call("POST", "/leads", lead).status == 409


def metrics(output: str) -> list[tuple[dict[str, str], dict[str, list[float]]]]:
    """The metrics of a log: their dimensions (but for the service), and their values by name."""
    found = []
    for line in output.splitlines():
        if line.startswith('{"_aws"'):
            held = json.loads(line)
            [directive] = held["_aws"]["CloudWatchMetrics"]
            names = {metric["Name"] for metric in directive["Metrics"]}
            dimensions = {name: held[name] for name in directive["Dimensions"][0] if name != "service"}
            found.append((dimensions, {name: held[name] for name in names}))
    return found


def test_what_was_done_and_what_waits_by_flow_and_hour(deployment: Deployment) -> None:
    post(deployment, 1)
    post(deployment, 2)
    deployment.run_queues()
    post(deployment, 3)
    ambiguous(deployment)
    deployment.roll_up()
    found = overview(deployment)
    posts, leads = flow(found, "social_post"), flow(found, "lead")
    assert posts["last24Hours"] == {"accepted": 3, "done": 2, "failed": 0}
    assert (posts["now"]["waiting"], posts["now"]["failed"]) == (1, 0)
    assert posts["now"]["oldestAt"] <= found["at"]
    assert leads["last24Hours"] == {"accepted": 1, "done": 0, "failed": 1}
    assert leads["now"] == {"waiting": 0, "retrying": 0, "failed": 1, "oldestAt": None}
    assert len(posts["hours"]) == 24
    assert [hour["at"] for hour in posts["hours"]] == sorted(hour["at"] for hour in posts["hours"])
    assert posts["hours"][-1] == {"at": f"{clock.timestamp()[:13]}:00:00.000Z"} | posts["last24Hours"]
    deployment.pass_time(timedelta(hours=2))
    assert flow(overview(deployment), "social_post")["hours"][-3]["accepted"] == 3
    deployment.pass_time(timedelta(hours=23))
    assert flow(overview(deployment), "social_post")["last24Hours"]["accepted"] == 0


def test_a_newer_version_is_accepted_and_done_again_and_a_resubmission_only_done(
    deployment: Deployment,
) -> None:
    with serving_members(deployment):
        for version in (1, 2):
            body = factories.member(version=version, lastName=f"N{version}")
            assert deployment.call("PUT", "/members/m-1", body).status == 202
            deployment.run_queues()
    ambiguous(deployment)
    [failed] = deployment.call("GET", "/ledger", query={"flow": "lead"}).json["items"]
    [second] = deployment.call("GET", "/crm/customers", query={"q": "Bea"}).json["items"]
    assert deployment.call("DELETE", f"/crm/customers/{second['accountId']}").status == 204
    assert deployment.call("POST", f"/ledger/{failed['ledgerId']}/resubmit").status == 202
    deployment.run_queues()
    deployment.roll_up()
    found = overview(deployment)
    assert flow(found, "member")["last24Hours"] == {"accepted": 2, "done": 2, "failed": 0}
    assert flow(found, "lead")["last24Hours"] == {"accepted": 1, "done": 1, "failed": 1}


def serving_members(deployment: Deployment) -> Any:
    from contextlib import contextmanager

    from sandbox.vendors.crowdtwist import CrowdTwist

    @contextmanager
    def block() -> Any:
        with serving(CrowdTwist()) as vendor:
            vendor.connect(deployment.patch)
            yield vendor

    return block()


def test_nothing_is_counted_twice_or_left_out_wherever_the_rollup_dies(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "_ITEMS_OF_A_TRANSACTION", 6)  # several transactions a run
    expected = 0
    for point, after in itertools.product(range(10), (False, True)):
        for number in range(3):
            post(deployment, expected + number)
        expected += 3
        try:
            with killed_at(point, after=after):
                counts.rollup().catch_up(lambda: True)
        except Killed:
            continue
        break
    else:
        pytest.fail("the rollup is longer than this test thinks")
    assert expected > 15
    counts.rollup().catch_up(lambda: True)
    assert flow(overview(deployment), "social_post")["last24Hours"]["accepted"] == expected


def test_two_rollups_at_once_count_once(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    post(deployment, 1)
    one, other = counts.rollup(), counts.rollup()
    write = counts.Rollup._write
    raced: list[int] = []

    def race(self: counts.Rollup, *given: Any, **options: Any) -> bool:
        if not raced:
            raced.append(0)
            raced[0] = len(other.catch_up(lambda: True))
        return write(self, *given, **options)

    monkeypatch.setattr(counts.Rollup, "_write", race)
    assert one.catch_up(lambda: True) == []
    assert raced == [1]
    assert flow(overview(deployment), "social_post")["last24Hours"]["accepted"] == 1


def test_a_rollup_without_time_goes_on_in_the_next_minute(deployment: Deployment) -> None:
    post(deployment, 1)
    assert counts.rollup().catch_up(lambda: False) == []
    assert len(counts.rollup().catch_up(lambda: True)) == 1


def test_a_checkpoint_that_the_stream_has_forgotten_goes_on_with_what_is_there(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(deployment, 1)
    deployment.roll_up()
    streams = aws.dynamodb_streams()
    ask = streams.get_shard_iterator
    trimmed = streams.exceptions.TrimmedDataAccessException

    def forgotten(**request: Any) -> Any:
        if request["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            raise trimmed(
                {"Error": {"Code": "TrimmedDataAccessException", "Message": ""}}, "GetShardIterator"
            )
        return ask(**request)

    monkeypatch.setattr(streams, "get_shard_iterator", forgotten)
    assert [move.what for move in counts.rollup().catch_up(lambda: True)] == ["accepted"]


def test_an_idle_minute_writes_nothing(deployment: Deployment) -> None:
    post(deployment, 1)
    deployment.roll_up()
    deployment.roll_up()
    with counted() as requests:
        deployment.roll_up()
    assert {request for request in requests if request.startswith(("Put", "Update", "Transact"))} == set()


def test_a_partner_sees_its_own_work_and_no_vendors(deployment: Deployment) -> None:
    mine, theirs = (deployment.partner("social:write", "ledger:read") for _ in range(2))
    post(deployment, 1, key=mine)
    post(deployment, 2, key=theirs)
    post(deployment, 3)
    deployment.roll_up()
    found = overview(deployment, key=mine)
    assert flow(found, "social_post")["last24Hours"]["accepted"] == 1
    assert flow(found, "social_post")["now"]["waiting"] == 1
    assert found["connectors"] == []
    assert deployment.call("GET", "/overview", key=deployment.partner("social:write")).status == 403
    assert deployment.call("GET", "/overview", key=None).status == 401


def test_vendors_with_their_breakers(deployment: Deployment) -> None:
    with serving_members(deployment):
        Breaker("crowdtwist", threshold=1).failed(VendorError("remote-unavailable"), probe=False)
        assert deployment.call("PUT", "/members/m-1", factories.member()).status == 202
        deployment.run_queues("MEMBER_QUEUE_URL")
        deployment.roll_up()
        found = {one["connector"]: one for one in overview(deployment)["connectors"]}
        assert set(found) == set(standing.CONNECTORS)
        closed = {"connector": "siebel", "configured": False, "breaker": "closed", "held": 0}
        assert found["siebel"] == closed | {"openSince": None, "nextProbeAt": None}
        away = found["crowdtwist"]
        assert (away["configured"], away["breaker"], away["held"]) == (True, "open", 1)
        assert away["openSince"] < away["nextProbeAt"]
        deployment.pass_time(breaker.PROBE_INTERVAL)
        again = {one["connector"]: one for one in overview(deployment)["connectors"]}
        assert again["crowdtwist"]["breaker"] == "half-open"


def test_a_minute_in_metrics(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    post(deployment, 1)
    ambiguous(deployment)
    Breaker("sem", threshold=1).failed(VendorError("remote-unavailable"), probe=False)
    deployment.pass_time(timedelta(minutes=11))
    capsys.readouterr()
    deployment.roll_up()
    found = metrics(capsys.readouterr().out)
    by_dimensions = {tuple(sorted(dimensions.items())): values for dimensions, values in found}
    assert by_dimensions[("flow", "social_post"),]["Accepted"] == [1.0]
    assert by_dimensions[("class", "data"),]["Failed"] == [1.0]
    assert by_dimensions[("class", "data"), ("flow", "lead")]["Failed"] == [1.0]
    assert by_dimensions[("flow", "lead"),]["Failed"] == [1.0]
    assert by_dimensions[("flow", "social_post"),]["OldestOpenSeconds"][0] >= 660
    assert by_dimensions[("connector", "sem"),]["BreakerOpenSeconds"][0] >= 660
    assert by_dimensions[()]["OldestOpenSeconds"][0] >= 660
    assert by_dimensions[()]["BreakerOpenSeconds"][0] >= 660
    deployment.roll_up()
    again = metrics(capsys.readouterr().out)
    assert not any({"Accepted", "Failed"} & values.keys() for _, values in again)


def test_what_waits_by_design_is_not_old(deployment: Deployment) -> None:
    found = standing.Standing()
    entry = {"status": "retrying", "flow": "survey_response", "acceptedAt": "2026-01-01T00:00:00.000Z"}
    for code in ("waits-for-customer", "quiet-hours", "remote-unavailable"):
        standing._count(found, "retrying", entry | {"code": code, "acceptedAt": f"2026-01-01#{code}"})
    assert found.flow("survey_response").retrying == 3
    assert found.flow("survey_response").oldest_at == "2026-01-01#remote-unavailable"


def test_no_metric_says_whose_work_it_is() -> None:
    moved = [counts.Move("failed", "lead", "prt_1", "2026-01-01T00", "data")]
    for _, _, _, dimensions in logic.of_moves(moved):
        assert dimensions.keys() <= {"flow", "class"}


def test_deliveries_are_a_flow_of_their_own_and_their_ledger_entries_no_second_one() -> None:
    image = {"partnerId": {"S": "p"}, "updatedAt": {"S": "2026-01-01T10:00:00.000Z"}}
    key = {"pk": {"S": "TRIGGER#t"}, "sk": {"S": "DELIVERY#1"}}

    def record(status: str, before: str | None, keys: Any = key, **more: Any) -> dict[str, Any]:
        old = {"OldImage": image | {"status": {"S": before}}} if before else {}
        return {"dynamodb": {"Keys": keys, "NewImage": image | {"status": {"S": status}} | more} | old}

    def told(found: dict[str, Any]) -> list[tuple[str, str, str | None]]:
        return [(move.what, move.flow, move.error_class) for move in counts.moves(found)]

    assert told(record("pending", None)) == [("accepted", "trigger_delivery", None)]
    assert told(record("delivered", "pending")) == [("done", "trigger_delivery", None)]
    assert told(record("retrying", "pending")) == [("retried", "trigger_delivery", None)]
    assert told(record("failed", "retrying")) == [("failed", "trigger_delivery", "remote")]
    ledger = {"pk": {"S": "LEDGER#l"}, "sk": {"S": "ENTRY"}}
    entered = {"flow": {"S": "trigger_delivery"}, "version": {"N": "1"}}
    assert told(record("remote_failure", None, ledger, **entered)) == []
    pace = {"pk": {"S": "TRIGGER#t"}, "sk": {"S": "PACE"}}
    assert told(record("x", None, pace)) == []


def test_the_recorded_minute(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    from functions.metrics_rollup.app import lambda_handler
    from tools.paths import ROOT

    event = json.loads((ROOT / "events" / "metrics_rollup.json").read_text())
    lambda_handler(event, Context())  # type: ignore[arg-type]
    assert any(values.get("OldestOpenSeconds") == [0.0] for _, values in metrics(capsys.readouterr().out))
    assert work.ledger().get("led_none") is None
