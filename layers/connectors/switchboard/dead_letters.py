"""The dead-letter queues: what is in them, and back to work through the ledger.

A worker was given a message so often that SQS gave it up. Most messages name a ledger entry, and the entry
knows better than the message whether there is still something to do:

    a ledger entry      still to be done: it goes back to work; done, or moved on: the message is dropped
    a delivery          the same, by the delivery; a first message carries it, and is sent again as it is
    a run's step        the run goes on
    a CRM event, a batch of the CRM's stream      sent again as it is: its steps take each event once
    anything else       cannot be read: it stays

The sweeper does what is in the ledger by itself, and leaves what it cannot count to a person: a message that
kills its worker each time must not go round for ever.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Literal

from switchboard import clock, observability, queues, resubmissions, work
from switchboard.aws import sqs
from switchboard.dynamo import ConditionFailed
from switchboard.errors import SwitchboardError
from switchboard.ledger import FAILED, RESUBMITTABLE, Entry

type Fate = Literal["moved", "dropped", "unreadable", "left"]

QUEUES = {
    "social_post": "SOCIAL_POST",
    "social_reply": "SOCIAL_REPLY",
    "lead": "LEAD",
    "member": "MEMBER",
    "member_event": "MEMBER_EVENT",
    "charging": "CHARGING",
    "provisioning": "PROVISIONING",
    "crm_changes": "CRM_CHANGES_REDO",
    "trigger_fanout": "TRIGGER_FANOUT",
    "trigger_delivery": "TRIGGER_DELIVERY",
    "record_sync": "RECORD_SYNC",
    "survey": "SURVEY_INVITATION",
    "survey_event": "SURVEY_EVENT",
    "survey_dump": "SURVEY_DUMP",
    "resubmission": "RESUBMISSION",
    "erasure": "ERASURE",
}
"""Each work queue's name in the API, and the variable (`<…>_QUEUE_URL`) of its URL."""

_HIDDEN_SECONDS = 30
"""So long a message is hidden while it is decided on; one that stays is shown again at once."""

_LOOK_AGAIN = timedelta(minutes=5)
_EVENTS = {"detail", "DDBStreamBatchInfo"}


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages wait, are in a worker's hands, and were given up. All approximate, as SQS counts."""

    queue: str
    waiting: int
    in_flight: int
    dead_letters: int


def known() -> dict[str, str]:
    """The queues that this function is given, by name, with their URLs."""
    urls = {name: os.environ.get(f"{variable}_QUEUE_URL") for name, variable in QUEUES.items()}
    return {name: url for name, url in urls.items() if url}


@cache
def _dead_letter_url(url: str) -> str | None:
    attributes = _attributes(url, "RedrivePolicy")
    if "RedrivePolicy" not in attributes:
        return None
    arn: str = json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"]
    return sqs().get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]


def forget() -> None:
    """Forget which queue has which dead-letter queue."""
    _dead_letter_url.cache_clear()


def _attributes(url: str, *names: Any) -> dict[str, str]:
    answer = sqs().get_queue_attributes(QueueUrl=url, AttributeNames=list(names))
    found: Any = answer.get("Attributes", {})
    return dict(found)


def depth(name: str) -> Depth:
    """What is in a queue and in its dead-letter queue; raises SwitchboardError `not-found`."""
    url = _url(name)
    waits, flies = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
    own = _attributes(url, waits, flies, "ApproximateNumberOfMessagesDelayed")
    dead = _dead_letter_url(url)
    given_up = _attributes(dead, waits) if dead else {}
    waiting = int(own.get(waits, 0)) + int(own.get("ApproximateNumberOfMessagesDelayed", 0))
    return Depth(name, waiting, int(own.get(flies, 0)), int(given_up.get(waits, 0)))


def _url(name: str) -> str:
    if name not in known():
        raise SwitchboardError("not-found", f"The queues are {', '.join(known())}.")
    return known()[name]


def redrive(name: str, *, asked: bool, has_time: Callable[[], bool]) -> Counter[Fate]:
    """Go through a dead-letter queue once; what it came to, message by message.

    Args:
        name: of the queue.
        asked: a person has: then what had failed in the ledger is done again too, and events are sent again.
        has_time: stop when it says so; the rest is there for the next call.
    """
    url = _url(name)
    dead = _dead_letter_url(url)
    fates: Counter[Fate] = Counter()
    stays: dict[str, str] = {}
    while dead is not None and has_time():
        answer = sqs().receive_message(
            QueueUrl=dead, MaxNumberOfMessages=10, VisibilityTimeout=_HIDDEN_SECONDS
        )
        found = [one for one in answer.get("Messages", []) if one["MessageId"] not in stays]
        if not found:
            break
        for message in found:
            fate = _settle(message["Body"], url, asked=asked)
            fates[fate] += 1
            if fate in ("moved", "dropped"):
                sqs().delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
            else:
                stays[message["MessageId"]] = message["ReceiptHandle"]
    for handle in stays.values():
        sqs().change_message_visibility(QueueUrl=dead or "", ReceiptHandle=handle, VisibilityTimeout=0)
    return fates


def _settle(text: str, url: str, *, asked: bool) -> Fate:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return "unreadable"
    match body:
        case {"ledgerId": str(ledger_id)}:
            return _entry(ledger_id, body.get("revision"), asked=asked)
        case {"resubmissionId": str(resubmission_id)}:
            run = resubmissions.runs().get(resubmission_id)
            if run is None or run.is_over:
                return "dropped"
            resubmissions.offer(run)
            return "moved"
        case {"trigger_id": str(), "delivery_id": str(delivery_id)}:
            return _delivery(delivery_id, text, url, asked=asked)
        case dict() if not url.endswith(".fifo") and ("trigger_id" in body or body.keys() & _EVENTS):
            return _as_it_is(text, url, asked=asked)
        case _:
            observability.logger.error("a dead letter cannot be read", queue_url=url)
            return "unreadable"


def _as_it_is(text: str, url: str, *, asked: bool) -> Fate:
    if not asked:
        return "left"
    sqs().send_message(QueueUrl=url, MessageBody=text)
    return "moved"


def _delivery(delivery_id: str, text: str, url: str, *, asked: bool) -> Fate:
    from switchboard.triggers.deliveries import UNFINISHED as OWED
    from switchboard.triggers.deliveries import Deliveries

    delivery = Deliveries(work.ledger().table).get(delivery_id)
    if delivery is None:  # nobody has written it down: the message is all there is of it
        return _as_it_is(text, url, asked=asked)
    if delivery.status not in OWED or not asked:
        return "dropped"  # the sweeper looks after it by the time that it has written down
    return _as_it_is(text, url, asked=asked)


def _entry(ledger_id: str, revision: object, *, asked: bool) -> Fate:
    ledger = work.ledger()
    entry = ledger.get(ledger_id)
    if entry is None:
        return "dropped"
    try:
        if asked:
            again = _wanted_again(entry)
            if again:
                queues.send(
                    ledger.reopen(entry, correlation_id=entry.correlation_id, reason="redriven"), alone=True
                )
            return "moved" if again else "dropped"
        # One that has moved on has a later message, or is looked after when it is due.
        if entry.status in FAILED or entry.revision != revision or not _wanted_again(entry):
            return "dropped"
        queues.send(ledger.postpone(entry, _LOOK_AGAIN), alone=True)
    except ConditionFailed:
        return "dropped"
    return "moved"


def _wanted_again(entry: Entry) -> bool:
    """Whether there is something to do that nobody is doing."""
    if entry.status == "in_progress":
        return (entry.due_at or "") <= clock.timestamp()  # its lease has ended
    return entry.status in ("pending", *RESUBMITTABLE)
