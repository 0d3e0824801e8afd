"""Dumps on the deployed stack: killed workers, limits, the older transports, Parquet, who is waited for."""

import gzip
import hashlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import httpx
import pytest

from sandbox.vendors.questionpro import API_KEY, HOOK_TOKEN, response
from switchboard import clock
from tests.e2e.bench import Bench
from tests.e2e.waiting import settled, until
from tests.support import factories
from tools.stack import Stack

KILLED, DAILY, NIGHTLY, LIMITED = (str(uuid.uuid4().int % 10**9) for _ in range(4))


@pytest.fixture(scope="module", autouse=True)
def surveys(api: httpx.Client, sandbox: httpx.Client) -> Iterator[dict[str, Any]]:
    """The surveys of this file, all with one change of the settings."""
    more(sandbox, DAILY, {"count": 3})
    just_now = datetime.now(ZoneInfo("Asia/Kolkata")) - timedelta(minutes=1)
    area: dict[str, Any] = {
        KILLED: {"pageSize": 50},
        DAILY: {"schedule": {"expression": "rate(1 day)"}, "parquet": True},
        NIGHTLY: {
            "schedule": {
                "expression": f"cron({just_now.minute} {just_now.hour} * * ? *)",
                "timeZone": "Asia/Kolkata",
            }
        },
        LIMITED: {"pageSize": 2},
    }
    before = api.get("/settings/surveys").json()["version"]
    answer = api.put("/settings/surveys", json={"surveys": area})
    assert answer.status_code == 200, answer.text
    yield area
    api.post("/settings/surveys/rollback", json={"version": before}).raise_for_status()


def more(sandbox: httpx.Client, survey: str, body: dict[str, Any]) -> None:
    sandbox.post(f"/_control/questionpro/surveys/{survey}/responses", json=body).raise_for_status()


def begun(api: httpx.Client, survey: str, **body: Any) -> str:
    answer = api.post(f"/surveys/{survey}/dumps", json=body)
    assert answer.status_code == 202, answer.text
    return f"/surveys/{survey}/dumps/{answer.json()['dumpId']}"


def ended(api: httpx.Client, dump: str) -> dict[str, Any]:
    found: dict[str, Any] = settled(lambda: api.get(dump).json(), lambda state: state["status"] != "running")
    return found


def content(found: dict[str, Any], kind: str) -> bytes:
    [file] = [each for each in found["files"] if each["format"] == kind]
    held = httpx.get(file["url"], trust_env=False).content
    assert hashlib.sha256(held).hexdigest() == file["sha256"]
    assert file["rows"] == found["rows"]
    return held


def lines(found: dict[str, Any]) -> list[str]:
    return gzip.decompress(content(found, "jsonl.gz")).decode().splitlines()


def has_got_on(rows: int, state: dict[str, Any]) -> bool:
    """Whether a dump has a few hundred rows more."""
    return bool(state["rows"] > rows + 400)


def test_a_dump_whose_worker_is_killed_again_and_again(bench: Bench) -> None:
    api, sandbox = bench.api, bench.sandbox
    more(sandbox, KILLED, {"count": 3_000})
    slow = {"kind": "slow", "seconds": 0.1, "path": f"surveys/{KILLED}/"}
    sandbox.post("/_control/questionpro/faults", json=slow).raise_for_status()
    dump = begun(api, KILLED, full=True)
    rows, deaths = 0, 0
    try:
        while deaths < 3:
            state = settled(lambda: api.get(dump).json(), partial(has_got_on, rows))
            assert state["status"] == "running"
            rows = state["rows"]
            assert bench.kill_workers("SurveyDumpFunction") == 1
            deaths += 1
            bench.pass_by(state["dumpId"])
    finally:
        sandbox.delete("/_control/questionpro/faults").raise_for_status()
    found = ended(api, dump)
    assert (found["status"], found["rows"], found["countCheck"]["agrees"]) == ("complete", 3_000, True)
    calls = sandbox.get("/_control/questionpro/calls").json()["items"]
    pages = [call["query"]["page"][0] for call in calls if f"surveys/{KILLED}/" in call["path"]]
    assert len(set(pages)) == 60
    assert len(pages) <= 60 + deaths
    given = []
    for page in range(1, 61):
        sent = sandbox.get(
            f"/questionpro/a/api/v2/surveys/{KILLED}/responses",
            params={"page": page, "perPage": 50, "apiKey": API_KEY},
        )
        given += sent.json()["response"]
    assert [json.loads(line) for line in lines(found)] == given
    assert content(found, "csv").count(b"\r\n") == 3_001


def test_limits_and_lies(api: httpx.Client, bench: Bench) -> None:
    """A full minute is waited for, a quota that is used up ends the dump, a repeated page is an error."""
    sandbox = bench.sandbox
    more(sandbox, LIMITED, {"count": 6})
    limits = "/_control/questionpro/limits"
    sandbox.put(limits, json={"perMinute": 1}).raise_for_status()
    dump = begun(api, LIMITED)
    try:
        waiting = settled(lambda: api.get(dump).json(), lambda found: bool(found["code"]))
        assert (waiting["status"], waiting["code"]) == ("running", "remote-rate")
        refused = api.post(f"/surveys/{LIMITED}/dumps", json={})
        assert (refused.status_code, refused.json()["dumpId"]) == (409, waiting["dumpId"])
        sandbox.put(limits, json={"perMinute": 300, "quota": 1}).raise_for_status()
        bench.pass_by(waiting["dumpId"])
        over = ended(api, dump)
        assert (over["status"], over["code"]) == ("failed", "remote-quota")
        assert "contact" in over["error"]
    finally:
        sandbox.put(limits, json={"perMinute": 300}).raise_for_status()
    sandbox.put("/_control/questionpro/lies", json={"stuckPage": True}).raise_for_status()
    try:
        stuck = ended(api, begun(api, LIMITED, full=True))
        assert (stuck["status"], stuck["code"]) == ("failed", "remote-unexpected")
        assert "repeats page" in stuck["error"]
    finally:
        sandbox.put("/_control/questionpro/lies", json={}).raise_for_status()
    one = response(LIMITED, 1, datetime.now(UTC))
    page = {"response": [one], "pagination": {"currentPage": 1, "totalPages": 1, "totalItems": 2}}
    short = {"kind": "status", "status": 200, "count": 1, "body": json.dumps(page), "path": LIMITED}
    sandbox.post("/_control/questionpro/faults", json=short).raise_for_status()
    differs = ended(api, begun(api, LIMITED, full=True))
    assert differs["countCheck"] == {"survey": 2, "ours": 1, "agrees": False}

    def told() -> bool:
        return "SurveyCountDiffers" in dict(bench.published("SurveyDump") & bench.watched())

    until(told, "the metric that the alarm watches")
    assert api.post(f"/ledger/{over['dumpId']}/resubmit").status_code == 202
    found = ended(api, dump)
    assert (found["status"], len({json.loads(line)["responseID"] for line in lines(found)})) == (
        "complete",
        6,
    )


def test_a_response_waits_for_its_customer_and_the_next_dump_brings_what_is_new(
    api: httpx.Client, sandbox: httpx.Client, stack: Stack
) -> None:
    survey, address = str(uuid.uuid4().int % 10**9), f"{uuid.uuid4().hex}@example.com"
    issued = api.post(f"/surveys/{survey}/invitations", json={"email": address}).json()
    one = f"/surveys/{survey}/invitations/{issued['invitationId']}"
    hook = f"{stack.api_url}/hooks/questionpro/{HOOK_TOKEN}"
    begun_only = {"surveyUrl": issued["surveyUrl"], "status": "Started", "webhook": hook}
    item = sandbox.post("/_control/questionpro/answers", json=begun_only).json()
    assert item["webhookStatus"] == 200
    first = ended(api, begun(api, survey))
    assert (first["rows"], first["imported"], first["unmatched"]) == (1, 0, 1)
    assert api.get(one).json()["status"] == "issued", "one that was only begun is no answer"
    # He goes on, and the dump is the first to tell; one more is what a spreadsheet takes for a formula.
    done = sandbox.post("/_control/questionpro/answers", json={"surveyUrl": issued["surveyUrl"]}).json()
    assert done["responseID"] == item["responseID"]
    bad = response(survey, 7, datetime.now(UTC), text="=cmd|'/C calc'!A0", custom={"custom9": "nine"})
    more(sandbox, survey, {"items": [bad]})
    found = ended(api, begun(api, survey))
    assert [json.loads(line) for line in lines(found)] == [done, bad]
    table = content(found, "csv").decode()
    assert "'=cmd|" in table
    before = content(first, "csv").decode().splitlines()[0]
    assert table.startswith(before), "columns keep their place"
    answered = settled(lambda: api.get(one).json(), lambda shown: shown["status"] == "responded")
    assert answered["responseId"] == str(item["responseID"])
    customer = api.post("/crm/customers", json=factories.customer(email=address)).json()["accountId"]
    kept = settled(
        lambda: api.get(f"/surveys/{survey}/responses", params={"customerId": customer}).json()["items"], bool
    )
    assert [(each["responseId"], each["status"]) for each in kept] == [(str(item["responseID"]), "Completed")]
    whole = ended(api, begun(api, survey, full=True))
    assert (whole["full"], whole["rows"], whole["imported"]) == (True, 2, 1)
    assert ended(api, begun(api, survey))["rows"] == 0


@pytest.mark.parametrize("transport", ["xmlrpc", "soap"])
def test_an_older_transport_does_the_same(
    api: httpx.Client, sandbox: httpx.Client, surveys: dict[str, Any], transport: str
) -> None:
    survey = str(uuid.uuid4().int % 10**9)
    vendor = {"transport": transport, "rpc": {"path": transport}}
    before = api.get("/settings/surveys").json()["version"]
    assert api.put("/settings/surveys", json={"surveys": surveys, "vendor": vendor}).status_code == 200
    try:
        person = factories.invitation(email=f"{uuid.uuid4().hex}@example.com", firstName="Jürgen & <Söhne>")
        path = f"/surveys/{survey}/invitations"
        issued = api.post(path, json=person)
        assert issued.status_code == 201, issued.text
        assert api.post(path, json=person).json() == issued.json()
        [answer] = api.post(f"{path}/batch", json={"invitations": [factories.invitation()]}).json()["items"]
        assert answer["httpStatus"] == 201
        item = sandbox.post("/_control/questionpro/answers", json={"surveyUrl": issued.json()["surveyUrl"]})
        more(sandbox, survey, {"items": [item.json() | {"responseID": number} for number in range(150)]})
        found = ended(api, begun(api, survey))
        assert (found["status"], found["rows"], found["countCheck"]["agrees"]) == ("complete", 151, True)
        given = [json.loads(line) for line in lines(found)]
        assert given[0]["responseID"] == item.json()["responseID"]
        assert len({one["responseID"] for one in given}) == 151
        one = f"{path}/{issued.json()['invitationId']}"
        assert settled(lambda: api.get(one).json(), lambda found: found["status"] == "responded")
        sandbox.put("/_control/questionpro/limits", json={"quota": 0}).raise_for_status()
        refused = api.post(path, json=factories.invitation())
        assert refused.json()["code"] == "remote-quota"
    finally:
        sandbox.put("/_control/questionpro/limits", json={}).raise_for_status()
        api.post("/settings/surveys/rollback", json={"version": before}).raise_for_status()
    calls = sandbox.get("/_control/questionpro/calls").json()["items"]
    spoken = [call for call in calls if call["path"].endswith(f"/{transport}")]
    assert len(spoken) >= 5
    assert all(call["headers"]["content-type"].startswith("text/xml") for call in spoken)


def test_a_schedule_dumps_by_itself_with_parquet(bench: Bench, tmp_path: Path) -> None:
    api = bench.api
    [first] = settled(
        lambda: api.get(f"/surveys/{DAILY}/dumps").json()["items"],
        lambda items: bool(items) and items[0]["status"] == "complete",
    )
    path = tmp_path / "responses.parquet"
    path.write_bytes(content(first, "parquet"))
    with duckdb.connect() as database:
        found = database.execute(
            'SELECT responseID, surveyID, "Q1 (7000000)" FROM read_parquet(?)', [str(path)]
        ).fetchall()
    wanted = [json.loads(line) for line in lines(first)]
    assert found == [
        (str(item["responseID"]), DAILY, item["responseSet"][0]["answerValues"][0]["answerText"])
        for item in wanted
    ]
    assert len(found) == 3

    # A night passes for the other one; whoever looks twice finds it begun.
    began = clock.timestamp(timedelta(hours=-23))
    bench.change("StateTableName", f"SURVEY_DUMPS#{NIGHTLY}", "SCHEDULE", since=began)
    assert api.get(f"/surveys/{NIGHTLY}/dumps").json()["items"] == []
    for _ in range(2):
        bench.invoke("SurveyTickFunction")
    [nightly] = settled(
        lambda: api.get(f"/surveys/{NIGHTLY}/dumps").json()["items"],
        lambda items: items[0]["status"] == "complete",
    )
    assert nightly["rows"] == 0
