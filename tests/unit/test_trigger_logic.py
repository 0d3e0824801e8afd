"""The decisions of triggers: the wire, the ladder, the way to disabling."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.crm_changes.logic import event_of
from functions.trigger_delivery import logic
from switchboard import clock
from switchboard.crm_events import CrmEvent, new_event
from switchboard.triggers.deliveries import Attempt
from switchboard.triggers.store import Health

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def case_event(**ids: str) -> CrmEvent:
    return new_event("case", "edit", origin="builtin", **({"account_id": "aaa", "case_id": "ccc"} | ids))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://p.example/x", "https://p.example/x?AccountID=aaa&CaseID=ccc"),
        ("https://p.example/x?", "https://p.example/x?AccountID=aaa&CaseID=ccc"),
        ("https://p.example/x?k=%20v", "https://p.example/x?k=%20v&AccountID=aaa&CaseID=ccc"),
        ("https://p.example/x?k&", "https://p.example/x?k&AccountID=aaa&CaseID=ccc"),
    ],
)
def test_the_query_is_appended_to_what_is_there(url: str, wanted: str) -> None:
    assert logic.query_url(url, case_event()) == wanted


def test_ten_attempts_take_three_days_and_three_and_a_half_hours() -> None:
    assert len(logic.LADDER) == 9
    assert sum(logic.LADDER, timedelta()) == timedelta(hours=75, minutes=35, seconds=5)
    for tries, step in enumerate(logic.LADDER, start=1):
        waits = [logic.next_wait(tries, None) for _ in range(50)]
        assert all(wait is not None and step * 0.8 <= wait <= step * 1.2 for wait in waits)
        assert len(set(waits)) > 1
    assert logic.next_wait(10, None) is None
    assert logic.next_wait(1, 3600) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        (200, None),
        (204, None),
        (301, "redirect"),
        (404, "client-error"),
        (410, "gone"),
        (429, "throttled"),
        (500, "server-error"),
        (504, "server-error"),
    ],
)
def test_only_2xx_is_success(status: int, failed: str | None) -> None:
    assert logic.error_class(status) == failed


@pytest.mark.parametrize(
    ("status", "retry_after", "pause"),
    [
        (429, None, logic.SLOW),
        (502, None, logic.SLOW),
        (504, None, logic.SLOW),
        (503, 120.0, timedelta(minutes=2)),
        (429, 30.0, timedelta(seconds=30)),
        (500, None, None),
        (404, None, None),
        (None, None, None),
    ],
)
def test_what_slows_the_whole_url_down(
    status: int | None, retry_after: float | None, pause: timedelta | None
) -> None:
    made = Attempt("2026-11-22T12:00:00.000Z", 10, status, "x", retry_after=retry_after)
    assert logic.slow_for(made) == pause


def test_failing_since_begins_anew_after_a_long_quiet() -> None:
    since, recently, long_ago = (clock.rfc3339(NOW - timedelta(hours=hours)) for hours in (100, 30, 40))
    assert logic.failing_since(Health(), NOW) == clock.rfc3339(NOW)
    assert logic.failing_since(Health(since, recently), NOW) == since
    assert logic.failing_since(Health(since, long_ago), NOW) == clock.rfc3339(NOW)


@pytest.mark.parametrize(
    ("hours", "level"), [(0, 0), (59, 0), (60, 50), (83, 50), (84, 70), (108, 90), (119, 90), (120, 100)]
)
def test_the_warnings(hours: int, level: int) -> None:
    assert logic.warning(clock.rfc3339(NOW - timedelta(hours=hours)), NOW) == level


def record(**fields: Any) -> dict[str, Any]:
    return {
        "pk": "CUSTOMER#a",
        "sk": "CASE#c",
        "object": "case",
        "accountId": "a",
        "caseId": "c",
        "rev": 1,
        "createdAt": "2026-11-22T10:00:00.000Z",
        "updatedAt": "2026-11-22T10:00:00.000Z",
        "subject": "s",
    } | fields


def followup(**fields: Any) -> dict[str, Any]:
    return record(object="followup", sk="FOLLOWUP#c#f", followupId="f", **fields)


@pytest.mark.parametrize(
    ("new", "old", "wanted"),
    [
        (record(), None, "case.create"),
        (record(rev=2, subject="t"), record(), "case.edit"),
        (record(rev=2, lastActivityAt="x", updatedAt="2026-11-22T11:00:00.000Z"), record(), None),
        (record(rev=2, deletedAt="2026-11-22T11:00:00.000Z"), record(), "case.delete"),
        (record(rev=3, deletedAt="2026-11-22T11:00:00.000Z"), record(rev=2, deletedAt="x"), None),
        (record(rev=2, movedFrom="unlinked"), None, "case.edit"),
        (followup(rev=2, movedFrom="unlinked"), None, None),
        (followup(), None, "followup.create"),
        (record(syncedRev=1), None, None),
        (record(rev=3, syncedRev=2, subject="t"), record(rev=2, syncedRev=2), "case.edit"),
        ({"pk": "CUSTOMER#unlinked", "sk": "CASE#c", "object": "moved", "caseId": "c"}, record(), None),
        ({"pk": "EMAIL#x", "sk": "CUSTOMER#a", "object": "link", "accountId": "a"}, None, None),
        (None, record(), None),
    ],
)
def test_what_a_change_of_the_table_means(new: Any, old: Any, wanted: str | None) -> None:
    found = event_of(new, old)
    assert (found.type if found else None) == wanted
    if found:
        again = event_of(new, old)
        assert again == found
        assert found.origin == "builtin"


def test_a_url_is_slow_until_five_answers_in_a_row_are_quick() -> None:
    health, seen = Health(), []
    for seconds in (0.1, 2, 0.1, 0.1, 9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1):
        health = Health(quick_calls=logic.quick_calls(health, timedelta(seconds=seconds)))
        seen.append(health.quick_calls)
    assert seen == [None, 0, 1, 2, 0, 1, 2, 3, 4, None, None]


def test_who_waits_for_a_turn_comes_back_spread_and_later_each_time() -> None:
    for waits in (0, 5, 16, 10_000):
        steady = min(5 * 1.4 ** min(waits, 20), 900)
        found = {logic.turn_wait(waits) for _ in range(200)}
        assert all(steady / 2 - 1 <= wait <= steady + 1 for wait in found)
        assert len(found) > 2
