"""CrowdTwist's users, as Oracle's Developer Help and Starter Kit show them.

A create answers 200. Flags come in as 0/1 and go out as booleans. E-mail addresses, user names and third
party ids are each one user's; what is taken is told in the words of source 003. The answers carry members
that no page names, as the live product does. A caller shows the API key, or signs by HMAC v2.
"""

import json
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from sandbox.vendor import Vendor
from sandbox.vendors._crowdtwist_hmac import is_signed

_FIELDS = (
    *("first_name", "last_name", "email_address", "username", "mobile_phone_number", "third_party_id"),
    *("postal_code", "date_of_birth", "city", "state", "country", "lang_pref", "sign_up_channel_id"),
)
_FLAGS = ("receive_email_updates", "email_is_verified", "is_active")
_REQUIRED = ("first_name", "last_name", "email_address")
_ONLY_ONE_HAS = {"email_address": "Email Address", "username": "Username", "third_party_id": "Third Party ID"}
_ID_TYPES = {
    "id": "id",
    "third_party_id": "third_party_id",
    "email": "email_address",
    "username": "username",
    "mobile_phone_number": "mobile_phone_number",
}
_NAME = re.compile(r"[-' \w@.,]+")
_FIRST_ID = 269_654_579


class _Refused(web.HTTPException):
    """An answer in the loyalty API's error envelope."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status_code = status
        super().__init__(
            text=json.dumps({"error": code, "message": message}), content_type="application/json"
        )


class CrowdTwist(Vendor):
    """The stand-in for CrowdTwist.

    Control routes: ``GET /_control/crowdtwist/users`` is ``{"items": [users]}``.
    """

    name: ClassVar[str] = "crowdtwist"
    prefix: ClassVar[str] = "/crowdtwist"
    secret_output: ClassVar[str | None] = "CrowdTwistSecretArn"  # noqa: S105 - an output's name
    credentials: ClassVar[Mapping[str, str]] = {
        "apiKey": "sandbox-crowdtwist-key",
        "hookToken": "sandbox-crowdtwist-hook",
        "hmacPublicKey": "sandbox-crowdtwist-public",
        "hmacPrivateKey": "sandbox-crowdtwist-private",
    }

    def __init__(self) -> None:
        self._users: dict[int, dict[str, Any]] = {}

    def reset(self) -> None:
        """No users."""
        self._users = {}

    def routes(self) -> list[web.RouteDef]:
        """The users of API v2; a profile is answered with and without the slash behind it."""
        return [
            web.post("/v2/users", self._create),
            web.get("/v2/users/{user_id}", self._read),
            web.get("/v2/users/{user_id}/", self._read),
            web.put("/v2/users/{user_id}", self._update),
            web.delete("/v2/users/{user_id}", self._delete),
        ]

    def control_routes(self) -> list[web.RouteDef]:
        """All users."""
        return [web.get("/users", self._show)]

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": list(self._users.values())})

    async def _create(self, request: web.Request) -> web.Response:
        given = await self._given(request)
        for name in _REQUIRED:
            if not given.get(name):
                raise _Refused(400, "param_error", f"{name} is required.")
        self._check(given, None)
        now = int(time.time())
        user = _blank() | {"id": _FIRST_ID + len(self._users), "date_created": now}
        self._users[user["id"]] = user
        return self._changed(user, given)

    async def _read(self, request: web.Request) -> web.Response:
        await self._authorize(request)
        return web.json_response(self._found(request))

    async def _update(self, request: web.Request) -> web.Response:
        given = await self._given(request)
        user = self._found(request)
        self._check(given, user["id"])
        return self._changed(user, given)

    async def _delete(self, request: web.Request) -> web.Response:
        await self._authorize(request)
        del self._users[self._found(request)["id"]]
        return web.json_response({"success": True})

    async def _authorize(self, request: web.Request) -> None:
        key = self.credentials["apiKey"]
        if request.headers.get("X-CT-Authorization", "").startswith("CTApiV2Auth "):
            pair = {self.credentials["hmacPublicKey"]: self.credentials["hmacPrivateKey"]}
            body = await request.read()
            known = is_signed(
                request.method, request.raw_path, request.headers, body, keys=pair, now=time.time()
            )
        else:
            shown = request.headers.get("X-CT-Authorization"), request.query.get("api_key")
            known = shown[0] == f"CTApiKey {key}" or shown[1] == key
        if not known:
            raise _Refused(401, "access_denied", "Access denied.")

    async def _given(self, request: web.Request) -> dict[str, Any]:
        await self._authorize(request)
        try:
            given = await request.json()
        except ValueError:
            raise _Refused(400, "input_error", "The body is not JSON.") from None
        if not isinstance(given, dict):
            raise _Refused(400, "input_error", "The body is no object.")
        return given

    def _found(self, request: web.Request) -> dict[str, Any]:
        kind = request.query.get("id_type", "id")
        if kind not in _ID_TYPES:
            raise _Refused(400, "param_error", "Unknown id_type.")
        wanted = request.match_info["user_id"].casefold()
        for user in self._users.values():
            if str(user[_ID_TYPES[kind]]).casefold() == wanted:
                return user
        raise _Refused(404, "page_not_found", "User does not exist.")

    def _check(self, given: Mapping[str, Any], own_id: int | None) -> None:
        for name in ("first_name", "last_name"):
            if name in given and not _NAME.fullmatch(str(given[name])):
                raise _Refused(400, "param_error", f"{name} has characters that are not allowed.")
        for name in _FLAGS:
            if given.get(name, 0) not in (0, 1) or isinstance(given.get(name), bool):
                raise _Refused(400, "param_error", f"{name} must be 0 or 1.")
        for name, label in _ONLY_ONE_HAS.items():
            value = given.get(name)
            for user in self._users.values():
                taken = value is not None and str(user[name]).casefold() == str(value).casefold()
                if taken and user["id"] != own_id:
                    raise _Refused(400, "param_error", f"{label} is already taken")

    def _changed(self, user: dict[str, Any], given: Mapping[str, Any]) -> web.Response:
        user.update({name: given[name] for name in _FIELDS if name in given})
        user.update({name: bool(given[name]) for name in _FLAGS if name in given})
        if "custom_data" in given:
            user["custom_data"] = user["custom_data"] | given["custom_data"]
        user["date_last_updated"] = int(time.time())
        return web.json_response(user)


def _blank() -> dict[str, Any]:
    return dict.fromkeys(_FIELDS) | {
        "middle_name": None,
        "email_is_verified": False,
        "is_active": True,
        "receive_email_updates": False,
        "custom_data": {},
        "total_points": 0,
        "redeemable_points": 0,
        "fan_level": "Bronze",
        "tier_info": {"current": {"title": "Bronze"}},
        "segments": [],
        "household_id": None,
        "a_member_of_next_year": {"unknown": [1, 2, 3]},
    }
