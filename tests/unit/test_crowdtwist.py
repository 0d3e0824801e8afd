"""CrowdTwist's wire format: what is sent, and how its answers are read."""

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import md5, sha256
from hmac import digest
from typing import Any

import httpx
import pytest

from switchboard.connectors import crowdtwist
from switchboard.connectors.crowdtwist import CrowdTwist, sign, user_fields
from switchboard.errors import AnswerLost, SwitchboardError, VendorError
from switchboard.http import ConnectorClient
from switchboard.members import Member
from switchboard.secrets import Secret
from switchboard.settings.members import MemberSettings

Handler = Callable[[httpx.Request], httpx.Response]
SECRET = Secret(
    "crowdtwist",
    {"baseUrl": "https://api7.example", "apiKey": "k" * 20, "hmacPublicKey": "pub", "hmacPrivateKey": "priv"},
)


@pytest.fixture
def spoken_to(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CrowdTwist]:
    """CrowdTwist behind a transport of the test's, without its gate, which is shared state."""

    def make(handler: Handler, **settings: Any) -> CrowdTwist:
        def client(*given: Any, **options: Any) -> ConnectorClient:
            del options["gate"]
            return ConnectorClient(*given, secret=lambda name, *, refresh=False: SECRET, **options)

        monkeypatch.setattr(crowdtwist, "ConnectorClient", client)
        transport = httpx.MockTransport(handler)
        return CrowdTwist(lambda: MemberSettings(**settings), transport=transport)

    return make


def answers(status: int, body: object = None, text: str | None = None) -> Handler:
    content = json.dumps(body) if text is None else text
    return lambda request: httpx.Response(status, text=content)


def test_a_member_in_the_vendors_words() -> None:
    member = Member.model_validate(
        {
            "firstName": "Jane",
            "lastName": "O'Brien",
            "email": "jane@example.com",
            "dateOfBirth": "1969-12-31",
            "emailOptIn": False,
            "attributes": {"tariff": "gold", "score": 1.5, "vip": True},
            "version": 1,
        },
        strict=False,
    )
    assert user_fields(member) == {
        "first_name": "Jane",
        "last_name": "O'Brien",
        "email_address": "jane@example.com",
        "date_of_birth": -86400,
        "receive_email_updates": 0,
        "custom_data": {"tariff": "gold", "score": 1.5, "vip": True},
    }


def test_a_number_is_quoted_in_the_path(spoken_to: Callable[..., CrowdTwist]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == b"/v2/users/1%3AA?id_type=third_party_id"
        assert request.headers["X-CT-Authorization"] == "CTApiKey " + "k" * 20
        return httpx.Response(200, json={"id": 7, "third_party_id": "1:A", "surprise": {}})

    user = spoken_to(handler).update("1:A", {"first_name": "J"})
    assert user is not None
    assert (user.user_id, user.third_party_id) == (7, "1:A")


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (400, {"error": "param_error", "message": "Email Address is already taken"}, "already-taken", None),
        (
            409,
            {"error": "x", "message": "username already taken."},
            "already-taken",
            "username already taken.",
        ),
        (500, {"error": "internal_error", "message": "Email is Already Taken"}, "already-taken", None),
        (200, {"error": "x", "message": "Email Address is already taken"}, "already-taken", None),
        (400, {"message": "Email Address is already taken"}, "already-taken", None),
        (400, {"error": "param_error", "message": "first_name is required."}, "remote-refused", None),
        (422, {"system": "ct", "reason": "invalid", "description": "bad"}, "remote-refused", "bad"),
        (401, {"error": "access_denied", "message": "no"}, "remote-auth", None),
        (403, {"error": "forbidden", "message": "no"}, "remote-auth", None),
        (429, {"error": "rate", "message": "slow down"}, "remote-rate", None),
        (500, {"error": "internal_error", "message": "sorry"}, "remote-unavailable", None),
        (502, {"error": "internal_error"}, "remote-timeout", None),
        (405, "a string", "remote-unavailable", None),
        (404, None, "remote-unavailable", None),
        (413, None, "remote-refused", None),
    ],
)
def test_what_an_answer_means(
    spoken_to: Callable[..., CrowdTwist], status: int, body: object, code: str, words: str | None
) -> None:
    with pytest.raises(SwitchboardError) as raised:
        spoken_to(answers(status, body)).create("1", {})
    assert raised.value.code == code
    if words:
        assert raised.value.detail == words


def test_nobody_of_that_number_is_none(spoken_to: Callable[..., CrowdTwist]) -> None:
    nobody = answers(404, {"error": "page_not_found", "message": "User does not exist."})
    assert spoken_to(nobody).find("1") is None
    assert spoken_to(nobody).update("1", {}) is None


@pytest.mark.parametrize("text", ["", "[]", "null", "OK", '{"ok": true}', '{"id": null}'])
def test_a_yes_without_a_user_is_a_lost_answer(spoken_to: Callable[..., CrowdTwist], text: str) -> None:
    with pytest.raises(AnswerLost):
        spoken_to(answers(200, text=text)).update("1", {})


def test_no_call_is_repeated_by_itself(spoken_to: Callable[..., CrowdTwist]) -> None:
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ReadTimeout("no answer")

    vendor = spoken_to(handler)
    with pytest.raises(VendorError):
        vendor.update("1", {})
    with pytest.raises(VendorError):
        vendor.create("1", {})
    with pytest.raises(VendorError):
        vendor.find("1")
    assert calls == 3


def test_hmac_replaces_the_key_when_the_settings_say_so(spoken_to: Callable[..., CrowdTwist]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        scheme, _, held = request.headers["X-CT-Authorization"].partition(" ")
        assert scheme == "CTApiV2Auth"
        assert held.startswith("pub:")
        assert "k" * 20 not in str(request.headers)
        return httpx.Response(200, json={"id": 7})

    assert spoken_to(handler, authentication="hmac").update("1", {"first_name": "J"})


def test_the_signature_is_over_verb_digest_type_time_and_target() -> None:
    request = httpx.Request("PUT", "https://api7.example/v2/users/1?id_type=third_party_id", json={"a": 1})
    sign(request, "pub", "priv", 1502382157.536)
    body = md5(request.content, usedforsecurity=False).hexdigest()
    text = f"PUT\n{body}\napplication/json\n1502382157536\n/v2/users/1?id_type=third_party_id"
    expected = b64encode(digest(b"priv", text.encode(), sha256)).decode()
    assert request.headers["X-CT-Authorization"] == f"CTApiV2Auth pub:{expected}"
    assert request.headers["X-CT-Timestamp"] == "1502382157536"
    bare = sign(httpx.Request("GET", "https://api7.example/v2/users/1"), "pub", "priv", 1.0)
    text = "GET\n\n\n1000\n/v2/users/1"
    assert bare.headers["X-CT-Authorization"].endswith(
        b64encode(digest(b"priv", text.encode(), sha256)).decode()
    )
