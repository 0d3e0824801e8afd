"""Siebel as the CRM of the deployed stack, by one parameter, and back: members, the CRM API, failures."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import httpx
import pytest

from sandbox.vendors.questionpro import HOOK_TOKEN
from switchboard.ledger import DONE
from switchboard.members import member_ledger_id
from tests.e2e.bench import Bench
from tests.e2e.conftest import PartnerClient
from tests.e2e.test_leads import fresh_lead, fresh_post, pushed, replied
from tests.e2e.test_members import methods, synced
from tests.e2e.test_repair import CLASSES, Desk, metas_leads, provoke, put_right
from tests.e2e.waiting import finished, settled, until
from tests.support import factories
from tools.stack import Stack

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

    def ended() -> str | None:
        [stands] = client.describe_stacks(StackName=stack.stack_name)["Stacks"]
        return None if stands["StackStatus"].endswith("IN_PROGRESS") else stands["StackStatus"]

    assert until(ended, "the update") == "UPDATE_COMPLETE"


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


def records(sandbox: httpx.Client, component: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = sandbox.get(f"/_control/siebel/records/{component}").json()["items"]
    return items


@pytest.mark.usefixtures("siebel")
class TestSiebel:
    def test_source_000_and_siebel_away_in_the_middle(
        self, bench: Bench, api: httpx.Client, sandbox: httpx.Client
    ) -> None:
        assert api.get("/health").json()["crm"] == "siebel"
        post = fresh_post()
        first = pushed(api, post)
        before = finished(api, f"/social/posts/{first}")
        assert before["status"] == "synced"

        sandbox.post("/_control/siebel/faults", json={"kind": "status", "status": 503})
        second = pushed(api, fresh_post(authorId=post["authorId"], parentId=post["uniqueId"]))
        third = pushed(api, fresh_post())

        def waits() -> bool:
            states = [api.get(f"/social/posts/{post_id}").json()["status"] for post_id in (second, third)]
            return states == ["retrying", "retrying"]

        assert until(waits, "the posts to wait for Siebel")
        sandbox.delete("/_control/siebel/faults")
        # And the first answer after that is lost, once Siebel has done what it was asked.
        fault = {"kind": "answerLost", "count": 1, "method": "POST", "path": "Service Request$"}
        sandbox.post("/_control/siebel/faults", json=fault)

        [campaign] = api.get("/campaigns", params={"name": "summer"}).json()["items"]
        refs = [{"community": post["community"], "uniqueId": post["uniqueId"]}]
        lead = fresh_lead(posts=refs, campaignSourceId=campaign["sourceId"])
        made = api.post("/leads", json=lead)
        assert (made.status_code, made.json()["customerId"]) == (201, before["customerId"])
        assert api.post("/leads", json=lead).json()["leadId"] == made.json()["leadId"]
        assert replied(api, first)["status"] == "sent"

        def done() -> bool:  # "retrying" is what they leave now, by themselves
            states = {api.get(f"/social/posts/{post_id}").json()["status"] for post_id in (second, third)}
            return states == {"synced"}

        until(bench.swept(done), "the posts that waited")
        assert api.get(f"/social/posts/{second}").json()["caseId"] == before["caseId"]
        assert len(records(sandbox, "Service Request")) == 2
        assert len(records(sandbox, "Contact")) == 2
        assert len(records(sandbox, "Lead")) == 1
        assert len(records(sandbox, "Action")) == 2  # the thread's post, and the reply

    def test_it_is_the_crm(self, partner: PartnerClient, sandbox: httpx.Client) -> None:
        number = uuid.uuid4().hex
        person = {"First_Name": "Jane", "Last_Name": "Miller", "Email_Address": f"{number}@example.com"}
        add(sandbox, "LOY Member", Member_Number=number, **person)
        jane = add(sandbox, "Contact", **person)
        case = add(sandbox, "Service Request", Contact_Id=jane, Abstract="No signal", Status="Open")
        crm = partner("events:write", "members:read", "members:write", "crm:read", "crm:write")

        event = {"object": "member", "event": "create", "memberNumber": number}
        assert crm.post("/crm/events", json=event).status_code == 202

        def told() -> dict[str, str] | None:
            [found] = [row for row in records(sandbox, "LOY Member") if row["Member Number"] == number]
            return found if found.get("CT Sync Status") else None

        assert until(told, "the status on the member")["CT Sync Status"] == "Success"
        users = sandbox.get("/_control/crowdtwist/users").json()["items"]
        assert [user["last_name"] for user in users if user["third_party_id"] == number] == ["Miller"]

        assert crm.get(f"/crm/customers/{jane}").json()["lastName"] == "Miller"
        assert crm.get(f"/crm/customers/{jane}/cases/{case}").json()["subject"] == "No signal"
        found = crm.get("/crm/customers", params={"email": person["Email_Address"]}).json()["items"]
        assert [each["accountId"] for each in found] == [jane]
        refused = crm.patch(f"/crm/customers/{jane}", json={"lastName": "X"})
        assert (refused.status_code, refused.json()["code"]) == (409, "crm-elsewhere")

    def test_a_member_is_told_until_it_knows_and_crowdtwist_is_not_called_again(
        self, bench: Bench, partner: PartnerClient, sandbox: httpx.Client, anonymous: httpx.Client
    ) -> None:
        number = uuid.uuid4().hex
        add(sandbox, "LOY Member", Member_Number=number, First_Name="Jane", Last_Name="Miller")
        crm = partner("members:read", "members:write")

        def row() -> dict[str, str]:
            [found] = [row for row in records(sandbox, "LOY Member") if row["Member Number"] == number]
            return found

        sandbox.post("/_control/siebel/faults", json={"kind": "status"}).raise_for_status()
        try:
            crm.put(f"/members/{number}", json=factories.member(email=f"{number}@example.com"))

            def waiting() -> bool:
                return bool(crm.get(f"/members/{number}/sync").json()["status"] == "retrying")

            until(waiting, "the write-back to fail")
            assert crm.get(f"/members/{number}/sync").json()["ctSyncStatus"] == "Success"
            assert not row().get("CT Sync Status")
        finally:
            sandbox.delete("/_control/siebel/faults").raise_for_status()
        bench.pass_by(member_ledger_id(number))
        assert synced(crm, number)["status"] == "synced"
        assert row()["CT Sync Status"] == "Success"
        assert methods(sandbox, number) == ["PUT", "POST"]

        segment = {"third_party_id": number, "type": "segment", "name": "Gold", "event": "entered"}
        hook = "/hooks/crowdtwist/sandbox-crowdtwist-hook"
        anonymous.post(hook, json=segment | {"date_occurred": "2026-07-01T18:29:18Z"}).raise_for_status()
        until(lambda: "Gold" in row().get("CT Segments", ""), "the push to stand on the member")

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
            rows = records(sandbox, "Action")
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
        self, bench: Bench, api: httpx.Client, sandbox: httpx.Client
    ) -> None:
        """Social posts and leads, of which the built-in CRM would have no failure of a vendor."""
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
        opened = records(sandbox, "Service Request")
        for mark in marks:
            assert sum(mark in row.get("Description", "") for row in opened) == 1


def test_and_then_the_built_in_crm_is_again(partner: PartnerClient, sandbox: httpx.Client) -> None:
    crm = partner("crm:read", "crm:write", "members:read")
    assert crm.post("/crm/customers", json=factories.customer()).status_code == 201
    number = uuid.uuid4().hex
    member = factories.member(email=f"{number}@example.com", version=None)
    assert crm.put(f"/crm/members/{number}", json=member).status_code == 201
    until(lambda: crm.get(f"/members/{number}/sync").status_code == 200, "the member's event")
    assert synced(crm, number, version=0)["ctSyncStatus"] == "Success"
    assert crm.patch(f"/crm/members/{number}", json={"lastName": "Later"}).status_code == 200

    def renamed() -> bool:
        users = sandbox.get("/_control/crowdtwist/users").json()["items"]
        [name] = [user["last_name"] for user in users if user["third_party_id"] == number]
        return bool(name == "Later")

    until(renamed, "the new name at CrowdTwist")
    assert crm.get(f"/crm/members/{number}").json()["ctSyncStatus"] == "Success"
