"""Meta's Graph API: the leads of a page's forms, one by one and by form.

A person fills in a form with ``POST /_control/meta/leads {formId, pageId, fields{}, campaignId}``, which
answers the webhook's call ``{body, signature}`` that Meta would make of it; who tests sends it on, or not.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from sandbox.vendor import Vendor


class Meta(Vendor):
    """The vendor ``meta``."""

    name = "meta"
    prefix = "/meta"
    secret_output = "MetaSecretArn"  # noqa: S105 - the name of an output
    credentials = {
        "appSecret": "sandbox-meta-app-secret",
        "verifyToken": "sandbox-meta-verify-token",
        "accessToken": "sandbox-meta-access-token",
    }

    def __init__(self) -> None:
        self.leads: dict[str, dict[str, Any]] = {}
        self.largest_page = 100

    def reset(self) -> None:
        """Nobody has filled in a form."""
        self.leads = {}
        self.largest_page = 100

    def routes(self) -> Iterable[web.RouteDef]:
        """A lead, and a form's leads."""
        return (web.get("/{version}/{id}", self._lead), web.get("/{version}/{id}/leads", self._leads))

    def control_routes(self) -> Iterable[web.RouteDef]:
        """What people do with a form."""
        return (web.post("/leads", self._fill_in),)

    def fill_in(
        self,
        fields: dict[str, str],
        *,
        form_id: str = "100200300",
        page_id: str = "900800700",
        campaign_id: str | None = None,
        created: int | None = None,
    ) -> dict[str, Any]:
        """A person fills in a form; ``created`` is in epoch seconds. Answers the lead."""
        lead_id = str(444_000_000_000 + len(self.leads) + 1)
        moment = int(time.time()) if created is None else created
        lead: dict[str, Any] = {
            "id": lead_id,
            "created": moment,
            "created_time": time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(moment)),
            "form_id": form_id,
            "page_id": page_id,
            "field_data": [{"name": name, "values": [value]} for name, value in fields.items()],
        }
        self.leads[lead_id] = lead if campaign_id is None else lead | {"campaign_id": campaign_id}
        return self.leads[lead_id]

    def call(self, lead: dict[str, Any]) -> tuple[bytes, str]:
        """The webhook's body for a lead, and its ``X-Hub-Signature-256``."""
        value = {
            "leadgen_id": lead["id"],
            "page_id": lead["page_id"],
            "form_id": lead["form_id"],
            "created_time": lead["created"],
        }
        change = {"field": "leadgen", "value": value}
        entry = {"id": lead["page_id"], "time": lead["created"], "changes": [change]}
        body = json.dumps({"object": "page", "entry": [entry]}).encode()
        digest = hmac.new(self.credentials["appSecret"].encode(), body, hashlib.sha256).hexdigest()
        return body, f"sha256={digest}"

    async def _fill_in(self, request: web.Request) -> web.Response:
        asked = await request.json()
        lead = self.fill_in(
            asked["fields"],
            form_id=asked.get("formId", "100200300"),
            page_id=asked.get("pageId", "900800700"),
            campaign_id=asked.get("campaignId"),
        )
        body, signature = self.call(lead)
        return web.json_response(
            {"leadgenId": lead["id"], "body": body.decode(), "signature": signature}, status=201
        )

    def _check_login(self, request: web.Request) -> None:
        token, secret = self.credentials["accessToken"], self.credentials["appSecret"]
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if (given or request.query.get("access_token")) != token:
            raise _GraphError(400, 190, "Invalid OAuth access token.")
        proof = request.query.get("appsecret_proof")
        wanted = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        if proof is not None and proof != wanted:
            raise _GraphError(400, 100, "Invalid appsecret_proof provided in the API argument")

    async def _lead(self, request: web.Request) -> web.Response:
        self._check_login(request)
        lead = self.leads.get(request.match_info["id"])
        if lead is None:
            raise _GraphError(400, 100, "Object does not exist, or cannot be loaded", subcode=33)
        return web.json_response(_shown(lead, request.query.get("fields", "id,created_time")))

    async def _leads(self, request: web.Request) -> web.Response:
        self._check_login(request)
        query = request.query
        since = 0
        for condition in json.loads(query.get("filtering", "[]")):
            if condition["field"] == "time_created" and condition["operator"] == "GREATER_THAN":
                since = condition["value"]
        of_form = [
            lead
            for lead in self.leads.values()
            if lead["form_id"] == request.match_info["id"] and lead["created"] > since
        ]
        start = int(query.get("after", "0"))
        size = min(int(query.get("limit", "25")), self.largest_page)
        page = of_form[start : start + size]
        more = start + size < len(of_form)
        paging = {"cursors": {"before": str(start), "after": str(start + len(page))}}
        body: dict[str, Any] = {
            "data": [_shown(lead, query.get("fields", "id,created_time")) for lead in page],
            "paging": paging | ({"next": "next"} if more else {}),
        }
        return web.json_response(body)


def _shown(lead: dict[str, Any], fields: str) -> dict[str, Any]:
    return {name: lead[name] for name in ("id", *fields.split(",")) if name in lead}


class _GraphError(web.HTTPException):
    """An error in the Graph API's form."""

    def __init__(self, status: int, code: int, message: str, *, subcode: int | None = None) -> None:
        self.status_code = status
        error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
        if subcode is not None:
            error["error_subcode"] = subcode
        super().__init__(text=json.dumps({"error": error}), content_type="application/json")
