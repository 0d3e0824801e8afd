"""OCS.io, the online charging system, over its CASM API.

FOUND (docs.ocs.io/-/integration-guide/casm/…): base `https://api.ocs.io/v1/casm`; `GET /customers/read`,
`/accounts/read`, `/subscribers/read`, `/subscriptions/read` with `refId` or `externalId` and flags such as
`resources`; the bodies of the writes, with `requestId` (a GUID) and a reference to the entity.
UNVERIFIED, and for that reason settings: the writes' paths (all are POST), the balances' fields.
UNVERIFIED beyond that: the answers. An entity is taken as it is or out of a member named for its kind, and
a refusal by its status, then by its words. Authentication is by what the secret holds: `username` and
`password` as Basic; `token` or `apiKey` as `Authorization: Bearer …`, or under the secret's `authHeader`
and `authScheme`.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from switchboard.breaker import PATIENT_THRESHOLD, Gate
from switchboard.errors import VendorError
from switchboard.http import Authentication, ConnectorClient
from switchboard.secrets import Secret

if TYPE_CHECKING:
    import httpx

type Record = dict[str, Any]
"""An entity under the OCS's names; its state is flat (`state`, `stateReason`, …)."""

CALL_SECONDS = 6.0
"""For one call; several of them fit into what API Gateway waits."""

_PROBE_EVERY = timedelta(seconds=8)
"""People wait for this vendor: it is looked for sooner than others, and still by one call at a time."""

_INCLUDED: dict[str, dict[str, str]] = {"subscriber": {"resources": "true"}}
_TAKEN = re.compile(
    r"already (?:exists?|used|assigned|taken|in use)|not unique|must be unique|deactivated"
    r"|illegal (?:state|transition)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"\b(?:customer|account|subscriber|subscription)\b.{0,100}\b(?:not found|does not exist|unknown)\b",
    re.IGNORECASE,
)
_WORDS = ("message", "detail", "errorMessage", "description", "reason", "title")


def auth(secret: Secret) -> Authentication:
    """The authentication by what the secret holds."""
    import httpx

    if user := secret.get("username"):
        return httpx.BasicAuth(user, secret["password"])
    token = secret.get("token") or secret["apiKey"]
    name = secret.get("authHeader") or "Authorization"
    scheme = secret.get("authScheme") or ("Bearer" if name.lower() == "authorization" else "")

    def sign(request: "httpx.Request") -> "httpx.Request":
        request.headers[name] = f"{scheme} {token}".strip()
        return request

    return sign


def classify(response: "httpx.Response") -> VendorError | None:
    """A refusal by status, then words: unknown, taken or in the wrong state, else `remote-refused`."""
    if not 400 <= response.status_code < 500 or response.status_code in (401, 403, 408, 429):
        return None
    words = _words(response)
    code = "remote-refused"
    if response.status_code == 409 or (response.status_code != 404 and _TAKEN.search(words)):
        code = "conflict"
    elif response.status_code == 404 or _UNKNOWN.search(words):
        code = "not-found"
    extra: dict[str, object] = {"vendor_status": response.status_code}
    if (balances := _balances(response)) is not None:
        extra["balances"] = balances
    return VendorError(code, words or f"The OCS answered {response.status_code}.", extra=extra)


def _words(response: "httpx.Response") -> str:
    try:
        found: Any = response.json()
    except ValueError:
        return response.text
    if isinstance(found, dict) and isinstance(found.get("error"), dict | str):
        found = found["error"]
    if isinstance(found, str):
        return found
    if isinstance(found, dict):
        for name in _WORDS:
            if isinstance(found.get(name), str) and found[name]:
                return str(found[name])
    return response.text


def _balances(response: "httpx.Response") -> list[Any] | None:
    """What a refusal says of single balances."""
    try:
        found = response.json()
    except ValueError:
        return None
    told = found.get("balances") if isinstance(found, dict) else None
    return told if isinstance(told, list) else None


def record(kind: str, answer: Any) -> Record:
    """The entity in an answer, with its state flat; `remote-unexpected` when there is none."""
    found = answer.get(kind, answer) if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        raise VendorError("remote-unexpected", f"The OCS answered no {kind}.")
    state = found.get("state")
    return found | state if isinstance(state, dict) else dict(found)


@dataclass(frozen=True, slots=True)
class OcsIo:
    """The OCS's verbs.

    Args:
        client: speaks HTTP.
        paths: by name of the read, where it is when not at its default.
        until: the moment on `clock` by which each call has to end; None for no bound but the call's own.
    """

    client: ConnectorClient
    until: float | None = None
    clock: Callable[[], float] = time.monotonic

    def within(self, seconds: float) -> "OcsIo":
        """The same, with `seconds` left for all of its calls together."""
        return replace(self, until=self.clock() + seconds)

    def read(self, kind: str, path: str, reference: Mapping[str, str]) -> Record:
        """An entity; VendorError `not-found`."""
        params = dict(reference) | _INCLUDED.get(kind, {})
        answer = self.client.get(path, params=params, deadline=self._deadline())
        return record(kind, _json(answer))

    def read_balances(self, path: str, reference: Mapping[str, str]) -> list[Record] | None:
        """A subscription's balances; None when this OCS tells none."""
        try:
            answer = _json(self.client.get(path, params=dict(reference), deadline=self._deadline()))
        except VendorError as error:
            if error.code in ("not-found", "remote-refused"):
                return None
            raise
        found = answer.get("balances") if isinstance(answer, dict) else answer
        return found if isinstance(found, list) else None

    def write(self, path: str, body: Record) -> Record:
        """One write, sent once. Raises AnswerLost when it was sent and its effect is unknown."""
        answer = self.client.post(path, json=body, deadline=self._deadline())
        found = _json(answer)
        return found if isinstance(found, dict) else {}

    def _deadline(self) -> float:
        if self.until is None:
            return CALL_SECONDS
        return max(0.0, min(CALL_SECONDS, self.until - self.clock()))


def _json(response: "httpx.Response") -> Any:
    try:
        return response.json() if response.content else {}
    except ValueError:
        if response.request.method == "GET":
            raise VendorError("remote-unexpected", "The OCS's answer is not JSON.") from None
        return {}


@cache
def ocs() -> OcsIo:
    """The OCS of this deployment; its secret's ARN stands in `OCSIO_SECRET_ARN`."""
    gate = Gate("ocsio", threshold=PATIENT_THRESHOLD, probe_every=_PROBE_EVERY)
    return OcsIo(ConnectorClient("ocsio", auth, classify=classify, deadline=CALL_SECONDS, gate=gate))
