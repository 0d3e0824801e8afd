"""`settings/social`: which posts are taken, and who gets the case (source 000)."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from switchboard.models import ApiModel

type Sentiment = Literal["positive", "neutral", "negative"]
type Term = Annotated[str, Field(min_length=1, max_length=200)]
type AuthorId = Annotated[str, Field(min_length=1, max_length=500)]
type Terms = Annotated[list[Term], Field(max_length=500)]


class Criteria(ApiModel):
    """The posts that are taken. An empty list lets all through; keywords and topics ignore case."""

    communities: Terms = []
    languages: Terms = []
    keywords: Terms = []
    topics: Terms = []
    sentiments: list[Sentiment] = []


class When(ApiModel):
    """What a post must have for a rule to fit; what is left out fits every post."""

    community: Term | None = None
    language: Term | None = None
    sentiment: Sentiment | None = None
    topics: Terms = []
    keywords: Terms = []


class AssignmentRule(ApiModel):
    """The first rule that fits names the person or queue that gets the case."""

    when: When = When()
    assign_to: Term


class OwnAccount(ApiModel):
    """One of our own accounts: its posts make no case."""

    community: Term
    author_id: AuthorId


type Path = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[A-Za-z0-9/{}._~-]+$")]
type Member = Annotated[str, Field(min_length=1, max_length=100)]


class Engagement(ApiModel):
    """How an agent's answer is given to the engagement platform. The defaults are UNVERIFIED.

    `{messageId}` stands for the post's `uniqueId`, `{replyId}` for our id of the answer.
    """

    reply_method: Literal["PUT", "POST"] = "PUT"
    reply_path: Path = "engage/v1/messages/{messageId}"
    activity_path: Path = "engage/v1/messages/{messageId}/activities/{replyId}"
    reply_field: Member = "reply"
    id_field: Member = "id"
    text_field: Member = "body"
    agent_field: Member = "agentId"


class SocialSettings(ApiModel):
    """The area `social`."""

    criteria: Criteria = Criteria()
    assignment_rules: Annotated[list[AssignmentRule], Field(max_length=200)] = []
    own_accounts: Annotated[list[OwnAccount], Field(max_length=1000)] = []
    engagement: Engagement = Engagement()
    reopen_window_days: Annotated[
        int,
        Field(ge=0, le=365, description="A reply joins a case whose last activity is no older."),
    ] = 7

    @property
    def reopen_window(self) -> timedelta:
        """How long after its last activity an open case still takes a post of its conversation."""
        return timedelta(days=self.reopen_window_days)
