"""Source 004: a change that the stream told nobody is found by comparing the records with what was told."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import boto3
import pytest

from functions.crm_changes.app import lambda_handler as changes
from functions.crm_sweep import app
from functions.crm_sweep.checkpoint import Checkpoint
from switchboard import clock, crm_events, work
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef, mirror
from switchboard.connectors.builtin_crm.published import Mark, Published, mark_key
from switchboard.crm import UNLINKED, MemberPush, MemberSync, NewCase
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import ConditionFailed
from tests.support import factories
from tests.support.deployment import Context, Deployment
from tests.support.faults import Killed, counted, killed_at

FIVE_MINUTES = timedelta(minutes=5, seconds=1)
MEMBER = {"firstName": "Ada", "lastName": "Miller", "email": "ada@example.com"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[CrmEvent]]:
    """What was put on the bus."""
    found: list[CrmEvent] = []
    publish = crm_events.publish

    def spy(events: Sequence[CrmEvent]) -> None:
        publish(events)
        found.extend(events)

    monkeypatch.setattr(crm_events, "publish", spy)
    yield found
    assert max(Counter(event.event_id for event in found).values(), default=1) == 1, "told twice"


def stream() -> list[Any]:
    """All that the stream holds, as the function gets it."""
    client = boto3.client("dynamodbstreams")
    [found] = client.list_streams(TableName="CrmTable")["Streams"]
    shard = client.describe_stream(StreamArn=found["StreamArn"])["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = client.get_shard_iterator(
        StreamArn=found["StreamArn"], ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records: list[Any] = client.get_records(ShardIterator=iterator)["Records"]
    return [one for one in records if one["dynamodb"]["Keys"]["pk"]["S"].startswith("CUSTOMER#")]


def hand_over(records: list[Any]) -> None:
    assert changes({"Records": records}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]


def sweep() -> None:
    app.lambda_handler({}, Context(remaining=300_000))  # type: ignore[arg-type]


def seen(told: Sequence[CrmEvent]) -> list[str]:
    return [event.type for event in told]


def customer_with_a_case(deployment: Deployment) -> tuple[str, str]:
    account = deployment.call("POST", "/crm/customers", factories.customer()).json["accountId"]
    cases = f"/crm/customers/{account}/cases"
    return account, deployment.call("POST", cases, {"subject": "No signal"}).json["caseId"]


def everything(deployment: Deployment) -> None:
    """Each object created, edited where it can be, and a case deleted with its followup."""
    account, case = customer_with_a_case(deployment)
    path = f"/crm/customers/{account}"
    deployment.call("POST", f"{path}/cases/{case}/followups", {"body": "called"})
    task = deployment.call("POST", f"{path}/tasks", {"subject": "call back"}).json["taskId"]
    deployment.call("PATCH", f"{path}/tasks/{task}", {"status": "done"})
    deployment.call("PATCH", f"{path}/cases/{case}", {"priority": "high"})
    deployment.call("DELETE", f"{path}/cases/{case}")


def test_what_the_stream_told_nobody_is_told_once(deployment: Deployment, told: list[CrmEvent]) -> None:
    """The stream entirely skipped: what it would have told is told, creations and deletions under its ids."""
    everything(deployment)
    sweep()
    assert told == []  # the stream is given its time
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    assert sorted(seen(told)) == [
        "case.create",
        "case.delete",
        "customer.create",
        "followup.create",
        "followup.delete",
        "task.create",
        "task.edit",
    ]
    assert all(event.recovered for event in told)
    sweep()
    hand_over(stream())  # it comes after all
    assert len(told) == 7
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    assert len(told) == 7


def test_a_recovered_event_calls_a_url_as_the_stream_s_own_would(deployment: Deployment) -> None:
    """Recovered and then told by the stream under one id and time: one delivery."""
    customer_with_a_case(deployment)
    found: list[CrmEvent] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crm_events, "publish", found.extend)
        patch.setattr("functions.crm_changes.app._told_already", lambda changed: set())
        patch.setattr("functions.crm_changes.app._note", lambda *_: None)
        hand_over(stream())
        deployment.pass_time(FIVE_MINUTES)
        sweep()
    by_stream, by_sweep = found[:2], found[2:]
    assert [event.model_copy(update={"recovered": False}) for event in by_sweep] == by_stream


def test_what_was_told_is_left_alone(deployment: Deployment, told: list[CrmEvent]) -> None:
    everything(deployment)
    deployment.settle()
    before = len(told)
    deployment.pass_time(FIVE_MINUTES)
    with counted() as operations:
        sweep()
    assert len(told) == before
    # Lease, four shards, the marks of all together, checkpoint, lease.
    assert sorted(operations) == sorted(["UpdateItem"] * 3 + ["Query"] * 4 + ["BatchGetItem"])
    sweep()
    assert len(told) == before


@pytest.mark.parametrize("skipped", range(7))
def test_any_one_change_that_is_skipped_is_told(
    deployment: Deployment, told: list[CrmEvent], skipped: int
) -> None:
    """Seven changes, one of them missing in the stream, the others in their order."""
    account, case = customer_with_a_case(deployment)
    path = f"/crm/customers/{account}"
    for subject in ("a", "b"):
        deployment.call("PATCH", f"{path}/cases/{case}", {"subject": subject})
    deployment.call("PATCH", path, {"lastName": "Ivanova"})
    deployment.call("POST", f"{path}/tasks", {"subject": "call back"})
    deployment.call("DELETE", f"{path}/cases/{case}")
    records = stream()
    assert len(records) == 7
    hand_over(records[:skipped] + records[skipped + 1 :])
    assert len(told) == 6
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    missing = told[6:]
    # Once the case's deletion is told, nobody has use for what came before it.
    assert seen(missing) == ([] if skipped in (1, 2, 3) else [_type(records[skipped])])


def _type(record: Any) -> str:
    new, old = record["dynamodb"]["NewImage"], record["dynamodb"].get("OldImage")
    name = "delete" if "deletedAt" in new else "edit" if old else "create"
    return f"{new['object']['S']}.{name}"


def test_an_edit_that_came_late_does_not_hide_one_that_never_came(
    deployment: Deployment, told: list[CrmEvent]
) -> None:
    """Out of order: create, second and third edit; the first edit, then the creation, are missing."""
    account, _ = customer_with_a_case(deployment)
    for name in ("Abel", "Baker", "Cole"):
        deployment.call("PATCH", f"/crm/customers/{account}", {"lastName": name})
    create, _, *edits = (one for one in stream())
    hand_over([edits[2]])
    hand_over([edits[1]])
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    # By the time of each record's latest change: the case's creation, then what the customer lacks.
    assert seen(told) == ["customer.edit", "customer.edit", "case.create", "customer.create", "customer.edit"]
    hand_over([create, edits[0]])
    assert len(told) == 5


def test_activity_alone_is_no_edit_and_8x8_s_changes_are_told_already(
    deployment: Deployment, told: list[CrmEvent]
) -> None:
    account, case = customer_with_a_case(deployment)
    hand_over(stream())
    told.clear()
    deployment.call("POST", f"/crm/customers/{account}/cases/{case}/followups", {"body": "called"})
    held = crm()
    assert isinstance(held, BuiltinCrm)
    mirror.upsert(held.records, RecordRef("8000"), {"lastName": "Pulled"})
    mirror.upsert(held.records, RecordRef("8000"), {"lastName": "Again"})
    mirror.remove(held.records, RecordRef("8001"))
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    assert seen(told) == ["followup.create"]
    deployment.call("PATCH", "/crm/customers/8000", {"lastName": "Ours"})
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    assert seen(told) == ["followup.create", "customer.edit"]


def test_a_case_that_moved_to_its_customer_keeps_its_marks(
    deployment: Deployment, told: list[CrmEvent]
) -> None:
    account = deployment.call("POST", "/crm/customers", factories.customer()).json["accountId"]
    held = crm()
    assert isinstance(held, BuiltinCrm)
    case = held.open_case(UNLINKED, NewCase("s", "d", "c", "v"), key="k")
    held.note_on_case(UNLINKED, case.case_id, "body", key="n")
    hand_over(stream())
    told.clear()
    held.link_case(case.case_id, account)
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    assert [(event.type, event.account_id) for event in told] == [("case.edit", account)]


def test_a_killed_sweep_is_done_again_and_two_at_a_time_are_one(deployment: Deployment) -> None:
    """Killed before and after each of its requests: the next run tells what is missing; ids stay the same."""
    found: list[CrmEvent] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crm_events, "publish", found.extend)
        customer_with_a_case(deployment)
        deployment.pass_time(FIVE_MINUTES)
        for request in range(10):
            for after in (False, True):
                try:
                    with killed_at(request, after=after):
                        sweep()
                except Killed:
                    deployment.pass_time(timedelta(minutes=7))
                sweep()
    assert {event.type for event in found} == {"customer.create", "case.create"}
    assert len({event.event_id for event in found}) == 2

    first = Checkpoint.take(work.ledger().table, lease=timedelta(minutes=6))
    assert first is not None
    assert Checkpoint.take(work.ledger().table, lease=timedelta(minutes=6)) is None
    deployment.pass_time(timedelta(minutes=7))
    second = Checkpoint.take(work.ledger().table, lease=timedelta(minutes=6))
    assert second is not None
    with pytest.raises(ConditionFailed):
        first.move_on(clock.timestamp())


def test_what_does_not_fit_into_one_run_is_told_by_the_next(
    deployment: Deployment, told: list[CrmEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_LOOKED_AT_TOGETHER", 2)
    for _ in range(5):
        deployment.call("POST", "/crm/customers", factories.customer())
    deployment.pass_time(FIVE_MINUTES)
    runs = 0
    while len(told) < 5:
        app.lambda_handler({}, Context(remaining=1))  # type: ignore[arg-type]
        runs += 1
        assert runs < 10
    assert runs > 1


@pytest.mark.parametrize(
    ("held", "told", "text", "missing"),
    [
        ("0", {1}, "1", [2, 3, 4, 5]),
        ("1", {3, 5}, "1,3,5", [2, 4]),
        ("1,3,5", {2}, "3,5", [4]),
        ("3,5", {4}, "5", []),
        ("5", {2}, "5", []),
    ],
)
def test_a_mark(held: str, told: set[int], text: str, missing: list[int]) -> None:
    mark = Mark.of({"told": held}).with_told(told)
    assert (str(mark), mark.missing(5)) == (text, missing)


def test_a_member_that_the_stream_forgot_is_told_and_reaches_its_synchronization(
    deployment: Deployment, told: list[CrmEvent]
) -> None:
    """Enrolled and changed here, and sent to us: nobody told any of it."""
    for number in ("1-A", "1-B"):
        made = deployment.call("PUT", f"/crm/members/{number}", MEMBER)
        assert made.status == 201, made.text
    changed = deployment.call("PATCH", "/crm/members/1-A", {"city": "Vienna"})
    assert changed.json["rev"] == 2
    held = crm()
    assert isinstance(held, BuiltinCrm)
    profile = {"firstName": "Ada", "lastName": "Miller", "email": "c@example.com"}
    held.write_member_sync("1-C", MemberSync("Success", None, 1, 7), profile=profile)
    held.write_member_push("1-D", MemberPush(clock.timestamp(), segment="gold", entered=True))
    sweep()
    assert told == []
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    found = [(event.member_number, event.event, event.in_step) for event in told]
    assert sorted(found) == [
        ("1-A", "create", False),
        ("1-A", "edit", False),
        ("1-B", "create", False),
        ("1-C", "create", True),
    ]
    deployment.run_queues("MEMBER_EVENT_QUEUE_URL")
    assert deployment.call("GET", "/members/1-A/sync").json["status"] == "pending"
    told.clear()
    deployment.run_changes()  # the stream comes after all
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    assert told == []


def test_a_member_whose_changes_were_told_is_left_alone(deployment: Deployment, told: list[CrmEvent]) -> None:
    deployment.call("PUT", "/crm/members/1-A", MEMBER)
    deployment.call("PATCH", "/crm/members/1-A", {"city": "Vienna"})
    deployment.run_changes()
    assert seen(told) == ["member.create", "member.edit"]
    deployment.pass_time(FIVE_MINUTES)
    sweep()
    assert len(told) == 2
    held = crm()
    assert isinstance(held, BuiltinCrm)
    key = {"pk": "MEMBER#1-A", "sk": "MEMBER"}
    assert Published(work.ledger().table).marks([mark_key(key)])[mark_key(key)] == Mark(2)
    assert "1-A" not in mark_key(key)[0]
