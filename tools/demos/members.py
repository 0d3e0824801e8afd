"""Source 003: members of the CRM are kept in step with CrowdTwist, through an outage too."""

import time
import uuid
from typing import Any

import httpx

from tools.demos import DemoStack, headline, line, recorded

_UNFINISHED = ("pending", "in_progress", "retrying", "unknown")
_MEMBERS = 8


def run(stack: DemoStack) -> None:
    """Create, update, meet a data error, correct it; then CrowdTwist goes away and comes back."""
    headline("Members are kept in step with CrowdTwist")
    stack.sandbox.post("/_control/crowdtwist/reset").raise_for_status()
    crm = stack.partner("loyalty CRM", "members:write", "members:read", "crm:write")
    tag = uuid.uuid4().hex[:8]
    jane, john = f"1-{tag}-J", f"1-{tag}-K"
    address = f"jane.{tag}@example.com"
    _put(stack, crm, "a member is enrolled", jane, recorded("member_intake_enrolled") | {"email": address})
    _put(stack, crm, "she moves", jane, recorded("member_intake_moved") | {"email": address})
    late = crm.put(f"/members/{jane}", json=recorded("member_intake_enrolled") | {"email": address})
    line("the first message once more, late", f"{late.status_code}, {late.json()['status']}")
    _put(
        stack,
        crm,
        "another with her e-mail address",
        john,
        recorded("member_intake_taken") | {"email": address},
    )
    corrected = recorded("member_intake_corrected") | {"email": f"john.{tag}@example.com"}
    _put(stack, crm, "corrected in the CRM", john, corrected)
    _edit(stack, crm, jane)
    _push(stack, crm, jane)
    _outage(stack, crm, tag)


def _put(stack: DemoStack, crm: httpx.Client, subject: str, number: str, member: dict[str, Any]) -> None:
    started = time.monotonic()
    answer = crm.put(f"/members/{number}", json=member)
    answer.raise_for_status()
    found = _done(stack, crm, number)
    line(subject, f"{answer.status_code}, {_told(found)} ({time.monotonic() - started:.1f} s)")


def _done(stack: DemoStack, crm: httpx.Client, number: str) -> Any:
    def look() -> Any:
        found = crm.get(f"/members/{number}/sync").json()
        return None if found["status"] in _UNFINISHED else found

    return stack.wait_for(look, f"member {number}")


def _told(found: dict[str, Any]) -> str:
    error = f": {found['ctSyncError']}" if found["ctSyncError"] else ""
    return f"{found['status']}, CT Sync Status {found['ctSyncStatus']}{error}"


def _edit(stack: DemoStack, crm: httpx.Client, number: str) -> None:
    started = time.monotonic()
    crm.patch(f"/crm/members/{number}", json={"lastName": "Miller-Smith"}).raise_for_status()

    def look() -> Any:
        users = stack.sandbox.get("/_control/crowdtwist/users").json()["items"]
        names = [user["last_name"] for user in users if user["third_party_id"] == number]
        return names if names == ["Miller-Smith"] else None

    stack.wait_for(look, "the change in CrowdTwist")
    line(
        "she is renamed in the built-in CRM",
        f"its event took that to CrowdTwist ({time.monotonic() - started:.1f} s)",
    )


def _push(stack: DemoStack, crm: httpx.Client, number: str) -> None:
    said = recorded("member_intake_push") | {"third_party_id": number}
    stack.api.post("/hooks/crowdtwist/sandbox-crowdtwist-hook", json=said).raise_for_status()

    def look() -> Any:
        return crm.get(f"/members/{number}").json()["crowdTwist"]["segments"] or None

    [segment] = stack.wait_for(look, "the pushed segment")
    line("CrowdTwist pushes a segment", f"the member is in {segment['name']!r}")


def _outage(stack: DemoStack, crm: httpx.Client, tag: str) -> None:
    numbers = [f"1-{tag}-{index}" for index in range(_MEMBERS)]
    stack.sandbox.post("/_control/crowdtwist/faults", json={"kind": "down"}).raise_for_status()
    stack.sandbox.delete("/_control/crowdtwist/calls").raise_for_status()
    for index, number in enumerate(numbers):
        member = recorded("member_intake_enrolled") | {"email": f"member.{index}.{tag}@example.com"}
        crm.put(f"/members/{number}", json=member).raise_for_status()

    def noticed() -> Any:
        last = crm.get(f"/members/{numbers[-1]}/sync").json()
        return last if last["ctSyncStatus"] == "CT Failure" else None

    last = stack.wait_for(noticed, "the outage to be noticed")
    calls = len(stack.sandbox.get("/_control/crowdtwist/calls").json()["items"])
    line(f"CrowdTwist goes away under {_MEMBERS} members", f"CT Failure ({last['code']}) after {calls} calls")
    stack.sandbox.delete("/_control/crowdtwist/faults").raise_for_status()
    started = time.monotonic()
    statuses = {_done(stack, crm, number)["ctSyncStatus"] for number in numbers}
    line("it comes back", f"{', '.join(statuses)}, by itself ({time.monotonic() - started:.0f} s)")
