"""Signatures after the Standard Webhooks specification (standardwebhooks.com, version 1).

    scheme   key                                                  signature
    v1       `whsec_`, base64 of random bytes; shared             HMAC-SHA256
    v1a      `whsk_`, base64 of an ed25519 key pair (seed, then   ed25519
             public key: 64 bytes); never leaves us. The
             receiver gets `whpk_`, base64 of the public key

Signed is `<webhook-id>.<webhook-timestamp>.<body>`; during a rotation the header carries one signature for
each key that is still good, a space between them. libsodium is loaded with the first `v1a` key, not before.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Literal

type Scheme = Literal["v1", "v1a"]

_SHARED, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_SECRET_BYTES = 32
_PUBLIC_BYTES = 32
_SIGNATURE_BYTES = 64


def new_key(scheme: Scheme) -> str:
    """A fresh key that signs."""
    if scheme == "v1":
        return _SHARED + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    from nacl.bindings import crypto_sign_keypair

    return _PRIVATE + base64.b64encode(crypto_sign_keypair()[1]).decode()


def scheme_of(key: str) -> Scheme:
    """What a key signs by."""
    return "v1a" if key.startswith(_PRIVATE) else "v1"


def shown(key: str) -> str | None:
    """The key, when the receiver needs it to verify: a shared one; None for a private one."""
    return key if scheme_of(key) == "v1" else None


def public_key(key: str) -> str | None:
    """What the receiver verifies with when the key is a private one; None for a shared one."""
    if scheme_of(key) == "v1":
        return None
    return _PUBLIC + base64.b64encode(_raw(key)[-_PUBLIC_BYTES:]).decode()


def signature(key: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>` or `v1a,<base64>` of one message; `timestamp` is in whole seconds since 1970."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    scheme = scheme_of(key)
    if scheme == "v1":
        found = hmac.digest(_raw(key), signed, hashlib.sha256)
    else:
        from nacl.bindings import crypto_sign

        found = crypto_sign(signed, _raw(key))[:_SIGNATURE_BYTES]
    return f"{scheme},{base64.b64encode(found).decode()}"


def headers(message_id: str, timestamp: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """The three headers of a message, signed with each of the keys."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, message_id, timestamp, body) for key in keys),
    }


def _raw(key: str) -> bytes:
    return base64.b64decode(key.partition("_")[2])
