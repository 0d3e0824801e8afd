"""Queue of accepted posts: find or create the customer, open a case or thread into the open one.

Each write to the CRM carries the post's ledger id as its key, so a post that is worked on twice, because
the worker died in between, makes nothing twice.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.social_case import logic
from switchboard import clock, work
from switchboard.connectors import crm
from switchboard.crm import UNLINKED, Case, Customer, CustomerMatch, SocialProfile
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError, VendorError
from switchboard.ledger import Entry, entry_id
from switchboard.settings import store
from switchboard.settings.social import SocialSettings
from switchboard.social import FLOW, Post, post_entity
from switchboard.work import Outcome

MOST_ANCESTORS = 20
"""How far up a thread we look for its beginning."""


def do(entry: Entry, result: Item) -> Outcome:
    """Turn one post into a customer and a case; `result` gets the ids as they come."""
    post = Post.model_validate(entry.payload, strict=False)
    ancestors = _ancestors(entry, post)
    if ancestors and logic.must_wait_for(ancestors[0], entry):
        raise SwitchboardError("waits-for-earlier")
    conversation = logic.conversation(post, ancestors)
    result["conversation"] = conversation.root
    match = crm().find_customers_by_profile(post.community, post.author_id, key=entry.ledger_id)
    if len(match.customers) > 1:
        return _park(entry, post, conversation, match, result)
    customer = match.only or crm().create_customer_from_profile(_profile(post), key=entry.ledger_id)
    result["customerCreated"] = customer.created
    try:
        _keep_name(customer, post)
        if result.get("candidates"):
            case = crm().link_case(result["caseId"], customer.customer_id)
            del result["candidates"]
        else:
            case = _case(entry, post, conversation, customer.customer_id, is_new=match.only is None)
    except VendorError as error:
        if error.code in ("record-deleted", "not-found"):
            raise SwitchboardError("customer-vanished") from error
        raise
    _note(result, case, conversation)
    return Outcome("synced", customer_id=customer.customer_id)


def _ancestors(entry: Entry, post: Post) -> list[Entry]:
    """The parent, its parent and so on, up to one whose conversation is known; usually one look-up."""
    found: list[Entry] = []
    wanted = logic.parent_of(post)
    while wanted is not None and len(found) < MOST_ANCESTORS:
        entity = post_entity(post.community, wanted)
        ancestor = work.ledger().get(entry_id(entry.partner_id, FLOW, entity))
        if ancestor is None or ancestor.ledger_id in {entry.ledger_id, *(one.ledger_id for one in found)}:
            break
        if "uniqueId" not in ancestor.payload:
            break  # its author was erased: for us the thread begins behind it
        found.append(ancestor)
        wanted = logic.next_ancestor(ancestor)
    return found


def _profile(post: Post) -> SocialProfile:
    as_of = clock.rfc3339(post.posted_at)
    return SocialProfile(post.community, post.author_id, post.author_name, post.author_handle, as_of)


def _keep_name(customer: Customer, post: Post) -> None:
    """A temporary name follows the author's user name until somebody sets a real one."""
    if customer.temporary and customer.last_name != post.author_name:
        crm().rename_temporary_customer(customer.customer_id, _profile(post))


def _park(
    entry: Entry, post: Post, conversation: logic.Conversation, match: CustomerMatch, result: Item
) -> Outcome:
    """Several customers match: there is a case all the same, and a person settles whose it is."""
    candidates = [customer.customer_id for customer in match.customers]
    case = _case(entry, post, conversation, UNLINKED, candidates=candidates)
    _note(result, case, conversation)
    result["candidates"] = candidates
    return Outcome("data_error", code="ambiguous-customer")


def _case(
    entry: Entry,
    post: Post,
    conversation: logic.Conversation,
    owner: str,
    *,
    is_new: bool = False,
    candidates: Sequence[str] = (),
) -> Case:
    """The owner's open case of this conversation with the post added, or a new one.

    The parent post's case comes first; when that is closed or too old, another of the same conversation
    may be open. A case that this very post has opened, before its worker died, is taken as it is.
    """
    settings = store.current("social", SocialSettings)
    key, window = entry.ledger_id, settings.reopen_window
    joined = None
    if case_id := conversation.case_of(owner):
        joined = _append(owner, case_id, post, key, window)
    if joined is None and not is_new:
        found = crm().find_open_case(owner, conversation.root, key=key, active_within=window)
        if found and not found.created and found.case_id != case_id:
            joined = _append(owner, found.case_id, post, key, window)
        elif found and found.created:
            joined = found
    new_case = logic.new_case(post, conversation, settings.assignment_rules, candidates)
    return joined or crm().open_case(owner, new_case, key=key)


def _append(owner: str, case_id: str, post: Post, key: str, window: timedelta) -> Case | None:
    return crm().append_to_case(owner, case_id, logic.description(post), key=key, active_within=window)


def _note(result: Item, case: Case, conversation: logic.Conversation) -> None:
    result.update(caseId=case.case_id, caseCreated=case.created)
    result["assignedTo"] = case.assigned_to or conversation.assigned_to


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry."""
    return work.run_batch(event, context, do)
