"""A route as it is declared: the code, the OpenAPI document and the tests read it."""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import BaseModel

from switchboard import ids
from switchboard.models import ApiModel
from switchboard.partners import Caller

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
type Handler = Callable[..., "Answer"]

JSON = "application/json"

_BRACES = re.compile(r"\{(\w+)\}")
_CAMEL_HUMP = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True)
class Call:
    """What a handler knows of its caller and the request, beside its own parameters."""

    caller: Caller
    correlation_id: str
    path: str
    """The path as the caller sees it, the stage included."""
    headers: Mapping[str, str]
    raw_body: bytes
    context: "LambdaContext"
    arrived_at: str
    """When the gateway got the request, RFC 3339: behind a cold start that is seconds ago."""

    def work_id(self) -> str:
        """What names the work of this call: the same for a repeat with its Idempotency-Key, else a fresh one.

        So a call that died after it wrote finds its own write when it is repeated. Another body under the
        same key is other work: refusing it is `idempotency`'s business.
        """
        key = self.headers.get("idempotency-key")
        if key is None:
            return ids.fresh("req")
        digest = hashlib.sha256(self.raw_body).hexdigest()
        return ids.derived("req", self.caller.partner_id, self.path, key, digest)


@dataclass(frozen=True, slots=True)
class Answer:
    """A handler's answer: a status, a model (or ready-made text of `content_type`), and headers."""

    status: int
    body: BaseModel | str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON

    def text(self) -> str:
        """The body as it goes out."""
        if isinstance(self.body, BaseModel):
            return self.body.model_dump_json(by_alias=True)
        return self.body or ""


@dataclass(frozen=True)
class Route:
    """One route as it was declared; the code, the OpenAPI document and the tests read it."""

    method: Method
    path: str
    scope: str | None
    answers: Mapping[int, type[BaseModel] | None]
    handler: Handler
    tag: str
    secret_fields: frozenset[str] = frozenset()
    raw_body: Callable[[], Iterable[type[BaseModel]]] | None = None
    """The models of a body that the handler itself reads from `call.raw_body`."""
    models: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """`body` and `query` of a handler that is made from a table, and so has no signature of its own."""

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The handler's parameters by name, with their types."""
        hints = get_type_hints(self.handler)
        return {name: hints[name] for name in inspect.signature(self.handler).parameters}

    @property
    def body(self) -> type[ApiModel] | None:
        """The model of the JSON body."""
        return self.models.get("body") or self.parameters.get("body")  # type: ignore[return-value]

    @property
    def query(self) -> type[BaseModel] | None:
        """The model of the query string."""
        return self.models.get("query") or self.parameters.get("query")

    @property
    def takes_nothing(self) -> bool:
        """Whether a body could only be a mistake. A route without a scope is a hook, and reads its own."""
        return self.scope is not None and self.body is None and self.raw_body is None

    @property
    def resource(self) -> str:
        """The path as the resolver writes it: `/social/posts/<post_id>`."""
        return _BRACES.sub(lambda found: f"<{snake_case(found[1])}>", self.path)


def snake_case(name: str) -> str:
    """`postId` -> `post_id`."""
    return _CAMEL_HUMP.sub("_", name).lower()


def matches(template: str, path: str) -> bool:
    """Whether a path is one of a route's: `/social/posts/{postId}` and `/social/posts/pst_1`."""
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        part == segment or (part.startswith("{") and segment != "")
        for part, segment in zip(parts, given, strict=True)
    )
