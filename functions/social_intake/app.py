"""POST /social/posts: accept a post pushed by the listening platform, filtered by the criteria.

Accepting is one conditional write; the post's own id makes the second copy meet the first one.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.social_intake import replies
from functions.social_intake.logic import excluded_by
from switchboard import queues, work
from switchboard.api import Answer, Api, Call
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.settings import store
from switchboard.settings.social import SocialSettings
from switchboard.social import FLOW, Post, PostState, author_group, post_entity

api = Api("social")
api.include(replies.api)


def _state(entry: Entry) -> PostState:
    result = entry.result
    return PostState.model_validate(
        {
            "postId": entry.ledger_id,
            "status": entry.status,
            "customerId": entry.customer_id,
            "code": entry.code,
            "error": entry.detail,
            "action": entry.action,
            "updatedAt": entry.updated_at,
        }
        | {name: result.get(name) for name in _RESULTS},
        strict=False,
    )


_RESULTS = ("criterion", "customerCreated", "caseId", "caseCreated", "assignedTo", "candidates")


@api.post("/social/posts", scope="social:write", answers={202: PostState, 200: PostState})
def accept_post(call: Call, body: Post) -> Answer:
    """Accept a post: it becomes a case soon. The same post again is answered 200 and changes nothing."""
    criterion = excluded_by(body, store.current("social", SocialSettings))
    accepted = work.ledger().accept(
        partner_id=call.caller.partner_id,
        flow=FLOW,
        entity=post_entity(body.community, body.unique_id),
        payload=body.model_dump(mode="json", by_alias=True, exclude_none=True),
        group=author_group(body.community, body.author_id),
        correlation_id=call.correlation_id,
        status="filtered" if criterion else "pending",
        result={"criterion": criterion} if criterion else None,
    )
    entry = accepted.entry
    location = {"Location": f"{call.path}/{entry.ledger_id}"}
    if not accepted.is_new or criterion:
        return Answer(200, _state(entry), location)
    queues.offer(entry)
    return Answer(202, _state(entry), location)


@api.get("/social/posts/{postId}", scope="social:write", answers={200: PostState})
def get_post(call: Call, post_id: str) -> Answer:
    """Where a post stands, and what has come of it."""
    entry = work.ledger().get(post_id)
    if entry is None or entry.flow != FLOW or not call.caller.sees(entry.partner_id):
        raise SwitchboardError("not-found", "There is no such post.")
    return Answer(200, _state(entry))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
