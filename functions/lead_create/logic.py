"""What a call of Meta's webhook says, and whether Meta has said it."""

import hashlib
import hmac
import re
from typing import Any

from switchboard.meta_leads import Notice

_OBJECT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def is_signed(raw_body: bytes, header: str, app_secret: str) -> bool:
    """Whether `sha256=<hex>` is the HMAC of the raw bytes under the app secret."""
    scheme, _, given = header.strip().partition("=")
    wanted = hmac.new(app_secret.encode(), raw_body, hashlib.sha256).hexdigest()
    return scheme == "sha256" and hmac.compare_digest(given.lower().encode(), wanted.encode())


def leads_in(document: Any) -> list[Notice]:
    """The leads that a webhook's body tells of; what is none of a page's leads is passed over."""
    found = []
    for entry in _objects(document, "entry"):
        for change in _objects(entry, "changes"):
            value = change.get("value")
            if change.get("field") != "leadgen" or not isinstance(value, dict):
                continue
            leadgen_id = _object_id(value.get("leadgen_id"))
            if leadgen_id is not None:
                page_id = _object_id(value.get("page_id")) or _object_id(entry.get("id"))
                found.append(Notice(leadgen_id, page_id, _object_id(value.get("form_id"))))
    return found


def _objects(holder: Any, name: str) -> list[dict[str, Any]]:
    listed = holder.get(name) if isinstance(holder, dict) else None
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _object_id(value: Any) -> str | None:
    """An id of the Graph API, sent as a string or as a number; it goes into a URL's path."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _OBJECT_ID.fullmatch(text) else None
