"""Schedule expressions, against what EventBridge Scheduler's documentation says of them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from functions.survey_tick.logic import latest_run
from switchboard import schedules
from switchboard.settings.surveys import Schedule

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


def runs(expression: str, after: str, count: int = 3, zone: ZoneInfo = UTC_ZONE) -> list[str]:
    moment: datetime | None = datetime.fromisoformat(after).replace(tzinfo=zone)
    found = []
    for _ in range(count):
        assert moment is not None
        moment = schedules.parse(expression).next_after(moment, zone)
        if moment is None:
            break
        found.append(moment.astimezone(zone).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 2 * * ? *)", ["2026-01-02 02:00", "2026-01-03 02:00", "2026-01-04 02:00"]),
        ("cron(15 10 ? * 6L 2026-2027)", ["2026-01-30 10:15", "2026-02-27 10:15", "2026-03-27 10:15"]),
        ("cron(0/30 8-9 ? * MON-FRI *)", ["2026-01-02 08:00", "2026-01-02 08:30", "2026-01-02 09:00"]),
        ("cron(0 0 1 * ? *)", ["2026-02-01 00:00", "2026-03-01 00:00", "2026-04-01 00:00"]),
        ("cron(0 6 L * ? *)", ["2026-01-31 06:00", "2026-02-28 06:00", "2026-03-31 06:00"]),
        ("cron(0 6 LW * ? *)", ["2026-01-30 06:00", "2026-02-27 06:00", "2026-03-31 06:00"]),
        ("cron(0 6 3W * ? *)", ["2026-01-02 06:00", "2026-02-03 06:00", "2026-03-03 06:00"]),
        ("cron(0 6 1W AUG ? *)", ["2026-08-03 06:00", "2027-08-02 06:00", "2028-08-01 06:00"]),
        ("cron(0 6 ? * MON#1 *)", ["2026-01-05 06:00", "2026-02-02 06:00", "2026-03-02 06:00"]),
        ("cron(0 6 ? * L *)", ["2026-01-03 06:00", "2026-01-10 06:00", "2026-01-17 06:00"]),
        ("cron(0 6 ? * 1 *)", ["2026-01-04 06:00", "2026-01-11 06:00", "2026-01-18 06:00"]),
        ("cron(0 6 ? * FRI-SUN *)", ["2026-01-02 06:00", "2026-01-03 06:00", "2026-01-04 06:00"]),
        ("cron(0 6 29 2 ? *)", ["2028-02-29 06:00", "2032-02-29 06:00", "2036-02-29 06:00"]),
        ("cron(0 6 1,15 jan,JUL ? *)", ["2026-01-15 06:00", "2026-07-01 06:00", "2026-07-15 06:00"]),
        ("cron(0 6 1 1 ? 2026)", []),
        ("rate(15 minutes)", ["2026-01-01 12:15", "2026-01-01 12:30", "2026-01-01 12:45"]),
        ("rate(1 day)", ["2026-01-02 12:00", "2026-01-03 12:00", "2026-01-04 12:00"]),
    ],
)
def test_an_expression_runs_at_its_times(expression: str, expected: list[str]) -> None:
    assert runs(expression, "2026-01-01 12:00") == expected


def test_a_time_that_the_clocks_skip_is_passed_over() -> None:
    assert runs("cron(30 2 * * ? *)", "2026-03-28 03:00", 2, BERLIN) == [
        "2026-03-30 02:30",
        "2026-03-31 02:30",
    ]


def test_a_time_that_comes_twice_counts_once() -> None:
    first = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK)
    schedule = schedules.parse("cron(30 1 * * ? *)")
    found = schedule.next_after(datetime(2026, 10, 31, 12, tzinfo=UTC), NEW_YORK)
    assert found == first.astimezone(UTC)
    assert found is not None
    again = schedule.next_after(found, NEW_YORK)
    assert again == datetime(2026, 11, 2, 1, 30, tzinfo=NEW_YORK).astimezone(UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "0 2 * * ? *",
        "cron(0 2 * * *)",
        "cron(0 2 * * * *)",
        "cron(0 2 ? * ? *)",
        "cron(60 2 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 2 32 * ? *)",
        "cron(0 2 32W * ? *)",
        "cron(0 2 ? * 8 *)",
        "cron(0 2 ? * MON#6 *)",
        "cron(0 2 ? * XYZ *)",
        "cron(0 2 * 13 ? *)",
        "cron(0 2 * * ? 1969)",
        "cron(0/0 2 * * ? *)",
        "cron(a 2 * * ? *)",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(2 minute)",
        "rate(1 week)",
        "at(2026-01-01T00:00:00)",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):
        schedules.parse(expression)


NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "since", "expected"),
    [
        ("rate(1 hour)", None, NOW),
        ("cron(0 2 * * ? *)", None, None),
        ("rate(1 hour)", timedelta(minutes=59), None),
        ("rate(1 hour)", timedelta(hours=3, minutes=10), NOW - timedelta(minutes=10)),
        ("cron(0 2 * * ? *)", timedelta(hours=5), None),
        ("cron(0 2 * * ? *)", timedelta(days=3), NOW - timedelta(hours=10)),
    ],
    ids=["new rate", "new cron", "not yet", "missed some", "not yet either", "missed nights"],
)
def test_missed_runs_are_made_up_for_by_the_last(
    expression: str, since: timedelta | None, expected: datetime | None
) -> None:
    schedule = Schedule(expression=expression)
    assert latest_run(schedule, NOW - since if since is not None else None, NOW) == expected
