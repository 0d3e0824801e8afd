"""Source 000: campaigns are found, and social campaigns are linked to them."""

from typing import Any

import pytest

from switchboard import links
from tests.support.deployment import Deployment


def create(deployment: Deployment, **fields: object) -> dict[str, Any]:
    body = {"name": "Spring", "startDate": "2026-03-01"} | fields
    reply = deployment.call("POST", "/campaigns", body)
    assert reply.status == 201, reply.text
    made: dict[str, Any] = reply.json
    return made


def find(deployment: Deployment, **query: str) -> list[str]:
    reply = deployment.call("GET", "/campaigns", query=query)
    assert reply.status == 200, reply.text
    return [item["name"] for item in reply.json["items"]]


def test_a_campaign_is_found_as_it_was_made(deployment: Deployment) -> None:
    made = create(deployment, type="Social", status="active", endDate="2026-06-30T00:00:00Z")
    assert made["campaignId"] != made["sourceId"]
    assert made["endDate"] == "2026-06-30"
    assert deployment.call("GET", f"/campaigns/{made['campaignId']}").json == made
    assert deployment.call("GET", "/campaigns").json == {"items": [made], "next": None}


def test_campaigns_are_found_by_name_and_start(deployment: Deployment) -> None:
    create(deployment, name="Spring Push", startDate="2026-03-01", status="active")
    create(deployment, name="Summer push", startDate="2026-06-01", status="planned")
    assert sorted(find(deployment, name="PUSH")) == ["Spring Push", "Summer push"]
    assert find(deployment, startDate="2026-03-02") == ["Summer push"]
    assert find(deployment, endDate="2026-03-01") == ["Spring Push"]
    assert find(deployment, status="planned") == ["Summer push"]
    assert find(deployment, name="nothing") == []


def test_pages_have_each_campaign_once(deployment: Deployment) -> None:
    made = {create(deployment, name=f"Campaign {number}")["campaignId"] for number in range(7)}
    found: list[str] = []
    query: dict[str, str] = {"limit": "3"}
    while True:
        page = deployment.call("GET", "/campaigns", query=query).json
        found += [item["campaignId"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert len(found) == 7
    assert set(found) == made


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "101"}, {"cursor": "x"}, {"startDate": "soon"}, {"endDate": "2026-13-01"}],
)
def test_a_bad_query_is_refused(deployment: Deployment, query: dict[str, str]) -> None:
    assert deployment.call("GET", "/campaigns", query=query).status == 422


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x", "startDate": "2026-02-30"}, "startDate"),
        ({"name": "x", "startDate": "2026-03-02", "endDate": "2026-03-01"}, "endDate"),
        ({"name": "x", "budget": 1}, "budget"),
    ],
)
def test_a_bad_campaign_is_refused(deployment: Deployment, body: dict[str, Any], pointer: str) -> None:
    reply = deployment.call("POST", "/campaigns", body)
    assert reply.status == 422
    assert pointer in reply.json["errors"][0]["pointer"]


def test_a_social_campaign_is_linked_changed_and_unlinked(deployment: Deployment) -> None:
    campaign = create(deployment)
    path = f"/campaigns/{campaign['campaignId']}/links"
    body = {"name": "On Facebook", "url": "https://facebook.example/c/1"}
    assert deployment.call("PUT", f"{path}/238500", body).status == 201
    assert deployment.call("PUT", f"{path}/238500", body | {"name": "Renamed"}).status == 200
    assert links.source_of("238500") == campaign["sourceId"]
    [link] = deployment.call("GET", path).json["items"]
    assert link == {"socialCampaignId": "238500", "name": "Renamed", "url": "https://facebook.example/c/1"}
    assert deployment.call("DELETE", f"{path}/238500").status == 204
    assert deployment.call("DELETE", f"{path}/238500").status == 404
    assert deployment.call("GET", path).json["items"] == []
    assert links.source_of("238500") is None


def test_a_social_campaign_of_two_campaigns_stands_for_neither(deployment: Deployment) -> None:
    for _ in range(2):
        path = f"/campaigns/{create(deployment)['campaignId']}/links/238500"
        assert deployment.call("PUT", path, {"name": "x"}).status == 201
    assert links.source_of("238500") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/campaigns/cmp_nobody"),
        ("GET", "/campaigns/cmp_nobody/links"),
        ("PUT", "/campaigns/cmp_nobody/links/1"),
        ("DELETE", "/campaigns/cmp_nobody/links/1"),
    ],
)
def test_a_campaign_that_is_not_there(deployment: Deployment, method: str, path: str) -> None:
    body = {"name": "x"} if method == "PUT" else None
    assert deployment.call(method, path, body).status == 404


def test_scopes(deployment: Deployment) -> None:
    reader = deployment.partner("campaigns:read")
    campaign = create(deployment)
    assert deployment.call("GET", "/campaigns", key=reader).status == 200
    assert deployment.call("POST", "/campaigns", {"name": "x"}, key=reader).status == 403
    path = f"/campaigns/{campaign['campaignId']}/links/1"
    assert deployment.call("PUT", path, {"name": "x"}, key=reader).status == 403
    assert deployment.call("GET", "/campaigns", key=deployment.partner("leads:write")).status == 403


def test_a_query_leaves_a_ledger_entry(deployment: Deployment) -> None:
    find(deployment, name="x")
    [entry] = deployment.call("GET", "/ledger", query={"flow": "campaign_query"}).json["items"]
    assert entry["status"] == "synced"


def test_a_repeat_with_its_key_makes_one_campaign(deployment: Deployment) -> None:
    headers = {"Idempotency-Key": "k"}
    both = [deployment.call("POST", "/campaigns", {"name": "x"}, headers=headers) for _ in range(2)]
    assert both[0].json == both[1].json
    assert len(find(deployment)) == 1
