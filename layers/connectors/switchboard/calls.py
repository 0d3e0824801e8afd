"""What one attempt at a piece of work called, for the history of its ledger entry.

    crowdtwist GET /v2/users/… 404
    crowdtwist POST /v2/users no answer

The connector, the method, the path and the status that came back. Of a path only words stay: an id, an e-mail
address or a number in it is somebody's, and the entry has its ids elsewhere. Queries and bodies are left out.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import unquote

KEPT = 5
"""The last calls of an attempt; a dump makes hundreds. The one that failed is among them."""

_WORD = re.compile(r"[A-Za-z][A-Za-z _-]*|v\d(\.\d+)?")

_made: ContextVar[list[str] | None] = ContextVar("calls", default=None)


@contextmanager
def collected() -> Iterator[list[str]]:
    """The calls that are noted inside, in their order; all of them."""
    made: list[str] = []
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


def note(connector: str, method: str, path: str, status: int | None) -> None:
    """Note a call that was sent; `status` is None when no answer came."""
    made = _made.get()
    if made is not None:
        came = "no answer" if status is None else str(status)
        made.append(f"{connector} {method} {_words_of(path)} {came}")


def told(made: list[str]) -> list[str] | None:
    """Of an attempt's calls, what its history says; None when there was none."""
    left_out = len(made) - KEPT
    if left_out > 0:
        return [f"{left_out} before", *made[-KEPT:]]
    return made or None


def _words_of(path: str) -> str:
    segments = map(unquote, path.partition("?")[0].strip("/").split("/"))
    return "/" + "/".join(one if not one or _WORD.fullmatch(one) else "…" for one in segments)
