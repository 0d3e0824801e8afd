"""Queue of erasures, slice by slice; and each hour, the payloads whose time is over."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.retention.erasure import Erasure, OutOfTime
from functions.retention.pruning import Pruning
from switchboard import observability, queues, work
from switchboard.dynamo import Item
from switchboard.ledger import Entry
from switchboard.settings import store
from switchboard.settings.retention import RetentionSettings
from switchboard.work import Outcome

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

_RESERVE = timedelta(seconds=20)
"""A page, a file or a batch of prunings is begun with so much time left."""


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> "PartialItemFailureResponse | None":
    """SQS entry, one erasure at a time; EventBridge Scheduler's is the nightly pruning."""

    def remaining() -> timedelta:
        return timedelta(milliseconds=context.get_remaining_time_in_millis())

    def has_time() -> bool:
        return remaining() > _RESERVE

    if "Records" not in event:
        _prune(has_time)
        return None
    unfinished: list[str] = []

    def do(entry: Entry, result: Item) -> Outcome:
        try:
            return Erasure(entry, result, has_time, remaining).run()
        except OutOfTime:
            unfinished.append(entry.ledger_id)
            return Outcome("pending")

    answer = work.run_batch(event, context, do)
    for ledger_id in unfinished:
        if (entry := work.ledger().get(ledger_id)) is not None:
            queues.offer(entry)
    return answer


def _prune(has_time: work.Deadline) -> None:
    settings = store.current("retention", RetentionSettings)
    keep = timedelta(days=settings.payload_days)
    for what, number in Pruning(work.ledger().table, keep, has_time).run().items():
        observability.count("Pruned", number, what=what)
        observability.logger.info("looked through the ledger", what=what, number=number)
