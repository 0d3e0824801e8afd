"""The routes of one step, and the answer to each request: see the package."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from pydantic import BaseModel

from switchboard import observability
from switchboard.api.requests import (
    arrival_of,
    authorize,
    authorize_any,
    caller_of,
    correlation_id_of,
    headers_of,
    parse_body,
    parse_query,
    raw_body_of,
)
from switchboard.api.routes import Answer, Call, Handler, Method, Route, matches
from switchboard.errors import FieldError, SwitchboardError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

PROBLEM = "application/problem+json"

_METHODS_WITH_KEY = frozenset({"POST", "PUT", "PATCH"})
_KEY_LENGTH = 255
_LONGEST_PATH_PARAMETER = 500


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
        correlation_id = correlation_id_of(event)
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
        headers = headers_of(event)
        caller = caller_of(event)
        if route.scope is not None:
            authorize(caller, route.scope)
        raw_body = raw_body_of(event)
        arguments: dict[str, Any] = dict(path_parameters)
        if any(len(one.encode()) > _LONGEST_PATH_PARAMETER for one in path_parameters.values()):
            raise SwitchboardError("not-found", "No id is that long.")
        if route.takes_nothing and raw_body.strip() not in (b"", b"{}"):
            raise SwitchboardError("invalid", "This call takes no body.")
        if route.body is not None:
            arguments["body"] = parse_body(route.body, raw_body, headers)
        if route.query is not None:
            arguments["query"] = parse_query(route.query, event)
        path = (event.get("requestContext") or {}).get("path") or event["path"]
        context = self._resolver.lambda_context
        call = Call(
            caller, event["correlationId"], path, headers, raw_body, context, arrived_at=arrival_of(event)
        )
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
        path, method = self._event["path"], self._event["httpMethod"]
        if not any(route.scope is None and matches(route.path, path) for route in self.routes):
            authorize_any(caller_of(self._event))
        known = self._methods_of(path)
        # A path of a route with its own method is an id, or a hook's token, with characters that none has.
        allowed = not known or method in known
        return self._problem(SwitchboardError("not-found" if allowed else "method-not-allowed"))

    def _broken(self, error: Exception) -> Response[str]:
        observability.logger.exception("the route broke", exc_info=error)
        return self._problem(SwitchboardError("internal", "Something broke on our side; it is logged."))

    def _methods_of(self, path: str) -> list[str]:
        """The methods of the path as the document has it: one without braces before one with them."""
        found = [route for route in self.routes if matches(route.path, path)]
        fewest = min((route.path.count("{") for route in found), default=0)
        return sorted({route.method for route in found if route.path.count("{") == fewest})


def _storable(answer: Answer, secret_fields: frozenset[str]) -> dict[str, Any]:
    text = answer.text()
    if secret_fields:
        members = json.loads(text)
        text = json.dumps({name: held for name, held in members.items() if name not in secret_fields})
    return {"status": answer.status, "body": text, "headers": answer.headers}
