"""The console in a real browser: against the steps themselves in a mocked account, and against the sample.

The deployed page is looked at end to end; here is what would be slow or hard to bring about there.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from switchboard.settings.areas import areas
from tests.support.deployment import ADMIN_KEY, Deployment
from tools import browser as chromium
from tools import console_sample as sample
from tools.browser import Answer
from tools.screenshots import VIEWS

pytestmark = pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)

type Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launched() as launched:
        yield launched


@pytest.fixture
def console(browser: Browser) -> Iterator[Open]:
    """Open the console in a window of its own: `console(answer_for, width=390)`."""
    windows = []

    def open_console(answer_for: chromium.AnswerFor = sample.answer, **look: Any) -> Page:
        window = chromium.context(browser, **look)
        windows.append(window)
        page = chromium.console_page(window, answer_for)
        page.set_default_timeout(10_000)
        return page

    yield open_console
    for window in windows:
        window.close()


def api_of(deployment: Deployment) -> chromium.AnswerFor:
    """The bundle's own answers."""

    def answer(
        method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes | None
    ) -> Answer:
        passed_on = {"content-type", "idempotency-key"}
        sent = {name: held for name, held in headers.items() if name in passed_on}
        reply = deployment.call(
            method, path, key=headers["x-api-key"] or None, query=query, headers=sent, raw=body
        )
        return reply.status, reply.json if reply.text else None

    return answer


def changed(**answers: Any) -> chromium.AnswerFor:
    """The sample, but for some calls: `POST_ledger_resubmissions=(202, {…})`; a list is answered in turn."""
    queued = {name: list(held) if isinstance(held, list) else [held] for name, held in answers.items()}

    def answer(
        method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes | None
    ) -> Answer:
        held = queued.get(method + path.replace("/", "_"))
        if held is None:
            return sample.answer(method, path, query, headers, body)
        found: Answer = held.pop(0) if len(held) > 1 else held[0]
        return found

    return answer


def goto(page: Page, view: str) -> None:
    page.evaluate("view => { location.hash = `#/${view}`; }", view)
    page.wait_for_timeout(60)
    chromium.settled(page)


# keys -------------------------------------------------------------------------------------------------------


def test_the_scopes_of_the_key_decide_what_is_shown(deployment: Deployment, console: Open) -> None:
    page = console(api_of(deployment))
    page.goto(f"{chromium.ORIGIN}/v1/console")
    page.get_by_label("API key").fill("a-key-that-nobody-has")
    page.get_by_role("button", name="Open the console").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    assert page.evaluate("() => sessionStorage.length + localStorage.length") == 0

    chromium.sign_in(page, deployment.partner("ledger:read"))
    links = page.get_by_role("navigation", name="Views").get_by_role("link")
    expect(links).to_have_text(["Overview", "Failures", "Customer"])
    goto(page, "partners")  # what the key does not open is not there
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.reload()
    expect(links.first).to_be_visible()
    assert page.evaluate("() => localStorage.length") == 0
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_focused()
    assert page.evaluate("() => sessionStorage.length") == 0


# what people send stays text --------------------------------------------------------------------------------


def test_markup_in_the_data_is_shown_and_never_runs(deployment: Deployment, console: Open) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    made = deployment.call("POST", "/crm/customers", {"lastName": evil, "company": "javascript:alert(1)"})
    page = console(api_of(deployment))
    reports: list[str] = []
    page.on("console", lambda message: reports.append(message.text))
    chromium.sign_in(page, ADMIN_KEY, f"customer/{made.json['accountId']}")
    expect(page.get_by_role("heading", level=2).first).to_have_text(evil)
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Customer · Switchboard"
    assert not [report for report in reports if "Content Security Policy" in report or "Trusted" in report]
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("text => { document.body.innerHTML = text; }", evil)


# settings ---------------------------------------------------------------------------------------------------


def test_each_areas_form_gives_back_what_it_was_given(deployment: Deployment, console: Open) -> None:
    deployment.call("PUT", "/settings/social", sample.SOCIAL)
    deployment.call("PUT", "/settings/surveys", sample.SURVEYS)
    before = {area: deployment.call("GET", f"/settings/{area}").json for area in areas()}
    page = console(api_of(deployment))
    chromium.sign_in(page, ADMIN_KEY, "settings/social")
    for area in areas():
        goto(page, f"settings/{area}")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text(f"Version {before[area]['version'] + 1},")).to_be_visible()
        after = deployment.call("GET", f"/settings/{area}").json
        assert (after["version"], after["settings"]) == (
            before[area]["version"] + 1,
            before[area]["settings"],
        )


def test_a_setting_is_refused_beside_its_field_changed_and_rolled_back(
    deployment: Deployment, console: Open
) -> None:
    page = console(api_of(deployment))
    chromium.sign_in(page, ADMIN_KEY, "settings/social")
    window = page.get_by_label("Reopen window days")
    window.fill("999")
    page.get_by_role("button", name="Save").click()
    expect(window).to_have_attribute("aria-invalid", "true")
    expect(window).to_be_focused()
    expect(page.locator(".fault:visible")).to_contain_text("365")

    window.fill("14")
    page.get_by_label("Communities, one a line").fill("twitter\n\nmastodon\n")
    page.get_by_role("button", name="Add, Assignment rules").click()
    page.get_by_label("Assign to").fill("desk")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Version 1,")).to_be_visible()
    held = deployment.call("GET", "/settings/social").json["settings"]
    assert (held["reopenWindowDays"], held["criteria"]["communities"]) == (14, ["twitter", "mastodon"])
    assert held["assignmentRules"][0]["assignTo"] == "desk"

    page.get_by_role("button", name="Edit as JSON").click()
    text = page.get_by_label("The whole area as JSON")
    text.fill(json.dumps(held | {"reopenWindowDays": 3}))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Version 2,")).to_be_visible()
    page.get_by_role("button", name="Roll back to version 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Version 3,")).to_be_visible()
    assert deployment.call("GET", "/settings/social").json["settings"] == held


# partners and triggers --------------------------------------------------------------------------------------


def test_a_partner_is_made_rotated_and_revoked(deployment: Deployment, console: Open) -> None:
    page = console(api_of(deployment))
    chromium.sign_in(page, ADMIN_KEY, "partners")
    page.get_by_role("button", name="New partner").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Desk")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.locator(".fault:visible")).to_contain_text("scope")
    dialog.get_by_label("ledger:read").check()
    dialog.get_by_role("button", name="Create").click()
    shown = page.get_by_label("Value to copy")
    expect(shown).to_have_value(re.compile(r"^sbk_\w+"))
    first = shown.input_value()
    assert deployment.call("GET", "/me", key=first).json["name"] == "Desk"
    page.keyboard.press("Escape")

    page.get_by_role("button", name="New key for Desk").click()
    expect(page.get_by_label("Value to copy")).not_to_have_value(first)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Revoke key").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_role("button", name="Revoke key")).to_have_count(1)
    [desk] = deployment.call("GET", "/partners").json["items"]
    assert len(desk["keys"]) == 1


def test_a_lost_answer_makes_no_second_trigger(deployment: Deployment, console: Open) -> None:
    page = console(api_of(deployment))
    chromium.sign_in(page, ADMIN_KEY, "triggers")
    page.get_by_role("button", name="Add a URL for case edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("URL").fill("ftp://example.com")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("URL")).to_have_attribute("aria-invalid", "true")

    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        request = route.request
        if request.method == "POST" and not lost:
            lost.append(request.headers["idempotency-key"])
            api_of(deployment)("POST", "/triggers", {}, request.headers, request.post_data_buffer)
            route.abort()
        else:
            route.fallback()

    page.route("**/v1/triggers", lose_the_first)
    dialog.get_by_label("URL").fill("https://example.com/hook")
    dialog.get_by_label("Format").select_option("webhook")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("could not be reached")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog", name="The webhook's secret")).to_contain_text("answer was lost")
    [trigger] = deployment.call("GET", "/triggers").json["items"]
    assert (trigger["object"], trigger["event"], trigger["format"]) == ("case", "edit", "webhook")
    assert lost


# failures ---------------------------------------------------------------------------------------------------


def test_a_group_is_resubmitted_behind_its_canary(console: Open) -> None:
    state = {"resubmissionId": "rsb_1", "matched": 11, "canary": "led_1", "succeeded": 0, "failed": 0}
    page = console(
        changed(
            POST_ledger_resubmissions=(202, {"resubmissionId": "rsb_1", "matched": 11}),
            GET_ledger_resubmissions_rsb_1=[
                (200, state | {"status": "canary"}),
                (200, state | {"status": "complete", "succeeded": 10, "failed": 1}),
            ],
        )
    )
    chromium.sign_in(page, sample.KEY, "failures")
    cause = page.locator("[data-code=already-taken]")
    expect(cause).to_contain_text("Correct it in the CRM")
    cause.get_by_role("button", name="Resubmit all").click()
    page.get_by_role("dialog").get_by_role("button", name="Resubmit").click()
    expect(cause.get_by_role("status")).to_contain_text("Trying the canary first")
    expect(cause.get_by_role("status")).to_contain_text("10 of 11 done, 1 failed again")


def test_a_deployment_without_a_part_of_the_api_says_so_quietly(console: Open) -> None:
    nothing = (404, {"title": "Not found", "detail": "Not found", "code": "not-found"})
    page = console(changed(GET_overview=nothing, GET_queues=nothing, POST_ledger_resubmissions=nothing))
    chromium.sign_in(page, sample.KEY, "overview")
    expect(page.get_by_text("The overview is not available on this deployment.")).to_be_visible()
    expect(page.get_by_text("Queues are not available on this deployment.")).to_be_visible()
    goto(page, "failures")
    page.get_by_role("button", name="Dry run").first.click()
    expect(page.get_by_text("Resubmitting a group is not available")).to_be_visible()
    assert page.get_by_role("alert").count() == 0


# for everybody ----------------------------------------------------------------------------------------------


def test_axe_finds_no_serious_fault_in_any_view(console: Open) -> None:
    page = console()
    page.goto(f"{chromium.ORIGIN}/v1/console")
    page.get_by_label("API key").wait_for()
    assert chromium.faults(page) == []
    chromium.sign_in(page, sample.KEY, "overview")
    for view in VIEWS.values():
        goto(page, view)
        assert chromium.faults(page) == [], view
    goto(page, "failures")
    page.get_by_role("button", name="Look at one").first.click()
    page.get_by_role("button", name="Correct and resubmit").click()
    assert chromium.faults(page) == []


def test_it_fits_on_a_phone_and_can_be_read_in_the_dark(console: Open) -> None:
    page = console(scheme="dark", width=360, height=740)
    chromium.sign_in(page, sample.KEY, "overview")
    for view in VIEWS.values():
        goto(page, view)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, view
        assert chromium.faults(page, "color-contrast") == [], view


def test_it_is_used_by_keyboard_alone(console: Open) -> None:
    page = console()
    page.goto(f"{chromium.ORIGIN}/v1/console#/failures")
    page.keyboard.type(sample.KEY)  # the field has the focus
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Look at one").first.wait_for()
    opener = page.get_by_role("button", name="Look at one").first
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Ledger entry")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("list")).to_contain_text("Email Address is already taken")
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_attached()
    expect(opener).to_be_focused()
    goto(page, "settings/leads")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
