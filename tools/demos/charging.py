"""Charging: a customer's life in the OCS, a top-up whose answer is lost, and an outage that is waited out."""

import uuid
from typing import Any

from tools.demos import DemoStack, headline, line


def run(stack: DemoStack) -> None:
    """Customer, account, subscriber, subscription, top-up, suspend, resume; then an outage."""
    headline("Charging: the OCS's use cases")
    api = stack.partner("an ordering system", "charging:write", "charging:read")
    mark = uuid.uuid4().hex[:6]
    customer, account, subscriber, plan = (f"{kind}-{mark}" for kind in ("cust", "acct", "subs", "plan"))

    def call(subject: str, method: str, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        answer = api.request(method, f"charging/{path}", json=body, headers=headers)
        found: dict[str, Any] = answer.json()
        named = ("detail",) if answer.is_error else ("state", "balances", "status")
        shown = {name: found[name] for name in named if name in found}
        line(subject, f"{answer.status_code} {', '.join(map(str, shown.values()))}")
        return found

    body: dict[str, Any] = {"externalId": customer, "customerProfile": "b2b", "customName": "Demo Customer"}
    call("create the customer", "POST", "customers", body)
    body = {"externalId": account, "accountProfile": "postpaid", "customer": {"externalId": customer}}
    call("its account", "POST", "accounts", body | {"currency": "EUR"})
    body = {"externalId": subscriber, "subscriberProfile": "mobile", "account": {"externalId": account}}
    call("its subscriber", "POST", "subscribers", body)
    body = {"offer": "prepaid-10", "externalId": plan}
    call("its subscription", "POST", f"subscribers/{subscriber}/subscriptions", body)

    top_up = {"operation": "add", "amount": 10, "units": "EUR", "reason": "top-up"}
    path, key = f"subscriptions/{plan}/balances/main", {"Idempotency-Key": f"top-up-{mark}"}
    stack.sandbox.post(
        "/_control/ocsio/faults", json={"kind": "answerLost", "method": "POST", "count": 1}
    ).raise_for_status()
    call("top up by 10; the OCS's answer is lost", "PATCH", path, top_up, **key)
    call("the same top-up again", "PATCH", path, top_up, **key)
    for subject, state in (("suspend", "SUSPENDED"), ("resume", "ACTIVE"), ("make inactive", "INACTIVE")):
        call(f"{subject} the subscriber", "PUT", f"subscribers/{subscriber}/state", {"state": state})

    stack.sandbox.post("/_control/ocsio/faults", json={"kind": "down"}).raise_for_status()
    try:
        body = {"customName": "Renamed during the outage"}
        prefer = {"Prefer": "respond-async, wait=2"}
        pending = call(
            "the OCS is down; rename all the same", "PUT", f"customers/{customer}/custom-name", body, **prefer
        )
    finally:
        stack.sandbox.delete("/_control/ocsio/faults").raise_for_status()

    def done() -> str | None:
        state = api.get(f"charging/operations/{pending['operationId']}").json()
        return state["status"] if state["status"] in ("synced", "data_error", "remote_failure") else None

    # By itself it is repeated within a minute; an operator who knows that the OCS is back need not wait.
    stack.api.post(f"ledger/{pending['operationId']}/resubmit").raise_for_status()
    line("the OCS is back; the operation, resubmitted", stack.wait_for(done, "the operation"))
    name = api.get(f"charging/customers/{customer}").json()["customName"]
    line("the customer's name in the OCS", name)
