"""Each minute: send again what is due, what was lost on the way, and what a dead worker left behind.

The queues are the fast path; this is why nothing that was accepted can be lost.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.sweeper.logic import next_look, verdict
from switchboard import observability, queues, work
from switchboard.dynamo import ConditionFailed
from switchboard.ledger import UNFINISHED, Entry
from switchboard.triggers import messages
from switchboard.triggers.deliveries import Deliveries
from switchboard.triggers.messages import Message

_PER_SHARD = 250
_RESERVE = timedelta(seconds=5)


def sweep(has_time: work.Deadline) -> Counter[str]:
    """Look after every entry whose time has come; what does not fit into this minute comes in the next."""
    done: Counter[str] = Counter()
    for status in UNFINISHED:
        for entry in work.ledger().due(status, limit=_PER_SHARD):
            if not has_time():
                return done
            done[_look_after(entry)] += 1
    for delivery in Deliveries(work.ledger().table).due(limit=_PER_SHARD):
        messages.send(
            [Message(delivery.trigger_id, delivery.delivery_id, lane=delivery.lane, forced=delivery.forced)]
        )
        done["delivery sent again"] += 1
        if not has_time():
            return done
    return done


def _look_after(entry: Entry) -> str:
    what = verdict(entry)
    try:
        if what == "parked":
            work.ledger().park(entry, status="integration_failure", code="worker-lost")
        else:
            queues.send(work.ledger().postpone(entry, next_look(entry)))
    except ConditionFailed:
        return "moved on"
    return what


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge Scheduler entry."""

    def has_time() -> bool:
        return timedelta(milliseconds=context.get_remaining_time_in_millis()) > _RESERVE

    for what, number in sweep(has_time).items():
        observability.count("Swept", number, what=what)
        observability.logger.info("swept", what=what, number=number)
