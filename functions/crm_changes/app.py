"""DynamoDB stream of the built-in CRM: each change is published as a CRM event, in the stream's order.

What the stream gives up on comes back by SQS, as the place where it stands; it is read from there once more.
What was published is noted, so that `crm_sweep` finds what was not; what that has told meanwhile is not told
again.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.crm_changes.logic import event_of
from switchboard import clock, crm_events, observability, work
from switchboard.connectors.builtin_crm.keys import Key
from switchboard.connectors.builtin_crm.published import OBJECTS, Published, mark_key
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import Item, item_from_wire

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord


LATE = timedelta(minutes=2)
"""A change as old as this may have been told by `crm_sweep`, which lets them be for five minutes."""


class Unpublished(Exception):
    """A change from which on nothing was published."""


def published() -> Published:
    """What has been told of this deployment's records."""
    return Published(work.ledger().table)


def publish(records: list[Any]) -> str | None:
    """Publish the events of stream records; the sequence number of the first that did not get out."""
    found: list[tuple[str, CrmEvent]] = []
    changed: list[tuple[str, Item]] = []
    broken: str | None = None
    for record in records:
        change = record["dynamodb"]
        number = change["SequenceNumber"]
        new, old = (
            item_from_wire(change[image]) if change.get(image) else None for image in ("NewImage", "OldImage")
        )
        try:
            told = event_of(new, old)
        except (KeyError, ValueError):
            # It stops here until it is put aside; what came before it still goes out.
            observability.logger.exception("a change makes no event", sequence_number=number)
            broken = number
            break
        if new is not None and new.get("object") in OBJECTS:
            changed.append((number, new))
        if told is not None:
            found.append((number, told))
    already = _told_already(changed)
    found = [(number, told) for number, told in found if number not in already]
    try:
        crm_events.publish([told for _, told in found])
    except crm_events.NotPublished as refused:
        lost = {one.event_id for one in refused.events}
        broken = next(number for number, told in found if told.event_id in lost)
    _note(changed, broken)
    observability.count("CrmEvents", len(found), origin="builtin")
    return broken


def _told_already(changed: list[tuple[str, Item]]) -> set[str]:
    """The sequence numbers of late changes that the sweep has told."""
    before = clock.timestamp(-LATE)
    late = [
        (number, item) for number, item in changed if (item.get("deletedAt") or item["updatedAt"]) < before
    ]
    if not late:
        return set()
    marks = published().marks(mark_key(item) for _, item in late)
    return {number for number, item in late if item["rev"] not in marks[mark_key(item)].missing(item["rev"])}


def _note(changed: list[tuple[str, Item]], broken: str | None) -> None:
    """Note what was told, and what needed no telling, up to the change that did not get out."""
    revisions: dict[Key, set[int]] = defaultdict(set)
    for number, item in changed:
        if number == broken:
            break
        revisions[mark_key(item)].add(item["rev"])
    for key, told in revisions.items():
        published().note(key, told)


def redo(record: "SQSRecord") -> None:
    """Read a batch that was put aside from the stream, and publish it; raises while that does not succeed."""
    batch = json.loads(record.body)["DDBStreamBatchInfo"]
    for records in _read_again(batch["streamArn"], batch["shardId"], batch):
        if publish(records) is not None:
            raise Unpublished


def _read_again(stream_arn: str, shard_id: str, batch: dict[str, str]) -> Iterator[list[Any]]:
    import boto3

    streams = boto3.client("dynamodbstreams")
    last = int(batch["endSequenceNumber"])
    iterator: str | None = streams.get_shard_iterator(
        StreamArn=stream_arn,
        ShardId=shard_id,
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        SequenceNumber=batch["startSequenceNumber"],
    )["ShardIterator"]
    while iterator is not None:
        answer = streams.get_records(ShardIterator=iterator)
        records: list[Any] = answer["Records"]
        wanted = [record for record in records if int(record["dynamodb"]["SequenceNumber"]) <= last]
        yield wanted
        if not records or len(wanted) < len(records):
            return
        iterator = answer.get("NextShardIterator")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Stream entry, and SQS's. From the first record that did not get out on, all comes again."""
    if event["Records"][0]["eventSource"] == "aws:sqs":
        return dict(work.each_message(event, context, redo))
    broken = publish(event["Records"])
    return {"batchItemFailures": [] if broken is None else [{"itemIdentifier": broken}]}
