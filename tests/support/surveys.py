"""What tests of surveys do again and again: invite, answer, tell of a CRM event, let the clock tick."""

import json
from typing import Any

from sandbox.vendors.questionpro import HOOK_TOKEN
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm
from switchboard.crm_events import CrmEvent
from tests.support import factories
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import StandIn

SURVEY = "3154843"
INVITATIONS = f"/surveys/{SURVEY}/invitations"


def invite(deployment: Deployment, **fields: Any) -> dict[str, Any]:
    reply = deployment.call("POST", INVITATIONS, factories.invitation(**fields))
    assert reply.status == 201, reply.text
    issued: dict[str, Any] = reply.json
    return issued


def settings(deployment: Deployment, **survey: Any) -> None:
    reply = deployment.call("PUT", "/settings/surveys", {"surveys": {SURVEY: survey}})
    assert reply.status == 200, reply.text


def answer(vendor: StandIn, url: str, **fields: Any) -> dict[str, Any]:
    reply = vendor.client.post("/_control/questionpro/answers", json={"surveyUrl": url} | fields)
    reply.raise_for_status()
    item: dict[str, Any] = reply.json()
    return item


def hook(deployment: Deployment, item: object, token: str = HOOK_TOKEN) -> int:
    status = deployment.call("POST", f"/hooks/questionpro/{token}", item, key=None).status
    deployment.run_queues()
    return status


def shown(deployment: Deployment, invitation_id: str) -> dict[str, Any]:
    found: dict[str, Any] = deployment.call("GET", f"{INVITATIONS}/{invitation_id}").json
    return found


def listed(deployment: Deployment, **query: str) -> list[str]:
    reply = deployment.call("GET", INVITATIONS, query=query)
    assert reply.status == 200, reply.text
    return [item["invitationId"] for item in reply.json["items"]]


def builtin() -> BuiltinCrm:
    held = crm()
    assert isinstance(held, BuiltinCrm)
    return held


def tick() -> None:
    from functions.survey_tick.app import lambda_handler

    lambda_handler({}, Context())  # type: ignore[arg-type]


def tell(deployment: Deployment, *events: CrmEvent) -> None:
    """Hand CRM events over as the bus does, then run the queues."""
    from functions.survey_work.app import lambda_handler

    records = [
        {
            "messageId": event.event_id,
            "receiptHandle": "r",
            "body": json.dumps({"detail": event.model_dump(mode="json", by_alias=True, exclude_none=True)}),
            "attributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:survey-events",
        }
        for event in events
    ]
    assert lambda_handler({"Records": records}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    deployment.run_queues()
