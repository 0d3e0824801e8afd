"""Queue of agents' answers: post each through the engagement platform, then note it on the post's case.

The answer does not wait for the CRM, the note waits for both: for the CRM, and for the post to become a case.
"""

from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.social_reply.logic import followup
from switchboard import clock, work
from switchboard.connectors import crm
from switchboard.connectors.sem import sem
from switchboard.crm import UNLINKED
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.settings import store
from switchboard.settings.social import SocialSettings
from switchboard.work import Outcome


def do(entry: Entry, result: Item) -> Outcome:
    """Send one answer and note it; `result` remembers what is done already."""
    post = work.ledger().get(entry.payload["postId"])
    if post is None:
        raise SwitchboardError("not-found", "The post of this answer is gone.")
    if "sentAt" not in result:
        _send(entry, post)
        result["sentAt"] = clock.timestamp()
    case_id = post.result.get("caseId")
    if case_id is None:
        raise SwitchboardError("waits-for-earlier", "The answer is sent; its post is no case yet.")
    text = followup(entry.payload["body"], entry.payload["agentId"], result["sentAt"])
    crm().note_on_case(post.customer_id or UNLINKED, case_id, text, key=entry.ledger_id)
    result["caseId"] = case_id
    return Outcome("synced", customer_id=post.customer_id)


def _send(entry: Entry, post: Entry) -> None:
    how = store.current("social", SocialSettings).engagement
    message_id = post.payload.get("uniqueId")
    if message_id is None:
        raise SwitchboardError("payload-pruned", "The author of the post was erased.")
    # Whoever had this before may have sent it and died, or lost the answer.
    had_before = entry.attempts > 1 or len(entry.history) > 1
    if had_before and sem().has_reply(message_id, entry.ledger_id, how=how):
        return
    sem().reply(message_id, entry.ledger_id, entry.payload["body"], entry.payload["agentId"], how=how)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry."""
    return work.run_batch(event, context, do)
