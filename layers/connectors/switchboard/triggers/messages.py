"""What waits in the queue of deliveries.

The queue is a standard one and each message carries its trigger as the group: SQS then shares the receives
fairly, so one trigger's backlog does not stand in the way of the others' ("fair queues").
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from switchboard import aws

LONGEST_DELAY = 900
"""Seconds, the longest that SQS takes."""

_A_CALL = 10


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        trigger_id: whose.
        delivery_id: which delivery; None wakes the `lane`, or goes on with `recover`.
        event: the CRM event as JSON, in the first message of a delivery, which nobody has written down yet.
        lane: of an ordered trigger: the customer whose deliveries are to be looked at.
        due: no call before then, RFC 3339.
        paced: it has its place in the trigger's calls per second.
        waits: how often it was put back because the URL was not to be called.
        forced: a person asked for it: the URL is called although the trigger is disabled.
        recover: `since`, `until` and `after` of a recovery that is under way.
    """

    trigger_id: str
    delivery_id: str | None = None
    event: str | None = None
    lane: str | None = None
    due: str | None = None
    paced: bool = False
    waits: int = 0
    forced: bool = False
    recover: dict[str, Any] | None = None

    def to_json(self) -> str:
        """The body, without what is at its default."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Self:
        """The message of a body."""
        return cls(**body)


_FIRST_RETURN = 5
"""Seconds until a message whose handling broke is seen again; doubled each time."""


class NotQueued(Exception):
    """SQS did not take some messages; the work they are for is repeated."""


def hand_back(receipt_handle: str, receives: int) -> None:
    """Let a message whose handling broke be seen again soon, instead of when its visibility ends."""
    aws.sqs().change_message_visibility(
        QueueUrl=os.environ["TRIGGER_DELIVERY_QUEUE_URL"],
        ReceiptHandle=receipt_handle,
        VisibilityTimeout=min(_FIRST_RETURN << min(receives - 1, 8), LONGEST_DELAY),
    )


def send(messages: Sequence[Message], *, delay: int = 0) -> None:
    """Put messages on the queue, to be seen in `delay` seconds; raises NotQueued, or the client's errors."""
    url = os.environ["TRIGGER_DELIVERY_QUEUE_URL"]
    for start in range(0, len(messages), _A_CALL):
        chunk = messages[start : start + _A_CALL]
        answer = aws.sqs().send_message_batch(
            QueueUrl=url,
            Entries=[
                {
                    "Id": str(number),
                    "MessageBody": message.to_json(),
                    "MessageGroupId": message.trigger_id,
                    "DelaySeconds": max(0, min(delay, LONGEST_DELAY)),
                }
                for number, message in enumerate(chunk)
            ],
        )
        if answer.get("Failed"):
            raise NotQueued(f"{len(answer['Failed'])} messages were not taken")
