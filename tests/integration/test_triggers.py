"""Source 004: CRM events become calls of partners' URLs."""

import base64
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from moto.sqs.models import sqs_backends
from standardwebhooks import Webhook

from functions.trigger_delivery import attempt, delivery, lanes, logic, recovery
from switchboard import aws, clock, config, work
from switchboard.triggers import deliveries, messages, store
from tests.support import factories
from tests.support.deployment import Deployment
from tests.support.faults import Killed, answer_lost, counted, killed_at
from tests.support.stand_ins import Sandbox

EVENTS = "/crm/events"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits: a retry is due at once, and the sweeper may look at once."""
    monkeypatch.setattr(logic, "LADDER", (timedelta(0),) * 9)
    monkeypatch.setattr(logic, "SLOW", timedelta(0))
    monkeypatch.setattr(lanes, "SETTLED", timedelta(0))
    monkeypatch.setattr("functions.trigger_fanout.app._SETTLING_SECONDS", 0)
    monkeypatch.setattr(attempt, "CALL_SECONDS", 0.5)


def make(deployment: Deployment, sandbox: Sandbox, path: str = "hook", **fields: Any) -> Any:
    body = {"url": f"{sandbox.url}/sink/{path}", "object": "*", "event": "*"} | fields
    reply = deployment.call("POST", "/triggers", body)
    assert reply.status == 201, reply.text
    return reply.json


def tell(deployment: Deployment, **fields: str) -> str:
    body = {"object": "case", "event": "edit", "accountId": "a", "caseId": "c"} | fields
    reply = deployment.call("POST", EVENTS, body)
    assert reply.status == 202, reply.text
    event_id: str = reply.json["eventId"]
    return event_id


def stored(trigger: Any) -> store.Trigger:
    found = store.get(trigger["triggerId"])
    assert found is not None
    return found


def log(deployment: Deployment, trigger: Any, **query: str) -> list[Any]:
    reply = deployment.call("GET", f"/triggers/{trigger['triggerId']}/deliveries", query=query)
    assert reply.status == 200, reply.text
    items: list[Any] = reply.json["items"]
    return items


def targets(sandbox: Sandbox) -> list[str]:
    return [call["target"] for call in sandbox.calls("sink")]


class TestQueryFormat:
    def test_an_edited_case_calls_the_url_with_exactly_its_ids(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        make(deployment, sandbox, "edit", object="case", event="edit")
        customer = deployment.call("POST", "/crm/customers", factories.customer()).json
        cases = f"/crm/customers/{customer['accountId']}/cases"
        case = deployment.call("POST", cases, {"subject": "No signal"}).json
        deployment.settle()
        assert targets(sandbox) == []
        deployment.call("PATCH", f"{cases}/{case['caseId']}", {"status": "closed"})
        deployment.settle()
        assert targets(sandbox) == [f"/sink/edit?AccountID={customer['accountId']}&CaseID={case['caseId']}"]
        [call] = sandbox.calls("sink")
        assert (call["method"], call["body"]) == ("GET", "")

    @pytest.mark.parametrize(
        ("ids", "query"),
        [
            ({"object": "customer", "accountId": "a b&c/ü"}, "AccountID=a%20b%26c%2F%C3%BC"),
            (
                {"object": "followup", "accountId": "a", "caseId": "c", "followupId": "f", "event": "create"},
                "AccountID=a&CaseID=c&FollowupID=f",
            ),
            ({"object": "task", "accountId": "a", "taskId": "t"}, "AccountID=a&TaskID=t"),
        ],
    )
    def test_each_object_has_its_ids_percent_encoded(
        self, deployment: Deployment, sandbox: Sandbox, ids: dict[str, str], query: str
    ) -> None:
        make(deployment, sandbox, "x?key=1&z=%41", method="POST")
        body = {"event": "edit"} | ids
        assert deployment.call("POST", EVENTS, body).status == 202
        deployment.settle()
        assert targets(sandbox) == [f"/sink/x?key=1&z=%41&{query}"]
        assert sandbox.calls("sink")[0]["method"] == "POST"


class TestMatching:
    def test_the_matrix_and_the_wildcards(self, deployment: Deployment, sandbox: Sandbox) -> None:
        for crm_object, event in (
            ("case", "edit"),
            ("case", "*"),
            ("*", "edit"),
            ("task", "edit"),
            ("case", "delete"),
        ):
            make(
                deployment,
                sandbox,
                f"{crm_object}-{event}".replace("*", "any"),
                object=crm_object,
                event=event,
            )
        tell(deployment)
        deployment.settle()
        called = {target.partition("?")[0].removeprefix("/sink/") for target in targets(sandbox)}
        assert called == {"case-edit", "case-any", "any-edit"}

    def test_a_filter_looks_at_the_record(self, deployment: Deployment, sandbox: Sandbox) -> None:
        make(deployment, sandbox, "closed", object="case", where={"status": "closed"})
        make(deployment, sandbox, "urgent", where={"priority": {"$in": ["high"]}})
        customer = deployment.call("POST", "/crm/customers", factories.customer()).json["accountId"]
        cases = f"/crm/customers/{customer}/cases"
        case = deployment.call("POST", cases, {"subject": "x", "priority": "high"}).json["caseId"]
        deployment.settle()
        assert [target.partition("?")[0] for target in targets(sandbox)] == ["/sink/urgent"]
        deployment.call("PATCH", f"{cases}/{case}", {"status": "closed", "priority": None})
        deployment.settle()
        assert targets(sandbox)[-1].startswith("/sink/closed?")
        assert len(targets(sandbox)) == 2
        deployment.call("DELETE", f"{cases}/{case}")
        tell(deployment)
        deployment.settle()
        assert len(targets(sandbox)) == 2  # nothing to look at: it does not match

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"object": "followup", "event": "edit"}, "event"),
            ({"object": "case", "event": "open"}, "event"),
            ({"object": "lead", "event": "create"}, "object"),
            ({"where": {"status": {"$regex": "x"}}}, "where"),
            ({"format": "webhook", "method": "GET"}, "method"),
            ({"signature": "v1a"}, "signature"),
            ({"format": "webhook", "signature": "v2"}, "signature"),
            ({"maxPerSecond": 0}, "maxPerSecond"),
            ({"url": None}, "url"),
            ({"secret": "mine"}, "secret"),
        ],
    )
    def test_a_bad_trigger_is_refused_by_field(
        self, deployment: Deployment, sandbox: Sandbox, body: dict[str, Any], field: str
    ) -> None:
        sent = {"url": f"{sandbox.url}/sink/x", "object": "case", "event": "create"} | body
        reply = deployment.call("POST", "/triggers", sent)
        assert reply.status == 422, reply.text
        assert any(field in error["pointer"] for error in reply.json["errors"])


class TestWebhooks:
    def test_a_call_is_signed_and_carries_ids_only(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox, format="webhook")
        assert trigger["secret"].startswith("whsec_")
        assert "secret" not in (deployment.call("GET", "/triggers").text.replace('"secret":null', ""))
        tell(deployment, occurredAt="2026-11-22T10:00:00+01:00")
        deployment.settle()
        [call] = sandbox.calls("sink")
        assert call["method"] == "POST"
        Webhook(trigger["secret"]).verify(call["body"], call["headers"])
        assert json.loads(call["body"]) == {
            "type": "case.edit",
            "timestamp": "2026-11-22T09:00:00.000Z",
            "data": {"accountId": "a", "caseId": "c"},
        }

    def test_a_rotation_overlaps_and_can_end_at_once(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox, format="webhook")
        path = f"/triggers/{trigger['triggerId']}/rotate-secret"
        second = deployment.call("POST", path, {"overlapHours": 1}).json["secret"]
        tell(deployment)
        deployment.settle()
        call = sandbox.calls("sink")[-1]
        for secret in (trigger["secret"], second):
            Webhook(secret).verify(call["body"], call["headers"])
        third = deployment.call("POST", path, {"overlapHours": 0}).json["secret"]
        tell(deployment)
        deployment.settle()
        call = sandbox.calls("sink")[-1]
        assert len(call["headers"]["webhook-signature"].split()) == 1
        Webhook(third).verify(call["body"], call["headers"])
        plain = make(deployment, sandbox)
        refused = deployment.call(
            "POST", f"/triggers/{plain['triggerId']}/rotate-secret", {"overlapHours": 0}
        )
        assert refused.status == 409

    def test_a_key_pair_signs_and_only_its_public_half_is_shown(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        """During a rotation the call carries the signatures of both; who has either key verifies."""
        made = make(deployment, sandbox, format="webhook", signature="v1a")
        path = f"/triggers/{made['triggerId']}"
        rotated = deployment.call("POST", f"{path}/rotate-secret", {"overlapHours": 1}).json
        for shown in (made, rotated, deployment.call("GET", path).json):
            assert (shown["signature"], shown["secret"]) == ("v1a", None)
            assert "whsk_" not in json.dumps(shown)
        assert deployment.call("GET", path).json["publicKey"] == rotated["publicKey"] != made["publicKey"]
        tell(deployment)
        deployment.settle()
        [call] = sandbox.calls("sink")
        signatures = call["headers"]["webhook-signature"].split(" ")
        signed = ".".join(call["headers"][f"webhook-{name}"] for name in ("id", "timestamp"))
        for one, public in zip(signatures, (rotated, made), strict=True):
            key = base64.b64decode(public["publicKey"].removeprefix("whpk_"))
            value = base64.b64decode(one.removeprefix("v1a,"))
            Ed25519PublicKey.from_public_bytes(key).verify(value, f"{signed}.{call['body']}".encode())


class TestDelivery:
    def test_a_failed_call_is_repeated_until_it_succeeds(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=500, count=2)
        event_id = tell(deployment)
        deployment.settle()
        [found] = log(deployment, trigger)
        assert (found["eventId"], found["status"]) == (event_id, "delivered")
        assert [one["statusCode"] for one in found["attempts"]] == [500, 500, 200]
        assert [one["errorClass"] for one in found["attempts"]] == ["server-error", "server-error", None]
        assert deployment.call("GET", "/ledger/summary").json["items"] == []

    def test_ten_attempts_then_it_is_on_record_and_can_be_resubmitted(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=500)
        tell(deployment)
        deployment.settle()
        [found] = log(deployment, trigger, status="failed")
        assert len(found["attempts"]) == 10 == len(sandbox.calls("sink"))
        [group] = deployment.call("GET", "/ledger/summary").json["items"]
        assert (group["flow"], group["code"], group["count"]) == ("trigger_delivery", "delivery-failed", 1)
        entry = deployment.call("GET", f"/ledger/{group['sample']}").json
        assert entry["result"]["deliveryId"] == found["deliveryId"]

        sandbox.end_faults("sink")
        assert deployment.call("POST", f"/ledger/{group['sample']}/resubmit").status == 202
        deployment.settle()
        [found] = log(deployment, trigger)
        assert (found["status"], len(found["attempts"])) == ("delivered", 11)
        assert deployment.call("GET", "/ledger/summary").json["items"] == []

    def test_one_delivery_is_retried_by_hand(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=404)
        tell(deployment)
        deployment.settle()
        sandbox.end_faults("sink")
        [found] = log(deployment, trigger)
        path = f"/deliveries/{found['deliveryId']}"
        assert deployment.call("POST", f"{path}/retry").status == 202
        deployment.settle()
        assert deployment.call("GET", path).json["status"] == "delivered"
        assert deployment.call("GET", "/ledger/summary").json["items"] == []
        for nothing in ("dlv_a_b", "dlv_x", "nonsense"):
            assert deployment.call("POST", f"/deliveries/{nothing}/retry").status == 404

    @pytest.mark.parametrize(
        ("fault", "status", "error_class"),
        [
            ({"kind": "status", "status": 302, "headers": {"Location": "/sink/elsewhere"}}, 302, "redirect"),
            ({"kind": "status", "status": 400}, 400, "client-error"),
            ({"kind": "down"}, None, "broken-answer"),
            ({"kind": "hang", "seconds": 5}, None, "timeout"),
            ({"kind": "drip", "seconds": 0.4}, None, "timeout"),
        ],
    )
    def test_what_is_no_2xx_fails_with_its_class(
        self,
        deployment: Deployment,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        fault: dict[str, Any],
        status: int | None,
        error_class: str,
    ) -> None:
        monkeypatch.setattr(logic, "LADDER", ())
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", **fault)
        tell(deployment)
        deployment.settle()
        [found] = log(deployment, trigger)
        [made] = found["attempts"]
        assert (found["status"], made["statusCode"], made["errorClass"]) == ("failed", status, error_class)
        assert made["durationMs"] < 2000
        assert all("elsewhere" not in target for target in targets(sandbox))

    def test_a_huge_answer_is_not_read(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox, "huge")
        tell(deployment)
        deployment.settle()
        [found] = log(deployment, trigger)
        assert found["status"] == "delivered"
        assert len(found["answer"] or "") <= 2048

    def test_410_disables_and_what_comes_then_is_skipped_until_it_is_recovered(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        trigger = make(deployment, sandbox)
        path = f"/triggers/{trigger['triggerId']}"
        sandbox.fault("sink", kind="status", status=410, count=1)
        since = clock.timestamp()
        tell(deployment, caseId="1")
        deployment.settle()
        shown = deployment.call("GET", path).json
        assert (shown["status"], shown["disabledReason"]) == ("disabled", "gone")
        tell(deployment, caseId="2")
        tell(deployment, caseId="3")
        deployment.settle()
        assert [one["status"] for one in log(deployment, trigger)] == ["skipped", "skipped", "failed"]
        assert deployment.call("POST", f"{path}/recover", {"since": since}).status == 409
        assert deployment.call("POST", f"{path}/enable").json["status"] == "active"
        assert deployment.call("POST", f"{path}/recover", {"since": since}).status == 202
        deployment.settle()
        assert {one["status"] for one in log(deployment, trigger)} == {"delivered"}
        assert sorted(target[-1] for target in targets(sandbox)) == ["1", "1", "2", "3"]
        assert deployment.call("GET", "/ledger/summary").json["items"] == []

    def test_a_recovery_is_paced(
        self, deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two a second and three a slice: the messages' delays grow, and the next slice waits its turn."""
        trigger = make(deployment, sandbox, maxPerSecond=2)
        store.disable(trigger["triggerId"], "failing")
        since = clock.timestamp()
        for number in range(5):
            tell(deployment, caseId=str(number))
        deployment.settle()
        store.enable(trigger["triggerId"])
        monkeypatch.setattr(recovery, "_A_SLICE", 3)
        sent: list[tuple[str | None, int]] = []
        monkeypatch.setattr(
            messages,
            "send",
            lambda found, delay=0: sent.extend((one.delivery_id, delay) for one in found),
        )
        asked = messages.Message(trigger["triggerId"], recover={"since": since, "until": clock.timestamp()})
        recovery.recover(asked, store.get(trigger["triggerId"]))
        assert [delay for _, delay in sent] == [0, 0, 1, 1]
        assert [found is None for found, _ in sent] == [False, False, False, True]

    def test_a_repeated_event_id_is_one_call(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox)
        for _ in range(3):
            assert tell(deployment, eventId="theirs") == "theirs"
        deployment.settle()
        assert tell(deployment, eventId="theirs", occurredAt="2026-01-01T00:00:00Z") == "theirs"
        deployment.settle()
        assert len(targets(sandbox)) == 1
        other = deployment.partner("events:write")
        body = {"object": "customer", "event": "edit", "accountId": "b", "eventId": "theirs"}
        assert deployment.call("POST", EVENTS, body, key=other).status == 202
        deployment.settle()
        assert len(log(deployment, trigger)) == 2

    def test_a_test_call_reaches_a_disabled_url_too(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox, object="task", event="delete")
        store.disable(trigger["triggerId"], "failing")
        reply = deployment.call("POST", f"/triggers/{trigger['triggerId']}/test")
        assert reply.status == 202
        deployment.settle()
        assert targets(sandbox) == ["/sink/hook?AccountID=test&TaskID=test"]
        assert log(deployment, trigger)[0]["deliveryId"] == reply.json["deliveryId"]

    def test_retry_after_is_waited_for(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=429, headers={"Retry-After": "120"}, count=1)
        tell(deployment)
        deployment.settle()
        [found] = log(deployment, trigger, status="retrying")
        wait = clock.parse(found["nextAttemptAt"]) - clock.parse(found["attempts"][0]["at"])
        assert timedelta(seconds=119) < wait < timedelta(seconds=150)
        tell(deployment, caseId="other")
        deployment.settle()
        assert len(sandbox.calls("sink")) == 1  # the whole URL is left alone

    def test_a_good_delivery_is_three_requests_to_dynamodb(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        make(deployment, sandbox)
        tell(deployment)
        deployment.settle()
        tell(deployment, caseId="2")
        with counted() as operations:
            deployment.run_queues("TRIGGER_FANOUT_QUEUE_URL", "TRIGGER_DELIVERY_QUEUE_URL")
        assert sorted(operations) == ["GetItem", "Query", "UpdateItem", "UpdateItem"]  # Query: the fan-out's


class TestSurvival:
    def test_killed_anywhere_the_event_is_delivered(self, deployment: Deployment, sandbox: Sandbox) -> None:
        """Two writes and a read, killed before and after each; message or sweeper bring it back."""
        trigger = make(deployment, sandbox)
        for request in range(3):
            for after in (False, True):
                tell(deployment, caseId=f"{request}{after}")
                _fan_out(deployment)
                with pytest.raises(Killed), killed_at(request, after=after):
                    deployment.run_queues()
                _later(deployment)
                deployment.settle()
        found = log(deployment, trigger)
        assert len(found) == 6
        assert {one["status"] for one in found} == {"delivered"}

    def test_killed_while_fanning_out_every_url_is_called_once(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        """An ordered, a disabled and a plain trigger, the fan-out killed before and after each write."""
        make(deployment, sandbox, "plain")
        make(deployment, sandbox, "ordered", ordered=True)
        off = make(deployment, sandbox, "off")
        store.disable(off["triggerId"], "failing")
        number = 0
        for request in range(3):
            for after in (False, True):
                number += 1
                tell(deployment, caseId=f"k{number}")
                with pytest.raises(Killed), killed_at(request, after=after):
                    _fan_out(deployment)
                _visible_again(deployment, "TRIGGER_FANOUT_QUEUE_URL")
                deployment.settle()
        called = sorted(target.partition("?")[0] for target in targets(sandbox))
        assert called == ["/sink/ordered"] * number + ["/sink/plain"] * number
        assert [one["status"] for one in log(deployment, off)] == ["skipped"] * number

    def test_killed_while_an_ordered_delivery_is_made_the_order_stays(
        self, deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(deployment, sandbox, ordered=True)
        monkeypatch.setattr("switchboard.triggers.messages.LONGEST_DELAY", 0)
        for request in range(8):
            for part in ("a", "b"):
                tell(deployment, caseId=f"{request}{part}")
            _fan_out(deployment)
            try:
                with killed_at(request, after=True):
                    deployment.run_queues()
            except Killed:
                _later(deployment)
            deployment.settle()
        seen = list(dict.fromkeys(target.rpartition("=")[2] for target in targets(sandbox)))
        assert seen == sorted(seen)
        assert len(seen) == 16

    def test_a_lost_message_is_found_by_the_sweeper(
        self, deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=500, count=1)
        tell(deployment)
        _fan_out(deployment)
        with monkeypatch.context() as patch:
            patch.setattr(messages, "send", lambda *_, **__: None)
            patch.setattr(deliveries, "_GRACE", timedelta(0))
            deployment.run_queues()
        assert log(deployment, trigger)[0]["status"] == "retrying"
        deployment.sweep()
        deployment.settle()
        assert log(deployment, trigger)[0]["status"] == "delivered"

    def test_a_message_whose_handling_breaks_is_back_in_seconds(
        self, deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trigger = make(deployment, sandbox)
        tell(deployment)
        _fan_out(deployment)
        monkeypatch.setattr(messages, "_FIRST_RETURN", 0)
        with monkeypatch.context() as patch:
            patch.setattr(attempt, "call", lambda *_: 1 / 0)
            queue = "TRIGGER_DELIVERY_QUEUE_URL"
            deployment._work_on(queue, "trigger_delivery", deployment._receive(queue))
        assert targets(sandbox) == []
        _later(deployment)
        deployment.settle()
        assert log(deployment, trigger)[0]["status"] == "delivered"

    def test_a_deleted_trigger_is_called_no_more(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=500)
        tell(deployment)
        _fan_out(deployment)
        assert deployment.call("DELETE", f"/triggers/{trigger['triggerId']}").status == 204
        deployment.settle()
        assert targets(sandbox) == []
        assert deployment.call("GET", f"/triggers/{trigger['triggerId']}").status == 404


def _fan_out(deployment: Deployment) -> None:
    """Run the fan-out alone."""
    while batch := deployment._receive("TRIGGER_FANOUT_QUEUE_URL"):
        deployment._work_on("TRIGGER_FANOUT_QUEUE_URL", "trigger_fanout", batch)


def _later(deployment: Deployment) -> None:
    """Let time pass: leases end, and what a dead worker had in hand is visible again."""
    table = work.ledger().table
    for item in aws.dynamodb().scan(TableName=table.name)["Items"]:
        if "leaseUntil" in item:
            aws.dynamodb().update_item(
                TableName=table.name,
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET leaseUntil = :then, dueAt = :then",
                ExpressionAttributeValues={":then": {"S": clock.timestamp(-timedelta(minutes=1))}},
            )
        if item["sk"]["S"] == "LEASE":
            aws.dynamodb().delete_item(TableName=table.name, Key={"pk": item["pk"], "sk": item["sk"]})
    deployment.sweep()
    _visible_again(deployment, "TRIGGER_DELIVERY_QUEUE_URL")


def _visible_again(deployment: Deployment, variable: str) -> None:
    """End the time for which messages are delayed, or a dead worker's are hidden."""
    for backend in sqs_backends["123456789012"].values():
        for queue in backend.queues.values():
            if queue.name in deployment.queue_urls[variable]:
                for message in queue._messages:
                    message.visible_at = message.delayed_until = 0


class TestIsolation:
    def test_a_hanging_url_delays_nobody(
        self, deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ten in one batch, one of them hangs: the other nine have their call before it gives up."""
        monkeypatch.setattr(attempt, "CALL_SECONDS", 2.0)
        hanging = make(deployment, sandbox, "hangs")
        for number in range(9):
            make(deployment, sandbox, f"good/{number}")
        sandbox.fault("sink", kind="hang", seconds=5, path="hangs")
        tell(deployment)
        _fan_out(deployment)
        queue = "TRIGGER_DELIVERY_QUEUE_URL"
        deployment._work_on(queue, "trigger_delivery", deployment._receive(queue))
        calls = {call["path"]: call for call in sandbox.calls("sink")}
        assert len(calls) == 10
        [made] = log(deployment, hanging)[0]["attempts"]
        assert made["errorClass"] == "timeout"
        gave_up = clock.parse(made["at"]) + timedelta(milliseconds=made["durationMs"])
        assert all(clock.parse(call["at"]) < gave_up for call in calls.values())
        assert store.get(hanging["triggerId"]).health.suspect  # type: ignore[union-attr]

    def test_a_suspect_url_is_called_one_at_a_time(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox)
        store.note_failure(stored(trigger), failing_since=clock.timestamp(), slow_until=None, suspect=True)
        turn = store.take_turn(stored(trigger), at_once=1, until=clock.now() + timedelta(minutes=1))
        assert turn is not None
        tell(deployment)
        deployment.settle()
        assert targets(sandbox) == []
        assert log(deployment, trigger) == []
        store.leave_turn(trigger["triggerId"], turn)
        _visible_again(deployment, "TRIGGER_DELIVERY_QUEUE_URL")
        deployment.settle()
        assert len(targets(sandbox)) == 1
        assert stored(trigger).health.is_good

    def test_a_rate_is_kept(self, deployment: Deployment, sandbox: Sandbox) -> None:
        make(deployment, sandbox, maxPerSecond=4)
        for number in range(3):
            tell(deployment, caseId=str(number))
        deployment.settle()
        at = sorted(clock.parse(call["at"]) for call in sandbox.calls("sink"))
        assert len(at) == 3
        assert at[-1] - at[0] >= timedelta(seconds=0.3)

    def test_another_partner_sees_nothing(self, deployment: Deployment, sandbox: Sandbox) -> None:
        scopes = ("triggers:write", "triggers:read")
        mine, theirs = deployment.partner(*scopes), deployment.partner(*scopes)
        body = {"url": f"{sandbox.url}/sink/x", "object": "case", "event": "edit"}
        trigger = deployment.call("POST", "/triggers", body, key=mine).json
        tell(deployment)
        deployment.settle()
        path = f"/triggers/{trigger['triggerId']}"
        [found] = deployment.call("GET", f"{path}/deliveries", key=mine).json["items"]
        assert deployment.call("GET", "/triggers", key=theirs).json["items"] == []
        for method, where, sent in (
            ("GET", path, None),
            ("PATCH", path, {"description": "x"}),
            ("DELETE", path, None),
            ("GET", f"{path}/deliveries", None),
            ("POST", f"{path}/test", None),
            ("POST", f"{path}/enable", None),
            ("POST", f"{path}/recover", {"since": "2026-01-01T00:00:00Z"}),
            ("POST", f"{path}/rotate-secret", {"overlapHours": 0}),
            ("POST", f"/deliveries/{found['deliveryId']}/retry", None),
        ):
            assert deployment.call(method, where, sent, key=theirs).status == 404, where
        assert deployment.call("GET", path, key=mine).status == 200


class TestSlowUrls:
    """An answer of 0.3 s and more is a long one here; nobody waits long for a turn."""

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logic, "LONG_CALL", timedelta(seconds=0.3))
        monkeypatch.setattr("functions.trigger_delivery.app._LOOK_SECONDS", 0.05)
        monkeypatch.setattr(attempt, "CALL_SECONDS", 5.0)
        monkeypatch.setattr(messages, "LONGEST_DELAY", 0)

    @pytest.fixture
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many calls of a URL with `slow` in it were under way when each of them began."""
        seen: list[int] = []
        under_way: set[object] = set()
        call = attempt.call

        def watched(trigger: store.Trigger, delivery: deliveries.Delivery) -> deliveries.Attempt:
            if "slow" not in trigger.url:
                return call(trigger, delivery)
            under_way.add(delivery.delivery_id)
            seen.append(len(under_way))
            try:
                return call(trigger, delivery)
            finally:
                under_way.remove(delivery.delivery_id)

        monkeypatch.setattr(attempt, "call", watched)
        return seen

    def test_it_is_called_two_at_a_time_beside_quick_ones_and_recovers(
        self, deployment: Deployment, sandbox: Sandbox, at_once: list[int]
    ) -> None:
        slow = make(deployment, sandbox, "slow")
        quick = make(deployment, sandbox, "quick")
        sandbox.fault("sink", kind="slow", seconds=0.5, path="slow", count=3)
        tell(deployment, caseId="first")
        deployment.settle()
        assert stored(slow).health.quick_calls == 0
        assert not stored(quick).health.is_slow
        for number in range(12):  # ten of them quick: of two at a time it may be that one counts
            tell(deployment, caseId=str(number))
        deployment.settle()
        assert max(at_once) == 2
        assert len(log(deployment, slow)) == len(log(deployment, quick)) == 13
        assert {one["status"] for one in log(deployment, slow)} == {"delivered"}
        assert not stored(slow).health.is_slow
        at_once.clear()
        for number in range(10):
            tell(deployment, caseId=f"again{number}")
        _fan_out(deployment)
        sandbox.fault("sink", kind="slow", seconds=0.2, path="slow")
        deployment.settle()
        assert max(at_once) > 2

    def test_it_is_noted_before_its_call_is_over(
        self, deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So a worker that takes a batch meanwhile leaves it alone."""
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="slow", seconds=1)
        noted: list[str] = []
        note = store.note_slow

        def watched(trigger_id: str, *, quick_calls: int | None) -> None:
            noted.append(clock.timestamp())
            note(trigger_id, quick_calls=quick_calls)

        monkeypatch.setattr(store, "note_slow", watched)
        tell(deployment)
        deployment.settle()
        [made] = log(deployment, trigger)[0]["attempts"]
        assert clock.parse(noted[0]) < clock.parse(made["at"]) + timedelta(seconds=0.8)

    def test_an_ordered_one_keeps_its_order(
        self, deployment: Deployment, sandbox: Sandbox, at_once: list[int]
    ) -> None:
        trigger = make(deployment, sandbox, "slow", ordered=True)
        store.note_slow(trigger["triggerId"], quick_calls=0)
        sandbox.fault("sink", kind="slow", seconds=0.35, count=4)
        for number in range(2):
            for customer in "abcd":
                tell(deployment, accountId=customer, caseId=f"{customer}{number}")
        deployment.settle()
        called = [target.rpartition("=")[2] for target in targets(sandbox)]
        assert len(called) == 8
        assert all(called.index(f"{customer}0") < called.index(f"{customer}1") for customer in "abcd")
        assert max(at_once) == 2

    def test_killed_workers_give_their_turns_back(self, deployment: Deployment, sandbox: Sandbox) -> None:
        """Read, turn, claim, record, what was noted, leaving: killed behind each."""
        trigger = make(deployment, sandbox)
        for request in range(6):
            store.note_slow(trigger["triggerId"], quick_calls=1)
            tell(deployment, caseId=str(request))
            _fan_out(deployment)
            with pytest.raises(Killed), killed_at(request, after=True):
                deployment.run_queues()
            deployment.pass_time(timedelta(minutes=1))
            _later(deployment)
            deployment.settle()
        found = log(deployment, trigger)
        assert len(found) == 6
        assert {one["status"] for one in found} == {"delivered"}


class TestOrdered:
    def test_a_pace_holds_up_each_call_once(self, deployment: Deployment, sandbox: Sandbox) -> None:
        make(deployment, sandbox, ordered=True, maxPerSecond=0.1)
        for customer in "abc":
            tell(deployment, accountId=customer)
        for called in (1, 2, 3):
            deployment.settle()
            assert len(targets(sandbox)) == called
            deployment.pass_time(timedelta(seconds=10))
            _visible_again(deployment, "TRIGGER_DELIVERY_QUEUE_URL")

    def test_a_failing_call_holds_back_its_customer_alone(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        make(deployment, sandbox, ordered=True)
        sandbox.fault("sink", kind="status", status=500, count=3)
        for number in range(3):
            tell(deployment, caseId=str(number), occurredAt=f"2026-11-22T07:00:0{number}Z")
        deployment.settle()
        assert [target[-1] for target in targets(sandbox)] == ["0", "0", "0", "0", "1", "2"]

    def test_what_arrives_out_of_order_is_put_in_order(
        self, deployment: Deployment, sandbox: Sandbox
    ) -> None:
        make(deployment, sandbox, ordered=True)
        for number in (2, 0, 1):
            tell(deployment, caseId=str(number), occurredAt=f"2026-11-22T07:00:0{number}Z")
        _fan_out(deployment)
        deployment.settle()
        assert [target[-1] for target in targets(sandbox)] == ["0", "1", "2"]

    def test_what_was_skipped_is_recovered_in_order(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox, ordered=True)
        store.disable(trigger["triggerId"], "failing")
        for number in range(3):
            tell(deployment, caseId=str(number), occurredAt=f"2026-11-22T07:00:0{number}Z")
        deployment.settle()
        assert {one["status"] for one in log(deployment, trigger)} == {"skipped"}
        path = f"/triggers/{trigger['triggerId']}"
        deployment.call("POST", f"{path}/enable")
        sandbox.fault("sink", kind="status", status=500, count=2)
        assert deployment.call("POST", f"{path}/recover", {"since": "2026-11-22T06:00:00Z"}).status == 202
        deployment.settle()
        assert [target[-1] for target in targets(sandbox)] == ["0", "0", "0", "1", "2"]

    def test_an_earlier_event_that_comes_while_the_first_settles_goes_first(
        self, deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both happened long ago: what counts is how long the first has stood in its lane."""
        monkeypatch.setattr(lanes, "SETTLED", timedelta(seconds=2))
        trigger = make(deployment, sandbox, ordered=True)
        tell(deployment, caseId="1", occurredAt="2026-11-22T07:00:01Z")
        slept: list[float] = []

        def meanwhile(seconds: float) -> None:
            slept.append(seconds)
            monkeypatch.setattr(lanes, "SETTLED", timedelta(0))
            lane = delivery.deliveries()
            [waiting] = lane.of_trigger(trigger["triggerId"])
            earlier = {"event_id": "earlier", "case_id": "0", "occurred_at": "2026-11-22T07:00:00.000Z"}
            lane.line_up(stored(trigger), waiting.event.model_copy(update=earlier))

        monkeypatch.setattr(lanes, "time", SimpleNamespace(sleep=meanwhile))
        deployment.settle()
        assert [target[-1] for target in targets(sandbox)] == ["0", "1"]
        assert [0 < seconds <= 2 for seconds in slept] == [True]


class TestHealth:
    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = []
        monkeypatch.setattr(
            "functions.trigger_delivery.health._tell",
            lambda kind, trigger, **facts: found.append((kind, facts.get("perCent") or facts.get("reason"))),
        )
        return found

    def test_warnings_come_once_each_and_five_days_disable(
        self, deployment: Deployment, sandbox: Sandbox, told: list[tuple[str, object]]
    ) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=500)
        for hours in (1, 61, 62, 85, 109, 121):
            since = clock.timestamp(-timedelta(hours=hours))
            config.config_table().update(
                store.PARTITION,
                trigger["triggerId"],
                "SET failingSince = :since, lastFailureAt = :last",
                values={":since": since, ":last": clock.timestamp(-timedelta(minutes=5))},
            )
            tell(deployment, caseId=str(hours))
            deployment.settle()
            if hours == 85:
                shown = deployment.call("GET", f"/triggers/{trigger['triggerId']}").json["warning"]
                assert shown["perCent"] == 70
                assert shown["disablesAt"] > clock.timestamp()
        assert told == [
            ("trigger.warning", 50),
            ("trigger.warning", 70),
            ("trigger.warning", 90),
            ("trigger.disabled", "failing"),
        ]
        assert deployment.call("GET", f"/triggers/{trigger['triggerId']}").json["status"] == "disabled"

    def test_one_success_forgets_the_failures(self, deployment: Deployment, sandbox: Sandbox) -> None:
        trigger = make(deployment, sandbox)
        sandbox.fault("sink", kind="status", status=500, count=1)
        tell(deployment)
        deployment.settle()
        assert store.get(trigger["triggerId"]).health.is_good  # type: ignore[union-attr]


def test_a_change_of_a_trigger_is_in_force_at_once(deployment: Deployment, sandbox: Sandbox) -> None:
    trigger = make(deployment, sandbox, "old", where={"a": 1}, maxPerSecond=5)
    path = f"/triggers/{trigger['triggerId']}"
    url = f"{sandbox.url}/sink/new"
    changed = deployment.call("PATCH", path, {"url": url, "where": None, "maxPerSecond": None})
    assert changed.status == 200, changed.text
    assert (changed.json["url"], changed.json["where"], changed.json["maxPerSecond"]) == (url, {}, None)
    assert deployment.call("PATCH", path, {"url": "http://10.0.0.1/"}).status == 422
    tell(deployment)
    deployment.settle()
    assert targets(sandbox) == ["/sink/new?AccountID=a&CaseID=c"]


def test_deliveries_come_page_by_page(deployment: Deployment, sandbox: Sandbox) -> None:
    trigger = make(deployment, sandbox)
    for number in range(5):
        tell(deployment, caseId=str(number))
    deployment.settle()
    path = f"/triggers/{trigger['triggerId']}/deliveries"
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = deployment.call("GET", path, query=query).json
        seen += [item["deliveryId"] for item in page["items"]]
        if page["next"] is None:
            break
        query = {"limit": "2", "cursor": page["next"]}
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)
    for bad in ({"status": "odd"}, {"cursor": "x"}):
        assert deployment.call("GET", path, query=bad).status == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"object": "case", "event": "edit", "accountId": "a"}, "caseId"),
        ({"object": "customer", "event": "edit", "accountId": "a", "caseId": "c"}, "caseId"),
        (
            {"object": "followup", "event": "edit", "accountId": "a", "caseId": "c", "followupId": "f"},
            "event",
        ),
        ({"object": "customer", "event": "edit"}, "accountId"),
        ({"object": "customer", "event": "edit", "accountId": "a\n"}, "accountId"),
        ({"object": "lead", "event": "edit", "accountId": "a"}, "object"),
        ({"object": "member", "event": "edit", "accountId": "a"}, "memberNumber"),
        (
            {"object": "customer", "event": "edit", "accountId": "a", "occurredAt": "1999-01-01T00:00:00Z"},
            "occurredAt",
        ),
        (
            {"object": "customer", "event": "edit", "accountId": "a", "occurredAt": "9999-12-31T23:59:59Z"},
            "occurredAt",
        ),
    ],
)
def test_a_bad_event_is_refused_by_field(deployment: Deployment, body: object, field: str) -> None:
    reply = deployment.call("POST", EVENTS, body)
    assert reply.status == 422, reply.text
    assert any(field in error["pointer"] for error in reply.json["errors"])


def test_a_creation_whose_answer_got_lost_makes_one_trigger(deployment: Deployment, sandbox: Sandbox) -> None:
    """Of the same kind as the simulator found elsewhere: each event would call the URL twice, for ever."""
    body = {"url": f"{sandbox.url}/sink/x", "object": "case", "event": "edit"}
    headers = {"Idempotency-Key": "k"}
    with answer_lost("PutItem", call=1):  # the first writes the key down
        assert deployment.call("POST", "/triggers", body, headers=headers).status == 500
    assert deployment.call("POST", "/triggers", body, headers=headers).status == 201
    assert len(deployment.call("GET", "/triggers").json["items"]) == 1
