"""An agent's answers to a post, and the list of them in the State table, beside the post's ledger entry."""

import os
from typing import Annotated

from pydantic import Field

from switchboard.dynamo import Item, Table
from switchboard.models import ApiModel

FLOW = "social_reply"


class Reply(ApiModel):
    """`POST /social/posts/{postId}/replies`."""

    body: Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")]
    agent_id: Annotated[str, Field(min_length=1, max_length=200)]


class ReplyState(ApiModel):
    """Where an answer stands: the ledger's states, and `sent` once it is posted and noted on the case.

    `sentAt` stands as soon as it is posted, also while the note on the case is still to be made. `body` is
    null when it is no longer kept.
    """

    reply_id: str
    status: str
    body: str | None = None
    agent_id: str | None = None
    sent_at: str | None = None
    case_id: str | None = None
    code: str | None = None
    error: str | None = None
    action: str | None = None
    created_at: str
    updated_at: str


def _state() -> Table:
    return Table(os.environ["STATE_TABLE"])


def note(post_id: str, reply_id: str, created_at: str) -> None:
    """Put a reply on its post's list; again, it changes nothing, since the entry's time never moves."""
    _state().put({"pk": f"REPLIES#{post_id}", "sk": f"{created_at}#{reply_id}", "replyId": reply_id})


POSITION = r"[0-9TZ:.-]{24}#led_\w{26}"
"""The place in a list of replies, as a cursor holds it."""


def of_post(post_id: str, *, limit: int, after: str | None) -> tuple[list[Item], str | None]:
    """A page of a post's replies, the oldest first, and the place to go on after; items have `replyId`."""
    pk = f"REPLIES#{post_id}"
    start = {"pk": pk, "sk": after} if after else None
    page = _state().query("pk = :pk", {":pk": pk}, limit=limit, start=start, consistent=True)
    return page.items, page.next_key["sk"] if page.next_key else None
