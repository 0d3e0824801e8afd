"""8x8 Virtual Contact Center: its CRM API in both forms, and its CRM to be changed from the control plane.

==========  ==========================================  ================================================
PUT         ``/_control/vcc/records/{object}/{number}``  create or change a record: its elements as JSON
DELETE      ``/_control/vcc/records/{object}/{number}``  delete one
==========  ==========================================  ================================================

``object`` is Customer, Case, Task or Followup. Nothing is told: whoever tests calls the hook himself, as 8x8
would. The wire is that of "CRM API User Guide" 9.4; a command without a filter answers all (UNVERIFIED).
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web
from defusedxml.ElementTree import fromstring

from sandbox.vendor import Vendor

TENANT = "sandbox"
USERNAME = "crm-api"
PASSWORD = "crm-api-password"  # noqa: S105 - the stand-in's own
API_KEY = "vcc-gateway-key"
HOOK_TOKEN = "vcc-hook-token-of-the-sandbox"  # noqa: S105
NUMBERS = {"CUSTOMER": "ACCOUNTNUM", "CASE": "CASENUM", "TASK": "TASKNUM", "FOLLOWUP": "FOLLOWUPNUM"}

type Record = dict[str, str]


class Vcc(Vendor):
    """See the module."""

    name = "vcc"
    prefix = "/vcc"
    secret_output = "VccSecretArn"  # noqa: S105 - an output's name
    credentials: ClassVar[Mapping[str, str]] = {
        "tenant": TENANT,
        "username": USERNAME,
        "password": PASSWORD,
        "hookToken": HOOK_TOKEN,
    }

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Record]] = {}
        self.reset()

    def reset(self) -> None:
        """One customer with one case."""
        self.records = {name: {} for name in NUMBERS}
        self.records["CUSTOMER"]["1001"] = {
            "ACCOUNTNUM": "1001",
            "FIRSTNAME": "Jürgen",
            "LASTNAME": "Müller",
            "EMAIL": "juergen.mueller@example.com",
            "VOICE": "+493012345678",
            "customertype": "Standard",
        }
        self.records["CASE"]["2001"] = {
            "ACCOUNTNUM": "1001",
            "CASENUM": "2001",
            "SUBJECT": "No signal",
            "STATUS": "Open",
            "CF01_PICKLIST.NAME": "Gold",
        }

    def routes(self) -> Iterable[web.RouteDef]:
        """Both forms."""
        yield web.post("/WAPI/wapi.php", self._form)
        yield web.post("/cc/v1/wapi", self._gateway)

    def control_routes(self) -> Iterable[web.RouteDef]:
        """Its CRM."""
        yield web.put("/records/{object}/{number}", self._put)
        yield web.delete("/records/{object}/{number}", self._delete)

    async def _form(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = form.get("xml_query")
        try:
            root = fromstring(str(query), forbid_dtd=True)
        except ParseError:
            return _reply("-1", "XML cannot be read", "1")
        login = {child.tag: child.text for child in root}
        if (login.get("USERNAME"), login.get("PASSWORD")) != (USERNAME, PASSWORD):
            return _reply("-1", "Invalid username or password", "2")
        return self._execute(root.find("COMMAND"))

    async def _gateway(self, request: web.Request) -> web.Response:
        given = (request.headers.get("X-8x8-Tenant"), request.headers.get("x-api-key"))
        if given != (TENANT, API_KEY):
            return web.Response(status=401)
        try:
            return self._execute(fromstring(await request.read(), forbid_dtd=True))
        except ParseError:
            return _reply("-1", "XML cannot be read", "1")

    def _execute(self, command: Element | None) -> web.Response:
        if command is None:
            return _reply("-1", "No command", "1")
        held = self.records.get(command.get("OBJECT", "").upper())
        if held is None or command.get("ACTION", "").upper() != "GET":
            return _reply("-1", "Unknown object or action", "3")
        wanted = {child.tag: child.text or "" for child in command}
        found = [
            record
            for record in held.values()
            if all(record.get(name) == value for name, value in wanted.items())
        ]
        return _reply("0", "", "0", found)

    async def _put(self, request: web.Request) -> web.Response:
        kind, number = request.match_info["object"].upper(), request.match_info["number"]
        if kind not in NUMBERS:
            raise web.HTTPNotFound
        given: dict[str, Any] = await request.json()
        record = self.records[kind].setdefault(number, {NUMBERS[kind]: number})
        record.update({name: str(value) for name, value in given.items()})
        return web.json_response(record)

    async def _delete(self, request: web.Request) -> web.Response:
        self.records[request.match_info["object"].upper()].pop(request.match_info["number"], None)
        return web.Response(status=204)


def _reply(status: str, error: str, code: str, records: Iterable[Record] = ()) -> web.Response:
    items = "".join(
        "<ITEM>" + "".join(f"<{name}>{escape(value)}</{name}>" for name, value in record.items()) + "</ITEM>"
        for record in records
    )
    attributes = f"STATUS={quoteattr(status)} ERROR_STR={quoteattr(error)} ERROR_CODE={quoteattr(code)}"
    text = f'<?xml version="1.0" encoding="ISO-8859-1"?><WAPI><REPLY {attributes}>{items}</REPLY></WAPI>'
    return web.Response(body=text.encode("iso-8859-1", errors="xmlcharrefreplace"), content_type="text/xml")
