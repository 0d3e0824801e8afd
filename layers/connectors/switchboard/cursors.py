"""Cursors of the lists: opaque to the caller, refused when they are not ours."""

import base64
import binascii
import json

from switchboard.errors import FieldError, SwitchboardError


def encode(position: dict[str, str] | None) -> str | None:
    """A list's position as text for a query string; None at the end of the list."""
    if position is None:
        return None
    text = json.dumps(position, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str | None, *names: str) -> dict[str, str] | None:
    """The position back, with exactly these members; raises `invalid` for anything else."""
    if cursor is None:
        return None
    try:
        position = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except (ValueError, binascii.Error, RecursionError):
        position = None
    if (
        not isinstance(position, dict)
        or set(position) != set(names)
        or not all(isinstance(held, str) and held for held in position.values())
    ):
        field = FieldError("/query/cursor", "not a cursor of this list")
        raise SwitchboardError("invalid", "Take the cursor from the answer's `next`.", fields=(field,))
    return position
