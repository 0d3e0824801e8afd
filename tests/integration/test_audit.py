"""Who did what as an operator."""

from typing import Any

import pytest

from switchboard import audit, partners, work
from tests.support import factories
from tests.support.deployment import ADMIN_KEY, Deployment


def acts(deployment: Deployment, **query: str) -> list[dict[str, Any]]:
    reply = deployment.call("GET", "/audit", query=query)
    assert reply.status == 200, reply.text
    found: list[dict[str, Any]] = reply.json["items"]
    return found


def test_acts_are_listed_the_newest_first(deployment: Deployment) -> None:
    made = deployment.call("POST", "/partners", {"name": "Jane's shop", "scopes": []}).json
    path = f"/partners/{made['partnerId']}"
    second = deployment.call("POST", f"{path}/keys").json
    deployment.call("DELETE", f"{path}/keys/{second['keyId']}")
    deployment.call("DELETE", path)
    deployment.call("PUT", "/settings/social", {"criteria": {"languages": ["en"]}})
    deployment.call("POST", "/settings/social/rollback", {"version": 0})
    found = acts(deployment)
    assert [act["action"] for act in found] == [
        *("settings.rollback", "settings.change", "partner.delete", "key.revoke", "key.create"),
        "partner.create",
    ]
    assert {act["by"] for act in found} == {"admin"}
    assert {act["outcome"] for act in found} == {"done"}
    assert found[-1]["made"] == {"partnerId": made["partnerId"], "keyId": made["keyId"]}
    assert found[3]["target"] == {"partnerId": made["partnerId"], "keyId": second["keyId"]}
    assert found[1]["target"] == {"area": "social"}
    assert found[1]["made"] == {"version": 1}
    assert "Jane" not in str(found)
    assert made["apiKey"] not in str(found)
    assert [act["action"] for act in acts(deployment, action="key.create")] == ["key.create"]
    assert acts(deployment, by="prt_nobody") == []


def test_what_was_refused_leaves_a_trace_too(deployment: Deployment) -> None:
    assert deployment.call("DELETE", "/partners/jane%40example.com").status == 404
    [act] = acts(deployment)
    assert (act["outcome"], act["code"], act["target"]) == ("refused", "not-found", {"partnerId": "[no id]"})


def test_a_partners_decisions_about_its_work_are_in_it(deployment: Deployment) -> None:
    key = deployment.partner("leads:write", "ledger:write")
    caller = partners.authenticate(key)
    assert caller is not None
    entry = (
        work.ledger()
        .accept(
            partner_id=caller.partner_id,
            flow="lead",
            entity="x",
            payload=factories.lead(),
            group="g",
            correlation_id="c",
            status="remote_failure",
            code="remote-unexpected",
        )
        .entry
    )
    path = f"/ledger/{entry.ledger_id}"
    assert deployment.call("POST", f"{path}/discard", {"reason": "of Jane Miller"}, key=key).status == 200
    assert deployment.call("POST", f"{path}/resubmit", key=key).status == 409
    found = acts(deployment)
    assert [(act["action"], act["by"], act["outcome"]) for act in found] == [
        ("entry.resubmit", caller.partner_id, "refused"),
        ("entry.discard", caller.partner_id, "done"),
    ]
    assert "Jane" not in str(found)


def test_only_administrators_read_it(deployment: Deployment) -> None:
    assert deployment.call("GET", "/audit", key=deployment.partner("ledger:read")).status == 403
    assert deployment.call("GET", "/audit", key=None).status == 401
    for bad in ({"cursor": "x"}, {"limit": "0"}, {"since": "yesterday"}):
        assert deployment.call("GET", "/audit", query=bad).status == 422


def test_pages_follow_each_other(deployment: Deployment) -> None:
    for _ in range(5):
        deployment.call("POST", "/settings/reload")
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = deployment.call("GET", "/audit", query=query).json
        seen += [act["auditId"] for act in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert len(seen) == len(set(seen)) == 5


def test_an_act_that_cannot_be_written_down_is_not_done(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(audit, "_begin", broken)
    assert deployment.call("POST", "/partners", {"name": "x", "scopes": []}).status == 500
    assert deployment.call("GET", "/partners", key=ADMIN_KEY).json["items"] == []


def test_a_worker_that_dies_in_between_leaves_its_beginning(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(partners, "create", dies)
        with pytest.raises(KeyboardInterrupt):
            deployment.call("POST", "/partners", {"name": "x", "scopes": []})
    [act] = acts(deployment)
    assert act["outcome"] == "begun"


def test_every_audited_route_is_one(deployment: Deployment) -> None:
    from functions.operations.app import api

    there = {(route.method, route.path) for route in api.routes}
    missing = {route for route in audit.ACTIONS if route not in there}
    assert missing <= {("POST", "/ledger/resubmissions"), ("POST", "/queues/{queue}/redrive")}
