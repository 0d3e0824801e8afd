"""The bundle in a mocked account: its tables, its queues, and its steps called as AWS calls them.

A test sends HTTP calls through the authorizer and the step that has the route, runs the queues dry, and
lets the sweeper look. Nothing is patched: the code under test is the code that is deployed.
"""

import base64
import importlib
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from switchboard import (
    aws,
    breaker,
    clock,
    config,
    connectors,
    dead_letters,
    egress_client,
    partners,
    secrets,
    standing,
    work,
)
from switchboard.api import Api, matches
from switchboard.connectors import meta, ocsio, sem, vcc
from switchboard.settings import store
from switchboard.surveys import delivery
from tests.support.permissions import acting_as, enforced
from tests.support.tables import mocked_aws, template

ADMIN_KEY = "the-admin-key-of-the-tests-0123456789abcdefghijkl"
QUEUES = {
    "SOCIAL_POST_QUEUE_URL": "social_case",
    "SOCIAL_REPLY_QUEUE_URL": "social_reply",
    "LEAD_QUEUE_URL": "lead_work",
    "MEMBER_QUEUE_URL": "member_sync",
    "MEMBER_PUSH_QUEUE_URL": "member_sync",
    "MEMBER_EVENT_QUEUE_URL": "member_sync",
    "CHARGING_QUEUE_URL": "charging_work",
    "PROVISIONING_QUEUE_URL": "charging_provision",
    "TRIGGER_FANOUT_QUEUE_URL": "trigger_fanout",
    "TRIGGER_DELIVERY_QUEUE_URL": "trigger_delivery",
    "RECORD_SYNC_QUEUE_URL": "record_sync",
    "SURVEY_EVENT_QUEUE_URL": "survey_work",
    "SURVEY_TRIGGER_QUEUE_URL": "survey_work",
    "SURVEY_INVITATION_QUEUE_URL": "survey_work",
    "SURVEY_RESPONSE_QUEUE_URL": "survey_work",
    "SURVEY_REMINDER_QUEUE_URL": "survey_work",
    "SURVEY_DELIVERY_QUEUE_URL": "survey_work",
    "SURVEY_DUMP_QUEUE_URL": "survey_dump",
    "RESUBMISSION_QUEUE_URL": "sweeper",
    "ERASURE_QUEUE_URL": "retention",
}
"""Each work queue's variable, and the step that takes from it."""

STANDARD_QUEUES = frozenset(
    f"{name}_QUEUE_URL"
    for name in (
        *("PROVISIONING", "MEMBER_EVENT", "TRIGGER_FANOUT", "TRIGGER_DELIVERY", "RECORD_SYNC"),
        *("SURVEY_EVENT", "SURVEY_DUMP", "RESUBMISSION", "ERASURE"),
    )
)
"""The queues that are not FIFO."""

STEPS = (
    *("social_intake", "lead_create", "campaign_query", "member_intake", "charging"),
    *("crm_event_intake", "crm_api", "trigger_config", "survey_api", "operations"),
)
"""The steps behind the API; a path that no other has is the last one's, as in the template."""


@dataclass
class Context(SimpleNamespace):
    """What Lambda hands to a function beside the event."""

    function_name: str = "test"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:test"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    remaining: int = 30_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Deployment:
    """The deployed bundle."""

    queue_urls: dict[str, str]
    patch: pytest.MonkeyPatch
    changes_seen: int = 0

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = ADMIN_KEY,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        arrived: datetime | None = None,
    ) -> Reply:
        """One HTTP call: the authorizer first, as API Gateway does, then the step.

        `arrived`: when the gateway got it; now, when left out.
        """
        sent = {"Content-Type": "application/json"} if body is not None or raw is not None else {}
        sent |= headers or {}
        if key is not None:
            sent["x-api-key"] = key
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        event: dict[str, Any] = {
            "httpMethod": method,
            "path": path,
            "headers": sent,
            "queryStringParameters": query,
            "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()},
            "requestContext": {"path": f"/v1{path}", "httpMethod": method, "resourcePath": path},
            "body": base64.b64encode(content).decode() if content else None,
            "isBase64Encoded": bool(content),
        }
        if arrived is not None:
            event["requestContext"]["requestTimeEpoch"] = int(arrived.timestamp() * 1000)
        step = _step_of(path)
        if _needs_key(step, method, path):
            context = self._authorize(event, sent)
            if context is None:
                return Reply(401 if key is None else 403, {}, "{}")
            event["requestContext"]["authorizer"] = context
        with acting_as(step):
            answer = importlib.import_module(f"functions.{step}.app").lambda_handler(event, Context())
        many = {name: values[0] for name, values in answer.get("multiValueHeaders", {}).items()}
        return Reply(answer["statusCode"], many | answer.get("headers", {}), answer.get("body") or "")

    def _authorize(self, event: dict[str, Any], headers: dict[str, str]) -> dict[str, str] | None:
        if "x-api-key" not in headers:
            return None
        from functions.authorizer.app import lambda_handler

        arn = f"arn:aws:execute-api:us-east-1:123456789012:api/v1/{event['httpMethod']}{event['path']}"
        with acting_as("authorizer"):
            answer = lambda_handler({"headers": headers, "methodArn": arn}, Context())  # type: ignore[arg-type]
        allowed = answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
        context: dict[str, str] = answer["context"]
        return context if allowed else None

    def partner(self, *scopes: str) -> str:
        """The API key of a new partner."""
        return partners.create("a partner", scopes).api_key

    def run_queues(self, *only: str) -> int:
        """Hand every waiting message (of `only` these queues) to its step; returns how many were taken."""
        taken = 0
        for variable, step in QUEUES.items():
            if only and variable not in only:
                continue
            while batch := self._receive(variable):
                taken += len(batch)
                self._work_on(variable, step, batch)
        return taken

    def run_changes(self) -> int:
        """Hand what is new in the CRM table's stream to its step, filtered as in the template."""
        streams = aws.dynamodb_streams()
        arn = stream_of("CrmTable")
        described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
        iterator = streams.get_shard_iterator(
            StreamArn=arn,
            ShardId=described["Shards"][0]["ShardId"],
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        records: list[Any] = streams.get_records(ShardIterator=iterator)["Records"]
        new, self.changes_seen = records[self.changes_seen :], len(records)
        kept = ("CUSTOMER#", "MEMBER#")
        new = [record for record in new if record["dynamodb"]["Keys"]["pk"]["S"].startswith(kept)]
        if new:
            handler = importlib.import_module("functions.crm_changes.app").lambda_handler
            with acting_as("crm_changes"):
                assert handler({"Records": new}, Context()) == {"batchItemFailures": []}
        return len(new)

    def settle(self) -> None:
        """Run changes and queues until nothing moves any more."""
        while self.run_changes() + self.run_queues():
            pass

    def _receive(self, variable: str) -> list[Any]:
        answer = aws.sqs().receive_message(
            QueueUrl=self.queue_urls[variable], MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        return answer.get("Messages", [])

    def _work_on(self, variable: str, step: str, batch: list[Any]) -> None:
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{_queue_name(variable)}",
            }
            for message in batch
        ]
        handler = importlib.import_module(f"functions.{step}.app").lambda_handler
        try:
            with acting_as(step):
                answer = handler({"Records": records}, Context())
        except BaseException:  # a killed worker: SQS shows its messages again when their visibility ends
            for message in batch:
                aws.sqs().change_message_visibility(
                    QueueUrl=self.queue_urls[variable],
                    ReceiptHandle=message["ReceiptHandle"],
                    VisibilityTimeout=0,
                )
            raise
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in batch:
            if message["MessageId"] not in failed:
                aws.sqs().delete_message(
                    QueueUrl=self.queue_urls[variable], ReceiptHandle=message["ReceiptHandle"]
                )

    def give_dead_letters(self, variable: str) -> str:
        """Give a queue a dead-letter queue, as the template does; answers its URL."""
        own = self.queue_urls[variable]
        fifo: Any = {"FifoQueue": "true"} if own.endswith(".fifo") else {}
        url = aws.sqs().create_queue(QueueName=f"dead_{_queue_name(variable)}", Attributes=fifo)["QueueUrl"]
        arn = aws.sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
        aws.sqs().set_queue_attributes(QueueUrl=own, Attributes={"RedrivePolicy": policy})
        dead_letters.forget()
        return url

    def pass_time(self, span: timedelta) -> None:
        """Let so much time pass for everything that reads the clock: leases end, retries become due."""
        earlier = clock.now
        self.patch.setattr(clock, "now", lambda: earlier() + span)

    def sweep(self) -> None:
        """Let the sweeper look once."""
        from functions.sweeper.app import lambda_handler

        with acting_as("sweeper"):
            lambda_handler({}, Context())  # type: ignore[arg-type]

    def roll_up(self) -> None:
        """Let the metrics be rolled up once."""
        from functions.metrics_rollup.app import lambda_handler

        with acting_as("metrics_rollup"):
            lambda_handler({}, Context())  # type: ignore[arg-type]


def stream_of(table: str) -> str:
    """The ARN of a table's stream."""
    [stream] = aws.dynamodb_streams().list_streams(TableName=table)["Streams"]
    return str(stream["StreamArn"])


def _queue_name(variable: str) -> str:
    return variable.lower() + ("" if variable in STANDARD_QUEUES else ".fifo")


def _make_queue(variable: str) -> str:
    fifo = {} if variable in STANDARD_QUEUES else {"FifoQueue": "true"}
    attributes: Any = {"VisibilityTimeout": "180", **fifo}
    return aws.sqs().create_queue(QueueName=_queue_name(variable), Attributes=attributes)["QueueUrl"]


def _make_bus(urls: dict[str, str]) -> str:
    """The bus with the template's rules, each sending to its queue."""
    events = aws.eventbridge()
    events.create_event_bus(Name="crm-events")
    for name, resource in template()["Resources"].items():
        if resource["Type"] != "AWS::Events::Rule":
            continue
        properties = resource["Properties"]
        pattern = json.dumps(properties["EventPattern"])
        events.put_rule(Name=name, EventBusName="crm-events", EventPattern=pattern)
        for target in properties["Targets"]:
            queue = re.sub(r"(?<!^)(?=[A-Z])", "_", target["Arn"]["Fn::GetAtt"][0]).upper()
            attributes = aws.sqs().get_queue_attributes(
                QueueUrl=urls[f"{queue}_URL"], AttributeNames=["QueueArn"]
            )
            arn = attributes["Attributes"]["QueueArn"]
            events.put_targets(
                Rule=name, EventBusName="crm-events", Targets=[{"Id": target["Id"], "Arn": arn}]
            )
    return "crm-events"


def _step_of(path: str) -> str:
    for step in STEPS:
        api: Api = importlib.import_module(f"functions.{step}.app").api
        if any(matches(route.path, path) for route in api.routes):
            return step
    return STEPS[-1]


def _needs_key(step: str, method: str, path: str) -> bool:
    api: Api = importlib.import_module(f"functions.{step}.app").api
    return not any(
        route.scope is None and route.method == method and matches(route.path, path) for route in api.routes
    )


def forget_everything() -> None:
    """What a new process does not have: settings, secrets, connectors."""
    config.forget()
    store.forget()
    secrets.clear()
    partners.forget()
    breaker.forget()
    dead_letters.forget()
    standing.forget()
    work.ledger.cache_clear()
    connectors.crm.cache_clear()
    ocsio.ocs.cache_clear()
    sem.sem.cache_clear()
    meta.meta.cache_clear()
    vcc.client.cache_clear()
    connectors.loyalty.cache_clear()
    if egress_client.client.cache_info().currsize:
        egress_client.client().close()
    egress_client.client.cache_clear()
    for step in ("trigger_config.app", "trigger_fanout.app", "trigger_delivery.delivery"):
        importlib.import_module(f"functions.{step}").deliveries.cache_clear()
    importlib.import_module("functions.crm_event_intake.app").told.cache_clear()
    connectors.survey_transport.cache_clear()
    delivery.ses.cache_clear()


@contextmanager
def deployed() -> Iterator[Deployment]:
    """A fresh account with the bundle in it."""
    with mocked_aws(), enforced(forget_everything), pytest.MonkeyPatch.context() as patch:
        forget_everything()
        patch.setattr(config, "STALENESS", 0.0)
        patch.setenv("CRM_CONNECTOR", "builtin")
        patch.setenv("STAGE", "test")
        secret = aws.secretsmanager().create_secret(
            Name="admin", SecretString=json.dumps({"keyId": "admin", "apiKey": ADMIN_KEY})
        )
        patch.setenv("ADMIN_KEY_SECRET_ARN", secret["ARN"])
        urls = {}
        for variable in QUEUES:
            urls[variable] = _make_queue(variable)
            patch.setenv(variable, urls[variable])
        patch.setenv("CRM_EVENT_BUS", _make_bus(urls))
        patch.setenv("LOCAL_STACK", "true")
        patch.setenv("SLOW_URL_CALLS", "2")
        aws.s3().create_bucket(
            Bucket="dumps", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        patch.setenv("DUMPS_BUCKET", "dumps")
        patch.setenv("STATE_STREAM_ARN", stream_of("StateTable"))
        patch.setenv("API_URL", "https://api.example.com/v1")
        patch.setenv("MAIL_FROM", "surveys@example.com")
        yield Deployment(urls, patch)
        forget_everything()
