"""Queue of accepted posts: find or create the customer, open a case or thread into the open one.

Each write to the CRM carries the post's ledger id as its key, so a post that is worked on twice, because
the worker died in between, makes nothing twice.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.social_case import logic
from switchboard import work
from switchboard.connectors import crm
from switchboard.crm import UNLINKED, Case, Customer, CustomerMatch, NewCase, SocialProfile
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError, VendorError
from switchboard.ledger import Entry, entry_id
from switchboard.settings import store
from switchboard.settings.social import SocialSettings
from switchboard.social import FLOW, Post, post_entity
from switchboard.work import Outcome


def do(entry: Entry, result: Item) -> Outcome:
    """Turn one post into a customer and a case; `result` gets the ids as they come."""
    post = Post.model_validate(entry.payload, strict=False)
    parent = _parent(entry, post)
    if logic.must_wait_for(parent, post):
        raise SwitchboardError("waits-for-earlier")
    conversation = logic.conversation(post, parent)
    result["conversation"] = conversation.root
    settings = store.current("social", SocialSettings)
    new_case = logic.new_case(post, conversation, settings.assignment_rules)
    match = crm().find_customers_by_profile(post.community, post.author_id, key=entry.ledger_id)
    if len(match.customers) > 1:
        return _park(match, new_case, entry.ledger_id, result)
    customer = match.only or crm().create_customer_from_profile(_profile(post), key=entry.ledger_id)
    result["customerCreated"] = customer.created
    try:
        _keep_name(customer, post)
        case = (
            _settled(result, customer)
            or _threaded(customer, conversation, post, entry.ledger_id, settings.reopen_window)
            or crm().open_case(customer.customer_id, new_case, key=entry.ledger_id)
        )
    except VendorError as error:
        if error.code in ("record-deleted", "not-found"):
            raise SwitchboardError("customer-vanished") from error
        raise
    result.update(caseId=case.case_id, caseCreated=case.created)
    result["assignedTo"] = case.assigned_to or conversation.assigned_to
    return Outcome("synced", customer_id=customer.customer_id)


def _parent(entry: Entry, post: Post) -> Entry | None:
    if post.parent_id is None:
        return None
    return work.ledger().get(entry_id(entry.partner_id, FLOW, post_entity(post.community, post.parent_id)))


def _profile(post: Post) -> SocialProfile:
    return SocialProfile(post.community, post.author_id, post.author_name, post.author_handle)


def _keep_name(customer: Customer, post: Post) -> None:
    """A temporary name follows the author's user name until somebody sets a real one."""
    if customer.temporary and customer.last_name != post.author_name:
        crm().rename_temporary_customer(customer.customer_id, _profile(post))


def _park(match: CustomerMatch, new_case: NewCase, key: str, result: Item) -> Outcome:
    """Several customers match: open the case all the same, and leave the link for a person to settle."""
    candidates = [customer.customer_id for customer in match.customers]
    case = crm().open_case(UNLINKED, replace(new_case, candidates=tuple(candidates)), key=key)
    result.update(
        caseId=case.case_id, caseCreated=case.created, assignedTo=case.assigned_to, candidates=candidates
    )
    return Outcome("data_error", code="ambiguous-customer")


def _settled(result: Item, customer: Customer) -> Case | None:
    """The case that was opened while several customers matched, now linked to the one."""
    if not result.pop("candidates", None):
        return None
    return crm().link_case(result["caseId"], customer.customer_id)


def _threaded(
    customer: Customer, conversation: logic.Conversation, post: Post, key: str, window: timedelta
) -> Case | None:
    """The customer's open case of this conversation with the post added; None when a new one is due."""
    case_id = conversation.case_of(customer.customer_id)
    if case_id is None and conversation.may_have_case:
        found = crm().find_open_case(customer.customer_id, conversation.root, active_within=window)
        case_id = found.case_id if found else None
    if case_id is None:
        return None
    return crm().append_to_case(
        customer.customer_id, case_id, logic.description(post), key=key, active_within=window
    )


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry."""
    return work.run_batch(event, context, do)
