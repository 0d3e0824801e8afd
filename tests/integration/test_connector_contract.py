"""The worked example of docs/extend.md: its contract, the member flow over it; and CrowdTwist likewise."""

import json
import re
from typing import Any

import httpx
import pytest

from examples.rewards import Rewards
from switchboard.connectors.crowdtwist import CrowdTwist
from switchboard.settings.members import MemberSettings
from tests.integration.connector_contract import ConnectorContract
from tests.support import factories
from tests.support.deployment import Deployment
from tests.support.permissions import given_too
from tools.paths import ROOT


class TestRewards(ConnectorContract):
    name = "rewards"
    secret = {"token": "a-token-of-example-rewards"}
    good = {"id": "r-1", "givenName": "Jane"}
    refusal = (422, {"reason": "mail is not valid: jane@example.com"})

    def connect(self, transport: httpx.BaseTransport) -> Rewards:
        return Rewards(transport=transport)

    def read(self, connector: Rewards) -> object:
        return connector.find("4711")

    def write(self, connector: Rewards) -> object:
        return connector.update("4711", {"first_name": "Jane"})

    def test_the_member_flow_works_with_it_as_it_is(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        members: dict[str, Any] = {}

        def vendor(request: httpx.Request) -> httpx.Response:
            number = request.url.path.rpartition("/")[2]
            body = json.loads(request.content) if request.content else {}
            if request.method == "POST":
                number = body["number"]
            elif number not in members:
                return httpx.Response(404)
            members[number] = members.get(number, {}) | body
            return httpx.Response(200, json=members[number] | {"id": f"r-{number}"})

        rewards = Rewards(transport=httpx.MockTransport(vendor))
        monkeypatch.setattr("functions.member_sync.app.loyalty", lambda: rewards)
        with given_too("member_sync", "REWARDS_SECRET_ARN"):  # the page says so: its template, not ours
            for version, name in ((1, "Miller"), (2, "Doe")):
                body = factories.member(version=version, lastName=name)
                assert deployment.call("PUT", "/members/4711", body).status == 202
                deployment.run_queues()
        found = deployment.call("GET", "/members/4711/sync").json
        assert (found["status"], found["ctSyncStatus"], found["crowdTwistId"]) == (
            *("synced", "Success"),
            "r-4711",
        )
        assert members["4711"]["familyName"] == "Doe"


class TestCrowdTwist(ConnectorContract):
    name = "crowdtwist"
    secret = {"apiKey": "a-key-of-crowdtwist"}
    good = {"id": 7, "third_party_id": "4711"}
    refusal = (400, {"error": "bad", "message": "email is not valid: jane@example.com"})

    def connect(self, transport: httpx.BaseTransport) -> CrowdTwist:
        return CrowdTwist(MemberSettings, transport=transport)

    def read(self, connector: CrowdTwist) -> object:
        return connector.find("4711")

    def write(self, connector: CrowdTwist) -> object:
        return connector.update("4711", {"first_name": "Jane"})


def test_what_the_page_shows_is_what_is_run() -> None:
    page = (ROOT / "docs" / "extend.md").read_text()
    code = (ROOT / "examples" / "rewards.py").read_text() + "".join(
        path.read_text() for path in (ROOT / "tests" / "integration").glob("test_connector_contract.py")
    )
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(shown) >= 3
    for block in shown:
        for part in block.split("...\n"):
            assert part.strip() in code, part
