"""Queue of operations for later: each customer's in the order in which they were accepted.

An operation waits while one ahead of it is unfinished, also while that one waits for its next attempt. When
it has ended, the next one is called, and a CRM event (`customer.edit`) tells those who asked to be told.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from switchboard import crm_events, ids, queues, work
from switchboard.charging.execution import execute, not_sent
from switchboard.charging.owners import customer_of
from switchboard.connectors.ocsio import ocs
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.settings import store
from switchboard.settings.charging import ChargingSettings
from switchboard.turns import Turns
from switchboard.work import Outcome

_SECONDS = 25.0
_RESERVE_SECONDS = 3.0


def do(entry: Entry, result: Item, *, time_left: Callable[[], float]) -> Outcome:
    """Do one operation when its turn has come, within what is left of the function's time."""
    turns = Turns(work.ledger())
    # A call that its caller waited for was told to him as failed: after that it is only looked for, unless
    # an operator has resubmitted it; then its attempts began anew, here.
    if entry.attempts == 1:
        result["resubmitted"] = True
    look_only = not entry.payload["later"] and not result.get("resubmitted")
    if not look_only and turns.ahead_of(entry.group, entry.ledger_id) is not None:
        not_sent(entry, result)
        raise SwitchboardError("waits-for-earlier")
    try:
        outcome = execute(
            entry,
            result,
            ocs=ocs().within(min(_SECONDS, time_left() - _RESERVE_SECONDS)),
            settings=store.current("charging", ChargingSettings),
            table=work.ledger().table,
            look_only=look_only,
        )
    except SwitchboardError as error:
        if not error.error.retryable:
            _end(turns, entry)
        raise
    _end(turns, entry)
    return Outcome(outcome.status, customer_of(entry.group), outcome.code, outcome.detail)


def _end(turns: Turns, entry: Entry) -> None:
    """Tell the CRM's listeners, and call the next one; both happen again when this worker dies here."""
    customer_id = customer_of(entry.group)
    if entry.payload["later"] and customer_id is not None:
        event = crm_events.new_event("customer", "edit", origin="charging", account_id=customer_id)
        known = ids.derived("evt", entry.ledger_id, str(entry.version))
        crm_events.publish([event.model_copy(update={"event_id": known})])
    following = turns.end(entry.group, entry.ledger_id)
    if following is not None and following.status != "in_progress":
        queues.offer(following)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry."""

    def time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    return work.run_batch(event, context, partial(do, time_left=time_left))
