"""Waiting for what the deployed stack does in its own time."""

import time
from collections.abc import Callable
from typing import Any

import httpx

PATIENCE_SECONDS = 120.0
"""Cold starts of several steps in a row, on a busy machine."""

UNFINISHED = ("pending", "in_progress", "retrying", "unknown")


def until[T](look: Callable[[], T | None], what: str = "it", *, seconds: float = PATIENCE_SECONDS) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"waited in vain for {what}")


def settled[T](look: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    """What `look` finds, once it is as it is `wanted`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not wanted(found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {found}")
        time.sleep(0.2)
    return found


def finished(api: httpx.Client, path: str) -> dict[str, Any]:
    """A piece of work once nothing is to be done about it any more."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(path).json()
        return None if found["status"] in UNFINISHED else found

    return until(look, f"{path} to be done")
