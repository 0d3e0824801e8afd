"""QuestionPro's REST API, version 2: CX survey URLs, responses page by page, two kinds of 429, a webhook.

The same surveys are behind the older transports, too, at ``{baseUrl}/xmlrpc`` and ``{baseUrl}/soap``.

Control routes beside the usual ones:

==========  =================================================  ============================================
POST        ``/_control/questionpro/answers``                  ``{"surveyUrl", "status"?, "scale"?,
                                                               "webhook"?}``: whoever has this URL answers,
                                                               or goes on with what he has ``Started``;
                                                               ``webhook`` is told of it. The response item.
POST        ``/_control/questionpro/surveys/{id}/responses``   ``{"count"}`` anonymous responses more, or
                                                               ``{"items": […]}`` as they are
PUT         ``/_control/questionpro/limits``                   ``{"perMinute"?, "quota"?, "maxPerPage"?}``
PUT         ``/_control/questionpro/lies``                     ``{"stuckPage"?: true, "wrongPage"?: true}``
==========  =================================================  ============================================

Source: questionpro.com/api (get-response, cx/get-survey-url, limits, error-codes). The webhook's payload is
not documented; here it is the response item.
"""

import json
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit
from xmlrpc.client import Fault

import httpx
from aiohttp import web

from sandbox.vendor import Vendor
from sandbox.vendors import _questionpro_rpc as rpc

API_KEY = "questionpro-key-0123456789"
HOOK_TOKEN = "questionpro-hook-0123456789"  # noqa: S105 - a stand-in's
_PER_MINUTE = 300
_MAX_PER_PAGE = 1000
_QUESTIONS = (("Q1", "How satisfied are you with us?"), ("Q2", "What could we do better?"))
_SCALE = ("Never", "Rarely", "Often", "Always")


@dataclass
class Survey:
    """A survey: `bulk` responses that are made when they are asked for, then the `items`."""

    number: str
    bulk: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.bulk + len(self.items)

    def slice(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Responses in the order in which they came in."""
        made = [self._made(index) for index in range(start, min(stop, self.bulk))]
        return made + self.items[max(start - self.bulk, 0) : max(stop - self.bulk, 0)]

    def _made(self, index: int) -> dict[str, Any]:
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=index)
        return response(self.number, 10_000_000 + index, moment, scale=index % 4, status="Completed")


def response(
    survey: str,
    number: int,
    moment: datetime,
    *,
    scale: int = 3,
    status: str = "Completed",
    custom: Mapping[str, str] | None = None,
    text: str = "Nothing.",
) -> dict[str, Any]:
    """A response item in the documented form."""
    pacific = moment - timedelta(hours=8)
    answers: list[list[dict[str, Any]]] = [
        [{"answerID": 100 + scale, "answerText": _SCALE[scale], "value": _value(scale=str(scale + 1))}],
        [{"answerID": 200, "answerText": "", "value": _value(text=text)}],
    ]
    known: dict[str, str | None] = {f"custom{place}": None for place in range(1, 6)}
    return {
        "responseID": number,
        "surveyID": int(survey) if survey.isdecimal() else survey,
        "surveyName": "How are we doing?",
        "ipAddress": "192.0.2.7",
        "timestamp": pacific.strftime("%d %b, %Y %I:%M:%S %p PST"),
        "location": {"country": None, "region": "16", "latitude": 0.0, "longitude": 0.0, "radius": 0.0},
        "duplicate": False,
        "timeTaken": 41,
        "responseStatus": status,
        "externalReference": "",
        "customVariables": known | dict(custom or {}),
        "language": "English",
        "currentInset": "",
        "operatingSystem": "WINDOWS_10",
        "osDeviceType": "COMPUTER",
        "browser": "CHROME8",
        "responseSet": [
            {
                "questionID": 7_000_000 + place,
                "questionDescription": " ",
                "questionCode": code,
                "questionText": words,
                "imageUrl": None,
                "answerValues": answers[place],
            }
            for place, (code, words) in enumerate(_QUESTIONS[: 1 if status == "Started" else 2])
        ],
        "utctimestamp": int(moment.timestamp()),
    }


def _value(**given: str) -> dict[str, Any]:
    empty = {"scale": "", "other": "", "dynamicExplodeText": "", "text": "", "result": "", "fileLink": ""}
    return empty | given | {"weight": 0.0}


class QuestionPro(Vendor):
    """See the module."""

    name: ClassVar[str] = "questionpro"
    prefix: ClassVar[str] = "/questionpro"
    base_path: ClassVar[str] = "/a/api/v2"
    secret_output: ClassVar[str | None] = "QuestionProSecretArn"  # noqa: S105 - an output
    credentials: ClassVar[Mapping[str, str]] = {"apiKey": API_KEY, "hookToken": HOOK_TOKEN}

    def reset(self) -> None:
        """No survey, no transaction, the documented limits."""
        self.surveys: dict[str, Survey] = {}
        self.transactions: dict[str, dict[str, Any]] = {}
        self._begun: dict[str, int] = {}
        self._number = 20_000_000
        self._calls: deque[float] = deque()
        self._per_minute = _PER_MINUTE
        self._max_per_page = _MAX_PER_PAGE
        self._quota: int | None = None
        self._lies: Mapping[str, Any] = {}

    def survey(self, number: str) -> Survey:
        """The survey, made when it is first named."""
        return self.surveys.setdefault(number, Survey(number))

    def routes(self) -> Iterable[web.RouteDef]:
        """The documented routes that the connector uses, and the filter beside them."""
        base = self.base_path
        yield web.post(f"{base}/cx/transactions/survey-url", self._survey_url)
        yield web.post(f"{base}/cx/transactions/batch-survey-urls", self._batch_survey_urls)
        yield web.get(f"{base}/surveys/{{survey}}/responses", self._responses)
        yield web.post(f"{base}/surveys/{{survey}}/responses/filter", self._responses)
        yield web.post(f"{base}/xmlrpc", self._xmlrpc)
        yield web.post(f"{base}/soap", self._soap)
        yield web.get(f"{base}/soap", self._wsdl)

    def control_routes(self) -> Iterable[web.RouteDef]:
        """See the module."""
        yield web.post("/answers", self._answer)
        yield web.post("/surveys/{survey}/responses", self._more_responses)
        yield web.put("/limits", self._set_limits)
        yield web.put("/lies", self._set_lies)

    # the vendor ---------------------------------------------------------------------------------------

    def _refusal(self, request: web.Request) -> web.Response | None:
        if (request.headers.get("api-key") or request.query.get("apiKey")) != API_KEY:
            return _error(401, 1010, "Incorrect API Key.", "UNAUTHORIZED")
        now = time.monotonic()
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        if self._quota is not None:
            if self._quota <= 0:
                words = "API call limit exceeded. Please contact your account manager to upgrade."
                return _error(429, 1013, words, "")
            self._quota -= 1
        if len(self._calls) >= self._per_minute:
            return _error(429, 1013, "Too many requests in one minute.", "")
        self._calls.append(now)
        return None

    def _url(self, transaction: dict[str, Any]) -> str:
        token = uuid.uuid4().hex[:11]
        self.transactions[token] = transaction
        return f"https://env.questionpro.com/t/{token}"

    async def _survey_url(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        transaction = await _json(request)
        if not isinstance(transaction, dict) or "email" not in transaction:
            return _error(400, 1002, "Invalid JSON schema.", "BAD_REQUEST")
        return web.json_response({"surveyURL": self._url(transaction)})

    async def _batch_survey_urls(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        transactions = await _json(request)
        if not isinstance(transactions, list) or not all("email" in each for each in transactions):
            return _error(400, 1002, "Invalid JSON schema.", "BAD_REQUEST")
        shown = ("segmentCode", "firstName", "email")
        rows = [
            {"surveyUrl": self._url(each)} | {name: each[name] for name in shown if name in each}
            for each in transactions
        ]
        return web.json_response(
            {"response": rows, "pagination": _pagination(1, 100, len(rows)), "requestID": str(uuid.uuid4())}
        )

    async def _responses(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        given = dict(request.query)
        if request.method == "POST":
            given |= {name: str(value) for name, value in (await _json(request) or {}).items()}
        try:
            page, per_page = int(given.get("page", "1")), int(given.get("perPage", "100"))
        except ValueError:
            return _error(400, 1003, "Invalid URL parameters.", "BAD_REQUEST")
        per_page = min(per_page, self._max_per_page)
        found = self.survey(request.match_info["survey"])
        asked = 1 if self._lies.get("stuckPage") else page
        items, total = _filtered(found, given, (asked - 1) * per_page, asked * per_page)
        pagination = _pagination(page + int(bool(self._lies.get("wrongPage"))), per_page, total)
        body = {"response": items, "pagination": pagination, "requestID": str(uuid.uuid4())}
        return web.json_response(body)

    # the older transports -----------------------------------------------------------------------------

    async def _xmlrpc(self, request: web.Request) -> web.Response:
        return await rpc.xmlrpc(request, self._methods())

    async def _soap(self, request: web.Request) -> web.Response:
        return await rpc.soap(request, self._methods())

    async def _wsdl(self, request: web.Request) -> web.Response:
        return web.Response(text=rpc.wsdl(str(request.url.with_query(None))), content_type="text/xml")

    def _methods(self) -> Mapping[str, rpc.Method]:
        return {
            "questionpro.cx.getSurveyURL": self._get_survey_url,
            "questionpro.survey.surveyResponses": self._survey_responses,
        }

    def _check(self, given: Mapping[str, Any]) -> None:
        if given.get("apiKey") != API_KEY:
            raise Fault(1010, "Client: Incorrect API Key.")
        if self._quota is not None and self._quota <= 0:
            raise Fault(1013, "Client: API call limit exceeded. Please contact your account manager.")

    def _get_survey_url(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check(given)
        if not given.get("email"):
            raise Fault(1002, "Client: email is missing.")
        transaction = {name: held for name, held in given.items() if name != "apiKey"}
        return {"surveyURL": self._url(transaction | {"surveyID": given["id"]})}

    def _survey_responses(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check(given)
        start = int(given.get("startingResponseCounter") or 0)
        filters = {"startDate": given["startDate"], "timeZone": "GMT+00:00"} if given.get("startDate") else {}
        if filters:
            filters["startDate"] = filters["startDate"].removesuffix("+00:00")
        items, total = _filtered(self.survey(str(given["id"])), filters, start, start + rpc.PER_CALL)
        return {"responses": items, "totalItems": total}

    # control ------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.Response:
        given = await request.json()
        parts = urlsplit(given["surveyUrl"])
        token = parts.path.rpartition("/")[2]
        transaction = self.transactions.get(token)
        if transaction is None:
            raise web.HTTPNotFound(text="nobody was given this URL")
        custom = {name: str(held) for name, held in transaction.items() if name.startswith("custom")}
        custom |= dict(parse_qsl(parts.query))
        begun = self._begun.pop(token, None)
        self._number += begun is None
        item = response(
            str(transaction["surveyID"]),
            begun or self._number,
            datetime.now(UTC),
            scale=given.get("scale", 3),
            status=given.get("status", "Completed"),
            custom=custom,
        )
        if item["responseStatus"] == "Started":
            self._begun[token] = item["responseID"]
        items = self.survey(str(transaction["surveyID"])).items
        items[:] = [each for each in items if each["responseID"] != begun] + [item]
        if given.get("webhook"):
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                answer = await client.post(given["webhook"], json=item)
            return web.json_response(item | {"webhookStatus": answer.status_code})
        return web.json_response(item)

    async def _more_responses(self, request: web.Request) -> web.Response:
        given = await request.json()
        survey = self.survey(request.match_info["survey"])
        if survey.items and given.get("count"):
            raise web.HTTPConflict(text="made ones come before the others")
        survey.bulk += given.get("count", 0)
        survey.items += given.get("items", [])
        return web.json_response({"total": len(survey)})

    async def _set_limits(self, request: web.Request) -> web.Response:
        given = await request.json()
        self._per_minute = given.get("perMinute", self._per_minute)
        self._max_per_page = given.get("maxPerPage", self._max_per_page)
        self._quota = given.get("quota")
        self._calls.clear()
        return web.Response(status=204)

    async def _set_lies(self, request: web.Request) -> web.Response:
        self._lies = await request.json()
        return web.Response(status=204)


def _filtered(
    survey: Survey, given: Mapping[str, str], start: int, stop: int
) -> tuple[list[dict[str, Any]], int]:
    """One page of those since `startDate`, which is Pacific time unless a `timeZone` is given."""
    if "startDate" not in given:
        return survey.slice(start, stop), len(survey)
    offset = timedelta(0) if given.get("timeZone") == "GMT+00:00" else timedelta(hours=8)
    since = (datetime.fromisoformat(given["startDate"]).replace(tzinfo=UTC) + offset).timestamp()
    found = [item for item in survey.slice(0, len(survey)) if item["utctimestamp"] >= since]
    return found[start:stop], len(found)


def _pagination(page: int, per_page: int, total: int) -> dict[str, Any]:
    return {
        "perPage": per_page,
        "totalItems": total,
        "currentPage": page,
        "totalPages": -(-total // per_page),
        "links": {"self": f"?page={page}", "prev": "", "next": f"?page={page + 1}", "first": "", "last": ""},
    }


def _error(status: int, number: int, message: str, name: str) -> web.Response:
    error = {
        "docs": "https://www.questionpro.com/api/error-codes.html",
        "httpStatusCode": status,
        "id": number,
        "message": message,
        "name": name,
        "resourceUrl": "",
    }
    return web.json_response({"response": {"error": error}}, status=status)


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except json.JSONDecodeError:
        return None
