"""The one HTTP base of all connectors.

A connector is an authentication, an instance of `ConnectorClient`, and business verbs:

    client = ConnectorClient("crowdtwist", auth=lambda secret: KeyAuth(secret["apiKey"]), classify=classify)
    member = client.get(url_path("v2", "users", number), params={"id_type": "third_party_id"}).json()

What it gives each call: a total deadline, a cap on the answer's bytes, no compression, no redirects, no
proxies or cookies, repetition in this one layer, a forced look at the secret after a 401, and every failure
as a code of the registry:

    not sent (refused, DNS, TLS, no free connection)        remote-unavailable
    sent, no whole answer, repeating it could act twice     AnswerLost
    sent, no whole answer, harmless to repeat               remote-timeout, remote-unavailable
    401, 403                                                remote-auth
    429                                                     remote-rate
    5xx (502 and 504 to what must not be repeated:          remote-unavailable
         AnswerLost, for behind the gateway it may have acted)
    other 4xx, 3xx                                          remote-refused, remote-unexpected
    not sent, because the vendor is known to be away        HeldBack (with a `gate`)

The deadline is kept at the socket: httpx's time-outs start anew with each read, so a server that drips
single bytes outlives them. `DeadlineBackend` gives every look-up, connect, handshake, read and write no
more than what is left of the call. httpx itself is imported with the first call, not with this module.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack
from urllib.parse import quote

from switchboard.errors import AnswerLost, SwitchboardError, VendorError
from switchboard.redaction import redact
from switchboard.secrets import Secret, connector_secret

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

DEADLINE_SECONDS = 10.0
MAX_ANSWER_BYTES = 5 * 1024 * 1024
MAX_WORDS = 500

_ATTEMPTS = 3
_CONNECT_SECONDS = 3.0
_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 2.0
# Waiting in a Lambda costs; beyond this the queue waits instead.
_LONGEST_RETRY_AFTER_SECONDS = 5.0
_LONGEST_BELIEVED_RETRY_AFTER_SECONDS = 86_400.0
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_REPEATED_CODES = frozenset({"remote-rate", "remote-unavailable", "remote-timeout"})
_TAG = re.compile(r"<[^<>]*+>")
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?")

type Authentication = httpx.Auth | Callable[[httpx.Request], httpx.Request] | None
"""As httpx takes it: an object, a function that adds to the request what it needs, or none."""

type AuthFactory = Callable[[Secret], Authentication]
"""Makes the authentication from the secret; called again only when the secret has changed."""

type Classifier = Callable[[httpx.Response], VendorError | None]
"""Reads a vendor's answer: the failure that it is, or None to leave it to the status. Consulted for every
answer, also 2xx: vendors hide failures in 200 and lasting errors in 500. Must not raise on a strange body."""

type GateKeeper = Callable[[], AbstractContextManager[object]]
"""Goes around each request (`breaker.Gate`): raises HeldBack instead of sending it, sees what it raises."""

type Resolver = Callable[[str, int], list[str]]
"""Host and port -> the IP addresses to try, in order; raises OSError when there is none."""


class SecretSource(Protocol):
    """Where a client gets its secret from: `connector_secret`, or a test's stand-in."""

    def __call__(self, name: str, *, refresh: bool = False) -> Secret: ...


class UnreadableAnswer(Exception):
    """An answer came whose body is refused: too large, or compressed. `status` is its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


# --- The limits of one call, and the transport that keeps them --------------------------------------------


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


class _LimitedTransport(BaseTransport):
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


# --- The client of a connector ----------------------------------------------------------------------------


class Options(TypedDict, total=False):
    """What one call may say besides its method and path.

    params: the query; replaces one that the path holds.
    json, data, content: the body: as JSON, as a form, as it is.
    headers: for this request only.
    idempotent: whether sending it twice is the same as once; by default GET, HEAD, PUT and DELETE.
    accept: statuses besides 2xx that the caller handles itself, once `classify` has passed them.
    deadline: seconds for this call instead of the client's.
    """

    params: Mapping[str, str | int | list[str]] | None
    json: object
    data: Mapping[str, str] | None
    content: bytes | str | None
    headers: Mapping[str, str] | None
    idempotent: bool | None
    accept: Collection[int]
    deadline: float | None


@dataclass(frozen=True, slots=True)
class _Draft:
    """A call before the secret is known: its request is built anew for each attempt."""

    method: str
    path: str
    options: Options
    repeatable: bool


class ConnectorClient:
    """Speaks HTTP with one vendor. Create it once per process; it may be used from several threads.

    Args:
        name: the connector, which names its secret: `siebel`, `crowdtwist`, …
        auth: makes the httpx authentication from the secret.
        classify: the vendor's own reading of an answer, consulted before the status.
        headers: sent with every request.
        deadline: seconds that one call may take in total: secret, look-up, connect, attempts and waits.
        max_bytes: the largest answer body.
        attempts: how often a call that is harmless to repeat is sent at most.
        correlation_id: gives the id that goes out as X-Correlation-ID, or None.
        gate: the vendor's breaker and rate budget, shared by all workers (`breaker.Gate`).
        secret: where the secret comes from.
        transport: replaces the network (tests: `httpx.MockTransport`).
        clock, sleep, jitter: seconds, monotonic; waits seconds; a number in [0, 1).
        now: seconds since the epoch, against which a Retry-After date is read.
    """

    def __init__(
        self,
        name: str,
        auth: AuthFactory,
        *,
        classify: Classifier | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE_SECONDS,
        max_bytes: int = MAX_ANSWER_BYTES,
        attempts: int = _ATTEMPTS,
        correlation_id: Callable[[], str | None] | None = None,
        gate: GateKeeper = nullcontext,
        secret: SecretSource = connector_secret,
        transport: BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._make_auth = auth
        self._classify = classify
        self._headers = dict(headers or {})
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._attempts = attempts
        self._correlation_id = correlation_id
        self._gate = gate
        self._secret = secret
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._now = now
        self._own_client: httpx.Client | None = None
        self._auth: tuple[Secret, Authentication] | None = None

    def get(self, path: str = "", **options: Unpack[Options]) -> httpx.Response:
        """GET; see `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str = "", **options: Unpack[Options]) -> httpx.Response:
        """POST; repeated only with `idempotent=True`; see `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str = "", **options: Unpack[Options]) -> httpx.Response:
        """PUT; see `request`."""
        return self.request("PUT", path, **options)

    def delete(self, path: str = "", **options: Unpack[Options]) -> httpx.Response:
        """DELETE; see `request`."""
        return self.request("DELETE", path, **options)

    def request(self, method: str, path: str = "", **options: Unpack[Options]) -> httpx.Response:
        """One call, repeated as far as that is harmless and the deadline allows.

        Args:
            method: an HTTP method.
            path: what follows the secret's `baseUrl`, already quoted (see `url_path`).
            options: see `Options`.

        Returns:
            The answer, its body read.

        Raises:
            AnswerLost: a request that must not be repeated was sent, and its effect is unknown.
            VendorError: any other failure of the vendor, its words redacted in `detail`. When it comes from
                the status, `extra["vendor_status"]` is that status.
            SwitchboardError: `not-configured`, `internal` (see `connector_secret`), or `invalid` when
                `path` makes no URL.
        """
        method = method.upper()
        repeatable = options.get("idempotent")
        if repeatable is None:
            repeatable = method in _IDEMPOTENT_METHODS
        draft = _Draft(method, path, options, repeatable)
        seconds = options.get("deadline")
        if seconds is None:
            seconds = self._deadline
        with call_limits(seconds, max_bytes=self._max_bytes, clock=self._clock) as limits:
            secret = self._secret(self.name)
            refreshed = False
            sent = 0
            while True:
                try:
                    with self._gate():
                        return self._send(draft, secret, limits)
                except VendorError as error:
                    # A 403 is about rights: no other password helps.
                    if error.code == "remote-auth" and error.extra.get("vendor_status") != 403:
                        if refreshed:
                            raise
                        refreshed = True
                        used, secret = secret, self._secret(self.name, refresh=True)
                        # The same credentials again would only bring a lock-out nearer.
                        if secret == used or limits.remaining() <= 0:
                            raise
                        continue
                    sent += 1
                    wait = self._wait(error, sent)
                    if (
                        not repeatable
                        or error.code not in _REPEATED_CODES
                        or sent >= self._attempts
                        or wait is None
                        or wait >= limits.remaining()
                    ):
                        raise
                self._sleep(wait)

    def _wait(self, error: VendorError, sent: int) -> float | None:
        """Seconds before the next attempt: full jitter, not before Retry-After. None: not in this call."""
        backoff = self._jitter() * min(_BACKOFF_SECONDS * 2.0**sent, _LONGEST_BACKOFF_SECONDS)
        if error.retry_after is None:
            return backoff
        return None if error.retry_after > _LONGEST_RETRY_AFTER_SECONDS else max(error.retry_after, backoff)

    def _send(self, draft: _Draft, secret: Secret, limits: CallLimits) -> httpx.Response:
        import httpx

        remaining = limits.remaining()
        if remaining <= 0:
            raise VendorError("remote-unavailable", f"The deadline passed before {self.name} was called.")
        request = self._build(draft, secret, remaining)
        try:
            response = self._client().send(request, auth=self._auth_for(secret))
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
            # Not chained: the message holds the offending header, as a rule a credential.
            raise SwitchboardError(
                "not-configured",
                f"No valid request to {self.name} can be formed: look for line breaks in its secret.",
            ) from None
        except httpx.RequestError as exc:
            raise self._no_answer(exc, repeatable=draft.repeatable) from exc
        except UnreadableAnswer as exc:
            raise self._unreadable(exc, repeatable=draft.repeatable) from exc
        error = self._failure(response, draft, secret)
        if error is not None:
            raise error
        return response

    def _build(self, draft: _Draft, secret: Secret, remaining: float) -> httpx.Request:
        import httpx

        options = draft.options
        headers = {**self._headers, **(options.get("headers") or {})}
        correlation_id = self._correlation_id() if self._correlation_id else None
        if correlation_id:
            headers["X-Correlation-ID"] = correlation_id
        url = f"{secret.base_url}/{draft.path.lstrip('/')}" if draft.path else secret.base_url
        try:
            return self._client().build_request(
                draft.method,
                url,
                params=options.get("params"),
                json=options.get("json"),
                data=options.get("data"),
                content=options.get("content"),
                headers=headers,
                timeout=httpx.Timeout(remaining, connect=min(_CONNECT_SECONDS, remaining)),
            )
        except httpx.InvalidURL:
            raise SwitchboardError("invalid", f"The path makes no valid URL of {self.name}.") from None

    def _client(self) -> httpx.Client:
        if self._transport is None:
            return _process_client()
        if self._own_client is None:
            self._own_client = new_client(_LimitedTransport(self._transport))
        return self._own_client

    def _auth_for(self, secret: Secret) -> Authentication:
        kept = self._auth
        if kept is None or kept[0] != secret:
            kept = self._auth = (secret, self._make_auth(secret))
        return kept[1]

    def _no_answer(self, exc: httpx.RequestError, *, repeatable: bool) -> VendorError:
        import httpx

        cause = type(exc).__name__
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return VendorError("remote-unavailable", f"{self.name} cannot be reached ({cause}).")
        if not repeatable:
            return AnswerLost(f"{self.name} was called and gave no whole answer ({cause}).")
        code = "remote-timeout" if isinstance(exc, httpx.TimeoutException) else "remote-unavailable"
        return VendorError(code, f"{self.name} gave no whole answer ({cause}).")

    def _unreadable(self, exc: UnreadableAnswer, *, repeatable: bool) -> VendorError:
        if exc.status >= 300:
            return self._by_status(exc.status, exc.reason, None, repeatable=repeatable)
        if repeatable:
            return VendorError("remote-unexpected", f"{self.name} answered {exc.status}, but {exc.reason}.")
        return AnswerLost(f"{self.name} answered {exc.status}, but {exc.reason}.")

    def _failure(self, response: httpx.Response, draft: _Draft, secret: Secret) -> VendorError | None:
        error = self._classify(response) if self._classify else None
        if error is not None:
            # In place, so that a connector's own subclass survives; whoever prints it sees the same words.
            error.detail = vendor_words(secret.mask(error.detail))
            error.args = (f"{error.code}: {error.detail}",)
            if error.retry_after is None:
                error.retry_after = retry_after_seconds(response.headers.get("retry-after"), self._now())
            return error
        if response.is_success or response.status_code in draft.options.get("accept", ()):
            return None
        text = response.text
        if "html" in response.headers.get("content-type", ""):
            text = _TAG.sub(" ", text)
        retry_after = retry_after_seconds(response.headers.get("retry-after"), self._now())
        words = vendor_words(secret.mask(text))
        return self._by_status(response.status_code, words, retry_after, repeatable=draft.repeatable)

    def _by_status(
        self, status: int, words: str, retry_after: float | None, *, repeatable: bool
    ) -> VendorError:
        detail = f"{self.name} answered {status}: {words}" if words else f"{self.name} answered {status}."
        extra: dict[str, object] = {"vendor_status": status}
        if status in (502, 504) and not repeatable:
            # A gateway lost the answer: the vendor behind it may well have acted.
            lost = AnswerLost(detail)
            lost.extra = extra
            return lost
        if status in (401, 403):
            code = "remote-auth"
        elif status == 429:
            code = "remote-rate"
        elif status >= 500:
            code = "remote-unavailable"
        elif status >= 400:
            code = "remote-refused"
        else:
            code = "remote-unexpected"
        return VendorError(code, detail, retry_after=retry_after, extra=extra)


@cache
def _process_client() -> httpx.Client:
    return new_client(DeadlineTransport())


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


def url_path(*segments: str) -> str:
    """The segments as a URL path, each quoted; SwitchboardError `invalid` for an empty one, `.` and `..`."""
    if any(segment in ("", ".", "..") for segment in segments):
        raise SwitchboardError("invalid", "An id is empty or consists of dots only.")
    return "/".join(quote(segment, safe="") for segment in segments)


def vendor_words(text: str) -> str:
    """What a vendor wrote, fit for a `detail`: one line, redacted, at most 500 characters."""
    # Only so much is looked at; the last, perhaps cut word could hide half an address.
    words = text[: MAX_WORDS * 8].split()
    if len(text) > MAX_WORDS * 8 and len(words) > 1:
        words.pop()
    line = redact(" ".join(words))
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Retry-After, in seconds or as an HTTP date, as seconds from `now` (epoch seconds); at most a day.

    None when it is missing or unreadable.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp() - now
    return min(max(seconds, 0.0), _LONGEST_BELIEVED_RETRY_AFTER_SECONDS)
