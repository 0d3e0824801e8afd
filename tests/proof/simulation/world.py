"""One run: sources, workers, the sweeper and time take turns, in an order drawn from a seed."""

import importlib
import json
import random
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from moto.sqs.models import sqs_backends

from functions.trigger_delivery import lanes, logic
from switchboard import aws, config, observability
from switchboard.dynamo import item_from_wire
from switchboard.ledger import UNFINISHED
from tests.proof.simulation.chaos import FAULTS, Chaos
from tests.proof.simulation.flows import FLOWS, Flow, Invitations
from tests.proof.simulation.history import DONE, Ended, History, Seen
from tests.support.deployment import (
    ADMIN_KEY,
    QUEUES,
    STANDARD_QUEUES,
    Context,
    Deployment,
    Reply,
    deployed,
)
from tests.support.faults import Killed
from tests.support.permissions import acting_as
from tests.support.stand_ins import Sandbox

PARTNERS = ("kestrel", "osprey")
SCOPES = (
    *("social:write", "leads:write", "members:write", "members:read", "crm:read", "crm:write"),
    *("events:write", "triggers:write", "triggers:read", "surveys:write", "surveys:read"),
    *("charging:write", "charging:read", "ledger:read", "ledger:write"),
)
VENDORS = ("crowdtwist", "sem", "ocsio", "questionpro", "meta")
_MOST_ROUNDS = 60
"""Rounds of 16 minutes that all work has to come to its end in, once nothing goes wrong any more."""


class World:
    """The deployed bundle, its vendors, its partners, and what goes wrong between them."""

    def __init__(self, deployment: Deployment, sandbox: Sandbox, chaos: Chaos) -> None:
        self.deployment = deployment
        self.sandbox = sandbox
        self.chaos = chaos
        self.lots = chaos.lots
        self.partners = PARTNERS
        self.private: dict[str, str] = {}
        """Paths of what a partner owns, with its owner."""
        self.posts: dict[tuple[str, int], str] = {}
        self.seen: list[Seen] = []
        self._changes = 0
        self._scans: dict[str, list[dict[str, Any]]] = {}
        self._keys = {name: deployment.partner(*SCOPES) for name in PARTNERS}
        self._streams = boto3.client("dynamodbstreams")
        chaos.overtake = self._meanwhile
        self.troubled: tuple[str, ...] = (*VENDORS, "sink")
        for vendor in VENDORS:
            secret = aws.secretsmanager().create_secret(
                Name=vendor, SecretString=json.dumps(sandbox.secret(vendor))
            )
            deployment.patch.setenv(f"{vendor.upper()}_SECRET_ARN", secret["ARN"])
        self.flows: list[Flow] = []

    def prepare(self, flows: Iterable[type[Flow]]) -> None:
        """Let the flows make what they need; settings and triggers are kept from then on."""
        self.flows = [flow(self) for flow in flows]
        self._run_everything()
        self.deployment.patch.setattr(config, "STALENESS", 3600.0)
        config.forget()

    # turns ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One turn of somebody."""
        what = self.lots.choices(
            ("source", "worker", "changes", "sweeper", "vendor", "operator", "pry"),
            weights=(43, 34, 5, 6, 6, 3, 3),
        )[0]
        match what:
            case "source":
                self.lots.choice(self.flows).act()
            case "worker":
                self._work()
            case "changes":
                self._run_changes()
            case "sweeper":
                self.deployment.pass_time(timedelta(seconds=self.lots.choice((1, 40, 200))))
                self._survive(self.deployment.sweep)
            case "vendor":
                self._trouble_a_vendor()
            case "operator":
                self._resubmit()
            case _:
                self._pry()

    def end(self) -> None:
        """Nothing goes wrong any more, and time passes until all work has come to its end."""
        self.chaos.rate = 0.0
        for vendor in (*VENDORS, "sink"):
            self.sandbox.end_faults(vendor)
        for flow in self.flows:
            if isinstance(flow, Invitations):
                flow.finish()
        self._run_everything()
        for _ in range(_MOST_ROUNDS):
            if not self._unfinished():
                break
            self.deployment.pass_time(timedelta(minutes=16))
            self.deployment.sweep()
            self._run_everything()
        for path in self.private:
            self._read(path)

    def history(self) -> History:
        """What the run has to show for itself."""
        self._scans.clear()
        history = History(words={name: name for name in PARTNERS}, seen=self.seen)
        for flow in self.flows:
            flow.write(history)
        for item in self.state_items():
            if item["sk"] == "ENTRY":
                history.entries.append(self._ended(item))
        return history

    def _ended(self, item: dict[str, Any]) -> Ended:
        archived = [
            move
            for page in sorted(self.state_items(), key=lambda page: str(page["sk"]))
            if page["pk"] == item["pk"] and page["sk"].startswith("HISTORY#")
            for move in page["moves"]
        ]
        moves = [*archived, *item["history"]]
        return Ended(
            item["ledgerId"],
            item["flow"],
            item["status"],
            tuple(move["status"] for move in moves if not move.get("superseded")),
            f"{item.get('code')}: {item.get('detail')}",
            # Work without a queue ends with its call; the caller was told, and decides.
            (item["flow"] == "survey_invitation" and not self._is_invited(item["ledgerId"]))
            or json.loads(item.get("payload") or "{}").get("later") is False,
        )

    def _is_invited(self, invitation_id: str) -> bool:
        return any(item["pk"] == f"INVITATION#{invitation_id}" for item in self.state_items())

    # calls ------------------------------------------------------------------------------------------------

    def call(
        self, partner: str | None, method: str, path: str, body: Any = None, **options: Any
    ) -> Reply | None:
        """A call in the middle of it all; None when the function died and there was no answer."""
        key = self._keys[partner] if partner else None
        try:
            with self.chaos.during():
                reply = self.deployment.call(method, path, body, key=key, **options)
        except (Killed, BotoCoreError, ClientError):  # the latter of the authorizer, for which nobody answers
            return None
        if partner:
            # A problem names the path, which its reader knew.
            self.seen.append(Seen(partner, reply.text.replace(path, ""), f"{method} {path}"))
        return reply

    def must(self, partner: str | None, method: str, path: str, body: Any = None) -> Reply:
        """A call without faults, that succeeds; of the administrator when no partner is named."""
        key = self._keys[partner] if partner else ADMIN_KEY
        with self.chaos.quietly():
            reply = self.deployment.call(method, path, body, key=key)
        assert reply.status in range(200, 300), reply.text
        return reply

    def _pry(self) -> None:
        if self.private:
            self._read(self.lots.choice(list(self.private)))

    def _read(self, path: str) -> None:
        """Both partners read what one of them owns: the other is to find nothing."""
        for partner in PARTNERS:
            reply = self.call(partner, "GET", path)
            found = reply is not None and reply.status == 200
            if found and self.private[path] != partner:
                self.seen.append(Seen(partner, self.private[path], f"GET {path}"))

    def _meanwhile(self) -> None:
        """What happens while a worker stands still: another one works, or a person loses patience before."""
        if self.lots.random() < 0.4:
            self._resubmit(first="in_progress")
            for variable in [variable for variable in QUEUES if self._depth(variable)]:
                self._take(variable)
        else:
            self._work()

    def _resubmit(self, *, first: str = "") -> None:
        """An operator resubmits what is not done, of this state `first`; 409 when it is being worked on."""
        with self.chaos.quietly():
            self._scans.clear()
            entries = [item for item in self.state_items() if item["sk"] == "ENTRY"]
            waiting = [item for item in entries if item["status"] not in DONE]
            waiting = [item for item in waiting if item["status"] == first] or waiting
        if waiting:
            chosen = self.lots.choice(sorted(item["ledgerId"] for item in waiting))
            path = f"/ledger/{chosen}/resubmit"
            with self.chaos.quietly():
                reply = self.deployment.call("POST", path)
            assert reply.status in (202, 409), reply.text

    # workers ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """A worker takes a batch of a queue, and the queue may not hear that it was done."""
        waiting = [variable for variable in QUEUES if self._depth(variable)]
        if waiting:
            self._take(self.lots.choice(waiting))

    def _depth(self, variable: str) -> int:
        # From moto itself: a request for each of the queues at each turn would take most of the run's time.
        name = self.deployment.queue_urls[variable].rpartition("/")[2]
        held = sqs_backends["123456789012"]["eu-central-1"].queues[name]
        return int(held.approximate_number_of_messages)

    def _take(self, variable: str) -> None:
        url = self.deployment.queue_urls[variable]
        with self.chaos.quietly():
            answer = aws.sqs().receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=self.lots.randint(1, 10),
                MessageSystemAttributeNames=["All"],
            )
        batch: list[Any] = answer.get("Messages", [])
        if variable in STANDARD_QUEUES:
            self.lots.shuffle(batch)
        if batch:
            done = self._hand_over(variable, batch)
            with self.chaos.quietly():
                for message in batch:
                    self._answer_queue(url, message, done=message["MessageId"] in done)

    def _hand_over(self, variable: str, batch: list[Any]) -> set[str]:
        """The ids of the messages that the step has done; none when it died or broke."""
        arn = f"arn:aws:sqs:us-east-1:123456789012:{self.deployment.queue_urls[variable].rpartition('/')[2]}"
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
            }
            for message in batch
        ]
        # A function sometimes has little time left, and hands back what it cannot start.
        remaining = self.lots.choice((30_000, 30_000, 30_000, 1_000)) if self.chaos.rate else 30_000
        step = QUEUES[variable]
        handler = importlib.import_module(f"functions.{step}.app").lambda_handler
        with acting_as(step):
            answer = self._survive(lambda: handler({"Records": records}, Context(remaining=remaining)))
        if answer is None:
            return set()
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        return {message["MessageId"] for message in batch} - failed

    def _answer_queue(self, url: str, message: Any, *, done: bool) -> None:
        acknowledged = done and (self.lots.random() > 0.1 or not self.chaos.rate)
        handle = message["ReceiptHandle"]
        if acknowledged:
            aws.sqs().delete_message(QueueUrl=url, ReceiptHandle=handle)
        else:
            aws.sqs().change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)

    def _run_changes(self) -> int:
        """Hand on what is new in the CRM's stream; what was not published comes again, with all after it."""
        with self.chaos.quietly():
            [stream] = self._streams.list_streams(TableName="CrmTable")["Streams"]
            shards = self._streams.describe_stream(StreamArn=stream["StreamArn"])
            iterator = self._streams.get_shard_iterator(
                StreamArn=stream["StreamArn"],
                ShardId=shards["StreamDescription"]["Shards"][0]["ShardId"],
                ShardIteratorType="TRIM_HORIZON",
            )["ShardIterator"]
            records: list[Any] = self._streams.get_records(ShardIterator=iterator)["Records"]
        new = records[self._changes : self._changes + 10]
        wanted = [record for record in new if record["dynamodb"]["Keys"]["pk"]["S"].startswith("CUSTOMER#")]
        if wanted:
            handler = importlib.import_module("functions.crm_changes.app").lambda_handler
            with acting_as("crm_changes"):
                answer = self._survive(lambda: handler({"Records": wanted}, Context()))
            if answer is None:
                return len(new)
            if answer["batchItemFailures"]:
                broken = answer["batchItemFailures"][0]["itemIdentifier"]
                numbers = [record["dynamodb"]["SequenceNumber"] for record in new]
                self._changes += numbers.index(broken)
                return len(new)
        self._changes += len(new)
        return len(new)

    def _survive[Result](self, call: Any) -> Any:
        """Call a function; None when it was killed, or ended in an exception."""
        try:
            with self.chaos.during():
                return call()
        except (Killed, Exception):  # noqa: BLE001 - AWS calls it again, whatever it was
            return None

    def _run_everything(self) -> None:
        moved = True
        while moved:
            moved = self._run_changes() > 0
            for variable in QUEUES:
                while self._depth(variable):
                    self._take(variable)
                    moved = True

    def _trouble_a_vendor(self) -> None:
        vendor = self.lots.choice(self.troubled)
        kind = self.lots.choice(("answerLost", "answerLost", "down", "status"))
        status = self.lots.choice((429, 500, 503))
        self.sandbox.fault(vendor, kind=kind, count=self.lots.randint(1, 3), status=status)

    # witnesses --------------------------------------------------------------------------------------------

    def control(self, path: str, body: Any = None) -> Any:
        """What the sandbox's control plane answers; a POST when there is a body."""
        url = f"{self.sandbox.url}/_control/{path}"
        with self.chaos.quietly():
            if body is None:
                return httpx.get(url, trust_env=False).json()
            return httpx.post(url, json=body, trust_env=False).json()

    def calls(self, vendor: str) -> list[Any]:
        """The calls that a vendor got."""
        return self.sandbox.calls(vendor)

    def crm_items(self) -> list[dict[str, Any]]:
        """The items of the CRM's table."""
        return self._items("CrmTable")

    def state_items(self) -> list[dict[str, Any]]:
        """The items of the State table."""
        return self._items("StateTable")

    def _items(self, table: str) -> list[dict[str, Any]]:
        if table not in self._scans:
            pages = aws.dynamodb().get_paginator("scan").paginate(TableName=table)
            self._scans[table] = [item_from_wire(item) for page in pages for item in page["Items"]]
        return self._scans[table]

    def _unfinished(self) -> bool:
        self._scans.clear()
        waiting = any(
            item.get("status") in UNFINISHED for item in self.state_items() if item["sk"] == "ENTRY"
        )
        deliveries = any(
            item.get("status") in ("pending", "retrying", "in_progress")
            for item in self.state_items()
            if str(item["sk"]).startswith("DELIVERY#")
        )
        return waiting or deliveries


class _InTurn(Executor):
    """The threads of a worker, one after the other in this very thread.

    While one of them stands still another worker takes its turn, who would wait for a thread for ever.
    """

    def submit[**Taken, Result](
        self, call: Callable[Taken, Result], /, *taken: Taken.args, **named: Taken.kwargs
    ) -> Future[Result]:
        """Do it now."""
        done: Future[Result] = Future()
        try:
            done.set_result(call(*taken, **named))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            done.set_exception(error)
        return done


def _quick(patch: pytest.MonkeyPatch) -> None:
    """No waits by the wall clock; time passes when the run says so."""
    patch.setattr(logic, "LADDER", (timedelta(0),) * 30)
    patch.setattr(logic, "SLOW", timedelta(0))
    patch.setattr(lanes, "SETTLED", timedelta(0))
    patch.setattr("functions.trigger_fanout.app._SETTLING_SECONDS", 0)
    patch.setattr("functions.trigger_delivery.app.threads", _InTurn)
    patch.setattr("switchboard.dynamo.time.sleep", lambda _: None)


def run(
    sandbox: Sandbox,
    seed: int,
    *,
    steps: int,
    rate: float,
    flows: Iterable[type[Flow]] = FLOWS,
    kinds: tuple[str, ...] = FAULTS,
    troubled: tuple[str, ...] = (),
) -> tuple[History, Chaos]:
    """One run of so many turns; its history, and what went wrong in it.

    Args:
        sandbox: the vendors.
        seed: where everything is drawn from.
        steps: turns.
        rate: the share of AWS and vendor calls to which something happens.
        flows: who sends.
        kinds: what happens to calls.
        troubled: the vendors that fail for a while now and then; all when left out.
    """
    chaos = Chaos(random.Random(seed), rate, kinds)
    sandbox.reset()
    level = observability.logger.log_level
    with ExitStack() as stack:
        deployment = stack.enter_context(deployed())
        observability.logger.setLevel("CRITICAL")
        stack.callback(observability.logger.setLevel, level)
        _quick(deployment.patch)
        stack.enter_context(chaos.installed())
        world = World(deployment, sandbox, chaos)
        world.prepare(flows)
        world.troubled = troubled or world.troubled
        for _ in range(steps):
            world.step()
        world.end()
        return world.history(), chaos
