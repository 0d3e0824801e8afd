"""The bundle's API as a WSGI application, for tools that speak HTTP to whatever they test."""

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from tests.support.deployment import Deployment, Reply

type StartResponse = Callable[[str, list[tuple[str, str]]], object]


class Application:
    """Each request through the authorizer and the step that has the route, in this process."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI entry."""
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        if environ.get("CONTENT_TYPE"):
            headers["Content-Type"] = environ["CONTENT_TYPE"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        reply = self._deployment.call(
            environ["REQUEST_METHOD"],
            "/" + environ["PATH_INFO"].lstrip("/").encode("latin-1").decode(errors="replace"),
            key=headers.pop("x-api-key", None),
            query=dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)) or None,
            headers=headers,
            raw=body or None,
        )
        reply = _as_the_gateway_answers(reply, environ["PATH_INFO"])
        start_response(
            f"{reply.status} {HTTPStatus(reply.status).phrase}", [*map(_header, reply.headers.items())]
        )
        return [reply.text.encode()]


def _header(pair: tuple[str, str]) -> tuple[str, str]:
    return pair[0], str(pair[1])


def _as_the_gateway_answers(reply: Reply, path: str) -> Reply:
    """The gateway's own refusals, as the template's GatewayResponses have them."""
    if reply.headers or reply.text != "{}":
        return reply
    code, title = ("unauthorized", "No valid API key") if reply.status == 401 else ("forbidden", "Forbidden")
    problem = {
        "type": f"urn:switchboard:problem:{code}",
        "title": title,
        "status": reply.status,
        "detail": title,
        "instance": path,
        "code": code,
        "correlationId": "cor_gateway",
        "errors": [],
    }
    headers = {"Content-Type": "application/problem+json", "x-correlation-id": "cor_gateway"}
    return Reply(reply.status, headers, json.dumps(problem))
