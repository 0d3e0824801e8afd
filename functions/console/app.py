"""GET /console and /console/{asset}: the console's page and its parts. What it shows, it gets from the API.

Plain Python without the layer: these are files, and opening the page should not wait for libraries.
"""

import base64
import gzip
import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_STATIC = Path(__file__).parent / "static"
_PAGE = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Nothing but this origin's own files runs, and no text can become markup: trusted types close innerHTML and
# its like in the page's own code too.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_SECURITY = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content_type: str
    plain: bytes
    packed: bytes
    digest: str

    def etag(self, *, packed: bool) -> str:
        """The validator of one of its two forms."""
        return f'"{self.digest}{"-gzip" if packed else ""}"'


@cache
def assets() -> dict[str, Asset]:
    """Every file by its name, packed once in the life of a process."""
    return {path.name: _read(path) for path in sorted(_STATIC.iterdir())}


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(
        content_type=_TYPES[path.suffix],
        plain=content,
        packed=gzip.compress(content, mtime=0),
        digest=hashlib.sha256(content).hexdigest()[:24],
    )


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """API Gateway entry."""
    name = (event.get("pathParameters") or {}).get("asset")
    # The page has one address: its links are relative to it.
    asset = assets().get(name or _PAGE) if name != _PAGE else None
    if asset is None:
        return _no_such(event)
    headers = {key.lower(): value for key, value in (event.get("headers") or {}).items() if value is not None}
    packed = _may_be_binary() and _takes_gzip(headers.get("accept-encoding", ""))
    etag = asset.etag(packed=packed)
    # The parts belong together, so each is asked for again; one that has not changed costs no transfer.
    sent = _SECURITY | {"Cache-Control": "no-cache", "ETag": etag, "Vary": "Accept-Encoding"}
    if etag in headers.get("if-none-match", "").replace("W/", "").replace(" ", "").split(","):
        return {"statusCode": 304, "headers": sent, "body": ""}
    sent["Content-Type"] = asset.content_type
    if not packed:
        return {"statusCode": 200, "headers": sent, "body": asset.plain.decode()}
    return {
        "statusCode": 200,
        "headers": sent | {"Content-Encoding": "gzip"},
        "body": base64.b64encode(asset.packed).decode(),
        "isBase64Encoded": True,
    }


def _may_be_binary() -> bool:
    """Whether the gateway makes bytes of base64; a local one hands it on as it is."""
    return os.environ.get("BINARY_ANSWERS") == "true"


def _takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, with a weight that is not zero."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";q=")
        if name == "gzip":
            return weight.rstrip("0").rstrip(".") not in ("0", "") if weight else True
    return False


def _no_such(event: dict[str, Any]) -> dict[str, Any]:
    correlation_id = (event.get("requestContext") or {}).get("requestId") or ""
    problem = {
        "type": "urn:switchboard:problem:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "The console has no such file.",
        "instance": event.get("path", ""),
        "code": "not-found",
        "correlationId": correlation_id,
        "errors": [],
    }
    headers = _SECURITY | {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    return {"statusCode": 404, "headers": headers, "body": json.dumps(problem)}
