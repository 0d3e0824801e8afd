"""The console on the deployed stack, in a real browser, as the people who use it."""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.e2e.bench import Bench
from tests.e2e.conftest import PartnerClient
from tests.e2e.waiting import until
from tests.support import factories
from tools import browser as chromium
from tools.stack import Stack

pytestmark = pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)

REFUSAL = '{"code": 10001, "message": "The programme is closed"}'
SLOW = 60_000
"""Milliseconds: cold starts of functions, each a process of the emulator's."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=SLOW)
    with chromium.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A window, and nothing complained of by the browser in any of its tabs."""
    opened = chromium.context(browser)
    opened.set_default_timeout(SLOW)
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("weberror", lambda error: complaints.append(str(error.error)))
    yield opened
    opened.close()
    assert not [text for text in complaints if "Security Policy" in text or "Error" in text], complaints


@pytest.fixture(scope="module")
def client(partner: PartnerClient) -> httpx.Client:
    """A partner who may do what the people of these tests do."""
    return partner(
        *("triggers:write", "triggers:read", "crm:write", "crm:read", "leads:write"),
        *("members:write", "members:read", "ledger:read", "ledger:write"),
    )


@pytest.fixture(scope="module")
def page(stack: Stack, window: BrowserContext, client: httpx.Client) -> Page:
    """The console, signed in to with the partner's key."""
    return signed_in(window, stack, client)


def signed_in(window: BrowserContext, stack: Stack, client: httpx.Client) -> Page:
    page = window.new_page()
    chromium.sign_in(page, client.headers["x-api-key"], url=f"{stack.api_url}/console")
    return page


def goto(page: Page, view: str) -> None:
    page.evaluate("view => { location.hash = `#/${view}`; }", view)


def test_a_trigger_is_configured_and_its_delivery_seen(
    stack: Stack, page: Page, client: httpx.Client, sandbox: httpx.Client
) -> None:
    tag = uuid.uuid4().hex
    goto(page, "triggers")
    page.get_by_role("button", name="Add a URL for case edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("URL").fill(f"{stack.sandbox_url}/sink/{tag}")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("No call yet.")).to_be_visible()

    made = client.post("/crm/customers", json={"lastName": "Miller"}).json()
    cases = f"/crm/customers/{made['accountId']}/cases"
    case = client.post(cases, json={"subject": "No signal"}).json()
    client.patch(f"{cases}/{case['caseId']}", json={"priority": "high"}).raise_for_status()
    (trigger,) = client.get("/triggers").json()["items"]
    until(
        lambda: client.get(f"/triggers/{trigger['triggerId']}/deliveries?status=delivered").json()["items"],
        "the delivery",
    )
    page.get_by_role("button", name="Refresh").click()
    row = page.get_by_role("row").filter(has_text="case.edit")
    expect(row).to_contain_text("Delivered")
    expect(row).to_contain_text("1 attempt, last: 200")

    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("row").filter(has_text="Delivered")).to_have_count(2)
    calls = [one for one in sandbox.get("/_control/sink/calls").json()["items"] if tag in one["path"]]
    assert [one["query"]["AccountID"] for one in calls] == [[made["accountId"]], ["test"]]
    assert chromium.faults(page) == []

    # Its server breaks: the attempts are told, it is disabled, and what was missed is recovered.
    case_is = f"{cases}/{case['caseId']}"
    fault = {"kind": "status", "status": 500, "path": tag, "count": 1}
    sandbox.post("/_control/sink/faults", json=fault).raise_for_status()
    client.patch(case_is, json={"priority": "low"}).raise_for_status()
    page.get_by_label("Show").select_option("retrying")
    renewed_until(page, page.get_by_role("row").filter(has_text="1 attempt, last: 500"))
    page.get_by_role("button", name="Retry delivery").click()
    expect(page.locator("#said")).to_have_text("Retry: delivered")
    page.get_by_label("Show").select_option("delivered")
    page.get_by_text("2 attempts, last: 200").click()
    expect(page.locator("td .history li")).to_contain_text(["500", "200"])

    gone = {"kind": "status", "status": 410, "path": tag, "count": 1}
    sandbox.post("/_control/sink/faults", json=gone).raise_for_status()
    client.patch(case_is, json={"priority": "high"}).raise_for_status()
    here = f"/triggers/{trigger['triggerId']}"
    until(lambda: client.get(here).json()["status"] == "disabled", "the trigger to be disabled")
    client.patch(case_is, json={"priority": "low"}).raise_for_status()
    page.get_by_label("Show").select_option("skipped")
    renewed_until(page, page.get_by_role("row").filter(has_text="none yet"))
    page.reload()
    expect(page.get_by_text("Disabled. It answered 410")).to_be_visible()
    page.get_by_role("button", name="Enable").click()
    expect(page.locator(".card-head").first).to_contain_text("Active")
    page.get_by_role("button", name="Recover a range").click()
    page.get_by_role("dialog").get_by_role("button", name="Recover").click()

    def all_delivered() -> bool:
        listed = client.get(f"{here}/deliveries").json()["items"]
        return {one["status"] for one in listed} == {"delivered"}

    until(all_delivered, "what was failed and skipped")
    secrets_are_shown_once(stack, page, tag)


def renewed_until(page: Page, wanted: Locator) -> None:
    """Press Refresh until it is shown, as a person does."""
    until = time.monotonic() + SLOW / 1000
    while wanted.count() == 0:
        assert time.monotonic() < until, "it was not shown in time"
        page.get_by_role("button", name="Refresh").click()
        chromium.settled(page)


def secrets_are_shown_once(stack: Stack, page: Page, tag: str) -> None:
    """A webhook is made, its secret changed, and it is removed again."""
    goto(page, "triggers")
    dialog, shown = page.get_by_role("dialog"), page.get_by_label("Value to copy")
    page.get_by_role("button", name="Add a URL for task create").click()
    dialog.get_by_label("URL").fill("ftp://example.com")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("URL")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("URL").fill(f"{stack.sandbox_url}/sink/{tag}/webhook")
    dialog.get_by_label("Format").select_option("webhook")
    dialog.get_by_role("button", name="Save").click()
    expect(shown).to_have_value(re.compile(r"^whsec_\S+"))
    first = shown.input_value()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="task · create").click()
    page.get_by_role("button", name="New secret").click()
    dialog.get_by_role("button", name="Make a new secret").click()
    expect(shown).to_have_value(re.compile(r"^whsec_\S+"))
    assert shown.input_value() != first
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("link", name="task · create")).to_have_count(0)


def test_an_outage_is_seen_by_its_cause_mended_and_put_right(
    page: Page, client: httpx.Client, sandbox: httpx.Client
) -> None:
    numbers = [uuid.uuid4().hex for _ in range(5)]
    fault = {
        "kind": "status",
        "status": 422,
        "body": REFUSAL,
        "headers": {"content-type": "application/json"},
    }
    sandbox.post("/_control/crowdtwist/faults", json=fault).raise_for_status()
    try:
        for number in numbers:
            body = factories.member(email=f"{number}@example.com")
            assert client.put(f"/members/{number}", json=body).status_code == 202

        def all_failed() -> Any:
            items = client.get("/ledger/summary").json()["items"]
            return items if [one["count"] for one in items] == [len(numbers)] else None

        [cause] = until(all_failed, "the failures")
        goto(page, "failures")
        group = page.locator(f"[data-code={cause['code']}]")
        expect(group).to_contain_text("Members")
        expect(group).to_contain_text(cause["action"])
        group.get_by_role("button", name="Look at one").click()
        entry = page.get_by_role("dialog", name="Ledger entry")
        expect(entry).to_contain_text("The programme is closed")
        expect(entry).to_contain_text("crowdtwist PUT /v2/users/… 422")
        page.keyboard.press("Escape")
        resubmit_all(page, group)
        expect(group.get_by_role("status")).to_contain_text("Stopped: the canary failed")
        expect(group.get_by_role("status")).to_contain_text("The programme is closed")
    finally:
        sandbox.delete("/_control/crowdtwist/faults").raise_for_status()

    group.get_by_role("button", name="Look at one").click()
    entry.get_by_role("button", name="Resubmit", exact=True).click()
    expect(entry.locator(".lead")).to_contain_text("Synced")
    page.keyboard.press("Escape")
    expect(group.locator(".card-head")).to_contain_text("4")

    group.get_by_role("button", name="Look at one").click()
    entry.get_by_role("button", name="Correct and resubmit").click()
    data = entry.get_by_label("The data, as JSON")
    right = json.loads(data.input_value()) | {"lastName": "Right"}
    for text in (data.input_value(), json.dumps(right | {"email": "wrong"}), json.dumps(right)):
        data.fill(text)
        entry.locator("form").get_by_role("button", name="Correct and resubmit").click()
        if text != json.dumps(right):
            expect(data).to_have_attribute("aria-invalid", "true")
    expect(entry.locator(".lead")).to_contain_text("Synced")
    expect(entry.get_by_text("As it was corrected")).to_be_visible()
    page.keyboard.press("Escape")
    expect(group.locator(".card-head")).to_contain_text("3")

    group.get_by_role("button", name="Look at one").click()
    entry.get_by_role("button", name="Discard…").click()
    entry.get_by_label("Why").fill("A test account")
    entry.get_by_role("button", name="Discard for good").click()
    expect(entry.locator(".lead")).to_contain_text("Discarded")
    expect(entry.locator(".history").get_by_text("A test account")).to_be_visible()
    page.keyboard.press("Escape")
    expect(group.locator(".card-head")).to_contain_text("2")

    group.get_by_role("button", name="Dry run").click()
    expect(group).to_contain_text("2 entries would create the member")
    resubmit_all(page, group)
    expect(group).to_contain_text("2 of 2 done", timeout=2 * SLOW)
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text("Nothing has failed.")).to_be_visible()
    states = [client.get(f"/members/{number}/sync").json() for number in numbers]
    assert sorted(state["status"] for state in states) == ["discarded", *["synced"] * 4]


def resubmit_all(page: Page, group: Locator) -> None:
    group.get_by_role("button", name="Resubmit all").click()
    page.get_by_role("dialog").get_by_role("button", name="Resubmit").click()


def test_a_customers_story_is_told_across_the_flows(page: Page, client: httpx.Client) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    answer = client.post("/leads", json={"firstName": "Ada", "lastName": "Byron", "email": email})
    assert answer.status_code == 201, answer.text
    lead = answer.json()
    goto(page, "customer")
    page.get_by_label("Name, e-mail address, phone or id").fill(email)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Ada Byron").click()
    expect(page.get_by_role("heading", name="Ada Byron")).to_be_visible()
    moment = page.get_by_role("listitem").filter(has_text="Leads").filter(has_text=lead["leadId"])
    moment.get_by_role("button", name="History").click()
    entry = page.get_by_role("dialog", name="Ledger entry")
    expect(entry.locator(".lead")).to_contain_text("Leads")
    expect(entry.get_by_role("link", name=lead["customerId"])).to_be_visible()
    assert chromium.faults(page) == []


@pytest.fixture(scope="module")
def admin(stack: Stack, window: BrowserContext, api: httpx.Client) -> Page:
    """The console, signed in to as the administrator."""
    return signed_in(window, stack, api)


def test_every_view_opens_for_an_administrator(stack: Stack, admin: Page) -> None:
    answer = httpx.get(f"{stack.api_url}/console", trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    links = admin.get_by_role("navigation", name="Views").get_by_role("link")
    for name in links.all_inner_texts():
        links.get_by_text(name, exact=True).click()
        expect(admin.get_by_role("heading", level=1)).to_have_text(name)
        chromium.settled(admin)
        assert admin.get_by_role("alert").count() == 0, name
        assert admin.get_by_text("Not available").count() == 0, name


def test_partners_and_settings_are_looked_after(admin: Page, api: httpx.Client) -> None:
    name = f"desk-{uuid.uuid4().hex[:8]}"
    dialog, shown = admin.get_by_role("dialog"), admin.get_by_label("Value to copy")
    goto(admin, "partners")
    admin.get_by_role("button", name="New partner").click()
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("ledger:read").check()
    dialog.get_by_role("button", name="Create").click()
    expect(shown).to_have_value(re.compile(r"^sbk_\w+"))
    first = shown.input_value()
    found = api.get("/me", headers={"x-api-key": first}).json()
    assert (found["name"], found["scopes"]) == (name, ["ledger:read"])
    admin.keyboard.press("Escape")
    admin.get_by_role("button", name=f"New key for {name}").click()
    expect(shown).to_have_value(re.compile(r"^sbk_\w+"))
    second = shown.input_value()
    assert second != first
    admin.keyboard.press("Escape")
    card = admin.locator(f"[data-partner={name}]")
    card.get_by_role("button", name="Revoke key").first.click()
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    expect(card.get_by_role("button", name="Revoke key")).to_have_count(1)
    admin.get_by_role("button", name=f"Delete partner {name}").click()
    dialog.get_by_label(f"Type {name}").fill(name)
    dialog.get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)
    assert api.get("/me", headers={"x-api-key": second}).status_code in (401, 403, 404)

    before = api.get("/settings/social").json()
    goto(admin, "settings/social")
    days = admin.get_by_label("Reopen window days")
    days.fill("999")
    admin.get_by_role("button", name="Save").click()
    expect(days).to_have_attribute("aria-invalid", "true")
    days.fill("21")
    admin.get_by_role("button", name="Save").click()
    expect(admin.get_by_text(f"Version {before['version'] + 1},")).to_be_visible()
    assert api.get("/settings/social").json()["settings"] == before["settings"] | {"reopenWindowDays": 21}
    admin.get_by_role("button", name=rolled_back(before["version"]), exact=True).click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(admin.get_by_text(f"Version {before['version'] + 2},")).to_be_visible()
    assert api.get("/settings/social").json()["settings"] == before["settings"]


def rolled_back(version: int) -> str:
    return f"Roll back to version {version}" if version else "Roll back to the defaults"


def test_people_are_reminded_a_survey_is_dumped_and_a_person_erased(
    admin: Page, api: httpx.Client, sandbox: httpx.Client
) -> None:
    survey = str(uuid.uuid4().int % 10**9)
    version = api.get("/settings/surveys").json()["version"]
    area = {"surveys": {survey: {"name": "After the visit", "reminders": {"max": 1}}}}
    api.put("/settings/surveys", json=area).raise_for_status()
    try:
        for _ in range(2):
            answer = api.post(f"/surveys/{survey}/invitations", json=factories.invitation())
            assert answer.status_code == 201, answer.text
        responses = f"/_control/questionpro/surveys/{survey}/responses"
        sandbox.post(responses, json={"count": 3}).raise_for_status()
        goto(admin, f"surveys/{survey}")
        admin.get_by_role("button", name="Remind now").click()
        admin.get_by_role("dialog").get_by_role("button", name="Remind").click()
        expect(admin.locator("#said")).to_have_text("2 people are reminded")
        admin.get_by_role("button", name="Dump now").click()
        card = admin.get_by_role("listitem").filter(has_text="Count check")
        expect(card).to_contain_text("agrees: 3")
        file = card.get_by_role("link").first
        content = httpx.get(str(file.get_attribute("href")), trust_env=False).content
        [dump] = api.get(f"/surveys/{survey}/dumps").json()["items"]
        assert hashlib.sha256(content).hexdigest() == dump["files"][0]["sha256"]
        admin.get_by_label("Show").select_option("reminded")
        table = admin.get_by_role("table", name="Invitations")
        expect(table.get_by_role("row")).to_have_count(3)
        assert chromium.faults(admin) == []
    finally:
        api.post("/settings/surveys/rollback", json={"version": version}).raise_for_status()

    made = api.post("/crm/customers", json=factories.customer(lastName="Hopper")).json()
    goto(admin, f"customer/{made['accountId']}")
    admin.get_by_role("button", name="Erase").click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("Type").fill(made["accountId"])
    dialog.get_by_role("button", name="Erase").click()
    expect(admin.get_by_text("Erasure: done.")).to_be_visible()
    expect(admin.get_by_text("The CRM has no such customer.")).to_be_visible()


def test_dead_letters_are_redriven(admin: Page, bench: Bench) -> None:
    bench.aws("sqs").purge_queue(QueueUrl=bench.stack.outputs["MemberDlqUrl"])
    with bench.unattended("MemberQueueUrl"):
        number = uuid.uuid4().hex
        answer = bench.api.put(f"/members/{number}", json=factories.member(email=f"{number}@example.com"))
        bench.give_up("MemberQueueUrl")
        goto(admin, "overview")
        admin.get_by_role("button", name="Redrive member").click()
        admin.get_by_role("dialog").get_by_role("button", name="Redrive").click()
        expect(admin.locator("#said")).to_contain_text("1 back to work, 0 needed no more, 0 left")
        expect(admin.get_by_role("button", name="Redrive member")).to_have_count(0)
    entry = f"/ledger/{answer.json()['ledgerId']}"
    until(lambda: bench.api.get(entry).json()["status"] == "synced", "the member")


def test_calls_are_tried_on_the_page_of_the_api(stack: Stack, window: BrowserContext) -> None:
    page = window.new_page()
    page.goto(f"{stack.api_url}/docs")
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("Value:").fill(stack.admin_key)
    page.get_by_role("button", name="Apply credentials").click()
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Close").click()
    call = page.locator(".opblock").filter(has=page.locator('[data-path="/me"]'))
    call.locator(".opblock-summary").click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()
    expect(call.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(call.locator(".live-responses-table")).to_contain_text('"Administrator"')
    page.close()
