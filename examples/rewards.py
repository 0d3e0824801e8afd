"""Example Rewards, a loyalty programme that nobody has: the connector that docs/extend.md builds.

The vendor's (made-up) API: `GET|PUT /v1/members/{number}`, `POST /v1/members`, a Bearer token, a refusal as
422 `{"reason": "…"}`, an unknown member as 404. It has no idempotency key, so no write is repeated here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from switchboard.breaker import PATIENT_THRESHOLD, Gate
from switchboard.errors import AnswerLost, VendorError
from switchboard.http import Authentication, ConnectorClient, url_path
from switchboard.secrets import Secret

if TYPE_CHECKING:
    import httpx

NAME = "rewards"
_NAMES = {"first_name": "givenName", "last_name": "familyName", "email_address": "mail"}


@dataclass(frozen=True, slots=True)
class User:
    """A member as the vendor has it. `fields`: under the names that the member flow uses."""

    user_id: str
    fields: dict[str, Any]


class Rewards:
    """The verbs that the member flow needs. Each raises `errors.VendorError`.

    Args:
        transport: replaces the network (tests).
    """

    def __init__(self, *, transport: "httpx.BaseTransport | None" = None) -> None:
        gate = Gate(NAME, threshold=PATIENT_THRESHOLD)
        self._client = ConnectorClient(NAME, _sign, classify=classify, gate=gate, transport=transport)

    def find(self, number: str) -> User | None:
        """The member of this number; None when there is none."""
        answer = self._client.get(url_path("v1", "members", number), accept=(404,))
        return None if answer.status_code == 404 else _user(answer)

    def update(self, number: str, fields: dict[str, Any]) -> User | None:
        """Update the member; None when there is none. Sent once: a late repeat could undo a newer update."""
        path = url_path("v1", "members", number)
        answer = self._client.put(path, json=_body(fields), idempotent=False, accept=(404,))
        return None if answer.status_code == 404 else _user(answer)

    def create(self, number: str, fields: dict[str, Any]) -> User:
        """Create a member."""
        return _user(self._client.post("v1/members", json=_body(fields) | {"number": number}))


def classify(answer: "httpx.Response") -> VendorError | None:
    """The vendor's own reading of an answer; None leaves it to the status."""
    if answer.status_code != 422:
        return None
    try:
        return VendorError("remote-refused", str(answer.json()["reason"]))
    except (ValueError, KeyError, TypeError):
        return None


def _sign(secret: Secret) -> Authentication:
    token = secret["token"]

    def authenticate(request: "httpx.Request") -> "httpx.Request":
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authenticate


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    return {theirs: fields[ours] for ours, theirs in _NAMES.items() if ours in fields}


def _user(answer: "httpx.Response") -> User:
    try:
        body = answer.json()
        ours = {ours: body[theirs] for ours, theirs in _NAMES.items() if theirs in body}
        return User(str(body["id"]), ours)
    except (ValueError, KeyError, TypeError):
        # It said yes, but not to what: the record is read back before anything is sent again.
        raise AnswerLost(f"{NAME} answered {answer.status_code}, but without a member.") from None
