"""The console in a real browser: against the steps themselves in a mocked account, and against the sample.

The deployed page is looked at end to end; here is what would be slow or hard to bring about there.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from switchboard import aws
from switchboard.settings.areas import areas
from tests.support import factories
from tests.support.deployment import ADMIN_KEY, Deployment
from tests.support.stand_ins import Sandbox
from tests.support.surveys import SURVEY, invite
from tests.support.surveys import settings as survey_settings
from tools import browser as chromium
from tools import console_sample as sample
from tools.browser import Answer
from tools.screenshots import VIEWS

pytestmark = pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)

type Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(_served: Sandbox) -> Iterator[Browser]:
    # The sandbox is served first: while the browser is there, this thread has a running event loop.
    expect.set_options(timeout=20_000)
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
        page.set_default_timeout(20_000)
        return page

    yield open_console
    for window in windows:
        window.close()


def api_of(deployment: Deployment, *, at_once: bool = False) -> chromium.AnswerFor:
    """The bundle's own answers; `at_once`: with workers so quick that all is done before the answer comes."""

    def answer(
        method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes | None
    ) -> Answer:
        passed_on = {"content-type", "idempotency-key"}
        sent = {name: held for name, held in headers.items() if name in passed_on}
        reply = deployment.call(
            method, path, key=headers["x-api-key"] or None, query=query, headers=sent, raw=body
        )
        if at_once and method != "GET":
            deployment.settle()
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


def connected(deployment: Deployment, sandbox: Sandbox, *vendors: str) -> None:
    """Put these connectors' secrets into the account."""
    for vendor in vendors:
        secret = json.dumps(sandbox.secret(vendor))
        stored = aws.secretsmanager().create_secret(Name=vendor, SecretString=secret)
        deployment.patch.setenv(f"{vendor.upper()}_SECRET_ARN", stored["ARN"])


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

    chromium.sign_in(page, deployment.partner("ledger:read"))
    for partner in deployment.call("GET", "/partners").json["items"]:
        deployment.call("DELETE", f"/partners/{partner['partnerId']}")
    goto(page, "failures")
    expect(page.get_by_role("alert")).to_contain_text("not valid any more")
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

    page.get_by_role("button", name="Delete partner Desk").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.locator(".fault:visible")).to_contain_text("Desk")
    dialog.get_by_label("Type Desk").fill("Desk")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No partner yet.")).to_be_visible()
    expect(page.get_by_role("table", name="Administrative actions")).to_contain_text("partner.delete")
    assert deployment.call("GET", "/partners").json["items"] == []


def test_a_lost_answer_makes_no_second_trigger(deployment: Deployment, console: Open) -> None:
    page = console(api_of(deployment))
    chromium.sign_in(page, ADMIN_KEY, "triggers")
    page.get_by_role("button", name="Add a URL for case edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("URL").fill("ftp://example.com")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("URL")).to_have_attribute("aria-invalid", "true")

    keys: list[str] = []

    def lose_two(route: Route) -> None:
        request = route.request
        if request.method == "POST":
            keys.append(request.headers["idempotency-key"])
        if request.method == "POST" and len(keys) == 1:
            api_of(deployment)("POST", "/triggers", {}, request.headers, request.post_data_buffer)
            route.abort()
        elif request.method == "POST" and len(keys) == 2:
            route.fulfill(status=504, json={"message": "Endpoint request timed out"})
        else:
            route.fallback()

    page.route("**/v1/triggers", lose_two)
    dialog.get_by_label("URL").fill("https://example.com/hook")
    dialog.get_by_label("Format").select_option("webhook")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("could not be reached")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("timed out")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog", name="The webhook's secret")).to_contain_text("answer was lost")
    [trigger] = deployment.call("GET", "/triggers").json["items"]
    assert (trigger["object"], trigger["event"], trigger["format"]) == ("case", "edit", "webhook")
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_trigger_lives_its_life(deployment: Deployment, sandbox: Sandbox, console: Open) -> None:
    page = console(api_of(deployment, at_once=True))
    chromium.sign_in(page, ADMIN_KEY, "triggers")
    dialog, shown = page.get_by_role("dialog"), page.get_by_label("Value to copy")

    def make(name: str, kind: str) -> None:
        page.get_by_role("button", name="Add a URL for case edit").click()
        dialog.get_by_label("URL").fill(f"{sandbox.url}/sink/{name}")
        dialog.get_by_label("Format").select_option(kind)
        dialog.get_by_role("button", name="Save").click()

    make("shared", "webhook")
    expect(shown).to_have_value(re.compile(r"^whsec_\S+"))
    first = shown.input_value()
    page.keyboard.press("Escape")
    make("pair", "v1a")
    expect(page.get_by_text(re.compile(r"^whpk_\S+"))).to_be_visible()
    page.get_by_role("button", name="New secret").click()
    dialog.get_by_role("button", name="Make a new secret").click()
    expect(page.locator("#said")).to_contain_text("new key pair")
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()

    page.get_by_role("link", name="case · edit").click()
    [trigger] = deployment.call("GET", "/triggers").json["items"]
    here = f"/triggers/{trigger['triggerId']}"
    page.get_by_role("button", name="New secret").click()
    dialog.get_by_label("still signs").fill("")
    dialog.get_by_role("button", name="Make a new secret").click()
    expect(dialog.locator(".fault:visible")).to_contain_text("hours")
    dialog.get_by_label("still signs").fill("0")
    dialog.get_by_role("button", name="Make a new secret").click()
    expect(shown).to_have_value(re.compile(r"^whsec_\S+"))
    assert shown.input_value() != first
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Change").click()
    dialog.get_by_label("Description").fill("For the desk")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("For the desk")).to_be_visible()
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("#said")).to_have_text("Test: delivered")

    sandbox.fault("sink", kind="status", status=410, count=1)
    told = {"object": "case", "event": "edit", "accountId": "a"}
    for case in ("gone", "missed"):
        deployment.call("POST", "/crm/events", told | {"caseId": case})
        deployment.settle()
    goto(page, "triggers")
    expect(page.locator(".grid").get_by_role("row", name="Case")).to_contain_text("1 of 1 failing")
    goto(page, here[1:])
    expect(page.get_by_text("Disabled. It answered 410")).to_be_visible()
    page.get_by_label("Show").select_option("skipped")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Enable").click()
    expect(page.locator(".card-head")).to_contain_text("Active")
    page.get_by_role("button", name="Recover a range").click()
    dialog.get_by_role("button", name="Recover").click()
    expect(page.get_by_text("No call yet.")).to_be_visible()  # none is skipped any more
    assert [one["status"] for one in deployment.call("GET", f"{here}/deliveries").json["items"]] == [
        "delivered"
    ] * 3

    sandbox.fault("sink", kind="status", status=500, count=1)
    deployment.call("POST", "/crm/events", told | {"caseId": "later"})
    deployment.settle()
    page.get_by_label("Show").select_option("retrying")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Retry delivery").click()
    expect(page.locator("#said")).to_have_text("Retry: delivered")
    assert deployment.call("GET", here).json["description"] == "For the desk"


# surveys and customers --------------------------------------------------------------------------------------


def test_people_are_reminded_and_a_survey_is_dumped(
    deployment: Deployment, sandbox: Sandbox, console: Open
) -> None:
    connected(deployment, sandbox, "questionpro")
    survey_settings(deployment, reminders={"max": 1})
    for _ in range(2):
        invite(deployment)
    path = f"{sandbox.url}/_control/questionpro/surveys/{SURVEY}/responses"
    httpx.post(path, json={"count": 3}, trust_env=False).raise_for_status()
    page = console(api_of(deployment))
    chromium.sign_in(page, ADMIN_KEY, f"surveys/{SURVEY}")
    page.get_by_role("button", name="Remind now").click()
    page.get_by_role("dialog").get_by_role("button", name="Remind").click()
    expect(page.locator("#said")).to_have_text("2 people are reminded")
    deployment.settle()
    page.get_by_label("Show").select_option("reminded")
    expect(page.get_by_role("table", name="Invitations").get_by_role("row")).to_have_count(3)

    page.get_by_role("button", name="Dump now").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    deployment.settle()
    card = page.get_by_role("listitem").filter(has_text="Count check")
    expect(card).to_contain_text("agrees: 3")
    expect(page.locator("#said")).to_have_text("Dump: complete")
    links = card.get_by_role("link")
    expect(links).to_have_text(
        [re.compile("json.* 3 rows"), re.compile("csv.* 3 rows"), re.compile("manifest")]
    )
    assert all("Signature=" in (link.get_attribute("href") or "") for link in links.all())


def test_a_customer_is_erased(deployment: Deployment, console: Open) -> None:
    made = deployment.call("POST", "/crm/customers", factories.customer(lastName="Hopper")).json
    page = console(api_of(deployment))
    chromium.sign_in(page, ADMIN_KEY, f"customer/{made['accountId']}")
    page.get_by_role("button", name="Erase").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Erase").click()
    expect(dialog.locator(".fault:visible")).to_contain_text(made["accountId"])
    dialog.get_by_label("Type").fill(made["accountId"])
    dialog.get_by_role("button", name="Erase").click()
    expect(page.get_by_text("Erasure: running.")).to_be_visible()
    deployment.settle()
    expect(page.get_by_text("Erasure: done.")).to_be_visible()
    expect(page.get_by_text("The CRM has no such customer.")).to_be_visible()
    assert deployment.call("GET", f"/crm/customers/{made['accountId']}").status == 404


# failures ---------------------------------------------------------------------------------------------------


def test_entries_are_corrected_discarded_and_redriven(
    deployment: Deployment, sandbox: Sandbox, console: Open
) -> None:
    connected(deployment, sandbox, "crowdtwist")
    taken = factories.member(email="taken@example.com", attributes={"tariff": "gold", "zone": "7"})
    put = [deployment.call("PUT", f"/members/{number}", taken).json for number in range(3)]
    deployment.settle()
    corrected, discarded = (one["ledgerId"] for one in put[1:])
    page = console(api_of(deployment, at_once=True))
    chromium.sign_in(page, ADMIN_KEY, "failures")
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator(".cause")).to_contain_text("2 entries would")
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name=f"Open entry {corrected}").click()
    dialog = page.get_by_role("dialog", name="Ledger entry")
    dialog.get_by_role("button", name="Correct and resubmit").click()
    data = dialog.get_by_label("The data, as JSON")
    right = json.loads(data.input_value()) | {"email": "free@example.com", "attributes": {"zone": "8"}}
    for wrong in ("{", data.input_value(), json.dumps(right | {"email": "free"})):
        data.fill(wrong)
        dialog.locator("form").get_by_role("button", name="Correct and resubmit").click()
        expect(data).to_have_attribute("aria-invalid", "true")
    data.fill(json.dumps(right))
    dialog.locator("form").get_by_role("button", name="Correct and resubmit").click()
    expect(dialog.locator(".lead")).to_contain_text("Synced")
    expect(dialog.get_by_text("As it was corrected")).to_be_visible()
    entry = deployment.call("GET", f"/ledger/{corrected}").json
    assert entry["data"] == right
    assert entry["originalData"]["attributes"] == taken["attributes"]
    page.keyboard.press("Escape")

    expect(page.locator(".cause .badge").first).to_contain_text("1")
    page.get_by_role("button", name="Look at one").click()
    dialog.get_by_role("button", name="Discard…").click()
    dialog.get_by_role("button", name="Discard for good").click()
    expect(dialog.get_by_label("Why")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Why").fill("A test account")
    dialog.get_by_role("button", name="Discard for good").click()
    expect(dialog.locator(".lead")).to_contain_text("Discarded")
    expect(dialog.locator(".history").get_by_text("A test account")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Nothing has failed.")).to_be_visible()
    assert deployment.call("GET", f"/ledger/{discarded}").json["status"] == "discarded"

    lost = deployment.call("PUT", "/members/9", factories.member()).json["ledgerId"]
    dead = deployment.give_dead_letters("MEMBER_QUEUE_URL")
    aws.sqs().purge_queue(QueueUrl=deployment.queue_urls["MEMBER_QUEUE_URL"])
    body = json.dumps({"ledgerId": lost})
    aws.sqs().send_message(QueueUrl=dead, MessageBody=body, MessageGroupId="9", MessageDeduplicationId="9")
    goto(page, "overview")
    page.get_by_role("button", name="Redrive member").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    expect(page.locator("#said")).to_contain_text("1 back to work, 0 needed no more, 0 left")
    expect(page.get_by_role("button", name="Redrive member")).to_have_count(0)
    assert deployment.call("GET", f"/ledger/{lost}").json["status"] == "synced"


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
