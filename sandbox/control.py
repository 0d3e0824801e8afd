"""The control plane: ``/_control``.

==========  ==============================  ===========================================================
GET         ``/_control/health``            ``{"status": "ok", "vendors": [names]}``
GET         ``/_control/tls``               ``{"url": where all is served with bad TLS, or null}``
POST        ``/_control/reset``             every vendor back to its first state
POST        ``/_control/{vendor}/reset``    this vendor back to its first state
GET         ``/_control/{vendor}/faults``   ``{"items": [faults in force]}``
POST        ``/_control/{vendor}/faults``   a fault (see ``sandbox.faults``); 422 tells what is wrong with it
DELETE      ``/_control/{vendor}/faults``   end all faults
GET         ``/_control/{vendor}/calls``    ``{"items": [calls], "last": seq}``; ``?since=seq`` for later ones
DELETE      ``/_control/{vendor}/calls``    forget the calls
==========  ==============================  ===========================================================
"""

from collections.abc import Iterable, Mapping

from aiohttp import web
from pydantic import ValidationError

from sandbox.desk import Desk
from sandbox.faults import Fault


class Control:
    """The control plane's handlers, over the desks by vendor name."""

    def __init__(self, desks: Mapping[str, Desk], tls_url: str | None = None) -> None:
        self._desks = desks
        self._tls_url = tls_url

    def routes(self) -> Iterable[web.RouteDef]:
        """The routes of the control plane, each vendor's own ones first."""
        for name, desk in self._desks.items():
            for route in desk.vendor.control_routes():
                yield web.route(route.method, f"/_control/{name}{route.path}", route.handler)
        yield web.get("/_control/health", self._health)
        yield web.get("/_control/tls", self._tls)
        yield web.post("/_control/reset", self._reset_all)
        yield web.post("/_control/{vendor}/reset", self._reset)
        yield web.get("/_control/{vendor}/faults", self._list_faults)
        yield web.post("/_control/{vendor}/faults", self._add_fault)
        yield web.delete("/_control/{vendor}/faults", self._clear_faults)
        yield web.get("/_control/{vendor}/calls", self._list_calls)
        yield web.delete("/_control/{vendor}/calls", self._clear_calls)

    def _desk(self, request: web.Request) -> Desk:
        name = request.match_info["vendor"]
        desk = self._desks.get(name)
        if desk is None:
            raise web.HTTPNotFound(text=f"no vendor {name!r}; there are: {', '.join(self._desks) or 'none'}")
        return desk

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "vendors": list(self._desks)})

    async def _tls(self, _request: web.Request) -> web.Response:
        return web.json_response({"url": self._tls_url})

    async def _reset_all(self, _request: web.Request) -> web.Response:
        for desk in self._desks.values():
            desk.reset()
        return web.Response(status=204)

    async def _reset(self, request: web.Request) -> web.Response:
        self._desk(request).reset()
        return web.Response(status=204)

    async def _list_faults(self, request: web.Request) -> web.Response:
        faults = self._desk(request).faults
        return web.json_response({"items": [fault.model_dump(by_alias=True) for fault in faults]})

    async def _add_fault(self, request: web.Request) -> web.Response:
        desk = self._desk(request)
        try:
            fault = Fault.model_validate_json(await request.read())
        except ValidationError as error:
            return web.Response(
                status=422, content_type="application/json", text=error.json(include_url=False)
            )
        desk.faults.add(fault)
        return web.json_response(fault.model_dump(by_alias=True), status=201)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._desk(request).faults.clear()
        return web.Response(status=204)

    async def _list_calls(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not since.isdecimal():
            raise web.HTTPBadRequest(text="since is the seq of a call")
        calls = self._desk(request).calls.since(int(since))
        return web.json_response(
            {"items": [call.as_json() for call in calls], "last": calls[-1].seq if calls else int(since)}
        )

    async def _clear_calls(self, request: web.Request) -> web.Response:
        self._desk(request).calls.clear()
        return web.Response(status=204)
