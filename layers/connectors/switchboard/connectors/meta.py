"""Meta's Graph API, as far as Lead Ads go.

Sources: Meta for Developers, Marketing API, "Retrieving Leads" (fields of a lead, bulk read of a form,
`filtering` by `time_created`), Graph API "Handle Errors" (codes), "Paging Results" (cursors), "Secure Graph
API Calls" (appsecret_proof). The access token travels as a Bearer token, which keeps it out of URLs.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from switchboard.breaker import PATIENT_THRESHOLD, Gate
from switchboard.errors import VendorError
from switchboard.http import ConnectorClient, url_path
from switchboard.secrets import Secret, connector_secret

if TYPE_CHECKING:
    import httpx

LEAD_FIELDS = "id,created_time,ad_id,campaign_id,form_id,field_data,custom_disclaimer_responses"

_AUTH = frozenset({10, 102, 190, *range(200, 300)})
_RATE = frozenset({4, 17, 32, 341, 613, *range(80000, 80015)})
_AWAY = frozenset({1, 2})
_PAGE = 100
_MAX_PAGES = 1000


def _bearer(secret: Secret) -> "Any":
    token = secret["accessToken"]

    def authenticate(request: "httpx.Request") -> "httpx.Request":
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authenticate


def _classify(answer: "httpx.Response") -> VendorError | None:
    """Meta's own code says more than the status: an expired token is a 400, a rate limit may be one too."""
    if answer.is_success:
        return None
    try:
        error = answer.json()["error"]
        code, words = int(error["code"]), str(error.get("message", ""))
    except (ValueError, KeyError, TypeError):
        return None
    detail = f"meta answered {answer.status_code} with code {code}: {words}"
    if code in _AUTH:
        return VendorError("remote-auth", detail, extra={"vendor_status": answer.status_code})
    if code in _RATE:
        return VendorError("remote-rate", detail)
    if code in _AWAY:
        return VendorError("remote-unavailable", detail)
    if code == 100 and error.get("error_subcode") == 33:
        return VendorError("not-found", detail)
    return None


class Meta:
    """The leads of our pages' forms."""

    def __init__(self, client: ConnectorClient) -> None:
        self._client = client

    def lead(self, leadgen_id: str, *, version: str) -> dict[str, Any]:
        """One lead: `field_data [{name, values[]}]`, `form_id`, `campaign_id`, `created_time`.

        Raises VendorError `not-found` when there is none (any more: Meta keeps leads for 90 days).
        """
        answer = self._client.get(url_path(version, leadgen_id), params=_proof() | {"fields": LEAD_FIELDS})
        return _object(answer)

    def leads_of(self, form_id: str, *, since: datetime, version: str) -> Iterator[str]:
        """The ids of a form's leads that were created after `since`.

        Raises VendorError `remote-unexpected` when the pages come in a circle.
        """
        created = [{"field": "time_created", "operator": "GREATER_THAN", "value": int(since.timestamp())}]
        asked: dict[str, str | int] = {
            "fields": "id,created_time",
            "filtering": json.dumps(created),
            "limit": _PAGE,
        }
        seen: set[str] = set()
        for _ in range(_MAX_PAGES):
            answer = self._client.get(url_path(version, form_id, "leads"), params=asked | _proof())
            page = _object(answer)
            for lead in page.get("data", []):
                yield str(lead["id"])
            paging = page.get("paging") or {}
            after = (paging.get("cursors") or {}).get("after")
            if not after or not paging.get("next"):
                return
            if after in seen:
                break
            seen.add(after)
            asked["after"] = after
        raise VendorError("remote-unexpected", "meta's pages of leads do not end.")


def _proof() -> dict[str, str | int]:
    """Shows that the token is used by who has the app secret; Meta may require it, and checks it if given."""
    secret = connector_secret("meta")
    app_secret = secret.get("appSecret")
    if app_secret is None:
        return {}
    token = secret["accessToken"]
    return {"appsecret_proof": hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()}


def _object(answer: "httpx.Response") -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise VendorError("remote-unexpected", "meta answered no JSON object.")
    return found


@cache
def meta() -> Meta:
    """The process's client."""
    gate = Gate("meta", threshold=PATIENT_THRESHOLD)
    return Meta(ConnectorClient("meta", auth=_bearer, classify=_classify, gate=gate))
