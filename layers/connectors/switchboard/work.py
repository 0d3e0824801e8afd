"""The beats that every queue step shares: claim, do, record, then retry or park.

A step brings one function, `do(entry, result)`: it calls the connector, notes in `result` the ids that
came of it, and returns an `Outcome` or raises a `SwitchboardError`. All else is here, so a step cannot
forget to record, and a worker that dies between two writes leaves an entry whose lease runs out.

Work whose vendor is known to be away (`HeldBack`) counts as no attempt: it waits in the ledger until the
vendor's breaker closes, and `release` sends it again.
"""

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from switchboard import breaker, calls, observability, queues
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.errors import AnswerLost, HeldBack, SwitchboardError, VendorError
from switchboard.ledger import Entry, Ledger, Status

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(minutes=15)
MAX_ATTEMPTS = 300
"""About three days of repeats, then the entry is parked for a person."""

MAX_BREAKDOWNS = 8
"""Attempts after which work that breaks our own code is parked."""

MAX_LOST_WORKERS = 5
"""Claims in a row that never came back, after which the work is taken for what kills its worker."""

WRITTEN_BACK = frozenset({"member"})
"""Flows whose record in the CRM says how the work stands: their step writes there too that it is given up."""

RELEASED_AT_ONCE = 100
"""Held work that the worker whose probe was answered sends by itself; the sweeper sends the rest."""

_SENT_AGAIN_AFTER = timedelta(minutes=5)
_TIME_TO_WORK = timedelta(seconds=5)
"""What is not started with so much time left goes back to the queue."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a piece of work ended well."""

    status: Status = "synced"
    customer_id: str | None = None
    code: str | None = None
    detail: str | None = None


type Do = Callable[[Entry, Item], Outcome]
type Deadline = Callable[[], bool]


class OutOfTime(Exception):
    """Too little of the function's time is left to start: the message goes back to the queue."""


@cache
def ledger() -> Ledger:
    """The ledger of this deployment."""
    return Ledger(Table(os.environ["STATE_TABLE"]))


type Enter = Callable[[dict[str, Any]], str]
"""Enters a message that came from elsewhere (the bus) into the ledger; returns the ledger id."""


def run_batch(
    event: dict[str, Any],
    context: "LambdaContext",
    do: Do,
    *,
    enter: Enter | None = None,
    time_to_work: timedelta = _TIME_TO_WORK,
) -> "PartialItemFailureResponse":
    """Do the work of each message of a batch; a FIFO group stops at its first message that goes back.

    Args:
        event, context: as Lambda hands them over.
        do: the step.
        enter: for a queue that the bus feeds; a message with a ledger id (a resubmission) needs none.
        time_to_work: what is not started with so much of the function's time left goes back, so a step
            whose vendor may be slow asks for more.
    """

    def handle(record: "SQSRecord") -> None:
        remaining = timedelta(milliseconds=context.get_remaining_time_in_millis())
        if remaining < time_to_work:
            raise OutOfTime
        body = json.loads(record.body)
        ledger_id = enter(body) if enter is not None and "ledgerId" not in body else body["ledgerId"]
        perform(ledger_id, do, lease=remaining, revision=body.get("revision"))

    return each_message(event, context, handle)


def each_message(
    event: dict[str, Any], context: "LambdaContext", handle: "Callable[[SQSRecord], None]"
) -> "PartialItemFailureResponse":
    """Handle a batch message by message; the ones whose handling raises go back to the queue."""
    from aws_lambda_powertools.utilities.batch import (
        BatchProcessor,
        EventType,
        SqsFifoPartialProcessor,
        process_partial_response,
    )

    is_fifo = any(record["eventSourceARN"].endswith(".fifo") for record in event["Records"])
    processor: BatchProcessor = (
        SqsFifoPartialProcessor(skip_group_on_error=True) if is_fifo else BatchProcessor(EventType.SQS)
    )
    # A batch in which everything goes back is an answer, not a crash of the function.
    processor.raise_on_entire_batch_failure = False
    with observability.collected():
        return process_partial_response(
            event=event, record_handler=handle, processor=processor, context=context
        )


def perform(ledger_id: str, do: Do, *, lease: timedelta, revision: int | None = None) -> None:
    """Claim an entry, do its work and record what came of it.

    An entry that is done, has moved on since its `revision` was sent, or is in another worker's hands is left
    alone in silence: that worker sends what came in meanwhile, and the sweeper takes over from a dead one. A
    message that went back for it would keep those behind it in its group waiting.
    """
    entry = ledger().claim(ledger_id, lease=lease, revision=revision)
    if entry is None:
        return
    _work_on(entry, do)
    for connector in breaker.closed_here():
        release(connector, limit=RELEASED_AT_ONCE)


type Repeated = bool | Callable[[SwitchboardError], bool]
"""Whether a failure that may pass is repeated on the flow's queue; all of them, none, or by the failure."""


def perform_now(
    entry: Entry, do: Do, *, lease: timedelta, repeated: Repeated, claimed: bool = False
) -> Entry:
    """Do accepted work while its caller waits: the beats of a queue step, and the failure is raised too.

    Work that another call with the same Idempotency-Key has done is answered with what came of it.

    Args:
        entry: as `accept` gave it.
        do: the work.
        lease: how long this function can still run.
        repeated: whether the flow has a queue, on which a failure that may pass is repeated. Without one it
            is parked, and the caller alone decides. A flow may also decide by the failure.

        claimed: whether `accept` has claimed it for this very call.

    Returns:
        The entry as it is recorded.

    Raises:
        SwitchboardError: the failure of the work; `in-progress` while another call does it.
    """
    taken = entry if claimed else ledger().claim(entry.ledger_id, lease=lease)
    if taken is None:
        if ledger().is_held(entry.ledger_id):
            raise SwitchboardError("in-progress", "The first request still runs.", retry_after=2)
        return ledger().get(entry.ledger_id) or entry
    recorded, error = _work_on(taken, do, repeated=repeated)
    if error is not None:
        raise error
    return recorded


def _work_on(entry: Entry, do: Do, *, repeated: Repeated = True) -> tuple[Entry, SwitchboardError | None]:
    """Do a claimed entry's work and record it; answers the entry as it is then, and the failure."""
    observability.logger.set_correlation_id(entry.correlation_id)
    watch = observability.Stopwatch()
    result: Item = dict(entry.result)
    failure: SwitchboardError | None = None
    retry_in = None
    with calls.collected() as made:
        try:
            outcome = do(entry, result)
        except SwitchboardError as error:
            failure = error
        except Exception:  # noqa: BLE001 - a broken step must still record where the work stands
            observability.logger.exception("the step broke", ledger_id=entry.ledger_id, flow=entry.flow)
            failure = SwitchboardError("internal")
    if failure is not None:
        again = repeated(failure) if callable(repeated) else repeated
        outcome, retry_in = failed(entry, failure) if again else (_parked(failure), None)
    written = ledger().record(
        entry,
        outcome.status,
        code=outcome.code,
        detail=outcome.detail,
        result=result,
        customer_id=outcome.customer_id,
        retry_in=retry_in,
        held_by=_waits_for(failure) if retry_in is not None else None,
        attempted=not isinstance(failure, HeldBack),
        calls=calls.told(made),
    )
    if not written:
        _send_newer(entry)
    observability.logger.info(
        "recorded",
        flow=entry.flow,
        ledger_id=entry.ledger_id,
        status=outcome.status,
        code=outcome.code,
        attempt=entry.attempts,
        milliseconds=watch.milliseconds,
    )
    recorded = replace(
        entry,
        status=outcome.status,
        code=outcome.code,
        detail=outcome.detail,
        result=result,
        customer_id=outcome.customer_id or entry.customer_id,
    )
    return recorded, failure


def _waits_for(failure: SwitchboardError | None) -> str | None:
    return failure.waits_for if isinstance(failure, VendorError) else None


def _send_newer(done: Entry) -> None:
    """The version that came in meanwhile; its own message may have been passed over."""
    newer = ledger().get(done.ledger_id)
    if newer is not None and newer.status == "pending" and queues.knows(newer.flow):
        queues.offer(newer)


def release(connector: str, *, limit: int | None = None, has_time: Deadline = lambda: True) -> int:
    """Send the work again that waits for a connector, as far as this function knows its queue.

    Returns how many pieces were sent.
    """
    sent = 0
    if not queues.known():
        return sent
    for entry in ledger().held(connector):
        if sent == limit or not has_time():
            break
        if queues.knows(entry.flow):
            try:
                queues.offer(ledger().postpone(entry, _SENT_AGAIN_AFTER))
            except ConditionFailed:
                continue
            sent += 1
    return sent


def failed(entry: Entry, error: SwitchboardError) -> tuple[Outcome, timedelta | None]:
    """Whether a failure is repeated and when, or which state it is parked in."""
    if isinstance(error, HeldBack):
        return Outcome("retrying", code=error.code, detail=error.detail), timedelta(
            seconds=error.retry_after or 0
        )
    limit = MAX_BREAKDOWNS if error.code == "internal" else MAX_ATTEMPTS
    if error.error.retryable and entry.attempts < limit:
        status: Status = "unknown" if isinstance(error, AnswerLost) else "retrying"
        return Outcome(status, code=error.code, detail=error.detail), retry_delay(entry.attempts, error)
    return _parked(error), None


def _parked(error: SwitchboardError) -> Outcome:
    return Outcome(parked_status(error), code=error.code, detail=error.detail)


def parked_status(error: SwitchboardError) -> Status:
    """The state that says whose fault it is: the data's, ours, or the vendor's."""
    match error.error.error_class:
        case "data" | "conflict":
            return "data_error"
        case "technical":
            return "integration_failure"
        case _:
            return "remote_failure"


def is_given_up(entry: Entry) -> bool:
    """Whether so many workers died of this claimed entry that all that is left to do is to write it back."""
    return entry.flow in WRITTEN_BACK and entry.lost_workers > MAX_LOST_WORKERS


def retry_delay(attempts: int, error: SwitchboardError) -> timedelta:
    """Exponential from 15 seconds to 15 minutes with ±20 % of jitter; never before Retry-After."""
    doubled = FIRST_RETRY * (1 << min(attempts - 1, 10))
    jittered = min(doubled, LONGEST_RETRY) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
    return max(jittered, timedelta(seconds=error.retry_after or 0))
