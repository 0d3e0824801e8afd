"""The recorded events of leads, replies and campaigns are answered as they should be."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.vendors.meta import Meta
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import serving

EVENTS = Path(__file__).parents[2] / "events"


def invoke(step: str, case: str = "") -> Any:
    event = json.loads((EVENTS / f"{step}{case and '_'}{case}.json").read_text())
    return importlib.import_module(f"functions.{step}.app").lambda_handler(event, Context())


def test_a_recorded_lead_its_duplicate_and_half_a_lead(deployment: Deployment) -> None:
    made = invoke("lead_create")
    assert made["statusCode"] == 201
    again = invoke("lead_create", "duplicate")
    assert again["statusCode"] == 409
    assert json.loads(again["body"])["leadId"] == json.loads(made["body"])["leadId"]
    assert invoke("lead_create", "no_contact")["statusCode"] == 422


def test_recorded_calls_of_metas_webhook(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Meta()) as server:
        server.connect(monkeypatch)
        assert invoke("lead_create", "meta_handshake")["body"] == "1158201444"
        assert invoke("lead_create", "meta")["statusCode"] == 200
        assert invoke("lead_create", "meta_forged")["statusCode"] == 401


def test_recorded_campaigns(deployment: Deployment) -> None:
    assert invoke("campaign_query", "create")["statusCode"] == 201
    found = invoke("campaign_query")
    assert [item["name"] for item in json.loads(found["body"])["items"]] == ["Roaming"]
    assert invoke("campaign_query", "link")["statusCode"] == 404


def test_a_recorded_reply_to_a_post_that_is_not_there(deployment: Deployment) -> None:
    assert invoke("social_intake", "reply")["statusCode"] == 404


@pytest.mark.parametrize("step", ["lead_work", "social_reply"])
def test_a_message_whose_entry_is_gone_is_taken_off_the_queue(deployment: Deployment, step: str) -> None:
    assert invoke(step) == {"batchItemFailures": []}


def test_a_backfill_without_forms_does_nothing(deployment: Deployment) -> None:
    assert invoke("lead_backfill") is None
