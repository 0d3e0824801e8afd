"""Members in the built-in CRM: what came of one is written in one request, and never over something newer."""

from collections.abc import Iterator
from typing import Any

import pytest

from switchboard.connectors.builtin_crm import BuiltinCrm
from switchboard.connectors.builtin_crm.members import DATA_FIELDS
from switchboard.crm import MemberSync
from switchboard.dynamo import Table
from switchboard.members import MemberData
from tests.support.faults import counted
from tests.support.tables import mocked_aws

PROFILE: dict[str, Any] = {"lastName": "Miller", "city": "Bonn", "attributes": {"a": 1}}


@pytest.fixture
def crm() -> Iterator[BuiltinCrm]:
    with mocked_aws():
        yield BuiltinCrm(Table("CrmTable"))


def test_what_came_of_a_member_is_one_request(crm: BuiltinCrm) -> None:
    taken = MemberSync("Success", None, 1, 7)
    with counted() as sent:
        crm.write_member_sync("m", taken, profile=PROFILE)
        crm.write_member_sync("m", MemberSync("Data Error", "taken", 2), profile={"lastName": "Later"})
    assert sent == ["UpdateItem"] * 2
    member = crm.get_member("m")
    assert member is not None
    times = ("createdAt", "updatedAt")
    assert {name: value for name, value in member.items() if name not in times} == {
        "object": "member",
        "memberNumber": "m",
        "lastName": "Later",
        "ctSyncStatus": "Data Error",
        "ctSyncError": "taken",
        "ctSyncVersion": 2,
        "crowdTwistId": 7,
        "version": 2,
        "rev": 2,
        "syncedRev": 2,
    }


def test_the_same_again_and_an_older_version_change_nothing(crm: BuiltinCrm) -> None:
    crm.write_member_sync("m", MemberSync("Success", None, 2), profile=PROFILE)
    before = crm.get_member("m")
    crm.write_member_sync("m", MemberSync("Success", None, 2), profile=PROFILE)
    crm.write_member_sync("m", MemberSync("CT Failure", "away", 1), profile={"lastName": "Earlier"})
    crm.write_member_sync("m", MemberSync("CT Failure", "away", 1), profile=None)
    assert crm.get_member("m") == before


def test_data_that_is_newer_here_stays(crm: BuiltinCrm) -> None:
    crm.write_member_sync("m", MemberSync("Success", None, 2), profile=PROFILE)
    crm.members.save("m", {"city": "Berlin"}, partner_id="p", replace=False)
    crm.write_member_sync("m", MemberSync("Success", None, 2, 7), profile=PROFILE)
    member = crm.get_member("m")
    assert member is not None
    assert (member["city"], member["ctSyncStatus"]) == ("Berlin", "Success")
    assert (member["rev"], member["syncedRev"]) == (3, 1)


def test_every_field_of_a_members_data_is_known() -> None:
    named = {field.alias or name for name, field in MemberData.model_fields.items()}
    assert set(DATA_FIELDS) == named
