"""What went astray comes back: the sweeper among a thousand healthy entries, and the dead letters."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import batched
from typing import Any

import pytest

from functions.sweeper.app import sweep
from sandbox.vendors.crowdtwist import CrowdTwist
from switchboard import aws, breaker, clock, dead_letters, work
from switchboard.connectors import crowdtwist
from switchboard.connectors.crowdtwist import user_fields
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item, item_from_wire, item_to_wire
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.ledger.keys import shard_of
from switchboard.members import Member
from switchboard.triggers.deliveries import Deliveries, delivery_id
from switchboard.triggers.store import Trigger
from switchboard.work import Outcome
from tests.support import factories
from tests.support.deployment import Deployment
from tests.support.stand_ins import StandIn, serving

LEASE = timedelta(seconds=30)
HEALTHY = 1000


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with serving(CrowdTwist()) as sandbox:
        yield sandbox


@pytest.fixture
def lead_work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lead work that always succeeds; whom it did."""
    from functions.lead_work import app

    done: list[str] = []

    def do(entry: Entry, result: Item) -> Outcome:
        done.append(entry.ledger_id)
        return Outcome()

    monkeypatch.setattr(app, "do", do)
    return done


def lead(entity: str, **payload: Any) -> Entry:
    return (
        work.ledger()
        .accept(
            partner_id="admin",
            flow="lead",
            entity=entity,
            payload={"lastName": "Miller", "email": "m@example.com"} | payload,
            group=entity,
            correlation_id="c",
        )
        .entry
    )


def claim(entry: Entry, lease: timedelta = LEASE) -> Entry:
    claimed = work.ledger().claim(entry.ledger_id, lease=lease)
    assert claimed is not None
    return claimed


def ended(entity: str, status: Any, **facts: Any) -> Entry:
    claimed = claim(lead(entity))
    work.ledger().record(claimed, status, **facts)
    return claimed


def state(ledger_id: str) -> str:
    found = work.ledger().get(ledger_id)
    assert found is not None
    return found.status


def raw(ledger_id: str) -> Item:
    found = work.ledger().table.get(f"LEDGER#{ledger_id}", "ENTRY")
    assert found is not None
    return found


def plant_healthy() -> dict[str, Item]:
    """Entries in every state that is nobody's business: copies of some that came about in the usual way."""
    late = timedelta(hours=2)
    kinds = [
        *[ended("synced", "synced")] * 12,
        *[ended("refused", "data_error", code="remote-refused")] * 2,
        *[ended("ours", "integration_failure", code="worker-lost")],
        *[ended("repeated", "retrying", code="remote-auth", retry_in=late)] * 2,
        *[ended("lost", "unknown", code="remote-timeout", retry_in=late)],
        claim(lead("held"), lease=late),
    ]
    fresh = work.ledger().postpone(lead("fresh"), late)
    held = ended("away", "retrying", code="circuit-open", retry_in=timedelta(0), held_by="siebel")
    patterns = [raw(one.ledger_id) for one in [*kinds, fresh, held]]
    items = {}
    for number in range(HEALTHY):
        pattern = patterns[number % len(patterns)]
        ledger_id = f"led_healthy{number}"
        item = pattern | {"pk": f"LEDGER#{ledger_id}", "ledgerId": ledger_id}
        if "openKey" in item:
            item["openKey"] = f"{item['openKey'].partition('#')[0]}#{shard_of(ledger_id)}"
        items[ledger_id] = item
    table = work.ledger().table.name
    for some in batched(items.values(), 25, strict=False):
        puts: Any = [{"PutRequest": {"Item": item_to_wire(item)}} for item in some]
        aws.dynamodb().batch_write_item(RequestItems={table: puts})
    return items


def healthy() -> dict[str, Item]:
    pages = (
        aws.dynamodb()
        .get_paginator("scan")
        .paginate(
            TableName=work.ledger().table.name,
            FilterExpression="begins_with(pk, :healthy)",
            ExpressionAttributeValues={":healthy": {"S": "LEDGER#led_healthy"}},
        )
    )
    return {item["ledgerId"]: item for page in pages for item in map(item_from_wire, page["Items"])}


def member_without_write_back(stand_in: StandIn, number: int) -> str:
    """CrowdTwist has the member; the worker died before the CRM was told."""
    body = factories.member(email=f"{number}@example.com")
    member = Member.model_validate_json(json.dumps(body))
    user = user_fields(member) | {"third_party_id": f"m{number}"}
    stand_in.client.post(
        "/crowdtwist/v2/users", json=user, headers={"X-CT-Authorization": f"CTApiKey {api_key(stand_in)}"}
    ).raise_for_status()
    accepted = work.ledger().accept(
        partner_id="admin",
        flow="member",
        entity=f"m{number}",
        payload=body,
        group=f"m{number}",
        correlation_id="c",
        version=1,
        shared=True,
    )
    return claim(accepted.entry).ledger_id


def api_key(stand_in: StandIn) -> str:
    return stand_in.secret["apiKey"]


def in_dead_letters(url: str, entry: Entry) -> None:
    body = json.dumps({"ledgerId": entry.ledger_id, "revision": entry.revision})
    fifo: Any = {"MessageGroupId": entry.ledger_id, "MessageDeduplicationId": entry.ledger_id}
    aws.sqs().send_message(QueueUrl=url, MessageBody=body, **fifo)


def crm_event(event_id: str) -> CrmEvent:
    return CrmEvent(
        event_id=event_id,
        object="customer",
        event="edit",
        origin="builtin",
        occurred_at=clock.timestamp(),
        account_id="acc_1",
    )


def overdue_delivery(number: int) -> str:
    now = clock.timestamp()
    facts = ("https://example.com", "customer", "edit", "query", "GET", "active")
    trigger = Trigger("trg_gone", "admin", *facts, created_at=now, updated_at=now)  # type: ignore[arg-type]
    event = crm_event(f"evt_{number}")
    found = delivery_id(trigger.trigger_id, event)
    assert Deliveries(work.ledger().table).claim(found, lease=LEASE, trigger=trigger, event=event) is not None
    return found


def test_fifty_drifts_among_a_thousand_healthy_entries(
    deployment: Deployment, stand_in: StandIn, lead_work: list[str]
) -> None:
    stand_in.reset()
    stand_in.connect(deployment.patch)
    # On a busy machine planting takes longer than some of these entries wait, and a call than a vendor may.
    moment = clock.now()
    deployment.patch.setattr(clock, "now", lambda: moment)
    deployment.patch.setattr(crowdtwist, "DEADLINE_SECONDS", 120.0)
    dead = deployment.give_dead_letters("LEAD_QUEUE_URL")
    kinds: dict[str, tuple[int, Callable[[int], str]]] = {
        "never arrived": (10, lambda n: lead(f"lost{n}").ledger_id),
        "worker died": (10, lambda n: claim(lead(f"died{n}")).ledger_id),
        "repeat lost": (10, lambda n: ended(f"due{n}", "retrying", code="remote-auth").ledger_id),
        "answer lost": (5, lambda n: ended(f"unknown{n}", "unknown", code="remote-timeout").ledger_id),
        "write-back missing": (5, lambda n: member_without_write_back(stand_in, n)),
        "delivery lost": (5, overdue_delivery),
    }
    planted = {kind: [plant(n) for n in range(number)] for kind, (number, plant) in kinds.items()}
    deployment.pass_time(timedelta(minutes=3))
    dead_ones = [lead(f"dead{n}") for n in range(5)]
    for one in dead_ones:
        in_dead_letters(dead, one)
    planted["dead letter"] = [one.ledger_id for one in dead_ones]
    assert sum(map(len, planted.values())) == 50
    before = plant_healthy()
    for _ in range(breaker.THRESHOLD):  # what it holds waits on
        away = SwitchboardError("remote-unavailable", retry_after=3600)
        breaker.Breaker("siebel").failed(away, probe=False)

    done = sweep(lambda: True)

    assert {what: number for what, number in done.items() if number} == {
        "found lost": 10,
        "taken over": 15,
        "repeated": 15,
        "delivery sent again": 5,
        "dead letter moved": 5,
    }
    assert healthy() == before
    stand_in.forget_calls()
    deployment.run_queues()
    others = ("write-back missing", "delivery lost")
    leads = [one for kind, ones in planted.items() if kind not in others for one in ones]
    assert sorted(set(lead_work)) == sorted(leads)
    assert len(lead_work) == len(leads)
    assert {state(one) for one in leads + planted["write-back missing"]} == {"synced"}
    found = [deployment.call("GET", f"/members/m{n}").json["ctSyncStatus"] for n in range(5)]
    assert found == ["Success"] * 5
    assert set(stand_in.methods()) == {"GET"}  # read back, and not sent again
    deliveries = [Deliveries(work.ledger().table).get(one) for one in planted["delivery lost"]]
    assert [each.status for each in deliveries if each] == ["skipped"] * 5  # their trigger is gone
    assert not {what: number for what, number in sweep(lambda: True).items() if number}


class TestDeadLetters:
    def redrive(self, deployment: Deployment, queue: str = "lead") -> dict[str, Any]:
        answer = deployment.call("POST", f"/queues/{queue}/redrive")
        assert answer.status == 202, answer.text
        found: dict[str, Any] = answer.json
        return found

    def test_each_goes_through_the_ledger(self, deployment: Deployment, lead_work: list[str]) -> None:
        dead = deployment.give_dead_letters("LEAD_QUEUE_URL")
        waiting, done, parked = lead("a"), ended("b", "synced"), ended("c", "data_error", code="invalid")
        running = claim(lead("d"))
        for one in (waiting, done, parked, running):
            in_dead_letters(dead, one)
        for number, text in enumerate(("no json", '{"what": 1}')):
            aws.sqs().send_message(
                QueueUrl=dead, MessageBody=text, MessageGroupId=text, MessageDeduplicationId=str(number)
            )
        [shown] = [
            queue for queue in deployment.call("GET", "/queues").json["items"] if queue["queue"] == "lead"
        ]
        assert (shown["waiting"], shown["deadLetters"]) == (0, 6)
        came = self.redrive(deployment)
        assert came == {"queue": "lead", "moved": 2, "dropped": 2, "unreadable": 2, "left": 2}
        deployment.run_queues()
        assert sorted(lead_work) == sorted([waiting.ledger_id, parked.ledger_id])
        assert self.redrive(deployment) == came | {"moved": 0, "dropped": 0}

    def test_the_sweeper_repeats_no_failure_and_leaves_what_it_cannot_read(
        self, deployment: Deployment, lead_work: list[str]
    ) -> None:
        dead = deployment.give_dead_letters("LEAD_QUEUE_URL")
        parked = ended("c", "integration_failure", code="worker-lost")
        in_dead_letters(dead, parked)
        aws.sqs().send_message(
            QueueUrl=dead, MessageBody="no json", MessageGroupId="x", MessageDeduplicationId="x"
        )
        deployment.sweep()
        deployment.run_queues()
        assert lead_work == []
        assert state(parked.ledger_id) == "integration_failure"
        assert self.redrive(deployment)["left"] == 1

    def test_events_are_sent_again_as_they_are_when_a_person_asks(self, deployment: Deployment) -> None:
        dead = deployment.give_dead_letters("RECORD_SYNC_QUEUE_URL")
        event = crm_event("evt_1").model_dump(mode="json", by_alias=True, exclude_none=True)
        aws.sqs().send_message(QueueUrl=dead, MessageBody=json.dumps({"detail": event}))
        deployment.sweep()
        assert self.redrive(deployment, "record_sync")["moved"] == 1
        [message] = aws.sqs().receive_message(QueueUrl=deployment.queue_urls["RECORD_SYNC_QUEUE_URL"])[
            "Messages"
        ]
        assert json.loads(message["Body"])["detail"]["eventId"] == "evt_1"

    def test_every_queue_shows_again_what_cannot_be_read(self, deployment: Deployment) -> None:
        queues = dead_letters.known()
        assert len(queues) == len(dead_letters.QUEUES) - 1  # the stream's own has none in a mocked account
        for name, url in queues.items():
            dead = deployment.give_dead_letters(f"{dead_letters.QUEUES[name]}_QUEUE_URL")
            group: Any = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if ".fifo" in url else {}
            aws.sqs().send_message(QueueUrl=dead, MessageBody="no json", **group)
        deployment.sweep()
        for name in queues:
            assert self.redrive(deployment, name)["left"] == 1

    def test_they_are_for_administrators(self, deployment: Deployment) -> None:
        key = deployment.partner("ledger:read", "ledger:write")
        assert deployment.call("GET", "/queues", key=key).status == 403
        assert deployment.call("POST", "/queues/lead/redrive", key=key).status == 403
        assert deployment.call("POST", "/queues/nobody/redrive").status == 404
