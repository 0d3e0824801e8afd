"""The work queues: one for each flow, its URL in `<FLOW>_QUEUE_URL`.

A message is the id of a ledger entry. The entry has the rest, so a message that comes twice, late or
never does no harm: claiming the entry decides, and the sweeper sends what was lost.
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


def send(entry: Entry) -> None:
    """Put an entry's id on its flow's queue; on a FIFO queue behind whatever waits for the same group.

    The de-duplication id changes with each version and each attempt, so that a resubmission inside SQS's
    five minutes is not taken for a repeat.
    """
    url = queue_url(entry.flow)
    body = json.dumps({"ledgerId": entry.ledger_id})
    if not url.endswith(".fifo"):
        sqs().send_message(QueueUrl=url, MessageBody=body)
        return
    sqs().send_message(
        QueueUrl=url,
        MessageBody=body,
        MessageGroupId=ids.derived("grp", entry.group),
        MessageDeduplicationId=f"{entry.ledger_id}-{entry.revision}",
    )


def offer(entry: Entry) -> None:
    """Send, but leave it to the sweeper when SQS does not take it: the entry is accepted already."""
    try:
        send(entry)
    except (BotoCoreError, ClientError):
        observability.logger.warning("left to the sweeper", ledger_id=entry.ledger_id, exc_info=True)
