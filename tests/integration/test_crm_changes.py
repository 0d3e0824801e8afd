"""Source 004: a change that the stream could not publish is not lost."""

import json
from typing import Any

import boto3
import pytest

from functions.crm_changes.app import lambda_handler
from switchboard import crm_events
from tests.support import factories
from tests.support.deployment import Context, Deployment


def stream() -> tuple[str, str, list[Any]]:
    """The CRM table's stream: its ARN, its shard, its records."""
    client = boto3.client("dynamodbstreams")
    [found] = client.list_streams(TableName="CrmTable")["Streams"]
    arn = found["StreamArn"]
    shard = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = client.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    records: list[Any] = client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    return arn, shard, records


def put_aside(arn: str, shard: str, first: Any, last: Any) -> dict[str, Any]:
    """The message of a batch that the stream has given up on."""
    info = {
        "streamArn": arn,
        "shardId": shard,
        "startSequenceNumber": first["dynamodb"]["SequenceNumber"],
        "endSequenceNumber": last["dynamodb"]["SequenceNumber"],
        "batchSize": 2,
    }
    record = {
        "messageId": "m",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:redo",
        "body": json.dumps({"DDBStreamBatchInfo": info}),
    }
    return {"Records": [record]}


def test_a_batch_that_was_put_aside_is_read_once_more(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        deployment.call("POST", "/crm/customers", factories.customer())
    published: list[str] = []
    monkeypatch.setattr(
        crm_events, "publish", lambda events: published.extend(event.event_id for event in events)
    )
    arn, shard, records = stream()
    customers = [one for one in records if one["dynamodb"]["Keys"]["sk"]["S"] == "CUSTOMER"]
    assert lambda_handler({"Records": records}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    told, published[:] = list(published), []
    assert len(told) == 3

    again = put_aside(arn, shard, customers[0], customers[1])
    assert lambda_handler(again, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert published == told[:2]  # the same ids: whoever got them already will not be told twice


def test_what_the_bus_does_not_take_is_handed_over_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        deployment.call("POST", "/crm/customers", factories.customer())
    arn, shard, records = stream()
    customers = [one for one in records if one["dynamodb"]["Keys"]["sk"]["S"] == "CUSTOMER"]

    def refuse(events: list[crm_events.CrmEvent]) -> None:
        raise crm_events.NotPublished(events[1:])

    monkeypatch.setattr(crm_events, "publish", refuse)
    number = customers[1]["dynamodb"]["SequenceNumber"]
    answer = lambda_handler({"Records": customers}, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": number}]}
    again = put_aside(arn, shard, customers[0], customers[2])
    assert lambda_handler(again, Context()) == {"batchItemFailures": [{"itemIdentifier": "m"}]}  # type: ignore[arg-type]
