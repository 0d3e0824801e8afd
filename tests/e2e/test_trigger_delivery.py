"""Source 004 on the deployed stack: endpoints that misbehave, each in its own way, all at the same time."""

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from switchboard.triggers import store
from tests.e2e.bench import Bench
from tests.e2e.conftest import PartnerClient
from tests.e2e.test_triggers import create
from tests.e2e.waiting import until

TEN_SECONDS = 10.0
"""How long a call may take altogether."""

MISBEHAVING: dict[str, tuple[dict[str, Any] | None, str | None, int | None]] = {
    "redirect": (
        {"kind": "status", "status": 302, "headers": {"Location": "/sink/elsewhere"}},
        "redirect",
        302,
    ),
    "refusing": ({"kind": "status", "status": 400, "body": "x" * 9000}, "client-error", 400),
    "gone": ({"kind": "status", "status": 410}, "gone", 410),
    "throttling": ({"kind": "status", "status": 429, "headers": {"Retry-After": "600"}}, "throttled", 429),
    "gateway": ({"kind": "status", "status": 502}, "server-error", 502),
    "late": ({"kind": "status", "status": 504}, "server-error", 504),
    "broken": ({"kind": "status", "status": 500}, "server-error", 500),
    "reset": ({"kind": "down"}, "broken-answer", None),
    "lost": ({"kind": "answerLost"}, "broken-answer", None),
    "dripping": ({"kind": "drip", "seconds": 3}, "timeout", None),
    "hanging": ({"kind": "hang", "seconds": 30}, "timeout", None),
    "badTls": (None, "tls", None),
    "inside": (None, "blocked", None),
    "huge": (None, None, 200),
    "good": (None, None, 200),
}
"""The sink's fault, and the error class and status of the first attempt."""


@dataclass
class World:
    """A partner, its triggers by what their endpoints do, and the sink's part of the sandbox."""

    bench: Bench
    partner: httpx.Client
    tag: str = field(default_factory=lambda: uuid.uuid4().hex)
    triggers: dict[str, dict[str, Any]] = field(default_factory=dict)
    bus: list[dict[str, Any]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.bench.stack.sandbox_url}/sink/{self.tag}/{name}"

    def add(self, name: str, crm_object: str, event: str, **fields: Any) -> None:
        body = {"url": self.url(name), "object": crm_object, "event": event} | fields
        self.triggers[name] = create(self.partner, "/triggers", body)

    def path(self, name: str) -> str:
        return f"/triggers/{self.triggers[name]['triggerId']}"

    def show(self, name: str) -> Any:
        return self.partner.get(self.path(name)).raise_for_status().json()

    def log(self, name: str, **query: str) -> list[Any]:
        answer = self.partner.get(f"{self.path(name)}/deliveries", params=query).raise_for_status()
        items: list[Any] = answer.json()["items"]
        return items

    def calls(self, name: str) -> list[Any]:
        found = self.bench.sandbox.get("/_control/sink/calls").json()["items"]
        return [call for call in found if f"{self.tag}/{name}" in call["path"]]

    def answered(self, name: str, number: int) -> list[Any] | None:
        """The calls, once so many have had an answer."""
        found = [call for call in self.calls(name) if call["status"] is not None]
        return found if len(found) == number else None

    def misbehave(self, name: str, **fault: Any) -> None:
        fault |= {"path": f"{self.tag}/{name}$"}
        self.bench.sandbox.post("/_control/sink/faults", json=fault).raise_for_status()

    def tell(self, crm_object: str, event: str, **ids: str) -> str:
        body = {"object": crm_object, "event": event, "accountId": self.tag} | ids
        answer = self.partner.post("/crm/events", json=body)
        assert answer.status_code == 202, answer.text
        event_id: str = answer.json()["eventId"]
        return event_id

    def on_the_bus(self, queue: str, kind: str, of: str) -> list[Any]:
        """The details of events of a kind that came by the bus, about a trigger or a record."""
        answer = self.bench.aws("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        self.bus += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
        return [one["detail"] for one in self.bus if one["detail-type"] == kind and of in json.dumps(one)]


def ago(**duration: float) -> str:
    """A moment so long ago, as it is stored."""
    return f"{(datetime.now(UTC) - timedelta(**duration)).isoformat(timespec='milliseconds')[:-6]}Z"


@pytest.fixture(scope="module")
def world(bench: Bench, partner: PartnerClient) -> Iterator[World]:
    """All endpoints are called at once, so that the slow ones are waited for once."""
    scopes = ("triggers:write", "triggers:read", "events:write", "crm:write", "crm:read", "members:read")
    found = World(bench, partner(*scopes))
    for name, (fault, _, _) in MISBEHAVING.items():
        if fault is not None:
            found.misbehave(name, **fault)
        urls = {
            "badTls": f"{bench.stack.sandbox_tls_url}/sink/{found.tag}/badTls",
            "huge": f"{bench.stack.sandbox_url}/sink/huge/{found.tag}/huge",
        }
        wire = {"format": "webhook"} if name == "badTls" else {}
        found.add(name, "task", "delete", url=urls.get(name, found.url(name)), **wire)
    # As if its name had been public when it was saved.
    inside = found.triggers["inside"]["triggerId"]
    bench.change("ConfigTableName", store.PARTITION, inside, url="https://169.254.169.254/latest/meta-data")
    found.add("paced", "task", "edit", maxPerSecond=2)
    found.misbehave("slow", kind="slow", seconds=2.5)
    found.add("slow", "task", "create")
    found.misbehave("ordered", kind="status", status=503, count=1)
    found.add("ordered", "customer", "*", format="webhook", ordered=True)

    found.tell("task", "create", taskId="first")
    for event in ("create", "edit", "delete"):
        found.tell("customer", event, accountId=f"{found.tag}-A")
    found.tell("task", "delete", taskId="1")
    for number in range(5):
        found.tell("task", "edit", taskId=str(number))
    yield found
    bench.sandbox.delete("/_control/sink/faults")
    for name in found.triggers:
        found.partner.delete(found.path(name))


@pytest.fixture(scope="module")
def bus(world: World) -> Iterator[str]:
    """A user's own rule: all events of the bus go to a queue."""
    name = f"e2e-{world.tag}"
    sqs, events = world.bench.aws("sqs"), world.bench.aws("events")
    queue: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus_name = world.bench.stack.outputs["CrmEventBusName"]
    pattern = json.dumps({"source": [{"prefix": "switchboard."}]})
    events.put_rule(Name=name, EventBusName=bus_name, EventPattern=pattern)
    events.put_targets(Rule=name, EventBusName=bus_name, Targets=[{"Id": "1", "Arn": arn}])
    yield queue
    events.remove_targets(Rule=name, EventBusName=bus_name, Ids=["1"])
    events.delete_rule(Name=name, EventBusName=bus_name)
    sqs.delete_queue(QueueUrl=queue)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://localhost/", "https://127.1:8443/", "https://u@example.com/"]
)
def test_a_url_inside_is_refused_when_it_is_saved(world: World, url: str) -> None:
    answer = world.partner.post("/triggers", json={"url": url, "object": "case", "event": "edit"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/url")


class TestSigned:
    def test_a_rotation_overlaps_and_a_test_call_is_signed_by_both(self, world: World) -> None:
        world.add("rotated", "*", "delete", format="webhook")
        old = world.triggers["rotated"]["secret"]
        new = world.partner.post(f"{world.path('rotated')}/rotate-secret", json={"overlapHours": 1}).json()[
            "secret"
        ]
        assert world.partner.post(f"{world.path('rotated')}/test").status_code == 202
        [call] = until(lambda: world.calls("rotated"))
        for secret in (old, new):
            Webhook(secret).verify(call["body"], call["headers"])
        last = world.partner.post(f"{world.path('rotated')}/rotate-secret", json={"overlapHours": 0}).json()[
            "secret"
        ]
        world.partner.post(f"{world.path('rotated')}/test")
        call = until(lambda: [one for one in world.calls("rotated")[1:] if one["body"]])[0]
        Webhook(last).verify(call["body"], call["headers"])
        for secret in (old, new):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(call["body"], call["headers"])
        assert set(json.loads(call["body"])["data"].values()) == {"test"}
        world.partner.delete(world.path("rotated"))

    def test_a_key_pair_signs(self, world: World) -> None:
        world.add("paired", "customer", "delete", format="webhook", signature="v1a")
        world.partner.post(f"{world.path('paired')}/test")
        [call] = until(lambda: world.calls("paired"))
        version, _, signature = call["headers"]["webhook-signature"].partition(",")
        public = base64.b64decode(world.triggers["paired"]["publicKey"].removeprefix("whpk_"))
        named = ".".join(call["headers"][f"webhook-{name}"] for name in ("id", "timestamp"))
        assert version == "v1a"
        signed = f"{named}.{call['body']}".encode()
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature), signed)
        world.partner.delete(world.path("paired"))


def test_a_filter_is_evaluated_on_the_record(world: World) -> None:
    where = {
        "$or": [{"status": {"$eq": "closed"}}, {"priority": {"$in": ["high"]}}],
        "$not": {"subject": "no"},
    }
    world.add("filtered", "case", "*", where=where | {"description": {"$exists": False}})
    world.add("unfiltered", "*", "edit")
    account = create(world.partner, "/crm/customers", {"lastName": "M", "email": f"{world.tag}@example.com"})
    cases = f"/crm/customers/{account['accountId']}/cases"
    held = [
        create(world.partner, cases, body)["caseId"]
        for body in (
            {"subject": "yes", "priority": "high"},
            {"subject": "no", "priority": "high"},
            {"subject": "yes"},
            {"subject": "yes", "priority": "high", "description": "d"},
        )
    ]
    world.partner.patch(f"{cases}/{held[2]}", json={"status": "closed"}).raise_for_status()
    until(lambda: [call for call in world.calls("unfiltered") if held[2] in call["target"]])

    def told() -> set[str]:
        return {call["query"]["CaseID"][0] for call in world.calls("filtered")}

    until(lambda: len(told()) == 2)
    assert told() == {held[0], held[2]}
    for name in ("filtered", "unfiltered"):
        world.partner.delete(world.path(name))


def test_order_is_kept_for_each_customer_though_the_first_call_fails(world: World) -> None:
    def told(customer: str) -> list[Any]:
        mine = [call for call in world.calls("ordered") if f"{world.tag}-{customer}" in call["body"]]
        return [call for call in mine if call["status"] is not None]

    until(lambda: told("A"))
    world.tell("customer", "create", accountId=f"{world.tag}-B")
    made = until(lambda: found if len(found := told("A")) == 4 else None)
    assert [(json.loads(call["body"])["type"], call["status"]) for call in made] == [
        ("customer.create", 503),
        ("customer.create", 200),
        ("customer.edit", 200),
        ("customer.delete", 200),
    ]
    assert timedelta(seconds=3.9) <= moment(made[1]) - moment(made[0])
    until(lambda: [call["status"] for call in told("B")] == [200])


def moment(call: Any) -> datetime:
    return datetime.fromisoformat(call["at"])


def test_no_more_calls_a_second_than_allowed(world: World) -> None:
    calls = until(lambda: world.answered("paced", 5))
    assert moment(calls[-1]) - moment(calls[0]) > timedelta(seconds=1.6)


@pytest.mark.parametrize("name", MISBEHAVING)
def test_an_endpoint_that_misbehaves_fails_with_its_class_and_delays_nobody(world: World, name: str) -> None:
    _, error_class, status = MISBEHAVING[name]
    delivery = until(lambda: next((one for one in world.log(name) if one["attempts"]), None))
    attempt = delivery["attempts"][0]
    assert (attempt["errorClass"], attempt["statusCode"]) == (error_class, status)
    assert attempt["durationMs"] < TEN_SECONDS * 1000 + 2000
    assert len(delivery["answer"] or "") <= 2048
    if error_class is None:
        assert delivery["status"] == "delivered"
        return
    assert delivery["status"] == ("failed" if error_class == "gone" else "retrying")
    if delivery["nextAttemptAt"]:
        wait = datetime.fromisoformat(delivery["nextAttemptAt"]) - datetime.fromisoformat(attempt["at"])
        assert wait >= timedelta(seconds=600 if name == "throttling" else 3.9)


class TestAfterwards:
    """What has become of those that misbehaved."""

    def test_only_the_beginning_of_an_answer_is_kept(self, world: World) -> None:
        [found] = until(lambda: world.log("refusing"))
        assert found["answer"] == "x" * 2048

    def test_nobody_was_followed_elsewhere_and_nothing_was_sent_without_trust(self, world: World) -> None:
        calls = world.bench.sandbox.get("/_control/sink/calls").json()["items"]
        assert not any("elsewhere" in call["path"] or f"{world.tag}/badTls" in call["path"] for call in calls)

    def test_410_disables_and_what_is_throttled_is_left_alone(self, world: World) -> None:
        until(lambda: world.show("gone")["status"] == "disabled")
        assert world.show("gone")["disabledReason"] == "gone"
        before = len(world.calls("throttling"))
        world.tell("task", "delete", taskId="2")
        until(lambda: [call for call in world.calls("good") if "TaskID=2" in call["target"]])
        [skipped] = until(lambda: world.log("gone", status="skipped"))
        assert skipped["attempts"] == []
        assert len(world.calls("throttling")) == before == 1

    def test_a_slow_one_gets_two_calls_at_a_time(self, world: World) -> None:
        until(lambda: world.log("slow", status="delivered"))
        for number in range(4):
            world.tell("task", "create", taskId=str(number))
        calls = until(lambda: world.answered("slow", 5))
        spans = [(moment(call), moment(call) + timedelta(milliseconds=call["durationMs"])) for call in calls]
        assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) <= 2


def test_five_days_of_nothing_but_failure_warn_disable_and_are_recovered(world: World, bus: str) -> None:
    """Four URLs whose first failure is written back in time; the function sees each fail once more."""
    began = {}
    for level in (50, 70, 90, 100):
        url = f"{world.bench.stack.sandbox_url}/sink/status/503/{world.tag}/{level}"
        world.add(f"failing{level}", "case", "delete", url=url, ordered=True)
        trigger_id = world.triggers[f"failing{level}"]["triggerId"]
        began[level] = ago(hours=1.2 * level + 1)
        known = {"failingSince": began[level], "lastFailureAt": ago(minutes=2)}
        world.bench.change("ConfigTableName", store.PARTITION, trigger_id, **known)
    world.tell("case", "delete", accountId=f"{world.tag}-first", caseId="c")

    for level in (50, 70, 90):
        trigger_id = world.triggers[f"failing{level}"]["triggerId"]
        [told] = until(partial(world.on_the_bus, bus, "trigger.warning", trigger_id))
        shown = world.show(f"failing{level}")["warning"]
        ends = datetime.fromisoformat(began[level]) + timedelta(days=5)
        assert (told["perCent"], datetime.fromisoformat(told["disablesAt"])) == (level, ends)
        assert shown == {
            "perCent": level,
            "failingSince": began[level],
            "disablesAt": told["disablesAt"],
        }
    until(lambda: world.show("failing100")["status"] == "disabled")
    assert world.show("failing100")["disabledReason"] == "failing"
    trigger_id = world.triggers["failing100"]["triggerId"]
    until(partial(world.on_the_bus, bus, "trigger.disabled", trigger_id))
    since = ago(seconds=0)
    missed = [f"missed{number}" for number in range(4)]
    for case_id in missed:
        world.tell("case", "delete", caseId=case_id)
    until(lambda: len(world.log("failing100", status="skipped")) == 4)
    recover = f"{world.path('failing100')}/recover"
    assert world.partner.post(recover, json={"since": since}).status_code == 409

    better = {"url": world.url("better"), "maxPerSecond": 2}
    world.partner.patch(world.path("failing100"), json=better).raise_for_status()
    world.partner.post(f"{world.path('failing100')}/enable").raise_for_status()
    assert world.show("failing100")["warning"] is None
    assert world.partner.post(recover, json={"since": since}).status_code == 202

    def replayed() -> list[Any] | None:
        found = [call for call in world.calls("better") if "missed" in call["target"]]
        return found if len(found) == 4 else None

    calls = until(replayed)
    assert [call["query"]["CaseID"][0] for call in calls] == missed
    assert moment(calls[-1]) - moment(calls[0]) > timedelta(seconds=1.2)
    assert all(one["status"] == "delivered" for one in world.log("failing100", limit="4"))


def test_what_the_stream_missed_is_found_by_the_sweep(world: World, bus: str) -> None:
    """The stream's mapping is off; the changes are as old as if it had been so for six minutes."""
    functions = world.bench.aws("lambda")
    [stream] = [
        one["UUID"]
        for one in functions.list_event_source_mappings()["EventSourceMappings"]
        if world.bench.stack.outputs["CrmTableName"] in one["EventSourceArn"]
    ]
    functions.update_event_source_mapping(UUID=stream, Enabled=False)
    try:
        world.add("recovered", "case", "*")
        account = create(world.partner, "/crm/customers", {"lastName": "Missed"})["accountId"]
        case = create(world.partner, f"/crm/customers/{account}/cases", {"subject": "x"})["caseId"]
        number = world.tag[:20]
        member = {"firstName": "Ada", "lastName": "Missed", "email": f"missed-{world.tag}@example.com"}
        assert world.partner.put(f"/crm/members/{number}", json=member).status_code == 201
        for pk, sk in ((f"CUSTOMER#{account}", f"CASE#{case}"), (f"MEMBER#{number}", "MEMBER")):
            world.bench.change("CrmTableName", pk, sk, updatedAt=ago(minutes=6), createdAt=ago(minutes=6))
        world.bench.invoke("CrmSweepFunction")
        [call] = until(lambda: world.calls("recovered"))
        assert call["target"].endswith(f"?AccountID={account}&CaseID={case}")
        [event] = until(lambda: world.on_the_bus(bus, "case.create", case))
        assert event["recovered"] is True
        until(lambda: world.partner.get(f"/members/{number}/sync").status_code == 200)
    finally:
        functions.update_event_source_mapping(UUID=stream, Enabled=True)
