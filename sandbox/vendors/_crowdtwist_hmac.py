"""HMAC v2, verified as CrowdTwist's side of it.

Oracle CrowdTwist Developer Help, "API HMAC Authentication": `X-CT-Authorization: CTApiV2Auth <public
key>:<signature>`, and `X-CT-Timestamp` in milliseconds since the epoch, within 15 minutes of now. The
signature is Base64 of HMAC-SHA-256 over verb, MD5 of the body, content type, timestamp and request target, a
line each; MD5 and type are empty for GET and DELETE. UNVERIFIED: the MD5's digits, hexadecimal as in the one
public verifier.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

_WINDOW_MILLISECONDS = 15 * 60 * 1000
_WITHOUT_BODY = ("GET", "DELETE")


def is_signed(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: Mapping[str, str],
    now: float,
) -> bool:
    """Whether a request is signed by the holder of one of the key pairs, and not long ago.

    Args:
        method, target: of the request line, the target undecoded and with its query.
        headers: the request's.
        body: as it came.
        keys: private keys by their public ones.
        now: seconds since the epoch.
    """
    scheme, _, held = headers.get("X-CT-Authorization", "").partition(" ")
    public, _, signature = held.partition(":")
    stamp = headers.get("X-CT-Timestamp", "")
    if scheme != "CTApiV2Auth" or public not in keys or not (stamp.isascii() and stamp.isdigit()):
        return False
    if len(stamp) > 15 or abs(now * 1000 - int(stamp)) > _WINDOW_MILLISECONDS:
        return False
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    lines = [method, "", "", stamp, target]
    if method not in _WITHOUT_BODY:
        lines[1:3] = (
            hashlib.new("md5", body, usedforsecurity=False).hexdigest(),
            headers.get("Content-Type", ""),
        )
    expected = hmac.new(keys[public].encode(), "\n".join(lines).encode(), hashlib.sha256)
    return hmac.compare_digest(given, expected.digest())
