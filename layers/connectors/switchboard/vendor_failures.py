"""A vendor's failure as a code of the registry: from its status, from a silence, from an answer we refuse.

not sent (refused, DNS, TLS, no free connection)        remote-unavailable
sent, no whole answer, repeating it could act twice     AnswerLost
sent, no whole answer, harmless to repeat               remote-timeout, remote-unavailable
401, 403                                                remote-auth
429                                                     remote-rate
5xx (502 and 504 to what must not be repeated:          remote-unavailable
     AnswerLost, for behind the gateway it may have acted)
other 4xx, 3xx                                          remote-refused, remote-unexpected
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from switchboard.errors import AnswerLost, VendorError
from switchboard.redaction import redact

if TYPE_CHECKING:
    import httpx

    from switchboard.transport import UnreadableAnswer

MAX_WORDS = 500

_LONGEST_BELIEVED_RETRY_AFTER_SECONDS = 86_400.0
_TAG = re.compile(r"<[^<>]*+>")
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def no_answer(vendor: str, exc: httpx.RequestError, *, repeatable: bool) -> VendorError:
    """What it means that httpx got no whole answer."""
    import httpx

    cause = type(exc).__name__
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return VendorError("remote-unavailable", f"{vendor} cannot be reached ({cause}).")
    if not repeatable:
        return AnswerLost(f"{vendor} was called and gave no whole answer ({cause}).")
    code = "remote-timeout" if isinstance(exc, httpx.TimeoutException) else "remote-unavailable"
    return VendorError(code, f"{vendor} gave no whole answer ({cause}).")


def unreadable(vendor: str, exc: UnreadableAnswer, *, repeatable: bool) -> VendorError:
    """What it means that an answer came whose body is refused."""
    if exc.status >= 300:
        return by_status(vendor, exc.status, exc.reason, None, repeatable=repeatable)
    if repeatable:
        return VendorError("remote-unexpected", f"{vendor} answered {exc.status}, but {exc.reason}.")
    return AnswerLost(f"{vendor} answered {exc.status}, but {exc.reason}.")


def by_status(
    vendor: str, status: int, words: str, retry_after: float | None, *, repeatable: bool
) -> VendorError:
    """What a status that is no success means; `extra["vendor_status"]` keeps it."""
    detail = f"{vendor} answered {status}: {words}" if words else f"{vendor} answered {status}."
    extra: dict[str, object] = {"vendor_status": status}
    if status in (502, 504) and not repeatable:
        # A gateway lost the answer: the vendor behind it may well have acted.
        lost = AnswerLost(detail)
        lost.extra = extra
        return lost
    if status in (401, 403):
        code = "remote-auth"
    elif status == 429:
        code = "remote-rate"
    elif status >= 500:
        code = "remote-unavailable"
    elif status >= 400:
        code = "remote-refused"
    else:
        code = "remote-unexpected"
    return VendorError(code, detail, retry_after=retry_after, extra=extra)


def words_of(response: httpx.Response) -> str:
    """The text of an answer, without the tags of an error page."""
    text = response.text
    return _TAG.sub(" ", text) if "html" in response.headers.get("content-type", "") else text


def vendor_words(text: str) -> str:
    """What a vendor wrote, fit for a `detail`: one line, redacted, at most 500 characters."""
    # Only so much is looked at; the last, perhaps cut word could hide half an address.
    words = text[: MAX_WORDS * 8].split()
    if len(text) > MAX_WORDS * 8 and len(words) > 1:
        words.pop()
    line = redact(" ".join(words))
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Retry-After, in seconds or as an HTTP date, as seconds from `now` (epoch seconds); at most a day.

    None when it is missing or unreadable.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp() - now
    return min(max(seconds, 0.0), _LONGEST_BELIEVED_RETRY_AFTER_SECONDS)
