"""Each minute: send again what is due, what was lost on the way, and what a dead worker left behind.

The queues are the fast path; this is why nothing that was accepted can be lost. Work that waits for a vendor
is sent when the vendor's breaker has closed; while it is open, one piece an interval goes as the probe.

Runs of resubmissions are the sweeper's too: each message on their queue is one step of one run.
"""

import json
from collections import Counter
from datetime import timedelta
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from functions.sweeper import resubmission
from functions.sweeper.logic import next_look, verdict
from switchboard import breaker, clock, dead_letters, observability, queues, resubmissions, work
from switchboard.dynamo import ConditionFailed
from switchboard.ledger import UNFINISHED, Entry
from switchboard.triggers import messages
from switchboard.triggers.deliveries import Deliveries
from switchboard.triggers.messages import Message

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

_PER_SHARD = 1000
_RELEASED = 1000
"""Entries that go back to a vendor each minute once it is back; its rate budget may be smaller."""
_RESERVE = timedelta(seconds=5)


def sweep(has_time: work.Deadline) -> Counter[str]:
    """Look after every entry whose time has come; what does not fit into this minute comes in the next."""
    done: Counter[str] = Counter()
    for state in breaker.everyone():
        if state.probe_is_due:
            done["probed"] += work.release(state.connector, limit=1)
        elif not state.is_open:
            done["released"] += work.release(state.connector, limit=_RELEASED, has_time=has_time)
    # One of each state in turn, so that a flood of one does not starve the others.
    turns = zip_longest(*(work.ledger().due(status, limit=_PER_SHARD) for status in UNFINISHED))
    for entry in chain.from_iterable(turns):
        if not has_time():
            break
        if entry is not None:
            done[_look_after(entry)] += 1
    for delivery in Deliveries(work.ledger().table).due(limit=_PER_SHARD):
        messages.send(
            [Message(delivery.trigger_id, delivery.delivery_id, lane=delivery.lane, forced=delivery.forced)]
        )
        done["delivery sent again"] += 1
        if not has_time():
            return done
    for run in resubmissions.runs().due():
        resubmissions.offer(run)
        done["resubmission moved on"] += 1
    done.update(_repair_dead_letters(has_time))
    return done


def _repair_dead_letters(has_time: work.Deadline) -> Counter[str]:
    """What the ledger knows of goes back to work, or was done meanwhile; the rest waits for a person."""
    found: Counter[str] = Counter()
    for name in dead_letters.known():
        if not has_time():
            break
        try:
            for what, number in dead_letters.redrive(name, asked=False, has_time=has_time).items():
                found[f"dead letter {what}"] += number
        except (BotoCoreError, ClientError):
            observability.logger.exception("could not look into a dead-letter queue", queue=name)
    return found


def _look_after(entry: Entry) -> str:
    what = verdict(entry)
    try:
        if what == "parked":
            work.ledger().park(entry, status="integration_failure", code="worker-lost")
        else:
            later = work.ledger().postpone(entry, next_look(entry, clock.now()))
            queues.send(later, alone=what != "repeated")
    except ConditionFailed:
        return "moved on"
    except (BotoCoreError, ClientError, KeyError):
        # One entry, or one queue, must not keep the sweeper from the others.
        observability.logger.exception("could not look after an entry", ledger_id=entry.ledger_id)
        return "failed"
    return what


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> "PartialItemFailureResponse | None":
    """EventBridge Scheduler entry: a sweep. SQS entry: steps of resubmissions."""
    if "Records" in event:

        def handle(record: "SQSRecord") -> None:
            body = json.loads(record.body)
            resubmission.step(body["resubmissionId"], body["revision"])

        return work.each_message(event, context, handle)

    def has_time() -> bool:
        return timedelta(milliseconds=context.get_remaining_time_in_millis()) > _RESERVE

    for what, number in sweep(has_time).items():
        observability.count("Swept", number, what=what)
        observability.logger.info("swept", what=what, number=number)
    return None
