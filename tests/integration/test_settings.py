"""Settings: schema, versions, who and when, roll back."""

import pytest

from switchboard.settings.areas import areas
from tests.support.deployment import Deployment


def test_an_area_starts_with_its_defaults(deployment: Deployment) -> None:
    found = deployment.call("GET", "/settings/social").json
    assert (found["version"], found["updatedAt"]) == (0, None)
    assert found["settings"]["reopenWindowDays"] == 7


def test_each_change_is_a_version_with_who_and_when(deployment: Deployment) -> None:
    for days in (1, 2, 3):
        reply = deployment.call("PUT", "/settings/social", {"reopenWindowDays": days})
        assert (reply.status, reply.json["version"]) == (200, days)
        assert reply.json["updatedBy"] == "admin"
    versions = deployment.call("GET", "/settings/social/versions", query={"limit": "2"}).json
    assert [item["version"] for item in versions["items"]] == [3, 2]
    rest = deployment.call("GET", "/settings/social/versions", query={"cursor": versions["next"]}).json
    assert [item["version"] for item in rest["items"]] == [1]


def test_an_earlier_version_is_put_in_force_as_a_new_one(deployment: Deployment) -> None:
    deployment.call("PUT", "/settings/social", {"reopenWindowDays": 1})
    deployment.call("PUT", "/settings/social", {"reopenWindowDays": 2})
    reply = deployment.call("POST", "/settings/social/rollback", {"version": 1})
    assert reply.json["version"] == 3
    assert reply.json["settings"]["reopenWindowDays"] == 1
    assert deployment.call("POST", "/settings/social/rollback", {"version": 9}).status == 404


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"reopenWindowDays": -1}, "/reopenWindowDays"),
        ({"criteria": {"sentiments": ["angry"]}}, "/criteria/sentiments/0"),
        ({"assignmentRules": [{"when": {}}]}, "/assignmentRules/0/assignTo"),
        ({"unheardOf": 1}, "/unheardOf"),
    ],
)
def test_bad_settings_are_refused_with_pointers_and_change_nothing(
    deployment: Deployment, settings: object, pointer: str
) -> None:
    reply = deployment.call("PUT", "/settings/social", settings)
    assert reply.status == 422
    assert pointer in [error["pointer"] for error in reply.json["errors"]]
    assert deployment.call("GET", "/settings/social").json["version"] == 0


def test_an_unknown_area_is_404_and_no_one_but_an_administrator_may(deployment: Deployment) -> None:
    assert deployment.call("GET", "/settings/weather").status == 404
    key = deployment.partner("social:write")
    assert deployment.call("GET", "/settings/social", key=key).status == 403
    assert deployment.call("PUT", "/settings/social", {}, key=key).status == 403


def test_the_areas_are_listed_each_with_its_schema(deployment: Deployment) -> None:
    deployment.call("PUT", "/settings/social", {"reopenWindowDays": 3})
    listed = {one["area"]: one for one in deployment.call("GET", "/settings").json["items"]}
    assert listed.keys() == areas().keys()
    assert (listed["social"]["version"], listed["leads"]["version"]) == (1, 0)
    for area in listed:
        schema = deployment.call("GET", f"/settings/{area}/schema").json
        assert set(deployment.call("GET", f"/settings/{area}").json["settings"]) == set(schema["properties"])
    schema = deployment.call("GET", "/settings/social/schema").json
    assert schema["properties"]["reopenWindowDays"]["maximum"] == 365
    assert deployment.call("GET", "/settings/weather/schema").status == 404
    key = deployment.partner("crm:read")
    assert deployment.call("GET", "/settings/social/schema", key=key).status == 403
    assert deployment.call("GET", "/settings", key=key).status == 403


def test_reload_is_answered(deployment: Deployment) -> None:
    assert deployment.call("POST", "/settings/reload").status == 200
