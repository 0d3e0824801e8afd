"""`make screenshots`: every view of the console, light and dark, into `docs/console/`.

The console is the real one; what it shows is the sample of `console_sample.py`, on a day that stands still,
so that the same console gives the same pictures.
"""

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

from tools import browser, console_sample
from tools.errors import ToolError
from tools.paths import ROOT

FOLDER = ROOT / "docs" / "console"
VIEWS = {
    "overview": "overview",
    "failures": "failures",
    "triggers": "triggers",
    "trigger": "triggers/trg_01ka2",
    "customer": "customer/acc_01kahopper",
    "surveys": "surveys/8093442",
    "settings": "settings/social",
    "partners": "partners",
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTH = 960
TALLEST = 860


def main() -> int:
    """Take them all."""
    try:
        if browser.find() is None:
            raise ToolError(browser.MISSING)
        take(FOLDER)
    except ToolError as error:
        print(error.report(), file=sys.stderr)
        return 1
    return 0


def take(folder: Path) -> None:
    """Write the pictures into a folder, and one of the overview on a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser.launched() as chromium:
        for scheme in SCHEMES:
            _take_views(chromium, scheme, folder)
        window = browser.context(chromium, width=390, height=844)
        page = browser.console_page(window, console_sample.answer)
        page.clock.set_fixed_time(console_sample.NOW)
        browser.sign_in(page, console_sample.KEY, "overview")
        browser.settled(page)
        page.screenshot(path=folder / "overview-phone.png")
        window.close()


def _take_views(chromium: Browser, scheme: Literal["light", "dark"], folder: Path) -> None:
    window = browser.context(chromium, scheme=scheme, width=WIDTH)
    page = browser.console_page(window, console_sample.answer)
    page.clock.set_fixed_time(console_sample.NOW)
    browser.sign_in(page, console_sample.KEY, "overview")
    for name, view in VIEWS.items():
        page.evaluate("view => { location.hash = `#/${view}`; }", view)
        page.wait_for_function("view => document.querySelector('h1') !== null", arg=view)
        page.wait_for_timeout(150)
        browser.settled(page)
        if name == "failures":
            page.get_by_role("button", name="Dry run").first.click()
            page.get_by_text("Dry run.", exact=False).first.wait_for()
        height = int(page.evaluate("() => document.documentElement.scrollHeight"))
        page.set_viewport_size({"width": WIDTH, "height": min(height, TALLEST)})
        page.screenshot(path=folder / f"{name}-{scheme}.png")
        page.set_viewport_size({"width": WIDTH, "height": 800})
    page.evaluate("() => { location.hash = '#/failures'; }")
    page.get_by_role("button", name="Look at one").first.click()
    page.get_by_role("dialog").get_by_role("listitem").first.wait_for()
    page.screenshot(path=folder / f"entry-{scheme}.png")
    window.close()


if __name__ == "__main__":
    sys.exit(main())
