"""Every class of failure of every flow: provoked, found in the summary, put right by one resubmission."""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from switchboard.ledger import DONE, entry_id
from tests.e2e.bench import Bench
from tests.e2e.waiting import until
from tests.support import factories

DATA: dict[str, Any] = {"kind": "status", "status": 422, "body": '{"message": "This value is not allowed."}'}
CLASSES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "auth": ({"kind": "status", "status": 401}, {"remote-auth"}),
    "rate": ({"kind": "status", "status": 429}, {"remote-rate"}),
    "remote": ({"kind": "status", "status": 503}, {"remote-unavailable"}),
    "lost": ({"kind": "answerLost"}, {"remote-timeout", "remote-unavailable"}),
}
"""The vendor's behaviour, and the code that it is to be found under."""

FORESEEN = {
    "member": ("create the member", "leave the member unchanged"),
    "social_reply": ("send the answer", "find the answer sent"),
    "lead": ("create the customer and the lead",),
    "charging": ("create the customer (CreateCustomer)", "find it done"),
    "survey_invitation": ("have a personal URL",),
    "survey_dump": ("begin the dump", "go on behind page"),
}
"""How a dry run's sentences begin; where an answer was lost, the vendor may have done it."""

type Submit = Callable[[str], str]
"""Sends one piece of work with this mark; answers its ledger id."""


@dataclass
class Desk:
    """A vendor, its secret, and the flows that need it."""

    vendor: str
    secret: str
    flows: dict[str, Submit]
    lost: tuple[str, ...] = ()
    """What the secret lacks when our own side is at fault; all of it for none."""
    found: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """The code under which the summary had each flow's class."""
    entries: list[str] = field(default_factory=list)
    foreseen: dict[str, str] = field(default_factory=dict)
    """What a dry run said of each entry."""


def provoke(bench: Bench, desk: Desk) -> None:
    """Each class in turn. A refusal is an answer, so those between keep the vendor's breaker closed."""

    def all_flows(what: str, fault: dict[str, Any] | None) -> None:
        if fault is not None:
            bench.fault(desk.vendor, fault)
        sent = {flow: submit(uuid.uuid4().hex[:12]) for flow, submit in desk.flows.items()}
        codes = {flow: bench.code_of(ledger_id) for flow, ledger_id in sent.items()}
        assert codes.items() <= bench.causes()
        for flow, code in codes.items():
            desk.found.setdefault((flow, what), set()).add(code)
            desk.entries.append(sent[flow])

    for what, (fault, _) in CLASSES.items():
        if what in ("remote", "lost"):
            all_flows("data", DATA)
        all_flows(what, fault)
    with bench.without_secret(desk.secret, *desk.lost):
        all_flows("own", None)
    bench.fault(desk.vendor, None)


def members(bench: Bench) -> Submit:
    def submit(mark: str) -> str:
        answer = bench.api.put(f"/members/{mark}", json=factories.member(email=f"{mark}@example.com"))
        return str(answer.json()["ledgerId"])

    return submit


def replies(bench: Bench) -> Submit:
    post = factories.post(uniqueId=uuid.uuid4().hex, authorId=uuid.uuid4().hex)
    post_id = bench.api.post("/social/posts", json=post).json()["postId"]

    def submit(mark: str) -> str:
        answer = bench.api.post(f"/social/posts/{post_id}/replies", json={"body": mark, "agentId": "a-7"})
        return str(answer.json()["replyId"])

    return submit


def metas_leads(bench: Bench) -> Submit:
    def submit(mark: str) -> str:
        fields = {"full_name": "Ann Lee", "email": f"{mark}@example.com"}
        call = bench.sandbox.post("/_control/meta/leads", json={"fields": fields}).json()
        headers = {"X-Hub-Signature-256": call["signature"], "Content-Type": "application/json"}
        bench.api.post("/hooks/facebook/leads", content=call["body"], headers=headers).raise_for_status()
        value = json.loads(call["body"])["entry"][0]["changes"][0]["value"]
        return entry_id("admin", "lead", f"meta:{value['leadgen_id']}")

    return submit


def operations(bench: Bench) -> Submit:
    def submit(mark: str) -> str:
        answer = bench.api.post(
            "/charging/customers",
            json={"externalId": mark, "customerProfile": "b2b"},
            headers={"Prefer": "respond-async"},
        )
        return str(answer.json()["operationId"])

    return submit


def invitations(bench: Bench) -> Submit:
    def submit(mark: str) -> str:
        email, survey = f"{mark}@example.com", str(int(mark, 16) % 10**9)
        bench.api.post(f"/surveys/{survey}/invitations", json={"email": email, "transactionId": mark})
        return entry_id("admin", "survey_invitation", f"{survey}:{len(email)}:{email}:{mark}")

    return submit


def dumps(bench: Bench) -> Submit:
    def submit(mark: str) -> str:
        answer = bench.api.post(f"/surveys/{int(mark, 16) % 10**9 + 1}/dumps", json={"full": False})
        return str(answer.json()["dumpId"])

    return submit


@pytest.fixture(scope="module")
def desks(bench: Bench) -> Iterator[dict[str, Desk]]:
    """All vendors provoked at once, all causes resubmitted, and waited for once."""
    since = datetime.now(UTC).isoformat()
    made = [
        Desk("crowdtwist", "CrowdTwistSecretArn", {"member": members(bench)}),
        Desk("sem", "SemSecretArn", {"social_reply": replies(bench)}),
        Desk("meta", "MetaSecretArn", {"lead": metas_leads(bench)}, ("accessToken",)),
        Desk("ocsio", "OcsIoSecretArn", {"charging": operations(bench)}),
        Desk(
            "questionpro",
            "QuestionProSecretArn",
            {"survey_invitation": invitations(bench), "survey_dump": dumps(bench)},
        ),
    ]
    try:
        with ThreadPoolExecutor(len(made)) as threads:
            list(threads.map(lambda desk: provoke(bench, desk), made))
            list(threads.map(lambda desk: foresee(bench, desk), made))
        put_right(bench, made, since)
        yield {flow: desk for desk in made for flow in desk.flows}
    finally:
        for desk in made:
            bench.fault(desk.vendor, None)


def foresee(bench: Bench, desk: Desk) -> None:
    """A dry run, once the vendor is well again."""
    body = {"ledgerIds": desk.entries, "dryRun": True}
    answer = bench.api.post("/ledger/resubmissions", json=body)
    assert answer.status_code == 200, answer.text
    desk.foreseen = {item["ledgerId"]: item["would"] for item in answer.json()["items"]}


def put_right(bench: Bench, made: list[Desk], since: str) -> None:
    """One resubmission for each cause of the summary; what was repeated by itself meanwhile is done."""
    flows = {flow for desk in made for flow in desk.flows}
    causes = [one for one in bench.api.get("/ledger/summary").json()["items"] if one["flow"] in flows]
    runs = []
    for cause in causes:
        wanted = {"flow": cause["flow"], "code": cause["code"], "since": since}
        answer = bench.api.post("/ledger/resubmissions", json=wanted)
        assert answer.status_code == 202, answer.text
        runs.append(answer.json()["resubmissionId"])

    def over(run: str) -> dict[str, Any] | None:
        found: dict[str, Any] = bench.api.get(f"/ledger/resubmissions/{run}").json()
        return found if found["status"] in ("complete", "stopped") else None

    for run in runs:
        found = until(bench.swept(partial(over, run)), f"run {run}")
        assert found["status"] == "complete", found


@pytest.mark.parametrize("what", ["data", *CLASSES, "own"])
@pytest.mark.parametrize(
    "flow", ["member", "social_reply", "lead", "charging", "survey_invitation", "survey_dump"]
)
def test_each_failure_is_found_by_its_cause(desks: dict[str, Desk], flow: str, what: str) -> None:
    expected = {"data": {"remote-refused"}, "own": {"not-configured"}}
    expected |= {name: codes for name, (_, codes) in CLASSES.items()}
    # Where others have opened the vendor's breaker before, that is what the summary has.
    assert desks[flow].found[flow, what] <= expected[what] | {"circuit-open"}


@pytest.mark.parametrize("flow", FORESEEN)
def test_a_dry_run_says_what_each_would_do(bench: Bench, desks: dict[str, Desk], flow: str) -> None:
    told = desks[flow].foreseen
    own = [told[one] for one in desks[flow].entries if bench.entry(one)["flow"] == flow]
    # A sweep may have repeated some of them by itself before.
    own = [would for would in own if not would.startswith("be skipped")]
    assert own
    assert all(would.startswith(FORESEEN[flow]) for would in own), own


def test_each_is_done_after_one_resubmission_of_its_cause(bench: Bench, desks: dict[str, Desk]) -> None:
    for desk in {id(desk): desk for desk in desks.values()}.values():
        for ledger_id in desk.entries:
            entry = bench.entry(ledger_id)
            assert entry["status"] in DONE, entry


def test_a_delivery_that_failed_for_good_is_delivered_after_all(bench: Bench) -> None:
    mark = uuid.uuid4().hex
    gone = {"kind": "status", "status": 410, "path": mark}
    bench.sandbox.post("/_control/sink/faults", json=gone).raise_for_status()
    try:
        url = f"{bench.stack.sandbox_url}/sink/{mark}"
        trigger = {"url": url, "object": "customer", "event": "create"}
        trigger_id = bench.api.post("/triggers", json=trigger).json()["triggerId"]
        bench.api.post("/crm/customers", json=factories.customer(email=f"{mark}@example.com"))

        def failed() -> str | None:
            listed = bench.api.get(f"/triggers/{trigger_id}/deliveries", params={"status": "failed"}).json()
            return listed["items"][0]["deliveryId"] if listed["items"] else None

        delivery_id = until(failed, "the delivery to fail")
        ledger_id = entry_id("admin", "trigger_delivery", delivery_id)
        assert ("trigger_delivery", bench.code_of(ledger_id)) in bench.causes()
    finally:
        bench.sandbox.delete("/_control/sink/faults").raise_for_status()
    bench.api.post(f"/triggers/{trigger_id}/enable").raise_for_status()
    answer = bench.api.post("/ledger/resubmissions", json={"ledgerIds": [ledger_id]})
    run = f"/ledger/resubmissions/{answer.json()['resubmissionId']}"

    def complete() -> bool:
        return bool(bench.api.get(run).json()["status"] == "complete")

    until(complete, "the delivery to be delivered")
    listed = bench.api.get(f"/triggers/{trigger_id}/deliveries", params={"status": "delivered"}).json()
    assert [one["deliveryId"] for one in listed["items"]] == [delivery_id]
    bench.api.delete(f"/triggers/{trigger_id}")
