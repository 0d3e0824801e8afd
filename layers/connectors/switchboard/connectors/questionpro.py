"""QuestionPro's REST API, version 2: personal survey URLs, and a survey's responses page by page.

Source: questionpro.com/api (limits, error-codes, get-response, create-response-filter, cx/get-survey-url,
cx/get-all-survey-urls). The secret's `baseUrl` ends in `/a/api/v2`; its host is the region's: US
api.questionpro.com, EU .eu, CA .ca, SG .sg, AU .au, AE .ae, KSA api.questionprosa.com, and
api.surveyanalytics.com.

    429, words like "Please contact …"   remote-quota: permanent until a person acts
    429, anything else                   remote-rate: 300 calls in 60 s for each key, 2,400 for all keys of
                                         an organisation; the budget that all workers share stays below it
    401                                  remote-auth        403, 404, other 4xx   remote-refused
    5xx                                  remote-unavailable

UNVERIFIED: that a URL's `custom1` … reach the response's `customVariables` for CX links as they do for
ordinary ones; they are sent in the transaction's body too, so either way will do.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from switchboard.breaker import Gate
from switchboard.errors import VendorError
from switchboard.http import ConnectorClient, url_path
from switchboard.survey_vendor import CALL_SECONDS, PATIENCE, Contact, ResponsePage, says_used_up, whole_url

if TYPE_CHECKING:
    import httpx
    from httpx import BaseTransport

    from switchboard.secrets import Secret

NAME = "questionpro"
BATCH = 100
"""URLs that one batch call asks for."""

_PAGE_DEADLINE = 60.0
_PAGE_BYTES = 64 * 1024 * 1024
_WHITESPACE = re.compile(r"[ \t\r\n]*")
_LINE_BREAKS = str.maketrans("\r\n", "  ")


def classify(response: "httpx.Response") -> VendorError | None:
    """QuestionPro's reading of a failure; its two kinds of 429 differ by their words alone."""
    if response.status_code < 400:
        return None
    words = _message(response)
    extra: dict[str, object] = {"vendor_status": response.status_code}
    match response.status_code:
        case 429:
            code = "remote-quota" if says_used_up(words) else "remote-rate"
        case 401:
            code = "remote-auth"
        case status if status < 500:
            code = "remote-refused"
        case _:
            return None
    return VendorError(code, f"questionpro answered {response.status_code}: {words}", extra=extra)


def _message(response: "httpx.Response") -> str:
    try:
        error = response.json()["response"]["error"]
        return str(error.get("message") or error.get("name") or error.get("id"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return response.text[:500]


def _api_key(secret: "Secret") -> "Any":
    key = secret["apiKey"]

    def sign(request: "httpx.Request") -> "httpx.Request":
        request.headers["api-key"] = key
        return request

    return sign


class QuestionPro:
    """The verbs of surveys.

    Args:
        calls_per_minute: the budget that all workers share, asked before each call.
        transport: replaces the network (tests: `httpx.MockTransport`).
    """

    def __init__(
        self, calls_per_minute: Callable[[], int], *, transport: "BaseTransport | None" = None
    ) -> None:
        self._client = ConnectorClient(
            NAME,
            _api_key,
            classify=classify,
            max_bytes=_PAGE_BYTES,
            gate=Gate(NAME, calls_per_minute=calls_per_minute, patience=PATIENCE),
            deadline=CALL_SECONDS,
            transport=transport,
        )

    def survey_url(self, survey_id: str, contact: Contact) -> str:
        """The personal URL of one contact (`POST /cx/transactions/survey-url`).

        Repeated freely: a second URL that nobody was given does no harm.
        Raises VendorError.
        """
        answer = self._client.post(
            "cx/transactions/survey-url", json=_transaction(survey_id, contact), idempotent=True
        )
        found = _url_in(_json(answer))
        if found is None:
            raise VendorError("remote-unexpected", "questionpro answered no survey URL.")
        return found

    def survey_urls(self, survey_id: str, contacts: Sequence[Contact]) -> list[str | None]:
        """The URLs of at most `BATCH` contacts, in their order (`POST /cx/transactions/batch-survey-urls`).

        None for a contact whose URL the answer does not name beyond doubt. Raises VendorError.
        """
        answer = self._client.post(
            "cx/transactions/batch-survey-urls",
            json=[_transaction(survey_id, contact) for contact in contacts],
            idempotent=True,
        )
        body = _json(answer)
        listed = body.get("response") if isinstance(body, dict) else body
        rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
        if len(rows) == len(contacts) and all(
            _same_email(row, contact) for row, contact in zip(rows, contacts, strict=True)
        ):
            return [_url_in(row) for row in rows]
        return [_by_email(rows, contact, contacts) for contact in contacts]

    def responses(
        self, survey_id: str, *, page: int, per_page: int, since: str | None = None
    ) -> ResponsePage:
        """One page of all responses, partial ones too (`GET /surveys/{id}/responses`).

        Args:
            survey_id: the survey.
            page: from 1.
            per_page: the documented default is 100.
            since: only what came in later, `YYYY-MM-DDTHH:MM:SS` in UTC. Without `timeZone` the vendor
                reads its own Pacific time, so whoever asks takes a margin of more than 8 hours.

        Raises:
            VendorError: also `remote-unexpected` for a page other than the one asked for.
        """
        query: dict[str, str | int] = {"page": page, "perPage": per_page}
        if since is not None:
            query |= {"startDate": since, "timeZone": "GMT+00:00", "resultMode": 0}
        answer = self._client.get(
            f"{url_path('surveys', survey_id)}/responses", params=query, deadline=_PAGE_DEADLINE
        )
        return _page(answer.content, page, per_page)


def _transaction(survey_id: str, contact: Contact) -> dict[str, Any]:
    body: dict[str, Any] = {
        "surveyID": int(survey_id) if survey_id.isdecimal() else survey_id,
        "isManualSurvey": 1,
        "email": contact.email,
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "mobile": contact.mobile,
        "transactionLanguage": contact.language,
        "transactionDate": contact.transaction_date,
        "segmentCode": contact.segment_code,
    } | dict(contact.custom or {})
    return {name: value for name, value in body.items() if value is not None}


def _json(answer: "httpx.Response") -> Any:
    try:
        return answer.json()
    except ValueError:
        raise VendorError("remote-unexpected", "questionpro answered no JSON.") from None


def _url_in(body: Any) -> str | None:
    """`surveyURL`, or `surveyUrl` (the batch's spelling), bare or inside `response`."""
    held = body
    if isinstance(held, dict) and isinstance(held.get("response"), dict):
        held = held["response"]
    if not isinstance(held, dict):
        return None
    return whole_url(held.get("surveyURL") or held.get("surveyUrl"))


def _email(row: Mapping[str, Any]) -> str:
    return str(row.get("email") or row.get("emailAddress") or "").strip().casefold()


def _same_email(row: Mapping[str, Any], contact: Contact) -> bool:
    return _email(row) in ("", contact.email.casefold())


def _by_email(rows: Sequence[Mapping[str, Any]], contact: Contact, contacts: Sequence[Contact]) -> str | None:
    wanted = contact.email.casefold()
    if sum(one.email.casefold() == wanted for one in contacts) != 1:
        return None
    found = [row for row in rows if _email(row) == wanted]
    return _url_in(found[0]) if len(found) == 1 else None


def _page(content: bytes, page: int, per_page: int) -> ResponsePage:
    try:
        members, items = split_items(content.decode())
    except ValueError:
        raise VendorError("remote-unexpected", f"questionpro's page {page} is no list in JSON.") from None
    pagination = members.get("pagination")
    pagination = pagination if isinstance(pagination, dict) else {}
    current = pagination.get("currentPage")
    if isinstance(current, int) and current != page and items:
        raise VendorError(
            "remote-unexpected", f"questionpro answered page {current} when asked for page {page}."
        )
    pages, total = pagination.get("totalPages"), pagination.get("totalItems")
    last = page >= pages if isinstance(pages, int) else len(items) < per_page
    return ResponsePage(page, items, total if isinstance(total, int) else None, last or not items)


def split_items(text: str) -> tuple[dict[str, Any], list[tuple[dict[str, Any], str]]]:
    """A page's other members, and each item of its `response` list: parsed, and as it stands in the text.

    The raw form is what a dump promises: numbers, escapes and the order of members are the vendor's.
    Raises ValueError for anything but an object whose `response` is a list of objects.
    """
    decode = json.JSONDecoder().raw_decode
    members: dict[str, Any] = {}
    items: list[tuple[dict[str, Any], str]] | None = None
    at = _skip(text, 0, "{")
    while text[at : at + 1] != "}":
        name, at = decode(text, at)
        at = _skip(text, at, ":")
        if name == "response" and text[at : at + 1] == "[":
            items, at = _list(text, at, decode)
        else:
            members[name], at = decode(text, at)
        at = _separator(text, at, "}")
    if items is None:
        raise ValueError("no list of responses")
    return members, items


def _list(text: str, at: int, decode: Any) -> tuple[list[tuple[dict[str, Any], str]], int]:
    items: list[tuple[dict[str, Any], str]] = []
    # Inside a JSON string a line break is escaped, so a bare one stands between tokens.
    in_lines = "\n" in text or "\r" in text
    at = _skip(text, at, "[")
    while text[at : at + 1] != "]":
        item, end = decode(text, at)
        if not isinstance(item, dict):
            raise ValueError("a response is an object")
        raw = text[at:end]
        items.append((item, raw.translate(_LINE_BREAKS) if in_lines else raw))
        at = _separator(text, end, "]")
    return items, at + 1


def _spaces(text: str, at: int) -> int:
    found = _WHITESPACE.match(text, at)
    return found.end() if found else at


def _skip(text: str, at: int, sign: str) -> int:
    at = _spaces(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"expected {sign}")
    return _spaces(text, at + 1)


def _separator(text: str, at: int, end: str) -> int:
    at = _spaces(text, at)
    if text[at : at + 1] == end:
        return at
    return _skip(text, at, ",")
