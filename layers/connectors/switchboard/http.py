"""The one HTTP base of all connectors.

A connector is an authentication, an instance of `ConnectorClient`, and business verbs:

    client = ConnectorClient("crowdtwist", auth=lambda secret: KeyAuth(secret["apiKey"]), classify=classify)
    member = client.get(url_path("v2", "users", number), params={"id_type": "third_party_id"}).json()

What it gives each call: a total deadline and a cap on the answer's bytes (`transport`), no compression, no
redirects, no proxies or cookies, repetition in this one layer, a forced look at the secret after a 401, the
vendor's breaker and rate budget (`gate`: HeldBack instead of a call to a vendor that is known to be away),
and every failure as a code of the registry (`vendor_failures`). httpx itself is imported with the first call,
not with this module.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack
from urllib.parse import quote

from switchboard import calls
from switchboard.errors import SwitchboardError, VendorError
from switchboard.secrets import Secret, connector_secret
from switchboard.transport import (
    MAX_ANSWER_BYTES,
    CallLimits,
    DeadlineTransport,
    LimitedTransport,
    UnreadableAnswer,
    call_limits,
    new_client,
)
from switchboard.vendor_failures import (
    by_status,
    no_answer,
    retry_after_seconds,
    unreadable,
    vendor_words,
    words_of,
)

if TYPE_CHECKING:
    import httpx
    from httpx import BaseTransport

DEADLINE_SECONDS = 10.0

_ATTEMPTS = 3
_CONNECT_SECONDS = 3.0
_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 2.0
# Waiting in a Lambda costs; beyond this the queue waits instead.
_LONGEST_RETRY_AFTER_SECONDS = 5.0
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_REPEATED_CODES = frozenset({"remote-rate", "remote-unavailable", "remote-timeout"})

type Authentication = httpx.Auth | Callable[[httpx.Request], httpx.Request] | None
"""As httpx takes it: an object, a function that adds to the request what it needs, or none."""

type AuthFactory = Callable[[Secret], Authentication]
"""Makes the authentication from the secret; called again only when the secret has changed."""

type Classifier = Callable[[httpx.Response], VendorError | None]
"""Reads a vendor's answer: the failure that it is, or None to leave it to the status. Consulted for every
answer, also 2xx: vendors hide failures in 200 and lasting errors in 500. Must not raise on a strange body."""

type GateKeeper = Callable[[], AbstractContextManager[object]]
"""Goes around each request (`breaker.Gate`): raises HeldBack instead of sending it, sees what it raises."""


class SecretSource(Protocol):
    """Where a client gets its secret from: `connector_secret`, or a test's stand-in."""

    def __call__(self, name: str, *, refresh: bool = False) -> Secret: ...


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
            calls.note(self.name, draft.method, draft.path, None)
            raise no_answer(self.name, exc, repeatable=draft.repeatable) from exc
        except UnreadableAnswer as exc:
            calls.note(self.name, draft.method, draft.path, None)
            raise unreadable(self.name, exc, repeatable=draft.repeatable) from exc
        calls.note(self.name, draft.method, draft.path, response.status_code)
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
            self._own_client = new_client(LimitedTransport(self._transport))
        return self._own_client

    def _auth_for(self, secret: Secret) -> Authentication:
        kept = self._auth
        if kept is None or kept[0] != secret:
            kept = self._auth = (secret, self._make_auth(secret))
        return kept[1]

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
        words = vendor_words(secret.mask(words_of(response)))
        retry_after = retry_after_seconds(response.headers.get("retry-after"), self._now())
        return by_status(self.name, response.status_code, words, retry_after, repeatable=draft.repeatable)


@cache
def _process_client() -> httpx.Client:
    return new_client(DeadlineTransport())


def url_path(*segments: str) -> str:
    """The segments as a URL path, each quoted; SwitchboardError `invalid` for an empty one, `.` and `..`."""
    if any(segment in ("", ".", "..") for segment in segments):
        raise SwitchboardError("invalid", "An id is empty or consists of dots only.")
    return "/".join(quote(segment, safe="") for segment in segments)
