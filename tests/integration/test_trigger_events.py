"""The recorded events of triggers and the CRM API, as `sam local invoke -e` takes them."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from switchboard import aws
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import Sandbox

EVENTS = Path(__file__).parents[2] / "events"


def invoke(step: str, case: str = "") -> Any:
    event = json.loads((EVENTS / f"{step}{case}.json").read_text())
    return importlib.import_module(f"functions.{step}.app").lambda_handler(event, Context())


@pytest.mark.parametrize(
    ("step", "case", "status"),
    [
        ("crm_api", "_create_customer", 201),
        ("crm_event_intake", "_case_edit", 202),
        ("crm_event_intake", "_vcc", 200),
        ("trigger_config", "_create", 201),
    ],
)
def test_a_recorded_call_is_answered(
    deployment: Deployment,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    case: str,
    status: int,
) -> None:
    secret = aws.secretsmanager().create_secret(Name="vcc", SecretString=json.dumps(sandbox.secret("vcc")))
    monkeypatch.setenv("VCC_SECRET_ARN", secret["ARN"])
    monkeypatch.setattr("switchboard.egress.resolve_host", lambda host, port: ["93.184.216.34"])
    assert invoke(step, case)["statusCode"] == status


@pytest.mark.parametrize("step", ["crm_changes", "trigger_fanout", "trigger_delivery"])
def test_a_recorded_batch_is_done(deployment: Deployment, step: str) -> None:
    assert invoke(step) == {"batchItemFailures": []}


def test_a_recorded_event_of_8x8_waits_while_8x8_is_not_configured(deployment: Deployment) -> None:
    assert invoke("record_sync") == {"batchItemFailures": []}
    [entry] = deployment.call("GET", "/ledger", query={"flow": "record_sync"}).json["items"]
    assert (entry["status"], entry["code"]) == ("retrying", "not-configured")


def test_a_sweep_of_8x8_that_is_not_configured_does_nothing(deployment: Deployment) -> None:
    assert invoke("vcc_sweep") is None


def test_a_sweep_of_an_empty_crm_does_nothing(deployment: Deployment) -> None:
    assert invoke("crm_sweep") is None
