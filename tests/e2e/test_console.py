"""The console on the deployed stack, in a real browser, as the people who use it."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.conftest import PartnerClient
from tests.e2e.test_members import wait_for
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
    wait_for(
        lambda: (
            client.get(f"/triggers/{trigger['triggerId']}/deliveries?status=delivered").json()["items"]
            or None
        ),
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


def test_an_outage_is_seen_by_its_cause_mended_and_put_right(
    page: Page, client: httpx.Client, sandbox: httpx.Client
) -> None:
    numbers = [uuid.uuid4().hex for _ in range(3)]
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

        [cause] = wait_for(all_failed, "the failures")
        goto(page, "failures")
        group = page.locator(f"[data-code={cause['code']}]")
        expect(group).to_contain_text("Members")
        expect(group).to_contain_text(cause["action"])
        group.get_by_role("button", name="Look at one").click()
        entry = page.get_by_role("dialog", name="Ledger entry")
        expect(entry).to_contain_text("The programme is closed")
    finally:
        sandbox.delete("/_control/crowdtwist/faults").raise_for_status()

    entry.get_by_role("button", name="Resubmit", exact=True).click()
    expect(entry.locator(".lead")).to_contain_text("Synced")
    page.keyboard.press("Escape")
    expect(group.locator(".card-head")).to_contain_text(str(len(numbers) - 1))

    group.get_by_role("button", name="Dry run").click()
    expect(group).to_contain_text(f"{len(numbers) - 1} entries")
    group.get_by_role("button", name="Resubmit all").click()
    page.get_by_role("dialog").get_by_role("button", name="Resubmit").click()
    expect(group).to_contain_text(f"{len(numbers) - 1} of {len(numbers) - 1} done", timeout=2 * SLOW)
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text("Nothing has failed.")).to_be_visible()
    states = [client.get(f"/members/{number}/sync").json() for number in numbers]
    assert [state["ctSyncStatus"] for state in states] == ["Success"] * len(numbers)


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


def test_every_view_opens_for_an_administrator(
    stack: Stack, api: httpx.Client, window: BrowserContext
) -> None:
    answer = httpx.get(f"{stack.api_url}/console", trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    page = signed_in(window, stack, api)
    links = page.get_by_role("navigation", name="Views").get_by_role("link")
    for name in links.all_inner_texts():
        links.get_by_text(name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        chromium.settled(page)
        assert page.get_by_role("alert").count() == 0, name
        assert page.get_by_text("Not available").count() == 0, name
