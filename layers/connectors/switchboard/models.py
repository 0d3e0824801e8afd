"""The base of every model that a partner sends or gets: camelCase, strict, no unknown fields."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range in UTC") from None


type Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its offset, RFC 3339; kept in UTC."""


class ApiModel(BaseModel):
    """A JSON object of the API. A field that the model does not name is refused, never dropped."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        strict=True,
        defer_build=True,
        frozen=True,
    )


class QueryModel(BaseModel):
    """The query string of a route. Values are text, so they are coerced; unknown names are left alone."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, defer_build=True, frozen=True)


class PageQuery(QueryModel):
    """`limit` and `cursor` of every list."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class PageOf[T](ApiModel):
    """One page of a list; `next` is the cursor of the one after it, null at the end."""

    items: list[T]
    next: str | None = None


class Problem(BaseModel):
    """An error as RFC 9457 problem+json."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="urn:switchboard:problem:<code>")
    title: str
    status: int
    detail: str
    instance: str
    code: str
    correlationId: str
    errors: list[dict[str, Any]] = []
