"""What a post becomes: its subject, its conversation, and who gets the case."""

from collections.abc import Sequence
from dataclasses import dataclass

from switchboard.crm import UNLINKED, NewCase
from switchboard.ledger import UNFINISHED, Entry
from switchboard.matching import mentions, same, share, speaks
from switchboard.settings.social import AssignmentRule, When
from switchboard.social import Post

SUBJECT_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Conversation:
    """The thread that a post belongs to.

    Attributes:
        root: names the thread: the network's id of its first post, as far as we know it.
        case: (owner, case id) of the parent post's case, when the parent was pushed to us.
        assigned_to: who has that case.
    """

    root: str
    case: tuple[str, str] | None = None
    assigned_to: str | None = None

    def case_of(self, owner: str) -> str | None:
        """The parent post's case, when it is this customer's (or `UNLINKED`, like this one's will be)."""
        return self.case[1] if self.case and self.case[0] == owner else None


def conversation(post: Post, ancestors: list[Entry]) -> Conversation:
    """A reply belongs to its parent's thread, whoever wrote the parent; any other post starts one.

    Args:
        post: the post.
        ancestors: its parent, the parent's parent and so on, as far as they were pushed to us.
    """
    if not ancestors:
        return Conversation(parent_of(post) or post.unique_id)
    parent, eldest = ancestors[0], ancestors[-1]
    root = eldest.result.get("conversation") or eldest.payload.get("parentId") or eldest.payload["uniqueId"]
    case_id = parent.result.get("caseId")
    case = (parent.customer_id or UNLINKED, case_id) if case_id else None
    return Conversation(root, case, parent.result.get("assignedTo"))


def parent_of(post: Post) -> str | None:
    """The post that this one answers; some platforms name a thread's first post its own parent."""
    return None if post.parent_id == post.unique_id else post.parent_id


def next_ancestor(entry: Entry) -> str | None:
    """Whom to look up after this ancestor; None where the thread is known, or begins."""
    return None if entry.result.get("conversation") else entry.payload.get("parentId")


def new_case(
    post: Post, thread: Conversation, rules: list[AssignmentRule], candidates: Sequence[str] = ()
) -> NewCase:
    """The case that the post opens when there is none to join."""
    return NewCase(
        subject=subject(post),
        description=description(post),
        channel=post.community,
        conversation=thread.root,
        assigned_to=assignee(post, rules),
        candidates=tuple(candidates),
    )


def must_wait_for(parent: Entry, entry: Entry) -> bool:
    """Whether the author's earlier post is still to be done: its case must be there before this one joins.

    Only for a post that came in earlier, so that posts which name each other do not wait for ever.
    """
    return (
        parent.status in UNFINISHED
        and parent.created_at < entry.created_at
        and parent.payload.get("authorId") == entry.payload.get("authorId")
    )


def assignee(post: Post, rules: list[AssignmentRule]) -> str | None:
    """Who gets the case: the first rule that fits decides; None when none does."""
    return next((rule.assign_to for rule in rules if fits(rule.when, post)), None)


def fits(when: When, post: Post) -> bool:
    """Whether a post has all that a rule asks for; of topics and keywords one is enough."""
    return (
        (when.community is None or same(when.community, post.community))
        and (when.language is None or speaks(post.language, when.language))
        and (when.sentiment is None or when.sentiment == post.sentiment)
        and (not when.topics or share(when.topics, post.topics))
        and (not when.keywords or mentions(post.body, when.keywords))
    )


def subject(post: Post) -> str:
    """One line for an agent's list: where it came from and how it begins."""
    text = " ".join(post.body.split())
    line = f"{post.community}: {text}"
    return line if len(line) <= SUBJECT_LENGTH else f"{line[: SUBJECT_LENGTH - 1]}…"


def description(post: Post) -> str:
    """The post as an agent reads it: its text, then where and when it was said."""
    author = f"{post.author_name} (@{post.author_handle})" if post.author_handle else post.author_name
    lines = [post.body, "", f"{author}, {post.posted_at.isoformat()}", str(post.post_link)]
    lines += [f"{attachment.type}: {attachment.url}" for attachment in post.attachments]
    return "\n".join(lines)
