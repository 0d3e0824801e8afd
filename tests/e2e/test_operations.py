"""Nothing is lost, and everything can be put right: sweeper, dead letters, people's decisions, pruning."""

import json
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx

from switchboard import clock
from switchboard.connectors.crowdtwist import user_fields
from switchboard.dynamo import Item
from switchboard.ledger import entry_id
from switchboard.ledger.keys import everyone_key, held_key, open_key, recent_key, shard_of
from switchboard.members import Member
from switchboard.triggers.delivery import key_of
from tests.e2e.bench import Bench
from tests.e2e.conftest import PartnerClient
from tests.e2e.waiting import until
from tests.support import factories

HEALTHY = 300
LATER = timedelta(hours=2)
OVERDUE = timedelta(minutes=-3)
REFUSAL = {
    "kind": "status",
    "status": 422,
    "headers": {"content-type": "application/json"},
    "body": '{"code": 10001, "message": "The programme is closed"}',
}


def put_member(client: httpx.Client, number: str) -> str:
    answer = client.put(f"/members/{number}", json=factories.member(email=f"{number}@example.com"))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["ledgerId"])


def some_members(client: httpx.Client, count: int) -> dict[str, str]:
    """New members by number, with their ledger ids."""
    numbers = [f"e2e-{uuid.uuid4().hex[:16]}" for _ in range(count)]
    with ThreadPoolExecutor(4) as threads:
        return dict(
            zip(numbers, threads.map(lambda number: put_member(client, number), numbers), strict=True)
        )


def all_reach(bench: Bench, ledger_ids: list[str], *statuses: str, seconds: float = 60) -> None:
    waiting = set(ledger_ids)

    def look() -> bool:
        waiting.difference_update([one for one in waiting if bench.entry(one)["status"] in statuses])
        return not waiting

    until(look, f"all to be {statuses}", seconds=seconds)


def turned(item: Item, status: str, *, due: timedelta, held_by: str | None = None, **facts: Any) -> Item:
    """An entry as it would stand had its work come to this."""
    moved = {"status": status, "dueAt": clock.timestamp(due), "attempts": 1}
    where = held_key(held_by) if held_by else status
    if status == "in_progress":
        moved |= {"leaseToken": "dead", "leaseUntil": clock.timestamp(due), "unrecorded": 1}
    return item | moved | {"openKey": open_key(where, item["ledgerId"])} | facts


# the sweeper ----------------------------------------------------------------------------------------------


def plant_healthy(bench: Bench, pattern: Item) -> list[Item]:
    """Entries in every state that is nobody's business: done, failed for good, in hands, or due later."""
    ended = {name: held for name, held in pattern.items() if name not in ("openKey", "dueAt")}
    kinds = [
        *[ended | {"status": "synced"}] * 8,
        ended | {"status": "discarded"},
        turned(pattern, "data_error", due=OVERDUE, code="remote-refused"),
        turned(pattern, "integration_failure", due=OVERDUE, code="worker-lost"),
        turned(pattern, "pending", due=LATER),
        turned(pattern, "in_progress", due=LATER),
        turned(pattern, "retrying", due=LATER, code="remote-auth"),
        turned(pattern, "unknown", due=LATER, code="remote-timeout"),
        turned(pattern, "retrying", due=OVERDUE, code="circuit-open", held_by="siebel"),
    ]
    items = []
    for number in range(HEALTHY):
        item = kinds[number % len(kinds)]
        ledger_id = f"led_healthy{number}"
        item = item | {"pk": f"LEDGER#{ledger_id}", "ledgerId": ledger_id}
        if "openKey" in item:
            item["openKey"] = f"{item['openKey'].partition('#')[0]}#{shard_of(ledger_id)}"
        items.append(item)
    away = {"pk": "BREAKER", "sk": "siebel", "isOpen": True, "failures": 15, "openedAt": clock.timestamp()}
    away |= {"failedAt": clock.timestamp(), "probeAt": clock.timestamp(LATER)}
    bench.write([*items, away])
    return items


def five_deliveries(bench: Bench, tag: str) -> str:
    """Five events for a trigger whose server is broken; the trigger."""
    broken = {"kind": "status", "status": 500, "path": tag}
    bench.sandbox.post("/_control/sink/faults", json=broken).raise_for_status()
    trigger = {"url": f"{bench.stack.sandbox_url}/sink/{tag}", "object": "task", "event": "edit"}
    trigger_id = bench.api.post("/triggers", json=trigger).json()["triggerId"]
    for number in range(5):
        event = {"object": "task", "event": "edit", "accountId": tag, "taskId": str(number)}
        bench.api.post("/crm/events", json=event).raise_for_status()

    return str(trigger_id)


def tried(bench: Bench, trigger_id: str) -> list[str]:
    """The ids of the five deliveries, once each was tried."""

    def look() -> list[str] | None:
        listed = bench.api.get(f"/triggers/{trigger_id}/deliveries", params={"status": "retrying"}).json()
        return [one["deliveryId"] for one in listed["items"]] if len(listed["items"]) == 5 else None

    return until(look, "five deliveries to be tried")


def test_fifty_drifts_are_repaired_in_one_sweep_and_nothing_else_is_touched(bench: Bench) -> None:
    tag = uuid.uuid4().hex
    trigger_id = five_deliveries(bench, tag)
    healthy: list[Item] = []
    try:
        with bench.unattended("MemberQueueUrl"), ExitStack() as later:
            drifts = some_members(bench.api, 40)
            bench.aws("sqs").purge_queue(QueueUrl=bench.stack.outputs["MemberQueueUrl"])
            numbers = list(drifts)
            found = {number: bench.item(f"LEDGER#{ledger_id}") for number, ledger_id in drifts.items()}
            written = written_before(bench, numbers[20:25])
            kinds: list[tuple[slice, Callable[[Item], Item]]] = [
                # Its message was lost; its worker died, at last after CrowdTwist had it.
                (slice(0, 10), lambda item: turned(item, "pending", due=OVERDUE)),
                (slice(10, 25), lambda item: turned(item, "in_progress", due=OVERDUE)),
                (slice(25, 35), lambda item: turned(item, "retrying", due=OVERDUE, code="remote-auth")),
                (slice(35, 40), lambda item: turned(item, "unknown", due=OVERDUE, code="remote-timeout")),
            ]
            planted = [turn(found[number]) for part, turn in kinds for number in numbers[part]]
            bench.write(planted)
            deliveries = tried(bench, trigger_id)
            later.enter_context(bench.unattended("TriggerDeliveryQueueUrl"))
            lost = [bench.item(*key_of(one)) for one in deliveries]
            overdue = {"dueAt": clock.timestamp(OVERDUE), "nextAttemptAt": clock.timestamp(OVERDUE)}
            bench.write([item | overdue for item in lost])
            bench.aws("sqs").purge_queue(QueueUrl=bench.stack.outputs["TriggerDeliveryQueueUrl"])
            dead = some_members(bench.api, 5)
            bench.give_up("MemberQueueUrl")
            healthy = plant_healthy(bench, found[numbers[0]])
            bench.sandbox.delete("/_control/sink/faults").raise_for_status()

            swept = counted(bench.invoke("SweeperFunction"))

            # Others' work may have been due as well.
            assert {what: min(swept.get(what, 0), number) for what, number in EXPECTED.items()} == EXPECTED
            again = counted(bench.invoke("SweeperFunction"))
            assert not again.keys() & {*EXPECTED, "parked"}, again
            calls_before = len(calls(bench, "crowdtwist"))
        all_reach(bench, [*drifts.values(), *dead.values()], "synced")

        def delivered() -> bool:
            told = [one["status"] for one in calls(bench, "sink") if tag in one["path"]]
            return told.count(200) == 5

        until(delivered, "five deliveries")
        users = bench.sandbox.get("/_control/crowdtwist/users").json()["items"]
        assert {*drifts, *dead} <= {user["third_party_id"] for user in users}
        sent = [one for one in calls(bench, "crowdtwist")[calls_before:] if one["method"] != "GET"]
        # What CrowdTwist had already is read back, told to the CRM, and not sent again.
        assert not [one for one in sent if any(number in one["body"] + one["path"] for number in written)]
        states = [bench.api.get(f"/members/{number}").json()["ctSyncStatus"] for number in written]
        assert states == ["Success"] * 5
        assert [bench.item(one["pk"]) for one in healthy] == healthy
    finally:
        bench.write([*healthy, {"pk": "BREAKER", "sk": "siebel"}], delete=True)
        bench.sandbox.delete("/_control/sink/faults").raise_for_status()
        bench.api.delete(f"/triggers/{trigger_id}")


EXPECTED = {
    "found lost": 10,
    "taken over": 15,
    "repeated": 15,
    "delivery sent again": 5,
    "dead letter moved": 5,
}


def counted(log: str) -> dict[str, int]:
    """What a sweep says that it did."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"level"')]
    return {line["what"]: line["number"] for line in lines if line["message"] == "swept" and line["number"]}


def calls(bench: Bench, vendor: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bench.sandbox.get(f"/_control/{vendor}/calls").json()["items"]
    return found


def written_before(bench: Bench, numbers: list[str]) -> list[str]:
    """CrowdTwist has these members; their worker died before it told the CRM."""
    arn = bench.stack.outputs["CrowdTwistSecretArn"]
    secret = json.loads(bench.aws("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
    for number in numbers:
        stored = json.loads(bench.item(f"LEDGER#{entry_id('', 'member', number)}")["payload"])
        user = user_fields(Member.model_validate(stored, strict=False)) | {"third_party_id": number}
        headers = {"X-CT-Authorization": f"CTApiKey {secret['apiKey']}"}
        url = f"{secret['baseUrl']}/v2/users"
        httpx.post(url, json=user, headers=headers, trust_env=False).raise_for_status()
    return numbers


# dead letters ---------------------------------------------------------------------------------------------


def test_dead_letters_go_back_to_work_through_the_ledger(bench: Bench, partner: PartnerClient) -> None:
    sqs, outputs = bench.aws("sqs"), bench.stack.outputs

    def dead_letters() -> int:
        [found] = [one for one in bench.api.get("/queues").json()["items"] if one["queue"] == "member"]
        return int(found["deadLetters"])

    sqs.purge_queue(QueueUrl=outputs["MemberDlqUrl"])
    with bench.unattended("MemberQueueUrl"):
        [(number, ledger_id)] = some_members(bench.api, 1).items()
        for text in ("no JSON", '{"what": 1}'):
            fifo = {"MessageGroupId": uuid.uuid4().hex, "MessageDeduplicationId": uuid.uuid4().hex}
            sqs.send_message(QueueUrl=outputs["MemberQueueUrl"], MessageBody=text, **fifo)
        bench.give_up("MemberQueueUrl")
        assert dead_letters() >= 3  # a worker of an earlier test may have died
        assert partner("ledger:read", "ledger:write").post("/queues/member/redrive").status_code == 403
        assert bench.api.post("/queues/nobody/redrive").status_code == 404
        answer = bench.api.post("/queues/member/redrive")
        assert answer.status_code == 202, answer.text
        came = answer.json()
        assert (came["moved"] >= 1, came["unreadable"], came["left"]) == (True, 2, 2), came
    all_reach(bench, [ledger_id], "synced")
    assert "redriven" in [move.get("reason") for move in bench.entry(ledger_id)["history"]]
    assert bench.api.get(f"/members/{number}/sync").json()["ctSyncStatus"] == "Success"
    assert bench.api.post("/queues/member/redrive").json()["moved"] == 0
    assert dead_letters() == 2  # nobody knows what they are, so they wait for a person
    sqs.purge_queue(QueueUrl=outputs["MemberDlqUrl"])


# what people decide ---------------------------------------------------------------------------------------


def over(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """A run of resubmissions, when it is over."""
    assert answer.status_code == 202, answer.text
    where = f"/ledger/resubmissions/{answer.json()['resubmissionId']}"

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(where).json()
        return found if found["status"] in ("complete", "stopped") else None

    return until(look, where)


def test_what_people_decide_is_done_once_and_on_record(bench: Bench, partner: PartnerClient) -> None:
    crm, stranger = (partner("members:write", "ledger:read", "ledger:write") for _ in range(2))
    bench.fault("crowdtwist", REFUSAL)
    try:
        entries = some_members(crm, 7)
        all_reach(bench, list(entries.values()), "data_error")
        [cause] = crm.get("/ledger/summary").json()["items"]
        assert (cause["flow"], cause["code"], cause["count"]) == ("member", "remote-refused", 7)
        before = [bench.entry(one) for one in entries.values()]
        [failed] = [move for move in before[0]["history"] if move["status"] == "data_error"]
        assert failed["detail"] == "The programme is closed"
        assert failed["calls"][-1] == "crowdtwist PUT /v2/users/… 422"
        # A canary that fails again leaves the rest alone.
        group = {"flow": "member", "code": "remote-refused"}
        stopped = over(crm, crm.post("/ledger/resubmissions", json=group))
        assert (stopped["status"], stopped["matched"], stopped["failed"]) == ("stopped", 7, 1)
        assert "The programme is closed" in stopped["detail"]
        touched = [one for one in before if bench.entry(one["ledgerId"])["updatedAt"] != one["updatedAt"]]
        assert [one["ledgerId"] for one in touched] == [stopped["canary"]]
    finally:
        bench.fault("crowdtwist", None)

    waiting = list(entries.values())
    discarded, corrected, busy, *rest = waiting
    for path, body in (("resubmit", {}), ("discard", {"reason": "not mine"})):
        assert stranger.post(f"/ledger/{corrected}/{path}", json=body).status_code == 404
    assert stranger.post("/ledger/resubmissions", json={"ledgerIds": [corrected]}).status_code == 404
    assert over(stranger, stranger.post("/ledger/resubmissions", json=group))["matched"] == 0

    assert crm.post(f"/ledger/{discarded}/discard", json={}).status_code == 422
    ended = crm.post(f"/ledger/{discarded}/discard", json={"reason": "A test account"}).json()
    me = crm.get("/me").json()["partnerId"]
    assert (ended["status"], ended["history"][-1]["reason"], ended["history"][-1]["by"]) == (
        "discarded",
        "A test account",
        me,
    )
    assert crm.post(f"/ledger/{discarded}/resubmit").status_code == 409

    wrong = crm.post(f"/ledger/{corrected}/resubmit", json={"data": {"email": "nowhere"}})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/data/email")
    right = f"{uuid.uuid4().hex}@example.com"
    was = bench.entry(corrected)["data"]
    assert crm.post(f"/ledger/{corrected}/resubmit", json={"data": {"email": right}}).status_code == 202
    all_reach(bench, [corrected], "synced")
    entry = crm.get(f"/ledger/{corrected}").json()
    assert (entry["data"], entry["originalData"]) == (was | {"email": right}, was)
    [move] = [move for move in entry["history"] if move.get("reason") == "corrected"]
    assert (move["by"], move["fields"]) == (me, ["email"])
    users = bench.sandbox.get("/_control/crowdtwist/users").json()["items"]
    assert right in [user["email_address"] for user in users]

    bench.fault("crowdtwist", {"kind": "slow", "seconds": 3, "count": 2})
    assert crm.post(f"/ledger/{busy}/resubmit").status_code == 202
    all_reach(bench, [busy], "in_progress")
    for path, body in (("resubmit", {}), ("discard", {"reason": "Too late"})):
        refused = crm.post(f"/ledger/{busy}/{path}", json=body)
        assert refused.status_code == 409, refused.text

    dry = crm.post("/ledger/resubmissions", json=group | {"dryRun": True})
    assert {one["ledgerId"]: one["would"] for one in dry.json()["items"]} == dict.fromkeys(
        rest, "create the member"
    )
    # Four people press the button at the same moment.
    with ThreadPoolExecutor(4) as threads:
        asked = list(threads.map(lambda _: crm.post("/ledger/resubmissions", json=group), range(4)))
    runs = [over(crm, answer) for answer in asked]
    assert sum(run["resubmitted"] for run in runs) == len(rest)
    assert {run["status"] for run in runs} == {"complete"}
    all_reach(bench, [busy, *rest], "synced")
    assert crm.get("/ledger/summary").json()["items"] == []
    made = [json.loads(one["body"])["third_party_id"] for one in calls(bench, "crowdtwist") if created(one)]
    assert sorted(one for one in made if one in entries) == sorted(set(entries) - {next(iter(entries))})

    acts = bench.api.get("/audit", params={"by": me, "limit": 100}).json()["items"]
    done = {(act["action"], act["target"].get("ledgerId")): act["outcome"] for act in reversed(acts)}
    assert done["entry.discard", discarded] == "done"
    assert done["entry.resubmit", corrected] == "done"
    assert [act["made"]["matched"] for act in acts if act["action"] == "entries.resubmit"].count(7) == 1


def created(call: dict[str, Any]) -> bool:
    return call["method"] == "POST" and call["status"] == 200 and bool(re.search(r"/v2/users$", call["path"]))


# what is kept ---------------------------------------------------------------------------------------------


def test_payloads_go_after_thirty_days_and_their_hash_stays(bench: Bench, partner: PartnerClient) -> None:
    crm = partner("leads:write", "members:write", "ledger:read", "ledger:write")
    bench.fault("crowdtwist", REFUSAL)
    mark = uuid.uuid4().hex
    assert crm.post("/leads", json=factories.lead(email=f"{mark}@example.com")).status_code == 201
    failed = put_member(crm, mark)
    all_reach(bench, [failed], "data_error")
    bench.fault("crowdtwist", None)
    old = clock.timestamp(timedelta(days=-31))
    ids = [one["ledgerId"] for one in crm.get("/ledger").json()["items"]]
    assert failed in ids
    aged = [as_of(bench.item(f"LEDGER#{one}"), old) for one in ids]
    fresh = put_member(crm, f"{mark}-new")
    bench.write(aged)

    bench.invoke("RetentionFunction")

    for item in aged:
        held = bench.item(item["pk"])
        assert mark not in json.dumps(held["payload"])
        assert re.fullmatch(r"[0-9a-f]{64}", held["payloadHash"])
        assert held["status"] == item["status"]
    refused = crm.post(f"/ledger/{failed}/resubmit")
    assert (refused.status_code, refused.json()["code"]) == (409, "payload-pruned")
    assert mark in bench.item(f"LEDGER#{fresh}")["payload"]


def as_of(item: Item, moment: str) -> Item:
    """An entry that came in and ended then."""
    shard, month = shard_of(item["ledgerId"]), moment[:7]
    return item | {
        "createdAt": moment,
        "acceptedAt": moment,
        "updatedAt": moment,
        "recentAt": f"{moment}#{item['ledgerId']}",
        "recentKey": recent_key(item["partnerId"], month, shard),
        "everyoneKey": everyone_key(month, shard),
    }


# what is measured -----------------------------------------------------------------------------------------


def test_the_work_and_the_vendors_are_measured_under_the_names_that_the_alarms_watch(bench: Bench) -> None:
    bench.invoke("MetricsRollupFunction")
    found = bench.published("MetricsRollup", "MemberSync")
    rollup = ("service", "metrics_rollup")
    assert {
        ("Accepted", frozenset({rollup, ("flow", "member")})),
        ("Done", frozenset({rollup, ("flow", "member")})),
        ("Failed", frozenset({rollup, ("flow", "member")})),
        ("Failed", frozenset({rollup, ("class", "data")})),
        ("Failed", frozenset({rollup, ("flow", "member"), ("class", "data")})),
        ("OldestOpenSeconds", frozenset({rollup})),
        ("BreakerOpenSeconds", frozenset({rollup})),
        ("VendorMilliseconds", frozenset({("service", "switchboard"), ("connector", "crowdtwist")})),
    } <= found
    assert found & bench.watched() >= {
        ("Failed", frozenset({rollup, ("flow", "member")})),
        ("Failed", frozenset({rollup, ("class", "data")})),
        ("OldestOpenSeconds", frozenset({rollup})),
    }
