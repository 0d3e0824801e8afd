"""Who is asked, and who is reminded, on the deployed stack: rules on CRM events, quiet hours, the end."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from switchboard import clock
from tests.e2e.bench import Bench
from tests.e2e.conftest import PartnerClient
from tests.e2e.waiting import settled
from tests.support import factories

MARK = uuid.uuid4().hex[:12]
"""The last name of this run's customers; no rule is about anybody else's."""

NEW, CLOSED, TRAINED, NOBODY, NIGHT, AWAKE, ASLEEP = (str(uuid.uuid4().int % 10**9) for _ in range(7))


def hours(begin: int, end: int) -> dict[str, str]:
    """Quiet hours from so many hours after now to so many."""
    now = datetime.now(UTC)
    return {"from": f"{now + timedelta(hours=begin):%H:%M}", "to": f"{now + timedelta(hours=end):%H:%M}"}


def rule(object_: str, event: str, where: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"object": object_, "event": event, "where": where} | more


@pytest.fixture(scope="module", autouse=True)
def surveys(api: httpx.Client) -> Iterator[None]:
    """The surveys of this file, all with one change of the settings."""
    mine = {"customer.lastName": MARK}
    closed = rule("case", "edit", mine | {"status": "closed"})
    soon = {"max": 2, "afterDays": 3}
    area = {
        NEW: {"rules": [rule("customer", "create", {"lastName": MARK, "country": "DE"})]},
        CLOSED: {
            "rules": [
                closed
                | {"cooldownDays": 30, "parameters": {"employeeId": "assignedTo", "land": "customer.country"}}
            ]
        },
        TRAINED: {"rules": [rule("task", "edit", mine | {"kind": "training", "status": "done"})]},
        NOBODY: {"rules": [closed | {"samplingRate": 0}]},
        NIGHT: {"rules": [closed | {"quietHours": hours(-1, 2)}]},
        AWAKE: {"reminders": soon | {"quietHours": hours(2, 4)}, "expiresDays": 10},
        ASLEEP: {"reminders": soon | {"quietHours": hours(-1, 2)}},
    }
    before = api.get("/settings/surveys").json()["version"]
    answer = api.put("/settings/surveys", json={"surveys": area})
    assert answer.status_code == 200, answer.text
    yield
    api.post("/settings/surveys/rollback", json={"version": before}).raise_for_status()


def test_rules_ask_whom_they_are_about(api: httpx.Client) -> None:
    person = factories.customer(email=f"{MARK}@example.com", lastName=MARK)
    customer = api.post("/crm/customers", json=person).json()["accountId"]
    api.post("/crm/customers", json=factories.customer(lastName=MARK, country="US"))
    path = f"/crm/customers/{customer}"
    cases = [
        api.post(f"{path}/cases", json={"subject": "No signal", "assignedTo": "E7"}).json()["caseId"]
        for _ in range(2)
    ]
    task = api.post(f"{path}/tasks", json={"subject": "Course", "kind": "training", "status": "open"}).json()
    assert api.patch(f"{path}/cases/{cases[0]}", json={"status": "closed"}).status_code == 200
    assert api.patch(f"{path}/tasks/{task['taskId']}", json={"status": "done"}).status_code == 200

    def invitations(survey: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get(f"/surveys/{survey}/invitations").json()["items"]
        return found

    def invited(survey: str) -> dict[str, Any]:
        [found] = settled(lambda: invitations(survey), bool)
        assert (found["customerId"], found["status"]) == (customer, "issued")
        return dict(found)

    assert invited(NEW)["transactionId"] == customer
    assert invited(TRAINED)["transactionId"] == task["taskId"]
    first = invited(CLOSED)
    assert first["transactionId"] == cases[0]
    query = parse_qs(urlsplit(first["surveyUrl"]).query)
    assert sorted(held for [held] in query.values()) == sorted([first["invitationId"], "E7", "DE"])
    noted = settled(
        lambda: api.get(path).json().get("surveyInvitations", {}),
        lambda found: set(found) == {NEW, CLOSED, TRAINED},
    )
    assert noted[CLOSED] == {"url": first["surveyUrl"], "reminders": 0}

    # The first case again, and another one: each record asks once, and nobody twice in 30 days.
    api.patch(f"{path}/cases/{cases[0]}", json={"priority": "high"}).raise_for_status()
    api.patch(f"{path}/cases/{cases[1]}", json={"status": "closed"}).raise_for_status()

    def decisions() -> dict[tuple[str, str], int]:
        query = {"flow": "survey_trigger", "customerId": customer, "limit": "100"}
        found: dict[tuple[str, str], int] = {}
        for one in api.get("/ledger", params=query).json()["items"]:
            entry = api.get(f"/ledger/{one['ledgerId']}").json()
            what = entry["result"].get("criterion") or entry.get("code") or entry["status"]
            place = (entry["result"].get("surveyId", ""), what)
            found[place] = found.get(place, 0) + 1
        return found

    wanted = {(CLOSED, "synced"): 2, (CLOSED, "cooldownDays"): 1, (NOBODY, "samplingRate"): 3}
    settled(decisions, lambda found: wanted.items() <= found.items() and (NIGHT, "quiet-hours") in found)
    assert len(invitations(CLOSED)) == 1
    assert invitations(NOBODY) == invitations(NIGHT) == []


def test_many_at_once_get_one_url(api: httpx.Client, partner: PartnerClient, sandbox: httpx.Client) -> None:
    address = f"{uuid.uuid4().hex}@example.com"
    body = {"email": address, "transactionId": "T1"}

    def ask(number: int) -> httpx.Response:
        given = body | {"email": address.upper() if number % 2 else address}
        while (answer := api.post(f"/surveys/{NEW}/invitations", json=given)).status_code == 409:
            assert answer.json()["code"] == "in-progress"
            time.sleep(float(answer.headers["Retry-After"]))
        return answer

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, range(6)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    [url] = {answer.json()["surveyUrl"] for answer in answers}
    other = partner("surveys:write", "surveys:read")
    one = f"/surveys/{NEW}/invitations/{answers[0].json()['invitationId']}"
    assert other.get(one).status_code == 404
    # A reply in the shape of the vendor's own SDK; its own transaction is a URL of its own.
    shape = {"kind": "status", "status": 200, "count": 1, "path": "survey-url"}
    shape["body"] = '{"response": {"surveyURL": "https://env.questionpro.com/t/SdkShape"}}'
    sandbox.post("/_control/questionpro/faults", json=shape).raise_for_status()
    own = other.post(f"/surveys/{NEW}/invitations", json=body).json()
    assert own["surveyUrl"].startswith("https://env.questionpro.com/t/SdkShape?")
    assert own["surveyUrl"] != url
    assert [i["surveyUrl"] for i in other.get(f"/surveys/{NEW}/invitations").json()["items"]] == [
        own["surveyUrl"]
    ]


def test_reminders_and_the_end_come_by_themselves(api: httpx.Client, bench: Bench) -> None:
    def invite(survey: str) -> str:
        answer = api.post(
            f"/surveys/{survey}/invitations",
            json=factories.invitation(email=f"{uuid.uuid4().hex}@example.com"),
        )
        invitation_id: str = answer.json()["invitationId"]
        return invitation_id

    def age(invitation_id: str, **attributes: int) -> None:
        """Put the invitation's moments so many days back."""
        moments = {name: clock.timestamp(timedelta(days=-days)) for name, days in attributes.items()}
        bench.change("StateTableName", f"INVITATION#{invitation_id}", "INVITATION", **moments)

    def shown(survey: str, invitation_id: str) -> dict[str, Any]:
        found: dict[str, Any] = api.get(f"/surveys/{survey}/invitations/{invitation_id}").json()
        return found

    awake, asleep, over = invite(AWAKE), invite(ASLEEP), invite(AWAKE)
    for one in (awake, asleep):
        age(one, createdAt=4, dueAt=1)
    age(over, dueAt=1, expiresOn=1)
    bench.invoke("SurveyTickFunction")
    assert shown(AWAKE, awake)["reminders"] == 1
    assert shown(ASLEEP, asleep)["reminders"] == 0
    assert shown(AWAKE, over)["status"] == "expired"
    bench.invoke("SurveyTickFunction")
    assert shown(AWAKE, awake)["reminders"] == 1
    for wanted in (2, 2):
        age(awake, remindedAt=4, dueAt=1)
        bench.invoke("SurveyTickFunction")
        assert shown(AWAKE, awake)["reminders"] == wanted
    assert api.post(f"/surveys/{AWAKE}/reminders").json() == {"count": 0}
    listed = {
        status: [
            i["invitationId"]
            for i in api.get(f"/surveys/{AWAKE}/invitations", params={"status": status}).json()["items"]
        ]
        for status in ("issued", "reminded", "responded", "expired")
    }
    assert listed == {"issued": [], "reminded": [awake], "responded": [], "expired": [over]}
