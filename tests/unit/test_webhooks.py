"""Standard Webhooks: the published vector, the official library, an independent ed25519 on what we sign."""

import base64
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from switchboard import webhooks

BODY = b'{"test": 2432232314}'


def test_the_published_vector() -> None:
    signed = webhooks.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_official_library_takes_what_we_sign() -> None:
    now = int(datetime.now(UTC).timestamp())
    first, second = webhooks.new_key("v1"), webhooks.new_key("v1")
    headers = webhooks.headers("msg_1", now, BODY, [first, second])
    for secret in (first, second):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_key("v1")).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(BODY + b" ", headers)


def verify(public_key: str, headers: dict[str, str], body: bytes) -> None:
    """As the specification has a receiver do it: any of the `v1a` signatures may fit."""
    assert public_key.startswith("whpk_")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for one in headers["webhook-signature"].split(" "):
        scheme, _, value = one.partition(",")
        if scheme != "v1a":
            continue
        try:
            key.verify(base64.b64decode(value), signed)
        except InvalidSignature:
            continue
        return
    raise InvalidSignature


def test_an_independent_ed25519_takes_what_we_sign() -> None:
    first, second, shared = webhooks.new_key("v1a"), webhooks.new_key("v1a"), webhooks.new_key("v1")
    now = int(datetime.now(UTC).timestamp())
    headers = webhooks.headers("msg_1", now, BODY, [first, shared, second])
    for key in (first, second):
        verify(webhooks.public_key(key) or "", headers, BODY)
        with pytest.raises(InvalidSignature):
            verify(webhooks.public_key(key) or "", headers, BODY + b" ")
        with pytest.raises(InvalidSignature):
            verify(webhooks.public_key(key) or "", headers | {"webhook-timestamp": str(now + 1)}, BODY)
    with pytest.raises(InvalidSignature):
        verify(webhooks.public_key(webhooks.new_key("v1a")) or "", headers, BODY)
    Webhook(shared).verify(BODY, headers)  # beside the others in one header


def test_a_key_pair_is_a_standard_one() -> None:
    """Ed25519 is deterministic, so another implementation signs to the very same bytes."""
    key = webhooks.new_key("v1a")
    raw = base64.b64decode(key.removeprefix("whsk_"))
    theirs = Ed25519PrivateKey.from_private_bytes(raw[:32])
    assert theirs.public_key().public_bytes_raw() == raw[32:]
    signed = base64.b64encode(theirs.sign(b"msg_1.1614265330." + BODY)).decode()
    assert webhooks.signature(key, "msg_1", 1614265330, BODY) == f"v1a,{signed}"


def test_a_private_key_is_never_shown() -> None:
    shared, private = webhooks.new_key("v1"), webhooks.new_key("v1a")
    assert (webhooks.shown(shared), webhooks.public_key(shared)) == (shared, None)
    assert webhooks.shown(private) is None
    assert private.startswith("whsk_")


def test_who_signs_by_v1_does_not_load_libsodium() -> None:
    code = (
        "import sys; from switchboard import webhooks as w;"
        "w.headers('a', 1, b'', [w.new_key('v1')]); sys.exit('nacl' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    assert done.returncode == 0
