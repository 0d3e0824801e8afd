"""The work queues: one for each flow, its URL in `<FLOW>_QUEUE_URL`.

A message is the id of a ledger entry, and its revision. The entry has the rest, so a message that comes
twice, late or never does no harm: claiming the entry decides, and the sweeper sends what was lost.
"""

import json
import os

from botocore.exceptions import BotoCoreError, ClientError

from switchboard import ids, observability
from switchboard.aws import sqs
from switchboard.ledger import Entry


def queue_url(flow: str) -> str:
    """The queue of a flow; a KeyError when this function is not given it."""
    return os.environ[f"{flow.upper()}_QUEUE_URL"]


def knows(flow: str) -> bool:
    """Whether this function is given the queue of a flow."""
    return f"{flow.upper()}_QUEUE_URL" in os.environ


def known() -> bool:
    """Whether this function is given any queue."""
    return any(name.endswith("_QUEUE_URL") for name in os.environ)


def send(entry: Entry, *, alone: bool = False) -> None:
    """Put an entry's id on its flow's queue; on a FIFO queue behind whatever waits for the same group.

    `alone` puts it in a group of its own: the message of a worker that died is hidden for six times the
    function's time-out, and with it the whole group. The entry's lease still lets one worker in at a time.

    The de-duplication id changes with each version and each attempt, so that a resubmission inside SQS's
    five minutes is not taken for a repeat.
    """
    url = queue_url(entry.flow)
    body = json.dumps({"ledgerId": entry.ledger_id, "revision": entry.revision})
    if not url.endswith(".fifo"):
        sqs().send_message(QueueUrl=url, MessageBody=body)
        return
    sqs().send_message(
        QueueUrl=url,
        MessageBody=body,
        MessageGroupId=ids.derived("grp", entry.group, *([str(entry.revision)] if alone else [])),
        MessageDeduplicationId=f"{entry.ledger_id}-{entry.revision}",
    )


def offer(entry: Entry, *, alone: bool = False) -> None:
    """Send, but leave it to the sweeper when SQS does not take it: the entry is accepted already."""
    try:
        send(entry, alone=alone)
    except (BotoCoreError, ClientError):
        observability.logger.warning("left to the sweeper", ledger_id=entry.ledger_id, exc_info=True)
