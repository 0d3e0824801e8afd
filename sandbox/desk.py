"""One vendor at work: its call log, its faults, and the middleware that applies both."""

import asyncio
import time
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.calls import Call, CallLog
from sandbox.faults import Fault, FaultBook
from sandbox.vendor import Vendor

MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Desk:
    """A vendor with what the control plane knows about it."""

    vendor: Vendor
    calls: CallLog = field(default_factory=CallLog)
    faults: FaultBook = field(default_factory=FaultBook)

    def reset(self) -> None:
        """Back to the first state: no faults, no calls, the vendor's own seed."""
        self.calls.clear()
        self.faults.clear()
        self.vendor.reset()

    def application(self) -> web.Application:
        """The vendor's routes behind the middleware, to be mounted at its prefix."""
        application = web.Application(middlewares=[self._middleware()], client_max_size=MAX_BODY_BYTES)
        application.add_routes(self.vendor.routes())
        return application

    def _middleware(self) -> Middleware:
        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            call = self._open(request)
            fault = self.faults.take(call.method, call.path)
            call.fault = fault.kind if fault else None
            began = time.monotonic()
            status: int | None = 500  # aiohttp's answer to an exception that no handler expects
            try:
                response = await _answer(request, handler, call, fault)
                status = None if isinstance(response, _Gone) else response.status
            except web.HTTPException as error:
                status = error.status
                raise
            except asyncio.CancelledError:
                status = None
                raise
            finally:
                call.status = status
                call.duration_ms = round((time.monotonic() - began) * 1000)
            return response

        return record

    def _open(self, request: web.Request) -> Call:
        return self.calls.open(
            method=request.method,
            target=request.raw_path,
            path=request.path.removeprefix(self.vendor.prefix) or "/",
            query={name: request.query.getall(name) for name in request.query},
            headers={name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers},
        )


class _Gone(web.Response):
    """Stands for the answer that is never sent: the connection is reset instead."""

    async def prepare(self, request: web.BaseRequest) -> None:
        if request.transport is not None:
            request.transport.abort()


async def _answer(
    request: web.Request, handler: Handler, call: Call, fault: Fault | None
) -> web.StreamResponse:
    if fault is not None and fault.kind == "down":
        return _Gone()
    call.body = await request.read()
    if fault is None:
        return await handler(request)
    seconds = fault.seconds or 0.0
    match fault.kind:
        case "status" | "errorRate":
            return web.Response(status=fault.status, headers=fault.headers, body=fault.body.encode())
        case "slow":
            await asyncio.sleep(seconds)
            return await handler(request)
        case "drip":
            return await _drip(request, await _settled(request, handler), seconds)
        case "answerLost":
            await _settled(request, handler)
            return _Gone()
        case _:
            await _hang(request, seconds)
            return _Gone()


async def _settled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's answer, also where it is raised as an HTTP exception."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.Response(status=error.status, headers=error.headers, body=error.text)


async def _drip(request: web.Request, whole: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Send a complete answer byte by byte, with its true length stated at once."""
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    try:
        await response.prepare(request)
        for position in range(len(body)):
            await response.write(body[position : position + 1])
            await asyncio.sleep(seconds)
        await response.write_eof()
    except ConnectionResetError:
        # The caller had enough; that is what the fault is for.
        return response
    return response


async def _hang(request: web.Request, seconds: float) -> None:
    """Wait until the caller hangs up, at most ``seconds``."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.05)
