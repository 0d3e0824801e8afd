"""Source 001: a closed case, the invitation with its URL, the answer, the dump, the response in the CRM."""

import uuid
from typing import Any

import httpx

from tools.demos import DemoStack, headline, line

_SURVEY = "3154843"
_MAILED = "3154844"
_HOOK_TOKEN = "questionpro-hook-0123456789"  # noqa: S105 - the sandbox's


def run(stack: DemoStack) -> None:
    """Configure a survey, close a case, answer, dump, and look at the customer."""
    headline("Surveys: asked when a case is closed, answered, dumped into the CRM")
    before = stack.api.get("/settings/surveys").json()["version"]
    area = {
        "surveys": {
            _SURVEY: {
                "name": "How are we doing?",
                "rules": [
                    {
                        "object": "case",
                        "event": "edit",
                        "where": {"status": "closed"},
                        "parameters": {"employeeId": "assignedTo"},
                        "cooldownDays": 30,
                    }
                ],
                # A rate, because cron(0 2 * * ? *) would have the demo wait for the night.
                "schedule": {"expression": "rate(1 minute)"},
                "reminders": {"max": 2},
            },
            _MAILED: {
                "name": "Our course",
                "delivery": "mail",
                "mail": {
                    "defaultLanguage": "en",
                    "templates": {
                        "en": {"subject": "{firstName|Hello}, how was it?", "text": "{surveyUrl} {optOutUrl}"}
                    },
                },
            },
        }
    }
    stack.api.put("/settings/surveys", json=area).raise_for_status()
    line("settings: ask when a case is closed", "in force, dumped by a schedule")
    try:
        _show(stack)
        _show_mail(stack)
    finally:
        stack.api.post("/settings/surveys/rollback", json={"version": before}).raise_for_status()


def _show(stack: DemoStack) -> None:
    customer_id, case_id = _closed_case(stack.api)
    line("a case is closed in the CRM", f"{case_id} of {customer_id}")
    invitation = stack.wait_for(lambda: _invitation(stack.api, customer_id), "the invitation")
    line("its customer is invited", invitation["surveyUrl"])
    caller = stack.partner("training centre", "surveys:write", "surveys:read")
    person = {"email": f"kim.{uuid.uuid4().hex[:8]}@example.com", "transactionId": "course-1"}
    path = f"/surveys/{_SURVEY}/invitations"
    first, again = caller.post(path, json=person), caller.post(path, json=person)
    same = first.json()["surveyUrl"] == again.json()["surveyUrl"]
    line("a partner asks for a URL, twice", f"{first.status_code}, {again.status_code}, same URL: {same}")
    hook = f"{stack.stack.api_url}/hooks/questionpro/{_HOOK_TOKEN}"
    answered = stack.sandbox.post(
        "/_control/questionpro/answers", json={"surveyUrl": invitation["surveyUrl"], "webhook": hook}
    )
    line("the customer answers; the webhook says so", str(answered.json()["webhookStatus"]))
    found = stack.wait_for(lambda: _responded(stack.api, invitation["invitationId"]), "the answer")
    line("who has answered", f"{found['email']}: {found['status']}")
    count = caller.post(f"/surveys/{_SURVEY}/reminders").json()["count"]
    line("the partner reminds those who have not", str(count))
    dump = stack.wait_for(lambda: _dump(stack.api), "the scheduled dump")
    formats = ", ".join(f"{file['format']} ({file['bytes']} bytes)" for file in dump["files"])
    line("the dump, by its schedule", f"{dump['rows']} rows, {dump['imported']} onto customers")
    line("its files, with SHA-256 and manifest", formats)
    query = {"customerId": customer_id}
    [response] = stack.api.get(f"/surveys/{_SURVEY}/responses", params=query).json()["items"]
    line(
        "the response on the customer", "; ".join(f"{a['code']}: {a['answer']}" for a in response["answers"])
    )


def _show_mail(stack: DemoStack) -> None:
    address = f"sam.{uuid.uuid4().hex[:8]}@example.com"
    person = {"email": address, "firstName": "Sam"}
    stack.api.post(f"/surveys/{_MAILED}/invitations", json=person).raise_for_status()
    mail = stack.wait_for(lambda: _mail(stack, address), "the mail")
    line("another survey is mailed by SES", f"{mail['Source']}: {mail['Subject']}")
    way_out = "/hooks/opt-out/" + mail["BodyText"].partition("/hooks/opt-out/")[2]
    stack.api.post(way_out, data={"List-Unsubscribe": "One-Click"}).raise_for_status()
    count = stack.api.post(f"/surveys/{_MAILED}/reminders").json()["count"]
    line("one click in it, and no reminder is left", str(count))


def _mail(stack: DemoStack, address: str) -> Any:
    """The mail to this address, out of the emulator's SES."""
    answer = httpx.get(f"{stack.stack.aws_endpoint}/_ministack/ses/messages", trust_env=False)
    sent = [mail for mails in answer.json()["messages"].values() for mail in mails]
    return next((mail for mail in sent if address in mail["To"]), None)


def _closed_case(api: httpx.Client) -> tuple[str, str]:
    body = {"lastName": "Miller", "email": f"jane.{uuid.uuid4().hex[:8]}@example.com"}
    customer = _made(api, "/crm/customers", body)
    cases = f"/crm/customers/{customer['accountId']}/cases"
    case = _made(api, cases, {"subject": "No signal", "assignedTo": "E7"})
    api.patch(f"{cases}/{case['caseId']}", json={"status": "closed"}).raise_for_status()
    return customer["accountId"], case["caseId"]


def _made(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    answer.raise_for_status()
    record: dict[str, Any] = answer.json()
    return record


def _invitation(api: httpx.Client, customer_id: str) -> Any:
    items = api.get(f"/surveys/{_SURVEY}/invitations", params={"limit": 100}).json()["items"]
    return next((each for each in items if each["customerId"] == customer_id), None)


def _responded(api: httpx.Client, invitation_id: str) -> Any:
    found = api.get(f"/surveys/{_SURVEY}/invitations/{invitation_id}").json()
    return found if found["status"] == "responded" else None


def _dump(api: httpx.Client) -> Any:
    """The newest dump that has brought the answer."""
    items = api.get(f"/surveys/{_SURVEY}/dumps", params={"limit": 1}).json()["items"]
    return items[0] if items and items[0]["status"] == "complete" and items[0]["rows"] else None
