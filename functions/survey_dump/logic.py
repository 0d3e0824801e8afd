"""What a row of the CSV is, which responses are new, and how a worker's part objects are named."""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from switchboard.surveys.responses import answer_text

META = (
    "responseID",
    "surveyID",
    "surveyName",
    "timestamp",
    "utctimestamp",
    "responseStatus",
    "timeTaken",
    "duplicate",
    "externalReference",
    "language",
    "ipAddress",
    "operatingSystem",
    "osDeviceType",
    "browser",
)
"""The columns that every dump has, whatever its survey asks."""

_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")

type Ranges = list[list[Any]]
"""[token, first page, last page] of each worker that has written part objects."""


def neutral(cell: Any) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    if cell is None:
        return ""
    text = cell if isinstance(cell, str) else str(cell)
    if text.isalnum():
        return text
    begins = text.lstrip(" \u00a0")[:1]
    return f"'{text}" if text and (text[0] in _FORMULA or begins in _FORMULA) else text


def columns_of(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The columns of one response beside the ones that all have: (key, header)."""
    custom = item.get("customVariables")
    for name in custom if isinstance(custom, Mapping) else ():
        yield f"custom:{name}", str(name)
    for question in item.get("responseSet") or ():
        if isinstance(question, Mapping) and question.get("questionID") is not None:
            number = question["questionID"]
            code = question.get("questionCode")
            yield f"question:{number}", f"{code} ({number})" if code else f"({number})"


def shape_of(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """Items of one shape have the same columns, so that few of them have to be looked at."""
    custom = item.get("customVariables")
    names = [
        question.get("questionID") for question in item.get("responseSet") or () if type(question) is dict
    ]
    return *(custom if isinstance(custom, dict) else ()), None, *names


def header(columns: Mapping[str, str]) -> list[str]:
    """The CSV's first row."""
    return [*META, *(neutral(title) for title in columns.values())]


def cells(item: Mapping[str, Any], columns: Mapping[str, str]) -> list[Any]:
    """One response as a row of `columns`, None where it has nothing."""
    held: dict[str, Any] = {}
    custom = item.get("customVariables")
    if isinstance(custom, dict):
        held = {f"custom:{name}": value for name, value in custom.items()}
    for question in item.get("responseSet") or ():
        if isinstance(question, dict):
            held[f"question:{question.get('questionID')}"] = answer_text(question)
    return [item.get(name) for name in META] + [held.get(key) for key in columns]


def number_of(item: Mapping[str, Any], raw: str) -> int:
    """What tells a response from every other in 64 bits; the vendor's own number as it is."""
    held = item.get("responseID")
    if isinstance(held, int) and not isinstance(held, bool) and 0 <= held < 2**63:
        return held
    return min(_digest(f"id:{held}" if held is not None else raw) | 1 << 63, 2**64 - 2)


def digest_of(raw: str) -> int:
    """What tells a response's text from an earlier state of the same response."""
    return _digest(raw)


def _digest(text: str) -> int:
    found: int = struct.unpack("<Q", hashlib.blake2b(text.encode(), digest_size=8).digest())[0]
    return found


def extended(ranges: Ranges, token: str, page: int) -> Ranges:
    """The ranges with one more page, which the worker with this token has written."""
    if ranges and ranges[-1][0] == token and ranges[-1][2] == page - 1:
        return [*ranges[:-1], [token, ranges[-1][1], page]]
    return [*ranges, [token, page, page]]


def part_keys(dump_id: str, ranges: Ranges) -> list[str]:
    """The part objects, in the order of their pages."""
    return [
        part_key(dump_id, token, page)
        for token, first, last in ranges
        for page in range(int(first), int(last) + 1)
    ]


def part_key(dump_id: str, token: str, page: int) -> str:
    """A page's object. Its worker's token is in the name: one who has lost the lease overwrites nothing."""
    return f"parts/{dump_id}/{page:08d}-{token}.jsonl.gz"
