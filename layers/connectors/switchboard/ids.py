"""Ids: opaque, URL-safe, with a prefix that says what they name.

A derived id is a function of what it names, so the same work twice has the same id and the second write
meets the first one. A fresh id sorts by the time it was made.
"""

import hashlib
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in its sort order
_LENGTH = 26


def _encode(number: int) -> str:
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _digest(*parts: str) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def derived(prefix: str, *parts: str) -> str:
    """The one id of these parts, e.g. `pst_3k…`; ("a#b", "c") and ("a", "b#c") have different ones."""
    return f"{prefix}_{_encode(int.from_bytes(_digest(*parts)[:16], 'big'))}"


def timed(moment_ms: int, *parts: str) -> str:
    """The one id of these parts, without a prefix, that sorts by a moment (milliseconds since 1970)."""
    return _encode(moment_ms << 80 | int.from_bytes(_digest(*parts)[:10], "big"))


def bound(moment_ms: int) -> str:
    """What sorts before every `timed` id of this moment and of later ones."""
    return _encode(moment_ms << 80)


def fresh(prefix: str) -> str:
    """A new id: 48 bits of milliseconds, then 80 random bits (the layout of a ULID)."""
    return f"{prefix}_{_encode(time.time_ns() // 1_000_000 << 80 | secrets.randbits(80))}"
