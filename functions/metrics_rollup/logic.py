"""What the numbers of a minute are called."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from switchboard import clock
from switchboard.breaker import State
from switchboard.counts import Move
from switchboard.standing import Standing

type Metric = tuple[str, str, float, dict[str, str]]
"""Name, CloudWatch's unit, value, dimensions: never an id of anybody, so that they stay few."""

_NAMES = {"accepted": "Accepted", "done": "Done", "retried": "Retried", "failed": "Failed"}


def of_moves(moved: Iterable[Move]) -> Iterator[Metric]:
    """Work by flow; failures by flow, by class, and by both, since an alarm cannot add them up."""
    counted: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    for move in moved:
        by_flow = (("flow", move.flow),)
        counted[_NAMES[move.what], by_flow] += 1
        if move.error_class is not None:
            by_class = (("class", move.error_class),)
            counted[_NAMES[move.what], by_class] += 1
            counted[_NAMES[move.what], by_class + by_flow] += 1
    for (name, dimensions), number in counted.items():
        yield name, "Count", number, dict(dimensions)


def of_standing(found: Standing, now: datetime) -> Iterator[Metric]:
    """What waits, by flow where there is any, and the age of the oldest, which is told each minute."""
    oldest = 0.0
    for name, flow in found.flows.items():
        numbers = {"Waiting": flow.waiting, "Retrying": flow.retrying, "Parked": flow.failed}
        for what, number in numbers.items():
            if number:
                yield what, "Count", number, {"flow": name}
        if flow.oldest_at is not None:
            age = _seconds_since(flow.oldest_at, now)
            oldest = max(oldest, age)
            yield "OldestOpenSeconds", "Seconds", age, {"flow": name}
    yield "OldestOpenSeconds", "Seconds", oldest, {}


def of_breakers(states: Iterable[State], held: dict[str, int], now: datetime) -> Iterator[Metric]:
    """For how long each breaker is open and what waits for it; the longest of all is told each minute."""
    longest = 0.0
    for state in states:
        if state.is_open:
            age = _seconds_since(state.opened_at or state.failed_at, now)
            longest = max(longest, age)
            yield "BreakerOpenSeconds", "Seconds", age, {"connector": state.connector}
            yield "Held", "Count", held.get(state.connector, 0), {"connector": state.connector}
    yield "BreakerOpenSeconds", "Seconds", longest, {}


def _seconds_since(moment: str, now: datetime) -> float:
    return max(0.0, (now - clock.parse(moment)).total_seconds()) if moment else 0.0
