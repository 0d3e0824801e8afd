"""/health, /openapi.json and /docs: the routes that need no key."""

import os
from functools import cache
from pathlib import Path

from switchboard import config
from switchboard.api import Answer, Api, Call
from switchboard.models import ApiModel

api = Api("documents")

_OPENAPI = Path(__file__).parent / "openapi.json"
_HTML = "text/html; charset=utf-8"


class Health(ApiModel):
    """That the API answers and its tables do, and which CRM it works for."""

    status: str
    stage: str
    crm: str


@api.get("/health", scope=None, answers={200: Health})
def health(call: Call) -> Answer:
    """Whether the API and its tables answer."""
    config.epoch()
    return Answer(200, Health(status="ok", stage=os.environ["STAGE"], crm=os.environ["CRM_CONNECTOR"]))


@cache
def _openapi() -> str:
    return _OPENAPI.read_text()


@api.get("/openapi.json", scope=None, answers={200: None})
def openapi(call: Call) -> Answer:
    """This API as an OpenAPI 3.1 document, made from the code."""
    return Answer(200, _openapi())


@api.get("/docs", scope=None, answers={200: None})
def docs(call: Call) -> Answer:
    """This API as a page to read and to try calls in."""
    from functions.operations.docs_page import render

    return Answer(200, render(_openapi()), {"Content-Security-Policy": _CSP}, _HTML)


_CSP = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'"
)
