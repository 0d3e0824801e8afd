"""The pages for people are in step with the code: links, routes, secrets and settings exist."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from switchboard.api import Route, matches
from switchboard.settings.areas import areas
from tests.support import template
from tools import openapi
from tools.paths import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROUTE = re.compile(r"`(?:\w+\|)*(GET|POST|PUT|PATCH|DELETE)(?:\|\w+)* (?:\{apiUrl\})?(/[^\s`?]*)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), link
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), link


@cache
def routes() -> list[Route]:
    """Every route of the API."""
    return [route for api in openapi.apis() for route in api.routes]


def routes_named(page: Path) -> Iterator[tuple[str, str]]:
    """Method and path of each route that a page names in full."""
    for method, path in _ROUTE.findall(page.read_text()):
        if "…" not in path and "[" not in path and "|" not in path:
            yield method, re.sub(r"<[^>]+>", "x", path).rstrip(".,;:)")


NOT_OURS = re.compile(r"/(v1|v2|cx|engage|customers/read|accounts/read|a/api|data|WAPI|cc|\{?page-id\}?)\b")
"""Paths of the vendors' own APIs."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_route_that_a_page_names_exists(page: Path) -> None:
    for method, path in routes_named(page):
        if NOT_OURS.match(path):
            continue
        known = [route for route in routes() if route.method == method and matches(route.path, path)]
        assert known, f"{method} {path}"


def test_the_readme_names_every_secret_and_every_area_of_the_settings() -> None:
    text = (ROOT / "README.md").read_text()
    outputs = [name for name in template.expand()["Outputs"] if name.endswith("SecretArn")]
    assert len(outputs) == 8
    for name in outputs:
        assert f"`{name}`" in text or f"`{name}" in text, name
    for area in areas():
        assert f"`{area}" in text, area


def test_the_design_names_every_step() -> None:
    steps = {page.parent.name for page in (ROOT / "functions").glob("*/app.py")}
    assert steps == {step for step in steps if f"`{step}`" in (ROOT / "docs" / "design.md").read_text()}
