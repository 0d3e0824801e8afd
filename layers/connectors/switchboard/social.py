"""A social post, as the listening platform pushes it and as the steps pass it on.

The contract is ours: no push format of the vendor is documented. Its four mandatory names map one to one
onto what the sibling CRM's Social Media object requires (AuthorId, Community, PostLink, UniqueID), see
Oracle CRM On Demand, Web Services, "Social Media".
"""

from typing import Annotated

from pydantic import Field, HttpUrl

from switchboard.models import ApiModel, Moment
from switchboard.settings.social import Sentiment

FLOW = "social_post"

type Name = Annotated[str, Field(min_length=1, max_length=200)]
type Id = Annotated[str, Field(min_length=1, max_length=500)]
type Labels = Annotated[list[Name], Field(max_length=100)]


class Attachment(ApiModel):
    """A picture, a film or a document of a post, by its URL."""

    url: HttpUrl
    type: Name


class Post(ApiModel):
    """`POST /social/posts`. Texts are as the network has them; nothing is trimmed or translated."""

    unique_id: Id
    community: Name
    author_id: Id
    author_name: Name
    post_link: HttpUrl
    body: Annotated[str, Field(min_length=1, max_length=60_000)]
    posted_at: Moment
    parent_id: Id | None = None
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$")] | None = None
    sentiment: Sentiment | None = None
    topics: Labels = []
    indicators: Labels = []
    author_handle: Name | None = None
    followers: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    attachments: Annotated[list[Attachment], Field(max_length=50)] = []


def post_entity(community: str, unique_id: str) -> str:
    """What a post's ledger entry is about; the network's id is unique in its community only."""
    return f"{len(community)}:{community.casefold()}:{unique_id}"


def author_group(community: str, author_id: str) -> str:
    """Posts of one author are worked on in the order in which they came."""
    return f"{len(community)}:{community.casefold()}:{author_id}"


class PostState(ApiModel):
    """Where a post stands: the ledger's states, and `filtered` with the criterion that kept it out."""

    post_id: str
    status: str
    criterion: str | None = None
    customer_id: str | None = None
    customer_created: bool | None = None
    case_id: str | None = None
    case_created: bool | None = None
    assigned_to: str | None = None
    candidates: list[str] | None = None
    code: str | None = None
    error: str | None = None
    action: str | None = None
    updated_at: str
