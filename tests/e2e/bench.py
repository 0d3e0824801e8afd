"""The deployed stack in a test's hands: its API, its vendors, and the account below it."""

import base64
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import batched
from pathlib import Path
from typing import Any

import boto3
import httpx

from switchboard import clock
from switchboard.dynamo import Item, item_from_wire, item_to_wire
from switchboard.ledger.keys import pk_of
from tests.e2e.waiting import until
from tools.paths import EMULATOR_HOME
from tools.stack import Stack

SWEEP_SECONDS = 3.0
"""How long a sweep takes at most where little is to be done, its cold start with it."""

type Metric = tuple[str, frozenset[tuple[str, str]]]
"""A metric's name, and its dimensions."""


@cache
def _client(service: str, endpoint: str, region: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=endpoint, region_name=region, **keys)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Bench:
    """The stack as this test uses it."""

    stack: Stack
    api: httpx.Client
    sandbox: httpx.Client

    def aws(self, service: str) -> Any:
        return _client(service, self.stack.aws_endpoint, self.stack.region)

    def fault(self, vendor: str, fault: dict[str, Any] | None) -> None:
        self.sandbox.delete(f"/_control/{vendor}/faults").raise_for_status()
        if fault is not None:
            self.sandbox.post(f"/_control/{vendor}/faults", json=fault).raise_for_status()

    @contextmanager
    def without_secret(self, output: str, *lost: str) -> Iterator[None]:
        """Our own side at fault: the connector's secret is empty, or lacks what was `lost`."""
        manager, arn = self.aws("secretsmanager"), self.stack.outputs[output]
        held = manager.get_secret_value(SecretId=arn)["SecretString"]
        left = {name: value for name, value in json.loads(held).items() if lost and name not in lost}
        manager.put_secret_value(SecretId=arn, SecretString=json.dumps(left))
        try:
            self.api.post("/settings/reload").raise_for_status()
            yield
        finally:
            manager.put_secret_value(SecretId=arn, SecretString=held)
            self.api.post("/settings/reload").raise_for_status()

    def entry(self, ledger_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/ledger/{ledger_id}").json()
        return found

    def code_of(self, ledger_id: str) -> str:
        """The code of an entry's failure, as soon as it has one."""

        def look() -> str | None:
            code: str | None = self.entry(ledger_id).get("code")
            return code

        return until(look, f"{ledger_id} to fail")

    def causes(self) -> set[tuple[str, str]]:
        """Flow and code of all that the summary has."""
        return {(one["flow"], one["code"]) for one in self.api.get("/ledger/summary").json()["items"]}

    # the account ------------------------------------------------------------------------------------------

    def function(self, logical_name: str) -> str:
        """The name of a deployed function, by what the template calls it."""
        pages = self.aws("lambda").get_paginator("list_functions").paginate()
        names = [one["FunctionName"] for page in pages for one in page["Functions"]]
        [found] = [name for name in names if name.startswith(f"{self.stack.stack_name}-{logical_name}-")]
        return str(found)

    def invoke(self, logical_name: str) -> str:
        """What a schedule does; the end of the function's log."""
        answer = self.aws("lambda").invoke(
            FunctionName=self.function(logical_name), Payload=b"{}", LogType="Tail"
        )
        assert "FunctionError" not in answer, answer["Payload"].read()
        return base64.b64decode(answer.get("LogResult", "")).decode()

    def swept[T](self, look: Callable[[], T | None]) -> Callable[[], T | None]:
        """`look`, and a sweep where that finds nothing: the sweeper's minutes go by in seconds."""

        def sweeping() -> T | None:
            found = look()
            if not found:
                self.invoke("SweeperFunction")
            return found

        return sweeping

    def kill_workers(self, logical_name: str) -> int:
        """Kill the processes in which the emulator runs a function; how many there were."""
        home = str(EMULATOR_HOME / "tmp" / f"ministack-lambda-{self.function(logical_name)}-")
        of_it = [one for one in Path("/proc").glob("[0-9]*") if home in _command(one)]
        for one in of_it:
            os.kill(int(one.name), signal.SIGKILL)
        return len(of_it)

    def pass_by(self, *ledger_ids: str, **fields: Any) -> None:
        """Time passes: the waits of these entries are over, and a dead worker's lease; the sweeper looks."""
        past = clock.timestamp(timedelta(minutes=-1))
        for ledger_id in ledger_ids:
            self.change("StateTableName", pk_of(ledger_id), "ENTRY", dueAt=past, leaseUntil=past, **fields)
        self.invoke("SweeperFunction")

    @contextmanager
    def unattended(self, *outputs: str) -> Iterator[None]:
        """Nobody takes from these queues, and nobody sweeps: a message that is lost now stays lost."""
        client, sqs = self.aws("lambda"), self.aws("sqs")
        arns = {
            sqs.get_queue_attributes(QueueUrl=self.stack.outputs[one], AttributeNames=["QueueArn"])[
                "Attributes"
            ]["QueueArn"]
            for one in outputs
        }
        pages = client.get_paginator("list_event_source_mappings").paginate()
        mappings = [one for page in pages for one in page["EventSourceMappings"]]
        paused = [one["UUID"] for one in mappings if one["EventSourceArn"] in arns]
        assert len(paused) == len(outputs)
        try:
            self._sweeper("DISABLED")
            for one in paused:
                client.update_event_source_mapping(UUID=one, Enabled=False)
            yield
        finally:
            for one in paused:
                client.update_event_source_mapping(UUID=one, Enabled=True)
            self._sweeper("ENABLED")

    def _sweeper(self, state: str) -> None:
        client = self.aws("scheduler")
        names = [one["Name"] for one in client.list_schedules()["Schedules"]]
        [name] = [one for one in names if one.startswith(f"{self.stack.stack_name}-Sweeper")]
        held = client.get_schedule(Name=name)
        kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
        client.update_schedule(**{one: held[one] for one in kept}, State=state)
        if (held["State"], state) == ("ENABLED", "DISABLED"):
            time.sleep(SWEEP_SECONDS)  # one that the schedule has just begun is at work still

    def item(self, pk: str, sk: str = "ENTRY") -> Item:
        """An item of the State table as it is stored."""
        key = item_to_wire({"pk": pk, "sk": sk})
        table = self.stack.outputs["StateTableName"]
        return item_from_wire(self.aws("dynamodb").get_item(TableName=table, Key=key)["Item"])

    def change(self, output: str, pk: str, sk: str, **fields: Any) -> None:
        """Write attributes of an item that is there: what only time could do otherwise."""
        self.aws("dynamodb").update_item(
            TableName=self.stack.outputs[output],
            Key=item_to_wire({"pk": pk, "sk": sk}),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={f"#{name}": name for name in fields},
            ExpressionAttributeValues=item_to_wire({f":{name}": value for name, value in fields.items()}),
        )

    def write(self, items: Iterable[Item], *, delete: bool = False) -> None:
        """Put items into the State table past all rules, or delete them."""
        client, table = self.aws("dynamodb"), self.stack.outputs["StateTableName"]
        for some in batched(items, 25, strict=False):
            requests = [
                {"DeleteRequest": {"Key": item_to_wire({"pk": one["pk"], "sk": one["sk"]})}}
                if delete
                else {"PutRequest": {"Item": item_to_wire(one)}}
                for one in some
            ]
            answer = client.batch_write_item(RequestItems={table: requests})
            assert not answer.get("UnprocessedItems")

    def published(self, *steps: str) -> set[Metric]:
        """Metrics and their dimensions, as CloudWatch makes them of what these steps have logged."""
        logs = self.aws("logs")
        found = set()
        for group in logs.describe_log_groups()["logGroups"]:
            name = group["logGroupName"]
            if not name.endswith(tuple(f"/{step}Logs" for step in steps)):
                continue
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                for line in page["events"]:
                    if "CloudWatchMetrics" in line["message"]:
                        found |= _metrics_of(json.loads(line["message"]))
        return found

    def watched(self) -> set[Metric]:
        """The metrics of ours, with their dimensions, that the deployed alarms watch."""
        pages = self.aws("cloudwatch").get_paginator("describe_alarms").paginate()
        return {
            (
                alarm["MetricName"],
                frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"]),
            )
            for page in pages
            for alarm in page["MetricAlarms"]
            if alarm.get("Namespace", "").startswith("Switchboard")
        }

    def give_up(self, output: str) -> None:
        """What SQS does with messages whose workers never finish: they become dead letters."""
        sqs = self.aws("sqs")
        wanted = {"QueueUrl": self.stack.outputs[output], "MaxNumberOfMessages": 10}
        while sqs.receive_message(**wanted, VisibilityTimeout=0, WaitTimeSeconds=0).get("Messages"):
            pass


def _metrics_of(line: dict[str, Any]) -> set[Metric]:
    [directive] = line["_aws"]["CloudWatchMetrics"]
    [names] = directive["Dimensions"]
    dimensions = frozenset((name, line[name]) for name in names)
    return {(metric["Name"], dimensions) for metric in directive["Metrics"]}


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:  # it has just ended
        return ""
