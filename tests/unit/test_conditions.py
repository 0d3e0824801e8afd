"""Conditions on a record."""

import pytest

from switchboard.conditions import check, holds

RECORD = {"status": "closed", "priority": 3, "vip": True, "address": {"city": "Oslo"}, "note": None}


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"status": "closed"},
        {"status": {"$eq": "closed"}, "priority": {"$gte": 3, "$lte": 3}},
        {"status": {"$in": ["open", "closed"]}},
        {"address.city": "Oslo"},
        {"missing": {"$exists": False}},
        {"note": {"$exists": False}},
        {"vip": {"$exists": True}},
        {"$or": [{"status": "open"}, {"priority": 3}]},
        {"$not": {"status": "open"}},
        {"$not": {"missing": "x"}},
    ],
)
def test_a_condition_that_holds(where: dict[str, object]) -> None:
    assert holds(check(where), RECORD)


@pytest.mark.parametrize(
    "where",
    [
        {"status": "Closed"},
        {"priority": "3"},
        {"priority": {"$gte": "3"}},
        {"vip": 1},
        {"vip": {"$gte": 0}},
        {"missing": None},
        {"missing": {"$lte": 9}},
        {"address.street": "Main"},
        {"status.deeper": "closed"},
        {"status": {"$exists": False}},
        {"$or": [{"status": "open"}, {"priority": 4}]},
        {"$not": {"status": "closed"}},
        {"status": "closed", "priority": 4},
    ],
)
def test_a_condition_that_does_not_hold(where: dict[str, object]) -> None:
    assert not holds(check(where), RECORD)


@pytest.mark.parametrize(
    "where",
    [
        {"status": {"$regex": ".*"}},
        {"status": {}},
        {"status": ["closed"]},
        {"status": {"$in": []}},
        {"status": {"$in": [{}]}},
        {"status": {"$exists": "yes"}},
        {"$or": []},
        {"$or": ["x"]},
        {"$not": []},
        {"$where": "1"},
    ],
)
def test_a_malformed_condition_is_refused(where: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check(where)


def test_a_condition_that_is_too_deep_is_refused() -> None:
    where: dict[str, object] = {"status": "closed"}
    for _ in range(10):
        where = {"$not": where}
    with pytest.raises(ValueError, match="levels"):
        check(where)
