"""A partner's server: it takes every call and answers 200; what it is to do instead is a fault's matter.

Paths below ``/sink/huge`` answer 50 MB, those below ``/sink/status/{code}`` that status. Bad TLS is at the
address that ``GET /_control/tls`` tells: the same paths, behind a certificate that nobody has signed.
"""

from collections.abc import Iterable

from aiohttp import web

from sandbox.vendor import Vendor

HUGE = 50 * 1024 * 1024
_METHODS = "*"


class Sink(Vendor):
    """See the module. The calls it got are in the control plane's log."""

    name = "sink"
    prefix = "/sink"

    def routes(self) -> Iterable[web.RouteDef]:
        """Every method of every path."""
        yield web.route(_METHODS, "/huge{tail:.*}", self._huge)
        yield web.route(_METHODS, "/status/{code:[1-9][0-9][0-9]}{tail:.*}", self._status)
        yield web.route(_METHODS, "/{tail:.*}", self._take)

    def reset(self) -> None:
        """Nothing is kept here."""

    async def _take(self, _request: web.Request) -> web.Response:
        return web.Response(text="taken")

    async def _status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["code"]), text="as you wish")

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = HUGE
        await response.prepare(request)
        part = b"x" * 65_536
        try:
            for _ in range(HUGE // len(part)):
                await response.write(part)
        except ConnectionResetError:
            return response
        return response
