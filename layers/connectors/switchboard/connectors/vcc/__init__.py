"""8x8 Virtual Contact Center: reading its CRM through the CRM API ("WAPI"), XML by form post.

Wire facts: "CRM API User Guide" 9.4 and 8x8's own client code (docs/triggers.md lists what is UNVERIFIED):

    POST {baseUrl}/WAPI/wapi.php   xml_query=<WAPI><TENANT/><USERNAME/><PASSWORD/><COMMAND OBJECT ACTION>…
    POST {baseUrl}/cc/v1/wapi      the COMMAND alone, with X-8x8-Tenant and x-api-key (the newer gateway)

The secret's `form` chooses: `wapi` (the default) or `gateway`. The answer is ISO-8859-1; a failure comes with
HTTP 200 and STATUS -1, so the reply decides. An answer in JSON is read too: the gateway has been seen to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from switchboard import safe_xml
from switchboard.breaker import PATIENT_THRESHOLD, Gate
from switchboard.errors import VendorError
from switchboard.http import ConnectorClient
from switchboard.secrets import Secret, connector_secret

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    import httpx

type VccObject = Literal["Customer", "Case", "Task", "Followup"]
type VccItem = dict[str, str]
"""The children of an ITEM by their names in capitals; empty ones are left out."""

MAX_ANSWER = 5 * 1024 * 1024
_DEADLINE_SECONDS = 30.0
_AWAY = re.compile(r"connect|time[d -]*out|unavailable|try again|busy|overload", re.IGNORECASE)
_CREDENTIALS = re.compile(
    r"password|credential|authenticat|log[ -]?in|not authori[sz]ed|tenant", re.IGNORECASE
)
_UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as both forms give it."""

    status: str
    error: str
    code: str
    items: list[VccItem]


@cache
def client() -> ConnectorClient:
    """The process's client. A read is harmless to repeat, although it is a POST."""
    gate = Gate("vcc", threshold=PATIENT_THRESHOLD, probe_every=timedelta(seconds=_DEADLINE_SECONDS + 5))
    return ConnectorClient(
        "vcc", _sign, classify=classify, deadline=_DEADLINE_SECONDS, max_bytes=MAX_ANSWER, gate=gate
    )


def get(crm_object: VccObject, **filters: str) -> list[VccItem]:
    """The items that all filters (child elements of the COMMAND) fit; all items without one.

    Raises VendorError `remote-refused`, `remote-auth`, `remote-unavailable`, `remote-unexpected`.
    """
    gateway = _is_gateway(connector_secret("vcc"))
    response = client().post(
        "cc/v1/wapi" if gateway else "WAPI/wapi.php",
        content=command(crm_object, "Get", filters),
        headers={"Content-Type": "application/xml"},
        idempotent=True,
    )
    reply = read_reply(response.content)
    if reply is None:
        raise VendorError("remote-unexpected", "8x8 answered what is no WAPI reply.")
    return reply.items


def command(crm_object: VccObject, action: str, filters: Mapping[str, str]) -> bytes:
    """The COMMAND element; raises VendorError `invalid` for text that XML cannot hold."""
    if any(_UNSAFE.search(value) for value in filters.values()):
        raise VendorError("invalid", "An id has characters that XML cannot hold.")
    children = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in filters.items())
    opened = f"<COMMAND OBJECT={quoteattr(crm_object)} ACTION={quoteattr(action)}>"
    # What ISO-8859-1 has no sign for goes as a character reference.
    return f"{opened}{children}</COMMAND>".encode("iso-8859-1", errors="xmlcharrefreplace")


def classify(response: httpx.Response) -> VendorError | None:
    """The failure in a reply; None for a good one, and for what is no reply (its status decides)."""
    reply = read_reply(response.content)
    if reply is None or reply.status == "0":
        return None
    words = f"8x8 answered {reply.status}, code {reply.code}: {reply.error}"
    if _CREDENTIALS.search(reply.error):
        return VendorError("remote-auth", words)
    return VendorError("remote-unavailable" if _AWAY.search(reply.error) else "remote-refused", words)


def read_reply(body: bytes) -> Reply | None:
    """The reply of an answer's body, in XML or JSON; None for anything else. Never raises."""
    if body.lstrip()[:1] == b"{":
        return _json_reply(body)
    root = safe_xml.parse(body)
    if root is None:
        return None
    # The root's name is not to be relied on: some tenants see their user's name there.
    found = (
        root
        if root.tag.upper() == "REPLY"
        else next((child for child in root.iter() if child.tag.upper() == "REPLY"), None)
    )
    if found is None:
        return None
    return Reply(
        status=found.get("STATUS", "").strip(),
        error=found.get("ERROR_STR", ""),
        code=found.get("ERROR_CODE", ""),
        items=[_item(child) for child in found if child.tag.upper() == "ITEM"],
    )


def _item(element: Element) -> VccItem:
    return {child.tag.upper(): child.text.strip() for child in element if child.text and child.text.strip()}


def _json_reply(body: bytes) -> Reply | None:
    try:
        found: Any = json.loads(body)
        reply = found["reply"]
        return Reply(
            status=str(reply["status"]),
            error=str(reply.get("errorStr", "")),
            code=str(reply.get("errorCode", "")),
            items=[
                {str(name).upper(): str(value) for name, value in item.items() if value not in (None, "")}
                for item in reply.get("items", [])
            ],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_gateway(secret: Secret) -> bool:
    return secret.get("form") == "gateway"


def _sign(secret: Secret) -> Any:
    """Puts the credentials where the form has them: into headers, or round the command in the body."""
    if _is_gateway(secret):
        headers = {"X-8x8-Tenant": secret["tenant"], "x-api-key": secret["apiKey"]}

        def with_headers(request: httpx.Request) -> httpx.Request:
            request.headers.update(headers)
            return request

        return with_headers
    tenant = secret.get("tenant")
    login = f"<TENANT>{escape(tenant)}</TENANT>" if tenant else ""
    login += f"<USERNAME>{escape(secret['username'])}</USERNAME>"
    login += f"<PASSWORD>{escape(secret['password'])}</PASSWORD>"

    def wrapped(request: httpx.Request) -> httpx.Request:
        import httpx

        query = f"<WAPI>{login}{request.content.decode('iso-8859-1')}</WAPI>"
        form = urlencode({"xml_query": query}, encoding="iso-8859-1", errors="xmlcharrefreplace")
        kept = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("content-type", "content-length")
        }
        return httpx.Request(
            request.method,
            request.url,
            headers=kept | {"Content-Type": "application/x-www-form-urlencoded"},
            content=form.encode("ascii"),
            extensions=request.extensions,
        )

    return wrapped
