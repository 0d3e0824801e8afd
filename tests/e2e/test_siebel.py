"""Siebel as the CRM of the deployed stack, by one parameter, and back: members, the CRM API, failures."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx
import pytest

from sandbox.vendors.questionpro import HOOK_TOKEN
from switchboard.ledger import DONE
from tests.e2e.conftest import PartnerClient
from tests.e2e.test_members import synced
from tests.e2e.test_repair import CLASSES, Bench, Desk, metas_leads, provoke, put_right
from tests.e2e.test_surveys import settled
from tests.support import factories
from tools.stack import Stack

UPDATE_SECONDS = 120.0
CODES = {"data": {"remote-refused"}, "own": {"not-configured"}}
CODES |= {what: codes for what, (_, codes) in CLASSES.items()}
"""Under which code the summary has each class of failure."""


def work_with(stack: Stack, connector: str) -> None:
    """Update the stack's one parameter, as `aws cloudformation update-stack` does."""
    client = boto3.client(
        "cloudformation",
        endpoint_url=stack.aws_endpoint,
        region_name=stack.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    [found] = client.describe_stacks(StackName=stack.stack_name)["Stacks"]
    client.update_stack(
        StackName=stack.stack_name,
        UsePreviousTemplate=True,
        Parameters=[
            {"ParameterKey": "CrmConnector", "ParameterValue": connector}
            if parameter["ParameterKey"] == "CrmConnector"
            else {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
            for parameter in found["Parameters"]
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    until = time.monotonic() + UPDATE_SECONDS
    while time.monotonic() < until:
        [found] = client.describe_stacks(StackName=stack.stack_name)["Stacks"]
        if not found["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.2)
    assert found["StackStatus"] == "UPDATE_COMPLETE"


@pytest.fixture(scope="class")
def siebel(stack: Stack, sandbox: httpx.Client) -> Iterator[None]:
    """Siebel is the CRM while the tests of a class run."""
    sandbox.post("/_control/siebel/reset").raise_for_status()
    work_with(stack, "siebel")
    yield
    work_with(stack, "builtin")


def add(sandbox: httpx.Client, component: str, **fields: str) -> str:
    named = {name.replace("_", " "): value for name, value in fields.items()}
    row = sandbox.post(f"/_control/siebel/records/{component}", json=named).raise_for_status().json()
    row_id: str = row["Id"]
    return row_id


@pytest.mark.usefixtures("siebel")
class TestSiebel:
    def test_it_is_the_crm(self, partner: PartnerClient, sandbox: httpx.Client) -> None:
        number = uuid.uuid4().hex
        person = {"First_Name": "Jane", "Last_Name": "Miller", "Email_Address": f"{number}@example.com"}
        add(sandbox, "LOY Member", Member_Number=number, **person)
        jane = add(sandbox, "Contact", **person)
        case = add(sandbox, "Service Request", Contact_Id=jane, Abstract="No signal", Status="Open")
        crm = partner("events:write", "members:read", "members:write", "crm:read", "crm:write")

        event = {"object": "member", "event": "create", "memberNumber": number}
        assert crm.post("/crm/events", json=event).status_code == 202

        def told() -> dict[str, str]:
            members = sandbox.get("/_control/siebel/records/LOY Member").json()["items"]
            [found] = [row for row in members if row["Member Number"] == number]
            held: dict[str, str] = found
            return held

        until = time.monotonic() + 30
        while not told().get("CT Sync Status") and time.monotonic() < until:
            time.sleep(0.2)
        assert told()["CT Sync Status"] == "Success"
        users = sandbox.get("/_control/crowdtwist/users").json()["items"]
        assert [user["last_name"] for user in users if user["third_party_id"] == number] == ["Miller"]

        assert crm.get(f"/crm/customers/{jane}").json()["lastName"] == "Miller"
        assert crm.get(f"/crm/customers/{jane}/cases/{case}").json()["subject"] == "No signal"
        found = crm.get("/crm/customers", params={"email": person["Email_Address"]}).json()["items"]
        assert [each["accountId"] for each in found] == [jane]
        refused = crm.patch(f"/crm/customers/{jane}", json={"lastName": "X"})
        assert (refused.status_code, refused.json()["code"]) == (409, "crm-elsewhere")

    def test_it_keeps_surveys(self, stack: Stack, api: httpx.Client, sandbox: httpx.Client) -> None:
        """The invitation is an activity of the contact, which mails it; the answer is another one, once."""
        survey, address = str(uuid.uuid4().int % 10**9), f"{uuid.uuid4().hex}@example.com"
        jane = add(sandbox, "Contact", First_Name="Jane", Last_Name="Miller", Email_Address=address)
        case = add(sandbox, "Service Request", Contact_Id=jane, Abstract="No signal", Status="closed")
        rule = {"object": "case", "event": "edit", "where": {"customer.email": address, "status": "closed"}}
        before = api.get("/settings/surveys").json()["version"]
        area = {"surveys": {survey: {"rules": [rule]}}}
        assert api.put("/settings/surveys", json=area).status_code == 200

        def activities(kind: str) -> list[dict[str, str]]:
            rows = sandbox.get("/_control/siebel/records/Action").json()["items"]
            return [row for row in rows if (row.get("Contact Id"), row.get("Type")) == (jane, kind)]

        try:
            event = {"object": "case", "event": "edit", "accountId": jane, "caseId": case}
            assert api.post("/crm/events", json=event).status_code == 202
            [noted] = settled(lambda: activities("Survey Invitation"), bool)
        finally:
            api.post("/settings/surveys/rollback", json={"version": before}).raise_for_status()
        [issued] = api.get(f"/surveys/{survey}/invitations").json()["items"]
        assert (issued["customerId"], issued["transactionId"]) == (jane, case)
        assert issued["surveyUrl"] in noted.values()

        hook = f"{stack.api_url}/hooks/questionpro/{HOOK_TOKEN}"
        answer = {"surveyUrl": issued["surveyUrl"], "webhook": hook}
        item = sandbox.post("/_control/questionpro/answers", json=answer).json()
        settled(lambda: activities("Survey Response"), bool)
        started = api.post(f"/surveys/{survey}/dumps", json={})
        where = f"/surveys/{survey}/dumps/{started.json()['dumpId']}"
        found = settled(lambda: api.get(where).json(), lambda dump: dump["status"] != "running")
        assert (found["status"], found["imported"], found["unmatched"]) == ("complete", 1, 0)
        assert len(activities("Survey Response")) == 1
        [kept] = api.get(f"/surveys/{survey}/responses", params={"customerId": jane}).json()["items"]
        assert kept["responseId"] == str(item["responseID"])
        assert kept["answers"][0]["answer"] == "Always"

    def test_each_failure_of_it_is_found_by_its_cause_and_put_right_by_one_resubmission(
        self, stack: Stack, api: httpx.Client, sandbox: httpx.Client
    ) -> None:
        """Social posts and leads, of which the built-in CRM would have no failure of a vendor."""
        bench = Bench(stack, api, sandbox)
        since = datetime.now(UTC).isoformat()
        marks: list[str] = []

        def post(mark: str) -> str:
            marks.append(mark)
            answer = api.post("/social/posts", json=factories.post(uniqueId=mark, authorId=mark, body=mark))
            post_id: str = answer.json()["postId"]
            return post_id

        desk = Desk("siebel", "SiebelSecretArn", {"social_post": post, "lead": metas_leads(bench)})
        try:
            provoke(bench, desk)
        finally:
            bench.fault("siebel", None)
        put_right(bench, [desk], since)

        for (flow, what), codes in desk.found.items():
            assert codes <= CODES[what] | {"circuit-open"}, (flow, what)
        for ledger_id in desk.entries:
            assert bench.entry(ledger_id)["status"] in DONE
        opened: list[dict[str, Any]] = sandbox.get("/_control/siebel/records/Service Request").json()["items"]
        for mark in marks:
            assert sum(mark in row.get("Description", "") for row in opened) == 1


def test_and_then_the_built_in_crm_is_again(partner: PartnerClient, sandbox: httpx.Client) -> None:
    crm = partner("crm:read", "crm:write", "members:read")
    assert crm.post("/crm/customers", json=factories.customer()).status_code == 201
    number = uuid.uuid4().hex
    member = factories.member(email=f"{number}@example.com", version=None)
    assert crm.put(f"/crm/members/{number}", json=member).status_code == 201
    until = time.monotonic() + 30
    while crm.get(f"/members/{number}/sync").status_code == 404 and time.monotonic() < until:
        time.sleep(0.2)
    assert synced(crm, number, version=0)["ctSyncStatus"] == "Success"
    assert crm.patch(f"/crm/members/{number}", json={"lastName": "Later"}).status_code == 200

    def last_name() -> str:
        users = sandbox.get("/_control/crowdtwist/users").json()["items"]
        [name] = [user["last_name"] for user in users if user["third_party_id"] == number]
        return str(name)

    until = time.monotonic() + 30
    while last_name() != "Later" and time.monotonic() < until:
        time.sleep(0.2)
    assert last_name() == "Later"
    assert crm.get(f"/crm/members/{number}").json()["ctSyncStatus"] == "Success"
