"""Putting deliveries back to work: one that an operator resubmits, or a whole range, paced."""

from dataclasses import replace
from datetime import timedelta

from functions.trigger_delivery.delivery import deliveries
from switchboard import clock
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.triggers import messages
from switchboard.triggers.deliveries import Delivery
from switchboard.triggers.messages import Message
from switchboard.triggers.store import Trigger
from switchboard.work import Outcome

PER_SECOND = 10.0
"""Calls per second of a recovery, unless the trigger allows fewer."""

_A_SLICE = 100
_WANTED = ("failed", "skipped")


def put_back(entry: Entry, result: Item) -> Outcome:
    """Resubmission of a failed delivery from the ledger: it begins a new round of attempts."""
    delivery = deliveries().get(entry.payload["deliveryId"])
    if delivery is None:
        raise SwitchboardError("not-found", "The delivery is no longer kept.")
    reopened = deliveries().reopen(delivery)
    if reopened is not None:
        messages.send([first_message(reopened)])
    result["round"] = delivery.rounds + 1
    return Outcome("synced", customer_id=entry.customer_id)


def first_message(delivery: Delivery) -> Message:
    """The message of a delivery that has been put back to work."""
    return Message(delivery.trigger_id, delivery.delivery_id, lane=delivery.lane, forced=delivery.forced)


def recover(message: Message, trigger: Trigger | None) -> None:
    """Put one slice of a range back to work, then go on with the next; what was delivered is left alone."""
    if trigger is None or trigger.status != "active" or message.recover is None:
        return
    asked = message.recover
    found = deliveries().of_trigger(
        trigger.trigger_id,
        since=asked["since"],
        until=asked["until"],
        after=asked.get("after"),
        statuses=_WANTED,
        forward=True,
    )
    rate = min(trigger.max_per_second or PER_SECOND, PER_SECOND)
    began = clock.now()
    taken = 0
    last = None
    for delivery in found:
        last = delivery.delivery_id
        reopened = deliveries().reopen(delivery)
        if reopened is not None:
            wait = timedelta(seconds=taken / rate)
            # SQS counts in whole seconds and keeps no order: the worker waits for the rest.
            again = replace(first_message(reopened), due=clock.exact(began + wait))
            messages.send([again], delay=int(wait.total_seconds()))
            taken += 1
        if taken == _A_SLICE:
            rest = replace(message, recover=asked | {"after": last})
            messages.send([rest], delay=int(taken / rate))
            return
