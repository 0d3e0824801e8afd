"""Cursors of the lists: opaque to the caller, refused when they are not ours.

A cursor holds the sort position alone. What is listed, and whose, comes from the request: a cursor that was
made up, or belongs to another list, can at most begin this one somewhere else.
"""

import base64
import binascii
import re

from switchboard.errors import FieldError, SwitchboardError


def encode(position: str | None) -> str | None:
    """A list's position as text for a query string; None at the end of the list."""
    return None if position is None else base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode(cursor: str | None, pattern: str) -> str | None:
    """The position back; raises `invalid` for one that is not of the list's `pattern`."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        position = ""
    if not re.fullmatch(pattern, position):
        field = FieldError("/query/cursor", "not a cursor of this list")
        raise SwitchboardError("invalid", "Take the cursor from the answer's `next`.", fields=(field,))
    return position
