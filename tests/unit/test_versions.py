"""A change made elsewhere stands after the version that it changes, and before the next one of its source."""

from datetime import UTC, datetime, timedelta

from switchboard.versions import order_after, order_of

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def test_changes_of_a_numbered_version_stand_before_the_next_one() -> None:
    first = order_after(7, NOW)
    second = order_after(first, NOW)
    assert 7 < first < second < 8


def test_where_times_are_the_versions_a_change_is_of_its_time() -> None:
    earlier = order_of(NOW - timedelta(days=1))
    assert order_after(earlier, NOW) == order_of(NOW)


def test_a_clock_that_is_behind_makes_no_older_change() -> None:
    ahead = order_of(NOW + timedelta(minutes=1))
    assert order_after(ahead, NOW) == ahead + 1
