"""State machines: the ledger, a member, a trigger, driven by hypothesis against a model of a few lines.

`SWITCHBOARD_MACHINE_EXAMPLES` is the number of walks of each: in the tests two short ones, the same ones
every time; `make prove` asks for many.
"""

import json
import os
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from functions.trigger_delivery import lanes, logic
from switchboard import aws, observability, work
from switchboard.dynamo import ConditionFailed
from switchboard.ledger import FAILED, UNFINISHED, Entry, Ledger
from switchboard.triggers import store
from tests.support import factories
from tests.support.deployment import Deployment, deployed
from tests.support.stand_ins import Sandbox

EXAMPLES = int(os.environ.get("SWITCHBOARD_MACHINE_EXAMPLES", "2"))
WALK = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25 if EXAMPLES >= 10 else 12,
    deadline=None,
    database=None,
    derandomize=EXAMPLES < 10,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink] if EXAMPLES >= 10 else [Phase.generate],
)
LEASE = timedelta(seconds=60)


class Machine(RuleBasedStateMachine):
    """A deployment of its own for each walk."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.deployment: Deployment = self.stack.enter_context(deployed())
        level = observability.logger.log_level
        observability.logger.setLevel("CRITICAL")
        self.stack.callback(observability.logger.setLevel, level)

    def teardown(self) -> None:
        self.stack.close()


class LedgerMachine(Machine):
    """One entry: who holds it, which version it is of, and which moves it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger = work.ledger()
        self.version = 0
        self.status = ""
        self.held: list[Entry] = []
        """Claims whose workers still believe that they have it; the last one is right, if any is."""
        self.owned = False
        """Whether the last claim is the entry's: it may record even when its lease has run out."""
        self.holds = False
        """Whether a lease keeps others out."""
        self.moves = 0

    @property
    def entry(self) -> Entry:
        found = self.ledger.get(self.ledger_id)
        assert found is not None
        return found

    @initialize(version=st.integers(1, 3))
    def first(self, version: int) -> None:
        self.ledger_id = self._accept(version).entry.ledger_id

    def _accept(self, version: int) -> Any:
        accepted = self.ledger.accept(
            partner_id="p",
            flow="flow",
            entity="e",
            payload={"version": version},
            group="g",
            correlation_id="c",
            version=version,
        )
        assert accepted.is_new == (version > self.version)
        if accepted.is_new:
            self.version = version
            self.moves += 1
            self.status = "pending"
        return accepted

    @rule(version=st.integers(1, 8))
    def accept(self, version: int) -> None:
        self._accept(version)

    @rule()
    def claim(self) -> None:
        taken = self.ledger.claim(self.ledger_id, lease=LEASE)
        may = self.entry_may_be_claimed
        assert (taken is not None) == may
        if taken is not None:
            assert taken.payload == {"version": self.version}
            self.held.append(taken)
            self.holds = self.owned = True
            self.status = "in_progress"

    @property
    def entry_may_be_claimed(self) -> bool:
        return self.status in UNFINISHED and not self.holds

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(), outcome=st.sampled_from(["synced", "unchanged", "data_error", "retrying", "unknown"])
    )
    def record(self, data: Any, outcome: Any) -> None:
        number = data.draw(st.integers(0, len(self.held) - 1))
        mine = self.held.pop(number)
        is_the_holder = self.owned and number == len(self.held)
        taken = self.ledger.record(mine, outcome, retry_in=timedelta(seconds=5))
        assert taken == (is_the_holder and mine.version == self.version)
        if is_the_holder:
            self.holds = self.owned = False
            self.moves += 1
            self.status = outcome if taken else "pending"

    @rule()
    def time_passes(self) -> None:
        self.deployment.pass_time(LEASE * 2)
        self.holds = False

    @precondition(lambda self: not self.holds)
    @rule()
    def resubmit(self) -> None:
        entry = self.entry
        if entry.status in (*FAILED, "retrying", "unknown"):
            self.ledger.reopen(entry, correlation_id="c", reason="resubmitted")
            self.status = "pending"
            self.moves += 1

    @precondition(lambda self: self.status in FAILED)
    @rule()
    def discard(self) -> None:
        self.ledger.discard(self.entry, correlation_id="c", reason="no", by="admin")
        self.status = "discarded"
        self.moves += 1

    @rule()
    def an_old_picture_of_the_entry_moves_nothing(self) -> None:
        from dataclasses import replace

        old = replace(self.entry, revision=self.entry.revision - 1)
        with pytest.raises(ConditionFailed):
            self.ledger.reopen(old, correlation_id="c", reason="late")

    @invariant()
    def it_stands_as_the_model_says(self) -> None:
        if not self.version:
            return
        entry = self.entry
        assert entry.version == self.version
        assert len(self.ledger.full_history(entry)) == self.moves
        assert entry.status == self.status


class MemberMachine(Machine):
    """One member: versions in any order, workers, CrowdTwist away and back, a resubmission."""

    sandbox: Sandbox

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.reset()
        secret = json.dumps(self.sandbox.secret("crowdtwist"))
        made = aws.secretsmanager().create_secret(Name="crowdtwist", SecretString=secret)
        self.deployment.patch.setenv("CROWDTWIST_SECRET_ARN", made["ARN"])
        self.newest = 0

    @rule(version=st.integers(1, 9))
    def put(self, version: int) -> None:
        body = factories.member(version=version, lastName=f"Miller v{version}", email="m@example.com")
        reply = self.deployment.call("PUT", "/members/m", body)
        assert reply.status == (202 if version > self.newest else 200), reply.text
        if version < self.newest:
            assert reply.json["status"] == "superseded"
        self.newest = max(self.newest, version)

    @rule()
    def work(self) -> None:
        self.deployment.run_queues("MEMBER_QUEUE_URL")

    @rule(kind=st.sampled_from(["down", "answerLost", "status"]))
    def trouble(self, kind: str) -> None:
        self.sandbox.fault("crowdtwist", kind=kind, count=2, status=503)

    @rule()
    def time_passes(self) -> None:
        self.deployment.pass_time(timedelta(minutes=16))
        self.deployment.sweep()

    @precondition(lambda self: self.newest)
    @rule()
    def resubmit(self) -> None:
        assert self.deployment.call("POST", "/members/m/sync").status in (202, 409)

    @invariant()
    def crowdtwist_has_it_once(self) -> None:
        assert len(self._users()) <= 1

    def _users(self) -> list[Any]:
        import httpx

        answer = httpx.get(f"{self.sandbox.url}/_control/crowdtwist/users", trust_env=False)
        users: list[Any] = answer.json()["items"]
        return users

    def teardown(self) -> None:
        try:
            self.sandbox.end_faults("crowdtwist")
            for _ in range(6):
                self.time_passes()
                self.work()
            if self.newest:
                state = self.deployment.call("GET", "/members/m/sync").json
                assert state["status"] in ("synced", "unchanged"), state
                assert [user["last_name"] for user in self._users()] == [f"Miller v{self.newest}"]
        finally:
            super().teardown()


_DELIVERY = ("TRIGGER_FANOUT_QUEUE_URL", "TRIGGER_DELIVERY_QUEUE_URL")


class TriggerMachine(Machine):
    """One webhook: events while it is active, disabled, gone; each event has one id, whatever happens."""

    sandbox: Sandbox

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.reset()
        patch = self.deployment.patch
        patch.setattr(logic, "LADDER", (timedelta(0),) * 9)
        patch.setattr(logic, "SLOW", timedelta(0))
        patch.setattr(lanes, "SETTLED", timedelta(0))
        patch.setattr("functions.trigger_fanout.app._SETTLING_SECONDS", 0)
        body = {"url": f"{self.sandbox.url}/sink/x", "object": "case", "event": "edit"}
        form = {"format": "webhook", "method": "POST"}
        self.trigger = self.deployment.call("POST", "/triggers", body | form).json["triggerId"]
        self.active = True
        self.was_off = False
        self.told: set[str] = set()

    @rule(number=st.integers(0, 6))
    def tell(self, number: int) -> None:
        ids = {"accountId": "a", "caseId": f"c{number}", "eventId": f"e{number}"}
        reply = self.deployment.call("POST", "/crm/events", {"object": "case", "event": "edit"} | ids)
        assert reply.status == 202
        self.told.add(f"e{number}")
        self.deployment.run_queues(*_DELIVERY)

    @rule(status=st.sampled_from(["active", "disabled"]))
    def switch(self, status: str) -> None:
        if status == "active":
            assert self.deployment.call("POST", f"/triggers/{self.trigger}/enable").status in (200, 202)
        else:
            store.disable(self.trigger, "failing")
            self.was_off = True
        self.active = status == "active"

    @rule(kind=st.sampled_from(["answerLost", "status"]))
    def trouble(self, kind: str) -> None:
        self.sandbox.fault("sink", kind=kind, count=1, status=500)

    @invariant()
    def one_id_each(self) -> None:
        ids: dict[str, set[str]] = {}
        for call in self.sandbox.calls("sink"):
            case = json.loads(call["body"])["data"]["caseId"]
            ids.setdefault(case, set()).add(call["headers"]["webhook-id"])
        assert all(len(found) == 1 for found in ids.values())

    def teardown(self) -> None:
        try:
            self.sandbox.end_faults("sink")
            for _ in range(3):
                self.deployment.pass_time(timedelta(minutes=16))
                self.deployment.sweep()
                self.deployment.run_queues(*_DELIVERY)
            reply = self.deployment.call(
                "GET", f"/triggers/{self.trigger}/deliveries", query={"limit": "100"}
            )
            found = {one["eventId"]: one["status"] for one in reply.json["items"]}
            assert found.keys() == self.told
            ends = {"delivered", "skipped"} if self.was_off else {"delivered"}
            assert set(found.values()) <= ends, found
        finally:
            super().teardown()


def walk(machine: type[Machine]) -> None:
    run_state_machine_as_test(machine, settings=WALK)


def test_the_ledger_follows_its_model() -> None:
    walk(LedgerMachine)


def test_a_member_ends_at_its_newest_version(running_sandbox: Sandbox) -> None:
    MemberMachine.sandbox = running_sandbox
    walk(MemberMachine)


def test_a_trigger_tells_each_event_under_one_id(running_sandbox: Sandbox) -> None:
    TriggerMachine.sandbox = running_sandbox
    walk(TriggerMachine)
