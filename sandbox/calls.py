"""The log of what arrived at a vendor."""

import base64
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

KEPT = 10_000


@dataclass(slots=True)
class Call:
    """One request as it arrived, and what became of it.

    ``seq`` counts from 1 for each vendor. ``at`` is RFC 3339 UTC. ``target`` is the request line's target,
    undecoded; ``path`` is decoded and begins below the vendor's prefix. ``headers`` have lower-case names,
    nothing is redacted. ``status`` is the status answered, None while running or when no answer was sent.
    ``fault`` is the kind of the fault applied. ``duration_ms`` is in milliseconds.
    """

    seq: int
    method: str
    target: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    body: bytes = b""
    status: int | None = None
    fault: str | None = None
    duration_ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The call in the control plane's form; a body that is not UTF-8 comes in ``bodyBase64`` too."""
        view: dict[str, Any] = {
            "seq": self.seq,
            "at": self.at,
            "method": self.method,
            "target": self.target,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body.decode(errors="replace"),
            "status": self.status,
            "fault": self.fault,
            "durationMs": self.duration_ms,
        }
        try:
            self.body.decode()
        except UnicodeDecodeError:
            view["bodyBase64"] = base64.b64encode(self.body).decode()
        return view


class CallLog:
    """The last calls of one vendor, oldest first, at most ``KEPT`` of them."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._seq = 0

    def open(
        self, method: str, target: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str]
    ) -> Call:
        """Start the record of a call; the caller fills in the rest as it happens."""
        self._seq += 1
        call = Call(self._seq, method, target, path, query, headers)
        self._calls.append(call)
        return call

    def since(self, seq: int) -> list[Call]:
        """The calls after number ``seq``; 0 gives all that are kept."""
        return [call for call in self._calls if call.seq > seq]

    def clear(self) -> None:
        """Forget the calls; numbering goes on, so that a remembered ``since`` stays right."""
        self._calls.clear()
