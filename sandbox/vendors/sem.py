"""Social Engagement and Monitoring: the messages of its API, as far as they are evidenced.

``PUT /engage/v1/messages/{id}`` with a reply posts it, ``GET …/activities/{id}`` shows it. Both the reply's
form and that meaning are assumptions, the same as the connector's.
"""

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from sandbox.vendor import Vendor


class Sem(Vendor):
    """The vendor ``sem``; a message is there as soon as somebody answers it."""

    name = "sem"
    prefix = "/sem"
    secret_output = "SemSecretArn"  # noqa: S105 - the name of an output
    credentials = {"token": "sandbox-sem-token"}

    def __init__(self) -> None:
        self.replies: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Nothing is answered yet."""
        self.replies = []

    def routes(self) -> Iterable[web.RouteDef]:
        """The messages."""
        return (
            web.put("/engage/v1/messages/{id}", self._answer),
            web.get("/engage/v1/messages/{id}/activities/{activity}", self._activity),
        )

    def control_routes(self) -> Iterable[web.RouteDef]:
        """What came out on the social web."""
        return (web.get("/replies", self._list),)

    def _check_login(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.credentials['token']}":
            raise web.HTTPUnauthorized(text="the token is wrong")

    async def _answer(self, request: web.Request) -> web.Response:
        self._check_login(request)
        try:
            reply = json.loads(await request.read())["reply"]
            posted = {"messageId": request.match_info["id"], "id": reply["id"], "body": reply["body"]}
        except (ValueError, KeyError, TypeError):
            raise web.HTTPBadRequest(text="a reply has an id and a body") from None
        # The platform posts what it is told, also twice.
        self.replies.append(posted | {"agentId": reply.get("agentId")})
        return web.json_response({"id": request.match_info["id"]})

    async def _activity(self, request: web.Request) -> web.Response:
        self._check_login(request)
        for reply in self.replies:
            if (reply["messageId"], reply["id"]) == (
                request.match_info["id"],
                request.match_info["activity"],
            ):
                return web.json_response(reply)
        raise web.HTTPNotFound(text="no such activity")

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": self.replies})
