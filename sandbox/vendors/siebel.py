"""Siebel CRM: its REST API over a few business components, and the services that source 000 uses.

Documented, or measured on a live one: search specifications, PageSize (10, at most 100), an empty search as a
404 with words, 304 for an unchanged update, ERROR bodies with SBL codes (a lasting error as a 500), 409 on a
user key that is taken, ViewMode, services that refuse under 200.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import encode_basic_auth, web

from sandbox.vendor import Vendor
from sandbox.vendors._searchspec import BadSpec, Test, UnknownField, compile_spec

type Row = dict[str, str]

_SEEN_IN = frozenset({"All", "Organization"})
"""The integration user is no sales representative: the default view mode shows him nothing."""

_CONTACT = (
    *("Integration Id", "First Name", "Last Name", "Email Address", "Cellular Phone #", "Company", "Country"),
)
_ACTIVITY = (
    *("Integration Id", "Activity SR Id", "Contact Id", "Type", "Description", "Comment", "Status", "Due"),
)
_SYSTEM = ("Created", "Updated", "Mod Id")
_REQUEST = (
    *("Integration Id", "Contact Id", "Abstract", "Description", "Source", "Status", "Priority", "Owner"),
    *("Customer Ref Number", "Last Activity Date"),
)
_LEAD = (
    *("Integration Id", "Lead External Id", "Contact Id", "First Name", "Last Name", "Email Address"),
    *("Phone Number", "Company", "Country", "Source Code", "Owner", "Comments"),
)
_MEMBER = (
    *("Member Number", "First Name", "Last Name", "Email Address", "Phone", "Postal Code", "Birth Date"),
    *("City", "State", "Country", "Email Opt In"),
    *("CT Sync Status", "CT Sync Error", "CT Profile", "CT Segments"),
)
_CAMPAIGN = ("Source Id", "Campaign Name", "Type", "Status", "Start Date", "End Date")


@dataclass
class Component:
    """A business component with its records.

    ``parent`` is the field that holds the parent's row id, ``key`` the user key, ``contact`` the field that
    has to name a contact that is there. ``also`` are further business objects that it is part of.
    """

    object: str
    name: str
    fields: tuple[str, ...]
    key: tuple[str, ...] = ("Integration Id",)
    required: tuple[str, ...] = ()
    parent: str | None = None
    contact: str | None = None
    also: tuple[str, ...] = ()
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def known(self) -> frozenset[str]:
        """The fields that a record may have."""
        return frozenset({*self.fields, *_SYSTEM, "Id"})

    def same_key(self, row: Row) -> Row | None:
        """The record whose user key this one has; an empty key is nobody's."""
        wanted = [row.get(name, "") for name in self.key]
        if not all(wanted):
            return None
        return next(
            (held for held in self.rows.values() if [held.get(name, "") for name in self.key] == wanted),
            None,
        )


def _components() -> dict[str, Component]:
    listed = (
        Component("Contact", "Contact", _CONTACT, required=("Last Name",)),
        Component(
            "Contact",
            "SM Contact Social Profile",
            ("Author", "Community", "Contact Id"),
            key=("Author", "Community", "Contact Id"),
            parent="Contact Id",
        ),
        Component(
            "Service Request",
            "Service Request",
            _REQUEST,
            required=("Abstract",),
            contact="Contact Id",
        ),
        Component(
            "Service Request",
            "Action",
            _ACTIVITY,
            parent="Activity SR Id",
            contact="Contact Id",
            also=("Contact",),
        ),
        Component("Lead", "Lead", _LEAD, required=("Last Name",)),
        Component("Campaign", "Campaign", _CAMPAIGN, key=("Source Id",)),
        Component("LOY Member", "LOY Member", _MEMBER, key=("Member Number",)),
    )
    return {component.name: component for component in listed}


class SiebelError(web.HTTPException):
    """An answer in Siebel's form of an error."""

    def __init__(self, status: int, words: str) -> None:
        self.status_code = status
        super().__init__(text=json.dumps({"ERROR": words}), content_type="application/json")


def _no_data() -> SiebelError:
    return SiebelError(404, "There is no data for the requested resource")


class Siebel(Vendor):
    """The vendor ``siebel``."""

    name = "siebel"
    prefix = "/siebel"
    base_path = "/siebel/v1.0"
    secret_output = "SiebelSecretArn"  # noqa: S105 - the name of an output
    credentials = {"username": "SWITCHBOARD", "password": "sandbox-siebel-password"}

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}
        self._count = 0

    def reset(self) -> None:
        """No records but a few campaigns."""
        self.components = _components()
        self._count = 0
        for number, (name, start, status) in enumerate(
            (
                ("Spring Social Push", "03/01/2026", "Active"),
                ("Summer Roaming", "06/01/2026", "Planned"),
                ("Winter Handsets", "11/15/2025", "Completed"),
            )
        ):
            self.add(
                "Campaign",
                {"Source Id": f"SRC-{number + 1:04d}", "Campaign Name": name, "Type": "Social"}
                | {"Status": status, "Start Date": start, "End Date": ""},
            )

    def routes(self) -> Iterable[web.RouteDef]:
        """The REST API below its base path."""
        data = f"{self.base_path}/data/{{object}}/{{component}}"
        return (
            web.get(data, self._search),
            web.post(data, self._insert),
            web.put(data, self._upsert),
            web.get(f"{data}/{{id}}", self._get),
            web.put(f"{data}/{{id}}", self._update),
            web.delete(f"{data}/{{id}}", self._delete),
            web.get(f"{data}/{{id}}/{{child}}", self._search_children),
            web.post(f"{data}/{{id}}/{{child}}", self._insert_child),
            web.post(f"{self.base_path}/service/{{service}}/{{method}}", self._call),
        )

    def control_routes(self) -> Iterable[web.RouteDef]:
        """What people do in Siebel's own screens: see, add and delete records of a component."""
        return (
            web.get("/records/{component}", self._list_records),
            web.post("/records/{component}", self._add_record),
            web.delete("/records/{component}/{id}", self._drop_record),
        )

    # what people do -----------------------------------------------------------------------------------

    def add(self, name: str, fields: Row) -> Row:
        """Add a record; no rule is checked."""
        self._count += 1
        digits, number = "", self._count + 36**4
        while number:
            number, digit = divmod(number, 36)
            digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
        row = {key: value for key, value in fields.items() if key != "Id"} | {"Id": f"1-{digits}"}
        row |= {"Created": _now(), "Updated": _now(), "Mod Id": "0"}
        self.components[name].rows[row["Id"]] = row
        return row

    def delete(self, name: str, row_id: str) -> None:
        """Delete a record with its children."""
        self.components[name].rows.pop(row_id, None)
        for child in self.components.values():
            if child.parent is not None and child.object == self.components[name].object:
                for held in [held for held in child.rows.values() if held.get(child.parent) == row_id]:
                    del child.rows[held["Id"]]

    async def _list_records(self, request: web.Request) -> web.Response:
        component = self.components[request.match_info["component"]]
        return web.json_response({"items": list(component.rows.values())})

    async def _add_record(self, request: web.Request) -> web.Response:
        return web.json_response(self.add(request.match_info["component"], await request.json()), status=201)

    async def _drop_record(self, request: web.Request) -> web.Response:
        self.delete(request.match_info["component"], request.match_info["id"])
        return web.Response(status=204)

    # data ---------------------------------------------------------------------------------------------

    def _component(self, request: web.Request, name: str = "component") -> Component:
        self._check_login(request)
        component = self.components.get(request.match_info[name])
        if component is None or request.match_info["object"] not in (component.object, *component.also):
            raise SiebelError(404, f"No such resource: {request.match_info[name]}(SBL-EAI-50257)")
        return component

    def _check_login(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        wanted = encode_basic_auth(self.credentials["username"], self.credentials["password"])
        if given != wanted:
            raise SiebelError(401, "The user name or password is wrong(SBL-DAT-00565)")

    def _visible(self, request: web.Request, component: Component, row_id: str) -> Row:
        row = component.rows.get(row_id)
        if row is None or request.query.get("ViewMode", "Sales Rep") not in _SEEN_IN:
            raise _no_data()
        return row

    async def _search(self, request: web.Request) -> web.Response:
        return self._found(request, self._component(request), lambda row: True)

    async def _search_children(self, request: web.Request) -> web.Response:
        parent, child = self._component(request), self._component(request, "child")
        row = self._visible(request, parent, request.match_info["id"])
        return self._found(request, child, lambda held: held.get(child.parent or "") == row["Id"])

    def _found(self, request: web.Request, component: Component, among: Test) -> web.Response:
        query = request.query
        try:
            spec = query.get("searchspec")
            test = compile_spec(spec, component.known) if spec else lambda row: True
        except UnknownField as error:
            raise SiebelError(500, f"Field '{error}' does not exist in definition(SBL-DAT-00416)") from None
        except BadSpec:
            raise SiebelError(500, "The search specification has a syntax error(SBL-DAT-00359)") from None
        size, start = query.get("PageSize", "10"), query.get("StartRowNum", "0")
        if not (size.isdecimal() and start.isdecimal() and 1 <= int(size) <= 100):
            raise SiebelError(500, "PageSize exceeds the maximum of 100(SBL-EAI-50299)")
        rows = [row for row in component.rows.values() if among(row) and test(row)]
        if query.get("ViewMode", "Sales Rep") not in _SEEN_IN:
            rows = []
        page = rows[int(start) : int(start) + int(size)]
        if not page:
            raise _no_data()
        headers = {"Total-Record-Count": str(len(rows))} if query.get("recordcountneeded") == "Y" else {}
        shown = [self._shown(component, row) for row in page]
        if len(shown) == 1 and query.get("uniformresponse") != "Y":
            return web.json_response(shown[0], headers=headers)
        link = [{"rel": "next", "href": "next"}] if int(start) + int(size) < len(rows) else []
        return web.json_response({"items": shown, "Link": link}, headers=headers)

    def _shown(self, component: Component, row: Row) -> dict[str, Any]:
        href = f"{self.base_path}/data/{component.object}/{component.name}/{row['Id']}"
        link = [{"rel": "self", "href": href, "name": component.name}]
        return dict.fromkeys(component.fields, "") | row | {"Link": link}

    async def _get(self, request: web.Request) -> web.Response:
        component = self._component(request)
        row = self._visible(request, component, request.match_info["id"])
        return web.json_response(self._shown(component, row))

    async def _insert(self, request: web.Request) -> web.Response:
        component = self._component(request)
        return self._written(component, self._new(component, await self._fields(request, component)))

    async def _insert_child(self, request: web.Request) -> web.Response:
        parent, child = self._component(request), self._component(request, "child")
        if request.match_info["id"] not in parent.rows or child.parent is None:
            raise _no_data()
        fields = await self._fields(request, child)
        row = self._new(child, fields | {child.parent: request.match_info["id"]})
        body = {"Id": request.match_info["id"], child.name: {"Id": row["Id"]}}
        return web.json_response({"items": body | {"Link": {"rel": "self", "name": parent.name}}})

    async def _upsert(self, request: web.Request) -> web.Response:
        component = self._component(request)
        fields = await self._fields(request, component)
        if not all(fields.get(name) for name in component.key):
            raise SiebelError(500, f"No user key can be used for '{component.name}'(SBL-EAI-04397)")
        held = component.same_key(fields)
        if held is None:
            return self._written(component, self._new(component, fields))
        self._check(component, held | fields)
        self._change(held, fields)
        return self._written(component, held)

    async def _update(self, request: web.Request) -> web.Response:
        component = self._component(request)
        row = self._visible(request, component, request.match_info["id"])
        fields = await self._fields(request, component)
        fields["Id"] = row["Id"]
        if all(row.get(name, "") == value for name, value in fields.items()):
            return web.Response(status=304)
        self._check(component, row | fields)
        self._change(row, fields)
        return self._written(component, row)

    def _change(self, row: Row, fields: Row) -> None:
        row.update(fields)
        row.update({"Updated": _now(), "Mod Id": str(int(row.get("Mod Id", "0")) + 1)})

    async def _delete(self, request: web.Request) -> web.Response:
        component = self._component(request)
        row = self._visible(request, component, request.match_info["id"])
        self.delete(component.name, row["Id"])
        return web.Response(status=200)

    async def _fields(self, request: web.Request, component: Component) -> Row:
        fields = _object(await request.read())
        for name, value in fields.items():
            if name not in component.known:
                raise SiebelError(500, f"Field '{name}' does not exist in definition(SBL-DAT-00398)")
            if not isinstance(value, str):
                raise SiebelError(500, f"Field '{name}' is no text(SBL-DAT-00359)")
        return fields

    def _new(self, component: Component, fields: Row) -> Row:
        self._check(component, fields)
        if component.same_key(fields) is not None:
            spec = " AND ".join(f'[{name}] = "{fields.get(name)}"' for name in component.key)
            raise SiebelError(
                409,
                f"Insert operation on integration component '{component.name}' failed because a matching "
                f"record in business component '{component.name}' with search specification '{spec}' was "
                "found.(SBL-EAI-04383)",
            )
        return self.add(component.name, fields)

    def _check(self, component: Component, row: Row) -> None:
        for name in component.required:
            if not row.get(name):
                raise SiebelError(500, f"'{name}' is a required field. Please enter a value.(SBL-DAT-00498)")
        named = row.get(component.contact or "")
        if named and named not in self.components["Contact"].rows:
            words = f"'{component.contact}' has a value that is not on its bounded list(SBL-EAI-04401)"
            raise SiebelError(500, words)

    def _written(self, component: Component, row: Row) -> web.Response:
        shown = self._shown(component, row)
        return web.json_response({"items": shown | {"Link": shown["Link"][0]}})

    # services -----------------------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.Response:
        self._check_login(request)
        method = f"{request.match_info['service']}/{request.match_info['method']}"
        services = {
            "SocialMediaService/CreateLeads": self._create_leads,
            "SocialMediaService/GetCampaigns": self._get_campaigns,
            "Synchronous Assignment Manager Requests/Assign": self._assign,
        }
        if method not in services:
            raise SiebelError(404, f"No such resource: {method}(SBL-EAI-50257)")
        arguments = _object(await request.read()).get("body")
        if not isinstance(arguments, dict):
            raise SiebelError(500, "The request has no body argument(SBL-EAI-04260)")
        return web.json_response(services[method](arguments))

    def _create_leads(self, arguments: dict[str, Any]) -> dict[str, str]:
        lead = _only_row(arguments, "Lead IO")
        leads, contacts = self.components["Lead"], self.components["Contact"]
        unknown = set(lead) - leads.known
        if unknown or not lead.get("Last Name"):
            return _refused(f"Lead IO is not valid: {', '.join(sorted(unknown)) or 'Last Name'}")
        source = lead.get("Source Code")
        if source and source not in {row["Source Id"] for row in self.components["Campaign"].rows.values()}:
            return _refused("Source Code is not the Source Id of a campaign")
        if lead.get("Contact Id") and lead["Contact Id"] not in contacts.rows:
            return _refused("Contact Id is not a contact")
        for held in leads.rows.values():
            if leads.same_key(lead) is held or _same_person(held, lead, "Phone Number"):
                return _refused("Duplicate Lead")
        if not lead.get("Contact Id"):
            contact = {
                "First Name": lead.get("First Name", ""),
                "Last Name": lead["Last Name"],
                "Email Address": lead.get("Email Address", ""),
                "Cellular Phone #": lead.get("Phone Number", ""),
            }
            known = next(
                (row for row in contacts.rows.values() if _same_person(row, contact, "Cellular Phone #")),
                None,
            )
            lead["Contact Id"] = (known or self.add("Contact", contact))["Id"]
        row = self.add("Lead", lead)
        return {"Success Flag": "Yes", "Error Message": "", "Lead Id": row["Id"]}

    def _get_campaigns(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number, size = str(arguments.get("Page Number", "")), str(arguments.get("Page Size", "10"))
        if not (number.isdecimal() and int(number) > 0 and size.isdecimal()):
            raise SiebelError(500, "Page Number is required, and greater than 0(SBL-EAI-04397)")
        name = str(arguments.get("Campaign Name", "")).casefold()
        after, before = (_sortable(str(arguments.get(bound, ""))) for bound in ("Start Date", "End Date"))
        found = [
            {"Id": row["Id"]} | {key: row.get(key, "") for key in _CAMPAIGN}
            for row in self.components["Campaign"].rows.values()
            if name in row["Campaign Name"].casefold()
            and (not after or _sortable(row["Start Date"]) >= after)
            and (not before or "" < _sortable(row["Start Date"]) <= before)
        ]
        start = (int(number) - 1) * int(size)
        page = found[start : start + int(size)]
        listed: Any = page[0] if len(page) == 1 else page
        return {
            "MKTG Campaign IO": {
                "IntObjectName": "MKTG Campaign IO",
                "IntObjectFormat": "Siebel Hierarchical",
                "ListOfMKTG Campaign IO": {"Campaign": listed} if page else {},
            }
        }

    def _assign(self, arguments: dict[str, Any]) -> dict[str, str]:
        component = self.components.get(str(arguments.get("AsgnObjName")))
        row = component.rows.get(str(arguments.get("ObjRowId"))) if component else None
        if row is None:
            raise SiebelError(500, "The object to assign was not found(SBL-ASG-00003)")
        row["Owner"] = "SIEBEL-ASSIGNED"
        return {"Status": "SUCCESS"}


def _now() -> str:
    return datetime.now(UTC).strftime("%m/%d/%Y %H:%M:%S")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise SiebelError(500, "The request body is no JSON object(SBL-EAI-04260)")
    return body


def _only_row(arguments: dict[str, Any], name: str) -> Row:
    """The one instance of an integration object."""
    message = arguments.get(name)
    listed = message.get(f"ListOf{name}") if isinstance(message, dict) else None
    rows = next(iter(listed.values()), None) if isinstance(listed, dict) else None
    row = rows[0] if isinstance(rows, list) and rows else rows
    return {str(key): str(value) for key, value in row.items()} if isinstance(row, dict) else {}


def _same_person(held: Row, given: Row, phone: str) -> bool:
    email = given.get("Email Address", "").casefold()
    number = given.get(phone, "")
    return bool(email and held.get("Email Address", "").casefold() == email) or bool(
        number and held.get(phone) == number
    )


def _refused(words: str) -> dict[str, str]:
    """A service's refusal: it comes with a 200."""
    return {"Success Flag": "No", "Error Message": words, "Lead Id": ""}


def _sortable(day: str) -> str:
    """``MM/DD/YYYY`` as ``YYYY/MM/DD``; nothing for anything else."""
    parts = day[:10].split("/")
    return f"{parts[2]}/{parts[0]}/{parts[1]}" if len(parts) == 3 else ""
