"""What a post becomes: its subject, its conversation, and who gets the case."""

from dataclasses import dataclass

from switchboard.crm import NewCase
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
        case: (customer id, case id) of the parent post's case, when the parent was pushed to us.
        assigned_to: who has that case.
        may_have_case: whether another post may have opened a case for this thread already.
    """

    root: str
    case: tuple[str, str] | None = None
    assigned_to: str | None = None
    may_have_case: bool = False

    def case_of(self, customer_id: str) -> str | None:
        """The parent post's case, when it is this customer's."""
        return self.case[1] if self.case and self.case[0] == customer_id else None


def conversation(post: Post, parent: Entry | None) -> Conversation:
    """A reply belongs to its parent's thread, whoever wrote the parent; any other post starts one."""
    if post.parent_id is None:
        return Conversation(post.unique_id)
    if parent is None:
        return Conversation(post.parent_id, may_have_case=True)
    root = parent.result.get("conversation") or parent.payload.get("parentId") or post.parent_id
    case_id = parent.result.get("caseId")
    case = (parent.customer_id, case_id) if parent.customer_id and case_id else None
    return Conversation(root, case, parent.result.get("assignedTo"), may_have_case=True)


def new_case(post: Post, thread: Conversation, rules: list[AssignmentRule]) -> NewCase:
    """The case that the post opens when there is none to join."""
    return NewCase(
        subject=subject(post),
        description=description(post),
        channel=post.community,
        conversation=thread.root,
        assigned_to=assignee(post, rules),
    )


def must_wait_for(parent: Entry | None, post: Post) -> bool:
    """Whether the author's earlier post is still to be done: its case must be there before this one joins."""
    return (
        parent is not None
        and parent.status in UNFINISHED
        and parent.payload.get("authorId") == post.author_id
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
