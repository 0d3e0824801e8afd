"""/social/posts/{postId}/replies: accept an agent's answer to a post, and show what became of it."""

from switchboard import cursors, queues, replies, social, work
from switchboard.api import Answer, Api, Call
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.models import PageOf, PageQuery
from switchboard.replies import FLOW, Reply, ReplyState

api = Api("social")


def _post(call: Call, post_id: str) -> Entry:
    entry = work.ledger().get(post_id)
    if entry is None or entry.flow != social.FLOW or not call.caller.sees(entry.partner_id):
        raise SwitchboardError("not-found", "There is no such post.")
    return entry


@api.post("/social/posts/{postId}/replies", scope="social:write", answers={202: ReplyState})
def accept_reply(call: Call, post_id: str, body: Reply) -> Answer:
    """Accept an agent's answer: it is posted soon, and noted on the post's case."""
    post = _post(call, post_id)
    if post.status in ("filtered", "discarded"):
        raise SwitchboardError("conflict", f"The post is {post.status}: there is no case to answer in.")
    if "uniqueId" not in post.payload:
        raise SwitchboardError("erased")
    accepted = work.ledger().accept(
        partner_id=post.partner_id,
        flow=FLOW,
        entity=f"{post_id}:{call.work_id()}",
        payload=body.model_dump(by_alias=True) | {"postId": post_id},
        group=post_id,
        correlation_id=call.correlation_id,
        customer_id=post.customer_id,
    )
    entry = accepted.entry
    replies.note(post_id, entry.ledger_id, entry.created_at)
    queues.offer(entry)
    return Answer(202, _state(entry), {"Location": call.path})


@api.get("/social/posts/{postId}/replies", scope="social:write", answers={200: PageOf[ReplyState]})
def list_replies(call: Call, post_id: str, query: PageQuery) -> Answer:
    """The answers to a post, the oldest first."""
    _post(call, post_id)
    after = cursors.decode(query.cursor, replies.POSITION)
    page, last = replies.of_post(post_id, limit=query.limit, after=after)
    entries = [work.ledger().get(item["replyId"]) for item in page]
    items = [_state(entry) for entry in entries if entry is not None]
    return Answer(200, PageOf[ReplyState](items=items, next=cursors.encode(last)))


def _state(entry: Entry) -> ReplyState:
    return ReplyState(
        reply_id=entry.ledger_id,
        status="sent" if entry.status == "synced" else entry.status,
        body=entry.payload.get("body"),
        agent_id=entry.payload.get("agentId"),
        sent_at=entry.result.get("sentAt"),
        case_id=entry.result.get("caseId"),
        code=entry.code,
        error=entry.detail,
        action=entry.action,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )
