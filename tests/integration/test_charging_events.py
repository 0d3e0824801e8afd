"""The recorded events of charging are answered as they should be."""

import importlib
import json
from pathlib import Path
from typing import Any

from tests.support.deployment import Context, Deployment

EVENTS = Path(__file__).parents[2] / "events"


def invoke(step: str, name: str) -> Any:
    event = json.loads((EVENTS / f"{name}.json").read_text())
    return importlib.import_module(f"functions.{step}.app").lambda_handler(event, Context())


def test_the_recorded_events_of_charging(deployment: Deployment) -> None:
    for name in ("charging_customer", "charging_top_up"):
        answer = invoke("charging", name)
        assert answer["statusCode"] == 202, answer["body"]
    refused = invoke("charging", "charging_currency")
    assert refused["statusCode"] == 422
    assert json.loads(refused["body"])["errors"][0]["pointer"] == "/currency"
    assert invoke("charging_work", "charging_work") == {"batchItemFailures": []}
    assert invoke("charging_provision", "charging_provision") == {"batchItemFailures": []}
