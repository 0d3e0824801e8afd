"""The recorded events of `events/` are what `sam local invoke -e` takes; each is answered as it should be."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Context, Deployment

EVENTS = Path(__file__).parents[2] / "events"


def invoke(name: str) -> Any:
    event = json.loads((EVENTS / f"{name}.json").read_text())
    step = next(
        folder.name
        for folder in sorted((EVENTS.parent / "functions").iterdir(), key=lambda one: -len(one.name))
        if name == folder.name or name.startswith(f"{folder.name}_")
    )
    return importlib.import_module(f"functions.{step}.app").lambda_handler(event, Context())


@pytest.mark.parametrize("name", ["complaint", "thread", "praise", "filtered", "own"])
def test_a_recorded_post_is_accepted(deployment: Deployment, name: str) -> None:
    answer = invoke(f"social_intake_{name}")
    assert answer["statusCode"] == 202
    assert answer["multiValueHeaders"]["x-correlation-id"] == [f"recorded-{name}"]


@pytest.mark.parametrize("name", ["social_case", "survey_work", "survey_dump", "retention"])
def test_a_message_whose_entry_is_gone_is_taken_off_the_queue(deployment: Deployment, name: str) -> None:
    assert invoke(name) == {"batchItemFailures": []}


def test_a_recorded_dump_is_accepted(deployment: Deployment) -> None:
    assert invoke("survey_api_dump")["statusCode"] == 202


def test_a_recorded_response_needs_the_hooks_token(deployment: Deployment) -> None:
    assert invoke("survey_api_hook")["statusCode"] == 404


def test_a_recorded_way_out_of_surveys_needs_its_token(deployment: Deployment) -> None:
    assert invoke("survey_api_opt_out")["statusCode"] == 404


def test_a_recorded_invitation_waits_for_the_vendors_secret(deployment: Deployment) -> None:
    assert invoke("survey_api_invitation")["statusCode"] == 503


def test_a_recorded_crm_event_is_taken_off_the_queue(deployment: Deployment) -> None:
    assert invoke("survey_work_case_closed") == {"batchItemFailures": []}


def test_a_key_that_nobody_has_is_denied(deployment: Deployment) -> None:
    [statement] = invoke("authorizer")["policyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"


def test_the_health_is_told(deployment: Deployment) -> None:
    assert json.loads(invoke("operations_health")["body"])["status"] == "ok"


@pytest.mark.parametrize("name", ["timeline", "erase"])
def test_a_customer_whom_nobody_knows_is_not_found(deployment: Deployment, name: str) -> None:
    assert invoke(f"operations_{name}")["statusCode"] == 404


def test_the_acts_of_operators_are_listed(deployment: Deployment) -> None:
    invoke("operations_erase")
    [act] = json.loads(invoke("operations_audit")["body"])["items"]
    assert (act["outcome"], act["code"]) == ("refused", "not-found")


def test_a_sweep_with_nothing_to_do_does_nothing(deployment: Deployment) -> None:
    assert invoke("sweeper") is None
    assert invoke("survey_tick") is None
    assert invoke("retention_prune") is None


def test_recorded_resubmissions_and_redrives_find_nothing_to_do(deployment: Deployment) -> None:
    assert json.loads(invoke("operations_resubmissions")["body"])["matched"] == 0
    assert json.loads(invoke("operations_resubmissions_dry")["body"])["items"] == []
    queues = json.loads(invoke("operations_queues")["body"])["items"]
    assert {queue["deadLetters"] for queue in queues} == {0}
    assert json.loads(invoke("operations_redrive")["body"])["moved"] == 0
    assert invoke("sweeper_resubmission") == {"batchItemFailures": []}


def test_every_event_belongs_to_a_step() -> None:
    steps = {folder.name for folder in (EVENTS.parent / "functions").iterdir() if folder.is_dir()}
    for event in EVENTS.glob("*.json"):
        assert any(event.stem == step or event.stem.startswith(f"{step}_") for step in steps), event.name
