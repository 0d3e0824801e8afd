"""The sandbox's CrowdTwist verifies HMAC v2. The signatures here are from OpenSSL."""

from typing import Any

import pytest

from sandbox.vendors._crowdtwist_hmac import is_signed

NOW = 1502382157.536
TARGET = "/v2/users/1?id_type=third_party_id"
BODY = b'{"first_name":"Jane"}'
SIGNED = {
    "PUT": "V3P6KTXh9mPJhzP+m8MgC/eC4sBBWmpGP9bHhb6gpg4=",
    "GET": "mBnxDpbG4EB33/NpWLancZ1Y1fkKWXdc7MhZWrXasEA=",
}
"""Of the lines by `openssl dgst -sha256 -hmac priv -binary | base64`, the MD5 by `openssl md5`."""


def put(**changes: Any) -> bool:
    """Whether a signed update is taken, with something of it changed after it was signed."""
    headers = {
        "X-CT-Authorization": f"CTApiV2Auth pub:{SIGNED['PUT']}",
        "X-CT-Timestamp": "1502382157536",
        "Content-Type": "application/json",
    } | changes.pop("headers", {})
    request: dict[str, Any] = {"method": "PUT", "target": TARGET, "body": BODY, "now": NOW} | changes
    return is_signed(headers=headers, keys={"pub": "priv"}, **request)


def test_what_the_key_holder_signed_is_taken() -> None:
    assert put()
    assert put(now=NOW + 899)
    assert put(now=NOW - 899)
    bare = {"X-CT-Authorization": f"CTApiV2Auth pub:{SIGNED['GET']}"}
    assert put(method="GET", headers=bare)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "POST"},
        {"target": "/v2/users/2?id_type=third_party_id"},
        {"target": "/v2/users/1"},
        {"body": b'{"first_name":"John"}'},
        {"now": NOW + 901},
        {"now": NOW - 901},
        {"headers": {"X-CT-Timestamp": "1502382157537"}},
        {"headers": {"X-CT-Timestamp": "1502382157"}},
        {"headers": {"X-CT-Timestamp": ""}},
        {"headers": {"X-CT-Timestamp": "soon"}},
        {"headers": {"X-CT-Timestamp": "9" * 5000}},
        {"headers": {"Content-Type": "text/plain"}},
        {"headers": {"X-CT-Authorization": f"CTApiV2Auth other:{SIGNED['PUT']}"}},
        {"headers": {"X-CT-Authorization": f"CTApiV2Auth pub:{SIGNED['GET']}"}},
        {"headers": {"X-CT-Authorization": "CTApiV2Auth pub:ä"}},
        {"headers": {"X-CT-Authorization": "CTApiV2Auth pub"}},
        {"headers": {"X-CT-Authorization": "CTApiKey pub"}},
        {"headers": {"X-CT-Authorization": ""}},
    ],
    ids=str,
)
def test_anything_else_is_not(changes: dict[str, Any]) -> None:
    assert not put(**changes)
