"""Oracle CrowdTwist: the members of the loyalty programme, by their third party id (source 003).

Wire facts: Oracle CrowdTwist Developer Help, "User Create", "User Update", "User Profile", "HMAC
Authentication"; the recorded answers of Oracle's Starter Kit (a create answers 200, flags go out as 0/1 and
come back as booleans). Error envelope `{"error": "<code>", "message": "<text>"}`; an unknown user is 404
`page_not_found`. Answers have members that nobody names: all that is read here is named here.

UNVERIFIED: status and code of "<field> already taken" (so the words decide, whatever the status), the
signature of HMAC v2, and whether `country` takes ISO codes as CrowdTwist's data push shows them.

There is no idempotency key, and no request is repeated in one call: the ledger repeats the work.
"""

import calendar
import hashlib
import hmac
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from switchboard.breaker import Gate
from switchboard.errors import AnswerLost, VendorError
from switchboard.http import Authentication, ConnectorClient, url_path
from switchboard.members import Member
from switchboard.secrets import Secret
from switchboard.settings.members import MemberSettings

if TYPE_CHECKING:
    import httpx

NAME = "crowdtwist"
DEADLINE_SECONDS = 8.0

_LEFT_TO_THE_STATUS = frozenset({401, 429})
_BY_NUMBER = {"id_type": "third_party_id"}  # without it CrowdTwist takes the path for its own id
_ABOUT_THE_BODY = frozenset({413, 414, 415, 431})
_ACCESS_CODES = frozenset({"access_denied", "forbidden"})


@dataclass(frozen=True, slots=True)
class User:
    """A member as CrowdTwist has it. `fields`: the whole answer, under its names."""

    user_id: int | str
    third_party_id: str | None
    fields: dict[str, Any]


class CrowdTwist:
    """The verbs that the member flow needs. Each raises `errors.VendorError`.

    Args:
        settings: the settings in force, asked before each request.
        transport: replaces the network (tests).
    """

    def __init__(
        self, settings: Callable[[], MemberSettings], *, transport: "httpx.BaseTransport | None" = None
    ) -> None:
        self._settings = settings
        self.gate = Gate(NAME, calls_per_minute=lambda: settings().calls_per_minute)
        self._client = ConnectorClient(
            NAME,
            self._authentication,
            classify=classify,
            deadline=DEADLINE_SECONDS,
            attempts=1,
            gate=self.gate,
            transport=transport,
        )

    def find(self, number: str) -> User | None:
        """The user with this third party id; None when there is none."""
        try:
            answer = self._client.get(url_path("v2", "users", number), params=_BY_NUMBER)
        except VendorError as error:
            if error.code == "not-found":
                return None
            raise
        return _user(answer)

    def update(self, number: str, fields: dict[str, Any]) -> User | None:
        """Update the user with this third party id; None when there is none."""
        try:
            answer = self._client.put(
                url_path("v2", "users", number),
                params=_BY_NUMBER,
                json=fields,
                # The same update twice is harmless, but one that timed out may land after a newer one.
                idempotent=False,
            )
        except VendorError as error:
            if error.code == "not-found":
                return None
            raise
        return _user(answer)

    def create(self, number: str, fields: dict[str, Any]) -> User:
        """Create a user; raises VendorError `already-taken` when another user has one of its values."""
        answer = self._client.post("v2/users", json=fields | {"third_party_id": number})
        return _user(answer)

    def _authentication(self, secret: Secret) -> Authentication:
        def authenticate(request: "httpx.Request") -> "httpx.Request":
            if self._settings().authentication == "hmac":
                return sign(request, secret["hmacPublicKey"], secret["hmacPrivateKey"], time.time())
            request.headers["X-CT-Authorization"] = f"CTApiKey {secret['apiKey']}"
            return request

        return authenticate


def user_fields(member: Member) -> dict[str, Any]:
    """A member as CrowdTwist takes one: flags 0/1, the date of birth in epoch seconds; no unknown fields."""
    born, opted_in = member.date_of_birth, member.email_opt_in
    fields: dict[str, Any] = {
        "first_name": member.first_name,
        "last_name": member.last_name,
        "email_address": member.email,
        "mobile_phone_number": member.phone,
        "postal_code": member.postal_code,
        "date_of_birth": None if born is None else calendar.timegm(born.timetuple()),
        "city": member.city,
        "state": member.state,
        "country": member.country,
        "receive_email_updates": None if opted_in is None else int(opted_in),
        "custom_data": dict(member.attributes) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def holds(held: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether CrowdTwist's user has every field as it would be sent; a flag comes back as a boolean."""
    return all(_as_text(held.get(name)) == _as_text(value) for name, value in fields.items())


def _as_text(value: object) -> str | None:
    if isinstance(value, bool):
        value = int(value)
    return None if value is None else str(value)


def classify(response: "httpx.Response") -> VendorError | None:
    """CrowdTwist's own reading of an answer; what it leaves to the status is None."""
    status = response.status_code
    if status >= 500 or status in _LEFT_TO_THE_STATUS:
        return _taken(response)
    words = _words(response)
    if words is None:
        if response.is_success or status in _ABOUT_THE_BODY:
            return None
        # Not CrowdTwist's envelope: a proxy, or a wrong baseUrl. No member is at fault, and a repeat helps
        # as soon as the way is free.
        return VendorError("remote-unavailable", f"{NAME} is not what answered {status}: {response.text}")
    code, message = words
    if status == 404:
        return VendorError("not-found", message)
    if status == 403 and code in _ACCESS_CODES:
        return None
    return _taken(response) or VendorError("remote-refused", message)


def _taken(response: "httpx.Response") -> VendorError | None:
    _, message = _words(response) or ("", "")
    return VendorError("already-taken", message) if "already taken" in message.casefold() else None


def _words(response: "httpx.Response") -> tuple[str, str] | None:
    """Code and message of an error envelope, of either kind; None for anything else."""
    try:
        body = response.json()
    except ValueError:
        return None
    if not isinstance(body, dict) or (response.is_success and not isinstance(body.get("error"), str)):
        return None
    told = [
        body[name]
        for name in ("message", "description", "error", "reason")
        if isinstance(body.get(name), str)
    ]
    return (str(body.get("error", body.get("reason"))), told[0]) if told else None


def sign(request: "httpx.Request", public_key: str, private_key: str, now: float) -> "httpx.Request":
    """HMAC v2, as Oracle's page has it. UNVERIFIED: another client sends hexadecimal digests and seconds."""
    bare = request.method in ("GET", "DELETE")
    md5 = "" if bare else hashlib.md5(request.content, usedforsecurity=False).hexdigest()
    kind = "" if bare else request.headers.get("content-type", "")
    stamp = str(int(now * 1000))
    text = "\n".join([request.method, md5, kind, stamp, request.url.raw_path.decode()])
    digest = hmac.digest(private_key.encode(), text.encode(), "sha256")
    request.headers["X-CT-Authorization"] = f"CTApiV2Auth {public_key}:{b64encode(digest).decode()}"
    request.headers["X-CT-Timestamp"] = stamp
    return request


def _user(answer: "httpx.Response") -> User:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("id"), int | str):
        # It said yes, but not to what: the record is read back before anything is sent again.
        raise AnswerLost(f"{NAME} answered {answer.status_code}, but without a user.")
    number = body.get("third_party_id")
    return User(body["id"], None if number is None else str(number), body)
