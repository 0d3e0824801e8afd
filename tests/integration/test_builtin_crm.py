"""The built-in CRM: the contract of the port, and what only this CRM has."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from switchboard.aws import dynamodb
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef
from switchboard.connectors.builtin_crm.records import MAX_PROFILES
from switchboard.crm import UNLINKED, Campaign, Customer, MemberPush, MemberSync, SocialProfile
from switchboard.dynamo import Table
from switchboard.errors import VendorError
from tests.integration.crm_contract import WEEK, CrmContract, at_once
from tests.support.factories import customer as customer_fields
from tests.support.factories import key, new_case, profile
from tests.support.faults import Killed, contended, counted, killed_at
from tests.support.tables import mocked_aws


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


class BuiltinDesk:
    """People who work with the built-in CRM."""

    def __init__(self, crm: BuiltinCrm, clock: Clock) -> None:
        self._crm = crm
        self._clock = clock

    def wait(self, duration: timedelta) -> None:
        self._clock.moment += duration

    def add_profile(self, customer_id: str, community: str, author_id: str) -> None:
        self._crm.link_profile(customer_id, SocialProfile(community, author_id, "jane"))

    def set_name(self, customer_id: str, first_name: str, last_name: str) -> None:
        self._crm.records.update(RecordRef(customer_id), {"firstName": first_name, "lastName": last_name})

    def delete_customer(self, customer_id: str) -> None:
        self._crm.records.delete(RecordRef(customer_id))

    def close_case(self, customer_id: str, case_id: str) -> None:
        self._crm.records.update(RecordRef(customer_id, case_id), {"status": "closed"})

    def cases(self, customer_id: str) -> dict[str, tuple[str, str]]:
        page = self._crm.records.parts("case", customer_id, limit=100)
        return {case["caseId"]: (case["subject"], case["description"]) for case in page.items}

    def followups(self, customer_id: str, case_id: str) -> list[str]:
        page = self._crm.records.parts("followup", customer_id, case_id, limit=100)
        return [followup["body"] for followup in page.items]

    def add_customer(self, name: str, *, email: str | None = None, phone: str | None = None) -> str:
        fields = {"lastName": name, "email": email, "phone": phone}
        account_id: str = self._crm.records.create_customer(fields)["accountId"]
        return account_id

    def contact_of(self, customer_id: str) -> tuple[str | None, str, str | None, str | None]:
        customer = self._crm.records.get(RecordRef(customer_id))
        return (
            customer.get("firstName"),
            customer["lastName"],
            customer.get("email"),
            customer.get("phone"),
        )

    def leads(self, customer_id: str) -> dict[str, str | None]:
        items = self._crm.records.table.query_all(
            "pk = :pk AND begins_with(sk, :leads)", {":pk": f"CUSTOMER#{customer_id}", ":leads": "LEAD#"}
        )
        return {item["leadId"]: item.get("campaignSourceId") for item in items}

    def campaigns(self, *campaigns: Campaign) -> None:
        for campaign in campaigns:
            self._crm.create_campaign(campaign, key=key())

    def add_task(self, customer_id: str, subject: str) -> str:
        task_id: str = self._crm.records.create_task(customer_id, {"subject": subject})["taskId"]
        return task_id

    def enrol_member(self, number: str, first_name: str, last_name: str) -> None:
        """Nothing: a member comes into the built-in CRM by its synchronization."""


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mocked_aws():
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> Table:
    return Table(os.environ["CRM_TABLE"])


@pytest.fixture
def crm(table: Table, clock: Clock) -> BuiltinCrm:
    return BuiltinCrm(table, now=clock)


@pytest.fixture
def desk(crm: BuiltinCrm, clock: Clock) -> BuiltinDesk:
    return BuiltinDesk(crm, clock)


@pytest.fixture
def customer(crm: BuiltinCrm) -> Customer:
    return crm.create_customer_from_profile(profile(), key=key())


class TestContract(CrmContract):
    """The built-in CRM keeps the contract."""


# Requests: each is paid for, and each is a place to die at


def test_requests_of_the_usual_social_post(crm: BuiltinCrm) -> None:
    jane = profile()
    with counted() as operations:
        crm.find_customers_by_profile(jane.community, jane.author_id, key="k")
        customer = crm.create_customer_from_profile(jane, key=key())
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        crm.append_to_case(customer.customer_id, case.case_id, "more", key=key(), active_within=WEEK)

    assert operations == ["Query", "TransactWriteItems", "TransactWriteItems", "TransactWriteItems"]


def test_requests_of_a_customer_with_several_profiles(crm: BuiltinCrm, customer: Customer) -> None:
    jane = profile()
    crm.link_profile(customer.customer_id, jane)
    with counted() as operations:
        crm.find_customers_by_profile(jane.community, jane.author_id, key="k")

    assert operations == ["Query"]


def test_an_unneeded_rename_writes_nothing(crm: BuiltinCrm, customer: Customer) -> None:
    crm.records.update(RecordRef(customer.customer_id), {"lastName": "Miller"})
    with counted() as operations:
        crm.rename_temporary_customer(customer.customer_id, profile())

    assert operations == ["GetItem"]


# Killed at any request, before it is sent or after it took effect: the repeat ends as if nothing had been


def _snapshot(table: Table) -> list[dict[str, Any]]:
    items = dynamodb().scan(TableName=table.name)["Items"]
    return sorted((dict(item) for item in items), key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def _survives(work: Callable[[], object], request: int, *, after: bool) -> bool:
    """Run `work`, killed at `request`, then once more in full; False when it had fewer requests."""
    try:
        with killed_at(request, after=after):
            work()
    except Killed:
        work()
        return True
    return False


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("request_number", range(3))
def test_a_killed_worker_repeats_a_whole_post(
    crm: BuiltinCrm, desk: BuiltinDesk, request_number: int, after: bool
) -> None:
    jane, created, opened, appended = profile(), key(), key(), key()
    case = new_case()

    def work() -> tuple[str, str]:
        customer = crm.create_customer_from_profile(jane, key=created)
        mine = crm.open_case(customer.customer_id, case, key=opened)
        crm.append_to_case(customer.customer_id, mine.case_id, "more", key=appended, active_within=WEEK)
        return customer.customer_id, mine.case_id

    assert _survives(work, request_number, after=after)
    customer_id, case_id = work()
    assert crm.find_customers_by_profile(jane.community, jane.author_id, key="k").only is not None
    assert set(desk.cases(customer_id)) == {case_id}
    assert desk.followups(customer_id, case_id) == ["more"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("request_number", range(7))
def test_linking_a_case_survives_a_kill_at_any_request(
    crm: BuiltinCrm, desk: BuiltinDesk, customer: Customer, table: Table, request_number: int, after: bool
) -> None:
    case = crm.open_case(UNLINKED, new_case(), key=key())
    keys = [key() for _ in range(3)]
    for work in keys:
        crm.append_to_case(UNLINKED, case.case_id, work, key=work, active_within=WEEK)

    assert _survives(lambda: crm.link_case(case.case_id, customer.customer_id), request_number, after=after)

    assert set(desk.cases(customer.customer_id)) == {case.case_id}
    assert sorted(desk.followups(customer.customer_id, case.case_id)) == sorted(keys)
    assert desk.cases(UNLINKED) == {}
    assert desk.followups(UNLINKED, case.case_id) == []
    before = _snapshot(table)
    crm.link_case(case.case_id, customer.customer_id)
    assert _snapshot(table) == before


@pytest.mark.parametrize("request_number", range(3, 6))
def test_an_append_repeated_while_its_followup_has_not_moved_yet_adds_none(
    crm: BuiltinCrm, desk: BuiltinDesk, customer: Customer, request_number: int
) -> None:
    case = crm.open_case(UNLINKED, new_case(), key=key())
    keys = [key() for _ in range(3)]
    for work in keys:
        crm.append_to_case(UNLINKED, case.case_id, work, key=work, active_within=WEEK)

    with pytest.raises(Killed), killed_at(request_number, after=False):
        crm.link_case(case.case_id, customer.customer_id)
    for work in keys:
        crm.append_to_case(UNLINKED, case.case_id, work, key=work, active_within=WEEK)
    crm.link_case(case.case_id, customer.customer_id)

    assert sorted(desk.followups(customer.customer_id, case.case_id)) == sorted(keys)
    assert desk.followups(UNLINKED, case.case_id) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("request_number", range(2, 8))
def test_deleting_a_customer_survives_a_kill_at_any_request(
    crm: BuiltinCrm, customer: Customer, table: Table, request_number: int, after: bool
) -> None:
    case = crm.open_case(customer.customer_id, new_case(description="secret"), key=key())
    crm.append_to_case(customer.customer_id, case.case_id, "secret", key=key(), active_within=WEEK)
    crm.records.create_task(customer.customer_id, {"subject": "secret"})
    ref = RecordRef(customer.customer_id)

    with pytest.raises(Killed), killed_at(request_number, after=after):
        crm.records.delete(ref)
    with pytest.raises(VendorError, match="record-deleted"):
        crm.records.delete(ref)

    assert "secret" not in str(_snapshot(table))


# Contention is waited out


@pytest.mark.parametrize("operation", ["TransactWriteItems", "PutItem"])
def test_a_write_that_meets_a_transaction_is_repeated(
    crm: BuiltinCrm, customer: Customer, operation: str
) -> None:
    with contended(operation, times=2):
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        closed = crm.records.update(RecordRef(customer.customer_id, case.case_id), {"status": "closed"})

    assert closed["status"] == "closed"


@pytest.mark.parametrize("operation", ["TransactWriteItems", "PutItem"])
def test_contention_that_does_not_end_is_an_error(
    crm: BuiltinCrm, customer: Customer, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)

    def work() -> None:
        case = crm.open_case(customer.customer_id, new_case(), key=key())
        crm.records.update(RecordRef(customer.customer_id, case.case_id), {"status": "closed"})

    with contended(operation, times=6), pytest.raises(ClientError, match="busy"):
        work()


# Tombstones and links


def test_a_tombstone_holds_ids_and_times_only(crm: BuiltinCrm, table: Table) -> None:
    made = crm.records.create_customer(customer_fields())
    ref = RecordRef(made["accountId"])

    crm.records.delete(ref)

    item = table.get(*ref.key)
    assert item is not None
    assert set(item) == {
        "pk", "sk", "object", "accountId", "createdAt", "updatedAt", "deletedAt", "rev", "changed",
    }  # fmt: skip
    assert item["rev"] == 2


def test_a_deleted_customer_leaves_no_links(crm: BuiltinCrm, table: Table) -> None:
    made = crm.records.create_customer(customer_fields())
    crm.link_profile(made["accountId"], profile())

    crm.records.delete(RecordRef(made["accountId"]))

    assert [item["object"]["S"] for item in _snapshot(table)] == ["customer"]


def test_a_case_deleted_while_it_is_linked_takes_its_followups_with_it(
    crm: BuiltinCrm, customer: Customer, table: Table
) -> None:
    case = crm.open_case(UNLINKED, new_case(description="secret"), key=key())
    crm.append_to_case(UNLINKED, case.case_id, "secret", key=key(), active_within=WEEK)
    with pytest.raises(Killed), killed_at(2, after=False):
        crm.link_case(case.case_id, customer.customer_id)
    crm.records.delete(RecordRef(customer.customer_id, case.case_id))

    with pytest.raises(VendorError, match="record-deleted"):
        crm.link_case(case.case_id, customer.customer_id)

    assert "secret" not in str(_snapshot(table))


def test_a_customer_carries_a_bounded_number_of_profiles(crm: BuiltinCrm) -> None:
    held = [
        {"community": "twitter", "authorId": f"jane-{number}", "authorName": "jane", "origin": "linked"}
        for number in range(MAX_PROFILES)
    ]
    ref = RecordRef(crm.records.create_customer(customer_fields() | {"profiles": held})["accountId"])

    with pytest.raises(VendorError, match="invalid"):
        crm.link_profile(ref.account_id, profile())

    crm.records.update(ref, {"lastName": "Smith", "email": "smith@example.com"})
    assert crm.find_customers_by_profile("twitter", "jane-39", key="k").customers[0].last_name == "Smith"


# Plain records


def test_a_record_reads_back_under_its_api_names(crm: BuiltinCrm) -> None:
    fields = customer_fields(company=None)

    made = crm.records.create_customer(fields)

    assert crm.records.get(RecordRef(made["accountId"])) == made
    assert made == fields | {
        "accountId": made["accountId"],
        "object": "customer",
        "temporary": False,
        "createdAt": "2026-03-01T09:30:00.000Z",
        "updatedAt": "2026-03-01T09:30:00.000Z",
        "rev": 1,
    }


def test_an_update_keeps_what_it_does_not_name(crm: BuiltinCrm, desk: BuiltinDesk) -> None:
    made = crm.records.create_customer(customer_fields())
    desk.wait(timedelta(hours=1))

    updated = crm.records.update(RecordRef(made["accountId"]), {"company": "Acme", "phone": None})

    expected = made | {"company": "Acme", "rev": 2, "updatedAt": "2026-03-01T10:30:00.000Z"}
    del expected["phone"]
    assert updated == expected
    assert crm.records.get(RecordRef(made["accountId"])) == expected


def test_an_update_with_an_old_rev_is_refused(crm: BuiltinCrm) -> None:
    ref = RecordRef(crm.records.create_customer(customer_fields())["accountId"])
    crm.records.update(ref, {"company": "Acme"}, expected_rev=1)

    calls: list[Callable[[], object]] = [
        lambda: crm.records.update(ref, {"company": "Other"}, expected_rev=1),
        lambda: crm.records.delete(ref, expected_rev=1),
    ]
    for call in calls:
        with pytest.raises(VendorError) as raised:
            call()
        assert raised.value.code == "precondition-failed"
    assert crm.records.get(ref)["company"] == "Acme"


def test_updates_at_once_lose_nothing(crm: BuiltinCrm) -> None:
    ref = RecordRef(crm.records.create_customer(customer_fields())["accountId"])

    at_once(*(lambda n=n: crm.records.update(ref, {f"field{n}": n}) for n in range(6)))

    record = crm.records.get(ref)
    assert [record[f"field{n}"] for n in range(6)] == list(range(6))
    assert record["rev"] == 7


def test_customers_are_found_by_what_they_have_now(crm: BuiltinCrm) -> None:
    made = crm.records.create_customer(customer_fields(email="Jane.Miller@Example.com", phone="+49 30 123-4"))
    other = crm.records.create_customer(customer_fields(email="jane.miller@example.com"))
    records = crm.records

    assert len(records.customers_of(email="JANE.miller@example.com")) == 2
    assert records.customers_of(phone="+49301234") == [made]
    records.update(RecordRef(made["accountId"]), {"email": "new@example.com"})
    assert records.customers_of(email="jane.miller@example.com") == [other]
    records.delete(RecordRef(made["accountId"]))
    assert records.customers_of(email="new@example.com") == []
    assert records.customers_of(phone="+49301234") == []


def test_customers_are_listed_newest_first_and_searched(crm: BuiltinCrm, desk: BuiltinDesk) -> None:
    made = []
    for number in range(7):
        made.append(crm.records.create_customer(customer_fields(lastName=f"Müller {number}")))
        desk.wait(timedelta(seconds=1))
    crm.records.delete(RecordRef(made.pop(3)["accountId"]))

    listed, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = crm.records.customers(limit=2, cursor=cursor)
        listed += page.items
        cursor = page.next
        pages += 1

    assert listed == made[::-1]
    assert pages == 3
    assert crm.records.customers(q="MÜLLER 5").items == [made[4]]
    assert crm.records.customers(q="nobody").items == []


def test_parts_need_a_customer_who_is_there(crm: BuiltinCrm, customer: Customer) -> None:
    case = crm.open_case(customer.customer_id, new_case(), key=key())
    crm.records.delete(RecordRef(customer.customer_id))

    calls: list[Callable[[], object]] = [
        lambda: crm.records.create_task(customer.customer_id, {"subject": "call"}),
        lambda: crm.records.create_case("cus_nobody", {"subject": "help"}),
        lambda: crm.records.create_followup(customer.customer_id, case.case_id, {"body": "x"}),
        lambda: crm.records.get(RecordRef(customer.customer_id, case.case_id)),
    ]
    for call in calls:
        with pytest.raises(VendorError) as raised:
            call()
        assert raised.value.error.status == 404


def test_a_list_is_paged_and_leaves_the_deleted_out(crm: BuiltinCrm, customer: Customer) -> None:
    tasks = [crm.records.create_task(customer.customer_id, {"subject": str(n)}) for n in range(7)]
    crm.open_case(customer.customer_id, new_case(), key=key())
    crm.records.delete(RecordRef(customer.customer_id, task_id=tasks[3]["taskId"]))

    listed, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = crm.records.parts("task", customer.customer_id, limit=2, cursor=cursor)
        listed += page.items
        cursor = page.next
        pages += 1

    del tasks[3]
    assert sorted(listed, key=lambda task: task["taskId"]) == sorted(tasks, key=lambda task: task["taskId"])
    assert pages == 3


@pytest.mark.parametrize("cursor", ["x", "é", "Q0FTRSM=", "////", "A" * 2000])
def test_a_bad_cursor_is_refused(crm: BuiltinCrm, customer: Customer, cursor: str) -> None:
    with pytest.raises(VendorError, match="invalid"):
        crm.records.parts("task", customer.customer_id, cursor=cursor)


def test_followups_belong_to_one_case(crm: BuiltinCrm, customer: Customer) -> None:
    one, other = (crm.open_case(customer.customer_id, new_case(), key=key()) for _ in range(2))
    made = crm.records.create_followup(customer.customer_id, one.case_id, {"body": "called back"})

    assert crm.records.parts("followup", customer.customer_id, one.case_id).items == [made]
    assert crm.records.parts("followup", customer.customer_id, other.case_id).items == []
    assert len(crm.records.parts("case", customer.customer_id).items) == 2


def test_an_older_version_of_a_member_changes_nothing(crm: BuiltinCrm) -> None:
    crm.write_member_sync(
        "1", MemberSync("Success", None, 2, 7), profile={"lastName": "Newer", "phone": "+491"}
    )
    crm.write_member_sync("1", MemberSync("CT Failure", "late", 1), profile={"lastName": "Older"})
    member = crm.get_member("1")
    assert member is not None
    assert (member["lastName"], member["ctSyncStatus"], member["rev"]) == ("Newer", "Success", 1)
    crm.write_member_sync("1", MemberSync("CT Failure", "away", 3), profile={"lastName": "Newest"})
    member = crm.get_member("1")
    assert member is not None
    assert (member["lastName"], member["crowdTwistId"], member["rev"]) == ("Newest", 7, 2)
    assert "phone" not in member


def test_many_pushes_about_one_member_at_once_are_all_kept(crm: BuiltinCrm) -> None:
    names = [f"segment {number}" for number in range(6)]

    def enter(name: str) -> Callable[[], None]:
        return lambda: crm.write_member_push(
            "1", MemberPush("2026-03-01T00:00:00Z", segment=name, entered=True)
        )

    at_once(*map(enter, names))
    member = crm.get_member("1")
    assert member is not None
    assert sorted(member["crowdTwist"]["segments"]) == names
