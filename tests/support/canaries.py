"""Log canaries: nothing personal and nothing secret is ever in a log line of the functions.

Every test has the lines looked through that the functions wrote while it ran: JSON lines, as the Logger and
the metrics write them, and what other libraries log. The test data is made of the canaries below.
"""

import json
import re
from collections.abc import Iterator

from sandbox import vendors

PATTERNS = {
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.IGNORECASE),
    "a phone number": re.compile(r"(?<![\w.+-])\+\d{8,15}(?!\d)"),
    "a name": re.compile(r"\b(Miller|jane_\d+|Müller)\b"),
    "an API key": re.compile(r"\bsbk_\w+_\w{8,}"),
    "the administrator's key": re.compile(r"the-admin-key-of-the-tests-\w+"),
    "a webhook's secret": re.compile(r"\bwhsec_[\w+/=]{8,}"),
    "a signature": re.compile(r"sha256=[0-9a-f]{64}|\bv1,[A-Za-z0-9+/]{43}="),
    "a bearer token": re.compile(r"Bearer [\w.~+/-]{8,}"),
}
"""What a line must not hold, in words and as a pattern."""

_SHORTEST_SECRET = 12


def _credentials() -> frozenset[str]:
    """What the stand-ins' secrets hold; a shorter one (a user's name) would be found in other words."""
    held = {value for vendor in vendors.load() for value in vendor.credentials.values()}
    return frozenset(value for value in held if len(value) >= _SHORTEST_SECRET)


CREDENTIALS = _credentials()


def found_in(line: str) -> Iterator[str]:
    """What a log line holds that it must not."""
    for what, pattern in PATTERNS.items():
        if pattern.search(line):
            yield what
    if any(secret in line for secret in CREDENTIALS):
        yield "a vendor's credential"


def as_read(line: str) -> str:
    """A line as a person reads it: JSON's escapes would hide an umlaut."""
    try:
        return json.dumps(json.loads(line), ensure_ascii=False)
    except ValueError:
        return line


def log_lines(text: str) -> Iterator[str]:
    """The functions' lines in a text that holds others too: one JSON object each, with level or metrics."""
    for line in text.splitlines():
        if line.startswith("{") and line.endswith("}"):
            try:
                held = json.loads(line)
            except ValueError:
                continue
            if isinstance(held, dict) and ("level" in held or "_aws" in held):
                yield as_read(line)


def breaches(text: str) -> list[str]:
    """What log lines in a text hold that they must not, each with its line."""
    return [f"{what} in: {line[:600]}" for line in log_lines(text) for what in found_in(line)]
