"""Source 004: a trigger is configured, a case edited, the call received, the record fetched back."""

import time
import uuid
from typing import Any

from sandbox.vendors.vcc import HOOK_TOKEN
from tools.demos import DemoStack, headline, line


def run(stack: DemoStack) -> None:
    """Show each step of the source's example, then a failing URL, and 8x8's own trigger."""
    headline("CRM triggers call a partner's script, which fetches the record")
    tag = f"demo-{uuid.uuid4().hex[:8]}"
    script = stack.partner("a partner's script", "triggers:write", "triggers:read", "crm:read", "crm:write")
    url = f"{stack.stack.sandbox_url}/sink/{tag}"
    body = {"url": f"{url}/case-edited", "object": "case", "event": "edit"}
    trigger = script.post("/triggers", json=body).raise_for_status().json()
    line("trigger configured: case, edit", f"{trigger['triggerId']}, {trigger['status']}")

    customer = script.post("/crm/customers", json={"lastName": "Miller"}).raise_for_status().json()
    cases = f"/crm/customers/{customer['accountId']}/cases"
    case = script.post(cases, json={"subject": "No signal"}).raise_for_status().json()
    began = time.monotonic()
    script.patch(f"{cases}/{case['caseId']}", json={"status": "closed"}).raise_for_status()
    call = stack.wait_for(lambda: _call(stack, f"{tag}/case-edited"), "the call")
    line("case edited; the script was called", f"after {time.monotonic() - began:.1f} s")
    line("its query string", f"?{call['target'].partition('?')[2]}")
    ids = {name: values[0] for name, values in call["query"].items()}
    fetched = script.get(f"/crm/customers/{ids['AccountID']}/cases/{ids['CaseID']}").raise_for_status().json()
    line("the script fetched the record", f"{fetched['subject']!r}, {fetched['status']}")

    _failing(stack, script, url, tag, f"{cases}/{case['caseId']}")
    _vcc(stack)


def _call(stack: DemoStack, path: str) -> Any:
    found = stack.sandbox.get("/_control/sink/calls").json()["items"]
    return next((call for call in reversed(found) if path in call["path"]), None)


def _failing(stack: DemoStack, script: Any, url: str, tag: str, case: str) -> None:
    fault = {"kind": "status", "status": 503, "count": 1, "path": f"{tag}/fails"}
    stack.sandbox.post("/_control/sink/faults", json=fault).raise_for_status()
    body = {"url": f"{url}/fails", "object": "case", "event": "delete", "format": "webhook"}
    trigger = script.post("/triggers", json=body).raise_for_status().json()
    script.delete(case).raise_for_status()

    def delivered() -> Any:
        log = script.get(f"/triggers/{trigger['triggerId']}/deliveries?status=delivered").json()["items"]
        return log[0] if log else None

    attempts = stack.wait_for(delivered, "the second attempt")["attempts"]
    line(
        "a signed webhook to a URL that fails once", " then ".join(str(one["statusCode"]) for one in attempts)
    )


def _vcc(stack: DemoStack) -> None:
    number = str(uuid.uuid4().int)[:10]
    record = {"FIRSTNAME": "Jürgen", "LASTNAME": "Müller", "EMAIL": f"{number}@example.com"}
    stack.sandbox.put(f"/_control/vcc/records/Customer/{number}", json=record).raise_for_status()
    hook = stack.api.get(f"/hooks/vcc/{HOOK_TOKEN}/customer/create", params={"AccountID": number})
    line("8x8 calls its trigger: customer, create", str(hook.status_code))

    def pulled() -> Any:
        answer = stack.api.get(f"/crm/customers/{number}")
        return answer.json() if answer.status_code == 200 else None

    found = stack.wait_for(pulled, "the pull")
    line("the record was pulled from 8x8", f"{found['firstName']} {found['lastName']}")
