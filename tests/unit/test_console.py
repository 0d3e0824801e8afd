"""The console's files: small, complete, and sent so that nothing but they can run."""

import base64
import gzip
import json
import re
from typing import Any

import pytest

from functions.console.app import assets, lambda_handler
from functions.operations.audit import AuditEntry
from functions.operations.ledger import FailureGroup, LedgerEntry, LedgerEntryInFull
from functions.operations.overview import Overview
from functions.operations.partners import Partner
from functions.operations.queues import QueueState
from functions.operations.resubmissions import DryRun
from functions.operations.timeline import TimelineItem
from functions.survey_api.models import DumpState, InvitationShown
from functions.trigger_config.models import DeliveryView, TriggerView
from switchboard.models import ApiModel
from switchboard.partners import SCOPES
from switchboard.settings.areas import areas
from tools import console_sample
from tools.paths import ROOT

STATIC = ROOT / "functions" / "console" / "static"
BUDGET = 100_000
"""Bytes of all files together, as they are written: a hundred kilobytes at most."""


def get(asset: str | None = None, **headers: str) -> dict[str, Any]:
    path = "/console" + (f"/{asset}" if asset is not None else "")
    event = {
        "httpMethod": "GET",
        "path": path,
        "pathParameters": {"asset": asset} if asset is not None else None,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
    }
    return lambda_handler(event, None)


@pytest.fixture(autouse=True)
def _on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINARY_ANSWERS", "true")


def text_of(name: str) -> str:
    return (STATIC / name).read_text()


def scripts() -> list[str]:
    return sorted(path.name for path in STATIC.glob("*.js"))


def test_all_of_it_is_under_a_hundred_kilobytes() -> None:
    assert sum(len(asset.plain) for asset in assets().values()) < BUDGET


def test_the_page_comes_as_the_file_is() -> None:
    answer = get()
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert answer["body"] == text_of("index.html")


def test_every_file_that_is_named_is_there_and_every_file_is_named() -> None:
    page = text_of("index.html")
    named = set(re.findall(r'(?:href|src)="console/([^"]+)"', page))
    for script in scripts():
        named |= set(re.findall(r'from "\./([^"]+)"', text_of(script)))
    # Views are loaded by their names when they are opened.
    named |= {f"{view}.js" for view in re.findall(r'\{ name: "(\w+)", title', text_of("main.js"))}
    assert named | {"index.html"} == set(assets())
    assert not re.search(r"https?://(?!www\.w3\.org/)\w", "".join(text_of(name) for name in scripts()) + page)


@pytest.mark.parametrize("asset", [None, "main.js", "console.css", "icon.svg"])
def test_nothing_but_the_consoles_own_files_may_run(asset: str | None) -> None:
    headers = get(asset)["headers"]
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert {"Strict-Transport-Security", "Permissions-Policy", "Cross-Origin-Opener-Policy"} <= headers.keys()


def test_no_text_can_become_markup_or_code() -> None:
    page = text_of("index.html")
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", page)
    for script in scripts():
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
            r"|DOMParser|localStorage|setAttribute\(\"(?:style|on)",
            text_of(script),
        )
        assert found == [], script


def test_gzip_where_it_is_taken() -> None:
    answer = get("main.js", Accept_Encoding="br;q=1.0, gzip;q=0.8")
    assert (answer["headers"]["Content-Encoding"], answer["isBase64Encoded"]) == ("gzip", True)
    assert gzip.decompress(base64.b64decode(answer["body"])).decode() == text_of("main.js")
    assert answer["headers"]["Vary"] == "Accept-Encoding"


def test_no_gzip_behind_a_gateway_that_hands_on_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINARY_ANSWERS", "false")
    answer = get("main.js", Accept_Encoding="gzip")
    assert "Content-Encoding" not in answer["headers"]
    assert answer["body"] == text_of("main.js")


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.0, br", "xgzip"])
def test_no_gzip_where_it_is_not(accepted: str) -> None:
    answer = get("main.js", Accept_Encoding=accepted)
    assert "Content-Encoding" not in answer["headers"]
    assert answer["body"] == text_of("main.js")


def test_what_has_not_changed_is_not_sent_again() -> None:
    first = get("dom.js", Accept_Encoding="gzip")
    assert first["headers"]["Cache-Control"] == "no-cache"
    tag = first["headers"]["ETag"]
    again = get("dom.js", Accept_Encoding="gzip", If_None_Match=f'"other", W/{tag}')
    assert (again["statusCode"], again["body"]) == (304, "")
    assert again["headers"]["ETag"] == tag
    # The packed form and the plain one are two things to a cache.
    assert get("dom.js", If_None_Match=tag)["statusCode"] == 200


@pytest.mark.parametrize("asset", ["nothing.js", "index.html", "../app.py", "app.py", "%2e%2e"])
def test_anything_else_is_not_found(asset: str) -> None:
    answer = get(asset)
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["code"] == "not-found"


@pytest.mark.parametrize("event", ["console_page", "console_asset"])
def test_the_recorded_event_is_answered(event: str) -> None:
    recorded = json.loads((ROOT / "events" / f"{event}.json").read_text())
    assert lambda_handler(recorded, None)["statusCode"] == 200


def test_the_scopes_in_the_page_are_those_of_the_code() -> None:
    listed = re.search(r"const SCOPES = \[(.*?)\]", text_of("partners.js"), re.DOTALL)
    assert listed is not None
    assert re.findall(r'"([^"]+)"', listed[1]) == list(SCOPES)


SHOWN: list[tuple[type[ApiModel], list[Any]]] = [
    (TriggerView, console_sample.TRIGGERS),
    (DeliveryView, console_sample.DELIVERIES["items"]),
    (Overview, [console_sample.OVERVIEW]),
    (QueueState, console_sample.QUEUES["items"]),
    (FailureGroup, console_sample.SUMMARY["items"]),
    (DryRun, [console_sample.DRY_RUN]),
    (LedgerEntry, console_sample.LEDGER["items"]),
    (LedgerEntryInFull, [console_sample.ENTRY]),
    (TimelineItem, console_sample.TIMELINE["items"]),
    (InvitationShown, console_sample.INVITATIONS["items"]),
    (DumpState, console_sample.DUMPS["items"]),
    (Partner, console_sample.PARTNERS["items"]),
    (AuditEntry, console_sample.AUDIT["items"]),
    (areas()["social"], [console_sample.SOCIAL]),
    (areas()["surveys"], [console_sample.SURVEYS]),
]


@pytest.mark.parametrize(("model", "items"), SHOWN, ids=lambda held: getattr(held, "__name__", ""))
def test_the_sample_is_what_the_api_answers(model: type[ApiModel], items: list[Any]) -> None:
    assert items
    for item in items:
        model.model_validate_json(json.dumps(item))
