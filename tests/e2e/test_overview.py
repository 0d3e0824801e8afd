"""The overview of the deployed stack: a partner's post is counted, and waits for nobody in the end."""

import time
from typing import Any

import boto3
import httpx

from tests.e2e.conftest import PartnerClient
from tests.support import factories
from tools.stack import Stack

PATIENCE_SECONDS = 60.0


def roll_up(stack: Stack) -> None:
    """What the schedule does each minute."""
    aws: dict[str, Any] = {
        "endpoint_url": stack.aws_endpoint,
        "region_name": stack.region,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    function = stack.outputs["MetricsRollupFunctionName"]
    answer = boto3.client("lambda", **aws).invoke(FunctionName=function, Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


def test_a_post_is_counted_for_its_partner_and_for_the_administrator(
    stack: Stack, api: httpx.Client, partner: PartnerClient
) -> None:
    mine = partner("social:write", "ledger:read")
    assert mine.post("/social/posts", json=factories.post()).status_code == 202
    until = time.monotonic() + PATIENCE_SECONDS
    counted = None
    while counted != {"accepted": 1, "done": 1, "failed": 0} and time.monotonic() < until:
        roll_up(stack)
        found = mine.get("/overview").json()
        counted = found["flows"][0]["last24Hours"] if found["flows"] else None
    assert counted == {"accepted": 1, "done": 1, "failed": 0}, found
    assert [flow["flow"] for flow in found["flows"]] == ["social_post"]
    assert found["connectors"] == []
    everything = api.get("/overview").json()
    [posts] = [flow for flow in everything["flows"] if flow["flow"] == "social_post"]
    assert posts["last24Hours"]["accepted"] >= 1
    connectors = {one["connector"]: one for one in everything["connectors"]}
    assert connectors["crowdtwist"]["configured"] is True
