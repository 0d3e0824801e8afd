"""A headless Chromium of the machine's own, driven by Playwright, and the console opened in it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from functions.console.app import lambda_handler

type Answer = tuple[int, object]
"""Status and JSON body of one answer; None for no body."""

type AnswerFor = Callable[[str, str, dict[str, str], dict[str, str], bytes | None], Answer]
"""`(method, path, query, headers, body)`; the path is decoded and below the stage: `/settings/social`."""

ORIGIN = "https://switchboard.example"
STAGE = "/v1"
MISSING = "no Chromium on this machine, so what runs in a browser is skipped (apt-get install chromium)"

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
)


def find() -> str | None:
    """The path of the machine's Chromium, or None."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A fresh Chromium with a profile of its own; ends with the block. Needs `find()` to have found one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=list(_FLAGS))
        yield browser
        browser.close()


def context(
    browser: Browser,
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
    height: int = 800,
) -> BrowserContext:
    """A window with its own storage, in UTC."""
    return browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": height},
        timezone_id="UTC",
        locale="en-GB",
        reduced_motion="reduce",
    )


def console_page(window: BrowserContext, answer_for: AnswerFor) -> Page:
    """A page whose console comes from the step itself, and whose API is `answer_for`."""
    page = window.new_page()

    def answer(route: Route) -> None:
        request = route.request
        url = urlsplit(request.url)
        where = url.path.removeprefix(STAGE)
        if where == "/console" or where.startswith("/console/"):
            asset = where.removeprefix("/console").removeprefix("/") or None
            sent = lambda_handler({"path": where, "pathParameters": {"asset": asset}, "headers": {}}, None)
            route.fulfill(status=sent["statusCode"], headers=sent["headers"], body=sent["body"])
            return
        query = dict(parse_qsl(url.query))
        status, body = answer_for(
            request.method, unquote(where), query, request.headers, request.post_data_buffer
        )
        text = "" if body is None else json.dumps(body)
        route.fulfill(status=status, content_type="application/json", body=text)

    page.route(f"{ORIGIN}/**", answer)
    return page


def sign_in(page: Page, key: str, view: str = "", url: str = f"{ORIGIN}{STAGE}/console") -> None:
    """Open the console at a view (`failures`, `triggers/trg_1`) with a key, as a person does."""
    page.goto(f"{url}#/{view}")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Open the console").click()
    page.get_by_role("button", name="Sign out").wait_for()


def settled(page: Page) -> None:
    """Wait until nothing on the page is loading any more."""
    page.wait_for_function(
        "() => document.querySelector('main h1') && !document.querySelector('[aria-busy]')"
    )


def faults(page: Page, *rules: str) -> list[dict[str, Any]]:
    """What axe finds that is serious or worse, with the elements; by all its rules, or by these."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    return [
        {"rule": one["id"], "impact": one["impact"], "nodes": [node["html"] for node in one["nodes"]]}
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
