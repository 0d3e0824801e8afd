"""The recorded events of the member steps (`events/member_*.json`) are answered as they should be."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.vendors.crowdtwist import CrowdTwist
from switchboard.connectors import crm
from tests.support import factories
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import StandIn, serving

EVENTS = Path(__file__).parents[2] / "events"


@pytest.fixture
def crowdtwist(deployment: Deployment) -> Iterator[StandIn]:
    with serving(CrowdTwist()) as sandbox:
        sandbox.connect(deployment.patch)
        yield sandbox


def invoke(step: str, case: str = "") -> Any:
    event = json.loads((EVENTS / f"{step}{case}.json").read_text())
    return importlib.import_module(f"functions.{step}.app").lambda_handler(event, Context())


def test_the_recorded_members_end_as_their_names_say(deployment: Deployment, crowdtwist: StandIn) -> None:
    for case in ("enrolled", "moved", "taken", "corrected"):
        answer = invoke("member_intake", f"_{case}")
        assert answer["statusCode"] == 202
        assert answer["multiValueHeaders"]["x-correlation-id"] == [f"recorded-{case}"]
        deployment.run_queues()
        member = crm().get_member("1-4R8M" if case in ("taken", "corrected") else "1-4R7K")
        assert member is not None
        assert member["ctSyncStatus"] == ("Data Error" if case == "taken" else "Success")
    users = {user["third_party_id"]: user["city"] for user in crowdtwist.control("users")["items"]}
    assert users == {"1-4R7K": "Hamburg", "1-4R8M": "Berlin"}


def test_the_recorded_push_stands_on_the_member(deployment: Deployment, crowdtwist: StandIn) -> None:
    assert invoke("member_intake", "_push")["statusCode"] == 200
    deployment.run_queues()
    member = crm().get_member("1-4R7K")
    assert member is not None
    assert list(member["crowdTwist"]["segments"]) == ["Frequent travellers"]


def test_the_recorded_crm_event_brings_the_member_into_step(
    deployment: Deployment, crowdtwist: StandIn
) -> None:
    deployment.call("PUT", "/crm/members/1-4R9P", factories.member(version=None))
    assert invoke("member_sync", "_crm_event") == {"batchItemFailures": []}
    deployment.run_queues()
    assert [user["third_party_id"] for user in crowdtwist.control("users")["items"]] == ["1-4R9P"]


def test_a_message_whose_entry_is_gone_is_taken_off_the_queue(deployment: Deployment) -> None:
    assert invoke("member_sync") == {"batchItemFailures": []}
