"""The transport below every call that goes out: a deadline kept at the socket, and a cap on the answer.

httpx's time-outs start anew with each read, so a server that drips single bytes outlives them.
`DeadlineBackend` gives every look-up, connect, handshake, read and write no more than what is left of the
call. httpx and httpcore are imported with the first call, not with this module.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from concurrent.futures import ThreadPoolExecutor

    import httpx
    from httpcore import SOCKET_OPTION, NetworkBackend, NetworkStream
    from httpx import BaseTransport
else:
    # Both libraries only call these methods; inheriting for real would import them with this module.
    BaseTransport = NetworkBackend = NetworkStream = object

# Both write whole URLs, and with them keys and personal data, into the log.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

MAX_ANSWER_BYTES = 5 * 1024 * 1024

type Resolver = Callable[[str, int], list[str]]
"""Host and port -> the IP addresses to try, in order; raises OSError when there is none."""


class UnreadableAnswer(Exception):
    """An answer came whose body is refused: too large, or compressed. `status` is its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one call may use: the moment on `clock` (seconds) by which it ends, and the answer's raw bytes."""

    deadline: float
    max_bytes: int
    clock: Callable[[], float]

    def remaining(self) -> float:
        """Seconds that are left, negative once the deadline has passed."""
        return self.deadline - self.clock()


# The backend sees neither request nor client, so the limits reach it beside the call, in each thread.
_limits: ContextVar[CallLimits | None] = ContextVar("switchboard_call_limits", default=None)


@contextmanager
def call_limits(
    seconds: float, *, max_bytes: int = MAX_ANSWER_BYTES, clock: Callable[[], float] = time.monotonic
) -> Iterator[CallLimits]:
    """Everything sent through `DeadlineTransport` inside this block, together, keeps these limits."""
    token = _limits.set(CallLimits(clock() + seconds, max_bytes, clock))
    try:
        limits = _limits.get()
        assert limits is not None  # noqa: S101  # set two lines above
        yield limits
    finally:
        _limits.reset(token)


def _bounded(timeout: float | None, expired: type[Exception]) -> float | None:
    """`timeout`, but no more than what is left of the call; raises `expired` when nothing is left."""
    limits = _limits.get()
    if limits is None:
        return timeout
    remaining = limits.remaining()
    if remaining <= 0:
        raise expired("the deadline of the call has passed")
    return remaining if timeout is None else min(timeout, remaining)


def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of `host` in the system's order; raises OSError when it has none."""
    import socket

    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@cache
def _resolver_threads() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolver")


class DeadlineBackend(NetworkBackend):
    """httpcore's sockets, each operation bounded by what is left of the call.

    Args:
        resolve: the look-up; a caller that must not reach certain addresses passes its own, and exactly
            the addresses that it returns are connected to.
    """

    def __init__(self, resolve: Resolver = resolve_host) -> None:
        from httpcore import SyncBackend

        self._resolve = resolve
        self._sockets = SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """A stream to the first address that answers; ConnectError or ConnectTimeout when none does."""
        import httpcore

        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in self._addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, _bounded(timeout, httpcore.ConnectTimeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
            else:
                return _DeadlineStream(stream)
        raise failure

    def _addresses(self, host: str, port: int) -> list[str]:
        import httpcore

        # The system's resolver knows no time-out of ours, so it runs in a thread that can be left behind.
        timeout = _bounded(None, httpcore.ConnectTimeout)
        lookup = _resolver_threads().submit(self._resolve, host, port)
        try:
            return lookup.result(timeout)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout("the host's address did not come in time") from exc
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError("the host's address was not found") from exc


class _DeadlineStream(NetworkStream):
    """One connection; see `DeadlineBackend`."""

    def __init__(self, stream: NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        import httpcore

        return self._stream.read(max_bytes, _bounded(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        import httpcore

        # Not the inner write(): it starts the time-out anew with each part that the peer takes.
        socket = self._stream.get_extra_info("socket")
        left = memoryview(buffer)
        try:
            while left:
                socket.settimeout(_bounded(timeout, httpcore.WriteTimeout))
                left = left[socket.send(left) :]
        except TimeoutError as exc:
            raise httpcore.WriteTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore.WriteError(str(exc)) from exc

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        import httpcore

        try:
            limit = _bounded(timeout, httpcore.ConnectTimeout)
        except httpcore.ConnectTimeout:
            # httpcore has not taken the connection over yet: nobody else would close it.
            self._stream.close()
            raise
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class DeadlineTransport(BaseTransport):
    """An httpx transport that keeps `call_limits`, down to the socket; it reads every answer to its end.

    Args:
        resolve: see `DeadlineBackend`.
        ssl_context: what TLS trusts; certifi's authorities when left out.
        max_connections: open at one time; a call that finds none free waits for one, within its deadline.
    """

    def __init__(
        self,
        *,
        resolve: Resolver = resolve_host,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int = 32,
    ) -> None:
        import httpcore
        import httpx

        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            # Short: a connection that died in silence while a Lambda was frozen costs a lost answer.
            keepalive_expiry=5.0,
            network_backend=DeadlineBackend(resolve),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The whole answer; httpx's errors, or UnreadableAnswer."""
        import httpcore
        import httpx

        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        sent = httpcore.Request(
            method=request.method,
            url=url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer = self._pool.handle_request(sent)
            try:
                headers = httpx.Headers(answer.headers)
                body = _whole_body(answer.status, headers, answer.iter_stream())
            finally:
                answer.close()
        except (
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
        ) as exc:
            # The two libraries name their errors alike.
            mapped: type[httpx.RequestError] = getattr(httpx, type(exc).__name__)
            raise mapped(str(exc)) from exc
        return httpx.Response(answer.status, headers=headers, content=body, extensions=answer.extensions)

    def close(self) -> None:
        """Closes every connection."""
        self._pool.close()


class LimitedTransport(BaseTransport):
    """Another transport (a test's) under the limits of the answer."""

    def __init__(self, inner: BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        import httpx

        answer = self._inner.handle_request(request)
        try:
            assert isinstance(answer.stream, httpx.SyncByteStream)  # noqa: S101  # async ones cannot be here
            body = _whole_body(answer.status_code, answer.headers, answer.stream)
        finally:
            answer.close()
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=body, extensions=answer.extensions
        )

    def close(self) -> None:
        self._inner.close()


def _whole_body(status: int, headers: httpx.Headers, chunks: Iterable[bytes]) -> bytes:
    """The raw body within the limits of the call; UnreadableAnswer or httpx.ReadTimeout beyond them."""
    import httpx

    limits = _limits.get()
    max_bytes = MAX_ANSWER_BYTES if limits is None else limits.max_bytes
    _bounded(None, httpx.ReadTimeout)
    body = bytearray()
    encoding = headers.get("content-encoding", "").strip().lower()
    for chunk in chunks:
        if chunk and encoding not in ("", "identity"):
            # Nobody asked for it, and 200 KB of it may unpack to 200 MB.
            raise UnreadableAnswer(status, f"the answer is compressed ({encoding[:20]})")
        body += chunk
        if len(body) > max_bytes:
            raise UnreadableAnswer(status, f"the answer is larger than {max_bytes} bytes")
        _bounded(None, httpx.ReadTimeout)
    # Without a body there is nothing to unpack, and httpx must not try.
    headers.pop("content-encoding", None)
    return bytes(body)


def new_client(transport: BaseTransport) -> httpx.Client:
    """An httpx client without proxies, redirects, compression and memory; its transport sets the limits."""
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    return httpx.Client(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "switchboard"},
        # A vendor's session must not travel from one customer's call to the next.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    )
