"""The HTTP side of a step: routes with a scope, validated bodies, problem+json, Idempotency-Key.

    api = Api("social")

    @api.post("/social/posts", scope="social:write", answers={202: Accepted})
    def accept_post(call: Call, body: Post) -> Answer: ...

A route's parameters are read from its signature: `call` always comes first, the names in the path's
braces are strings (`postId` becomes `post_id`), `body` is a pydantic model of the JSON body, `query` one
of the query string. The same declarations make the OpenAPI document (`tools/openapi.py`).

Powertools routes and catches; validation is pydantic's alone, on the raw bytes: it costs a cold start half
of what the resolver's own validation does, and a body that is not UTF-8 is a 400 here, not a 500.
"""

import base64
import binascii
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from switchboard import ids, observability
from switchboard.errors import FieldError, SwitchboardError
from switchboard.models import ApiModel
from switchboard.partners import Caller

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
type Handler = Callable[..., "Answer"]

MAX_BODY = 256 * 1024
JSON = "application/json"
PROBLEM = "application/problem+json"

_METHODS_WITH_KEY = frozenset({"POST", "PUT", "PATCH"})
_KEY_LENGTH = 255
_LONGEST_PATH_PARAMETER = 500
_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,128}")
_BRACES = re.compile(r"\{(\w+)\}")
_CAMEL_HUMP = re.compile(r"(?<!^)(?=[A-Z])")
_NOBODY = Caller("", frozenset())


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


class Api:
    """The routes of one step; an instance is what its `lambda_handler` calls.

    Args:
        tag: the group of these routes in the OpenAPI document.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.routes: list[Route] = []
        self._resolver = APIGatewayRestResolver()
        self._resolver.exception_handler(SwitchboardError)(self._problem)
        self._resolver.exception_handler(NotFoundError)(self._no_route)
        self._resolver.exception_handler(Exception)(self._broken)

    # declaring ----------------------------------------------------------------------------------------

    def route(
        self,
        method: Method,
        path: str,
        *,
        scope: str | None,
        answers: Mapping[int, type[BaseModel] | None],
        secret_fields: frozenset[str] = frozenset(),
        raw_body: Callable[[], Iterable[type[BaseModel]]] | None = None,
        models: Mapping[str, type[BaseModel]] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare a route.

        Args:
            method: the HTTP method.
            path: as in the API's documentation, e.g. `/social/posts/{postId}`.
            scope: what the caller's key must carry, or one of several: `charging:read|charging:write`; None
                for a route that needs no key.
            answers: the model of each status that is not a problem.
            secret_fields: members of the answer that are shown once: a replay of an Idempotency-Key
                leaves them out, because they are never stored.
            raw_body: the models that the body may have, when the handler reads `call.raw_body` itself.
            models: the models of `body` and `query`, for a handler that is made from a table.
        """

        def declare(handler: Handler) -> Handler:
            self._add(
                Route(method, path, scope, answers, handler, self.tag, secret_fields, raw_body, models or {})
            )
            return handler

        return declare

    def get(
        self, path: str, *, scope: str | None, answers: Mapping[int, type[BaseModel] | None]
    ) -> Callable[[Handler], Handler]:
        """Declare a GET route."""
        return self.route("GET", path, scope=scope, answers=answers)

    def post(
        self,
        path: str,
        *,
        scope: str | None,
        answers: Mapping[int, type[BaseModel] | None],
        secret_fields: frozenset[str] = frozenset(),
        raw_body: Callable[[], Iterable[type[BaseModel]]] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare a POST route."""
        return self.route(
            "POST", path, scope=scope, answers=answers, secret_fields=secret_fields, raw_body=raw_body
        )

    def put(
        self,
        path: str,
        *,
        scope: str | None,
        answers: Mapping[int, type[BaseModel] | None],
        raw_body: Callable[[], Iterable[type[BaseModel]]] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare a PUT route."""
        return self.route("PUT", path, scope=scope, answers=answers, raw_body=raw_body)

    def patch(
        self, path: str, *, scope: str | None, answers: Mapping[int, type[BaseModel] | None]
    ) -> Callable[[Handler], Handler]:
        """Declare a PATCH route."""
        return self.route("PATCH", path, scope=scope, answers=answers)

    def delete(
        self, path: str, *, scope: str | None, answers: Mapping[int, type[BaseModel] | None]
    ) -> Callable[[Handler], Handler]:
        """Declare a DELETE route."""
        return self.route("DELETE", path, scope=scope, answers=answers)

    def include(self, *others: "Api") -> None:
        """Answer the routes of other parts of the same step too."""
        for other in others:
            for declared in other.routes:
                self._add(declared)

    def _add(self, declared: Route) -> None:
        def endpoint(**path_parameters: str) -> Response[str]:
            return self._answer(declared, path_parameters)

        self.routes.append(declared)
        self._resolver.route(declared.resource, method=declared.method)(endpoint)

    # answering ----------------------------------------------------------------------------------------

    def __call__(self, event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
        """Answer one API Gateway event."""
        correlation_id = _correlation_id(event)
        event["correlationId"] = correlation_id
        observability.logger.set_correlation_id(correlation_id)
        with observability.collected():
            answer: dict[str, Any] = self._resolver.resolve(event, context)
        return answer

    @property
    def _event(self) -> dict[str, Any]:
        return self._resolver.current_event.raw_event

    def _answer(self, route: Route, path_parameters: dict[str, str]) -> Response[str]:
        event = self._event
        headers = _headers(event)
        caller = _caller(event)
        if route.scope is not None:
            _authorize(caller, route.scope)
        raw_body = _raw_body(event)
        arguments: dict[str, Any] = dict(path_parameters)
        if any(len(one.encode()) > _LONGEST_PATH_PARAMETER for one in path_parameters.values()):
            raise SwitchboardError("not-found", "No id is that long.")
        if route.takes_nothing and raw_body.strip() not in (b"", b"{}"):
            raise SwitchboardError("invalid", "This call takes no body.")
        if route.body is not None:
            arguments["body"] = parse_body(route.body, raw_body, headers)
        if route.query is not None:
            arguments["query"] = _parse_query(route.query, event)
        path = (event.get("requestContext") or {}).get("path") or event["path"]
        call = Call(caller, event["correlationId"], path, headers, raw_body, self._resolver.lambda_context)
        key = headers.get("idempotency-key")
        if key is None or route.method not in _METHODS_WITH_KEY or route.scope is None:
            return self._respond(route.handler(call, **arguments))
        return self._answer_once(route, call, arguments, key, event)

    def _answer_once(
        self, route: Route, call: Call, arguments: dict[str, Any], key: str, event: dict[str, Any]
    ) -> Response[str]:
        if not 1 <= len(key) <= _KEY_LENGTH:
            raise SwitchboardError(
                "invalid",
                f"An Idempotency-Key has 1 to {_KEY_LENGTH} characters.",
                fields=(FieldError("/headers/Idempotency-Key", f"1 to {_KEY_LENGTH} characters"),),
            )
        from switchboard import idempotency

        first: list[Answer] = []

        def execute() -> dict[str, Any]:
            answer = route.handler(call, **arguments)
            first.append(answer)
            return _storable(answer, route.secret_fields)

        request = f"{route.method} {event['path']}\n".encode() + call.raw_body
        stored, replayed = idempotency.once(
            call.caller.partner_id, key, hashlib.sha256(request).hexdigest(), call.context, execute
        )
        if not replayed:
            return self._respond(first[0])
        headers = stored["headers"] | {"Idempotency-Replayed": "true"}
        return self._respond(Answer(int(stored["status"]), stored["body"], headers))

    def _respond(self, answer: Answer) -> Response[str]:
        headers: dict[str, str | list[str]] = {"x-correlation-id": self._event["correlationId"]}
        return Response(
            status_code=answer.status,
            content_type=answer.content_type if answer.body is not None else None,
            body=answer.text(),
            headers=headers | answer.headers,
        )

    # problems -----------------------------------------------------------------------------------------

    def _problem(self, error: SwitchboardError) -> Response[str]:
        event = self._event
        known = error.error
        problem: dict[str, object] = {
            "type": f"urn:switchboard:problem:{known.code}",
            "title": known.title,
            "status": known.status,
            "detail": error.detail,
            "instance": event["path"],
            "code": known.code,
            "correlationId": event["correlationId"],
            "errors": [{"pointer": one.pointer, "detail": one.detail} for one in error.fields],
        } | error.extra
        headers: dict[str, str] = {}
        if known.status in (429, 503) or error.retry_after:
            headers["Retry-After"] = str(round(error.retry_after or 30))
        if known.code == "method-not-allowed":
            headers["Allow"] = ", ".join(self._methods_of(event["path"]))
        if known.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            observability.logger.error("answered a problem", code=known.code, detail=error.detail)
        body = json.dumps(problem, ensure_ascii=False)
        return self._respond(Answer(known.status, body, headers, PROBLEM))

    def _no_route(self, _: NotFoundError) -> Response[str]:
        _authorize_any(_caller(self._event))
        known = self._methods_of(self._event["path"])
        # A path of a route with its own method is an id with characters that no id has.
        allowed = not known or self._event["httpMethod"] in known
        return self._problem(SwitchboardError("not-found" if allowed else "method-not-allowed"))

    def _broken(self, error: Exception) -> Response[str]:
        observability.logger.exception("the route broke", exc_info=error)
        return self._problem(SwitchboardError("internal", "Something broke on our side; it is logged."))

    def _methods_of(self, path: str) -> list[str]:
        return sorted({route.method for route in self.routes if matches(route.path, path)})


def matches(template: str, path: str) -> bool:
    """Whether a path is one of a route's: `/social/posts/{postId}` and `/social/posts/pst_1`."""
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        part == segment or (part.startswith("{") and segment != "")
        for part, segment in zip(parts, given, strict=True)
    )


def problem_fields(error: ValidationError, *, prefix: str = "") -> tuple[FieldError, ...]:
    """Pydantic's complaints as JSON pointers, without what was sent."""
    return tuple(
        FieldError(
            prefix + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in _place(one)),
            one["msg"],
        )
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _place(error: Mapping[str, Any]) -> tuple[int | str, ...]:
    """Where it is, under the API's names: pydantic calls a field that was left out by its Python name."""
    place: tuple[int | str, ...] = error["loc"]
    if error["type"] == "value_error" and len(place) == 1:
        return (to_camel(str(place[0])),)
    return place


def parse_body[T: BaseModel](model: type[T], raw_body: bytes, headers: Mapping[str, str]) -> T:
    """The JSON body as its model; raises the 4xx that says what is wrong with it."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise SwitchboardError("unsupported-media-type")
    try:
        return model.model_validate_json(raw_body)
    except ValidationError as error:
        fields = problem_fields(error)
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            raise SwitchboardError("not-json", fields[0].detail) from None
        raise SwitchboardError("invalid", fields=fields) from None


def _parse_query[T: BaseModel](model: type[T], event: Mapping[str, Any]) -> T:
    given = event.get("queryStringParameters") or {}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise SwitchboardError("invalid", fields=problem_fields(error, prefix="/query")) from None


def _raw_body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            raw = base64.b64decode(body, validate=True)
        except binascii.Error:
            raise SwitchboardError("bad-request", "The body's base64 is broken.") from None
        if len(raw) > MAX_BODY:
            raise SwitchboardError("too-large")
        _check_utf8(raw)
        return raw
    # A gateway that hands text over has put U+FFFD where the bytes were not UTF-8.
    if "\ufffd" in body:
        raise SwitchboardError("not-utf8")
    raw = body.encode("utf-8", errors="surrogatepass")
    if len(raw) > MAX_BODY:
        raise SwitchboardError("too-large")
    return raw


def _check_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise SwitchboardError("not-utf8") from None


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items() if value is not None}


def _correlation_id(event: Mapping[str, Any]) -> str:
    given = _headers(event).get("x-correlation-id", "")
    return given if _CORRELATION_ID.fullmatch(given) else ids.fresh("cor")


def _caller(event: Mapping[str, Any]) -> Caller:
    authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
    if not authorizer.get("partnerId"):
        return _NOBODY
    return Caller(authorizer["partnerId"], frozenset(authorizer.get("scopes", "").split()))


def _authorize_any(caller: Caller) -> None:
    if not caller.partner_id:
        raise SwitchboardError("unauthorized")


def _authorize(caller: Caller, scope: str) -> None:
    _authorize_any(caller)
    if not any(caller.may(one) for one in scope.split("|")):
        raise SwitchboardError("forbidden", f"This needs the scope {scope.replace('|', ' or ')}.")


def _storable(answer: Answer, secret_fields: frozenset[str]) -> dict[str, Any]:
    text = answer.text()
    if secret_fields:
        members = json.loads(text)
        text = json.dumps({name: held for name, held in members.items() if name not in secret_fields})
    return {"status": answer.status, "body": text, "headers": answer.headers}
