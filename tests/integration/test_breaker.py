"""The breaker and the rate budget of a vendor, as several workers at once see them."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from switchboard import breaker, clock
from switchboard.breaker import PROBE_INTERVAL, THRESHOLD, Breaker, Budget, Gate
from switchboard.errors import AnswerLost, HeldBack, SwitchboardError, VendorError
from tests.support.tables import mocked_aws

START = datetime.fromisoformat("2026-03-01T09:30:00+00:00")
AWAY = VendorError("remote-unavailable", "away")


class Time:
    """The clock of all workers."""

    def __init__(self) -> None:
        self.now = START

    def passes(self, span: timedelta) -> None:
        self.now += span


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    time = Time()
    with mocked_aws():
        breaker.forget()
        monkeypatch.setattr(clock, "now", lambda: time.now)
        yield time
        breaker.forget()


def worker() -> Breaker:
    """A process that looks at the shared state each time."""
    ticks = itertools.count(step=10)
    return Breaker("vendor", monotonic=lambda: float(next(ticks)))


def opened() -> Breaker:
    one = worker()
    for _ in range(THRESHOLD):
        assert one.admit() is False
        one.failed(AWAY, probe=False)
    return one


def is_held(one: Breaker) -> HeldBack:
    with pytest.raises(HeldBack) as raised:
        one.admit()
    return raised.value


def test_failures_of_different_workers_open_it_for_all(time: Time) -> None:
    workers = [worker() for _ in range(THRESHOLD)]
    for one in workers:
        assert one.admit() is False
        one.failed(AWAY, probe=False)
    held = is_held(worker())
    assert (held.code, held.waits_for) == ("circuit-open", "vendor")
    assert held.retry_after == PROBE_INTERVAL.total_seconds()


def test_an_answer_ends_a_row_of_failures(time: Time) -> None:
    one = worker()
    for _ in range(3 * THRESHOLD):
        one.failed(AWAY, probe=False)
        one.answered(probe=False)
    assert worker().admit() is False


def test_failures_far_apart_are_no_outage(time: Time) -> None:
    one = worker()
    for _ in range(2 * THRESHOLD):
        one.failed(AWAY, probe=False)
        time.passes(timedelta(minutes=3))
    assert one.admit() is False


def test_one_probe_goes_an_interval_however_many_ask(time: Time) -> None:
    opened()
    probes = 0
    for _ in range(10):
        time.passes(PROBE_INTERVAL)
        workers = [worker() for _ in range(8)]

        def asks(one: Breaker) -> bool:
            try:
                return one.admit()
            except HeldBack:
                return False

        with ThreadPoolExecutor(8) as pool:
            probes += sum(pool.map(asks, workers))  # nobody reports: each prober has died
    assert probes == 10


def test_a_failed_probe_leaves_it_open_and_an_answered_one_closes_it(time: Time) -> None:
    one = opened()
    time.passes(PROBE_INTERVAL)
    assert one.admit() is True
    one.failed(AWAY, probe=True)
    is_held(worker())
    time.passes(PROBE_INTERVAL)
    assert worker().admit() is True
    one.answered(probe=True)
    assert worker().admit() is False
    assert breaker.closed_here() == {"vendor"}
    assert breaker.closed_here() == set()


def test_a_late_answer_to_an_old_call_does_not_close_it(time: Time) -> None:
    late = worker()
    late.admit()
    opened()
    late.answered(probe=False)
    is_held(worker())


def test_retry_after_moves_the_probe(time: Time) -> None:
    one = worker()
    for _ in range(THRESHOLD):
        one.failed(VendorError("remote-rate", retry_after=300), probe=False)
    time.passes(timedelta(seconds=299))
    is_held(one)
    time.passes(timedelta(seconds=1))
    assert one.admit() is True
    one.failed(VendorError("remote-rate", retry_after=120), probe=True)
    time.passes(timedelta(seconds=119))
    is_held(one)


def test_a_process_looks_at_most_once_a_second(time: Time) -> None:
    one = Breaker("vendor", monotonic=lambda: 0.0)
    assert one.admit() is False
    opened()
    assert one.admit() is False  # it does not know yet


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (AWAY, True),
        (AnswerLost("lost"), True),
        (VendorError("remote-timeout"), True),
        (VendorError("remote-rate"), True),
        (VendorError("remote-auth", extra={"vendor_status": 401}), True),
        (VendorError("remote-auth", extra={"vendor_status": 403}), False),
        (VendorError("remote-refused"), False),
        (VendorError("already-taken"), False),
        (SwitchboardError("not-configured"), False),
    ],
)
def test_what_says_that_the_vendor_is_away(time: Time, error: SwitchboardError, away: bool) -> None:
    gate = Gate("vendor")
    for _ in range(THRESHOLD):
        with pytest.raises(SwitchboardError), gate():
            raise error
    assert any(state.is_open for state in breaker.everyone()) is away


def test_a_worker_that_dies_in_a_call_is_no_failure_of_the_vendor(time: Time) -> None:
    gate = Gate("vendor")
    for _ in range(2 * THRESHOLD):
        with pytest.raises(KeyboardInterrupt), gate():
            raise KeyboardInterrupt
    assert breaker.everyone() == []


@pytest.mark.parametrize("allowed", [7, 200])
def test_a_minutes_calls_are_shared_by_all_workers(time: Time, allowed: int) -> None:
    budgets = [Budget("vendor", lambda: allowed) for _ in range(4)]
    in_a_slice = allowed if allowed < 100 else allowed // 10
    assert spent(budgets) == in_a_slice
    taken = in_a_slice
    for _ in range(9):
        time.passes(timedelta(seconds=6))
        taken += spent(budgets)
    assert taken == allowed
    time.passes(timedelta(seconds=6))
    assert spent(budgets) == in_a_slice


def spent(budgets: list[Budget]) -> int:
    """Let the workers take calls in turn until none of them gets one."""
    taken = 0
    left = budgets
    while left:
        still = []
        for budget in left:
            try:
                budget.take()
            except HeldBack:
                continue
            still.append(budget)
        taken += len(still)
        left = still
    return taken


def test_a_spent_budget_says_when_there_is_more(time: Time) -> None:
    budget = Budget("vendor", lambda: 1)
    time.passes(timedelta(seconds=20))
    budget.take()
    with pytest.raises(HeldBack) as raised:
        budget.take()
    assert (raised.value.code, raised.value.retry_after) == ("budget-spent", 40)
    assert raised.value.waits_for is None


def test_a_patient_call_waits_for_its_turn_and_no_longer(time: Time) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.passes(timedelta(seconds=seconds))

    gate = Gate("vendor", calls_per_minute=lambda: 100, patience=13.0, sleep=sleep)
    for _ in range(25):  # ten in each slice of six seconds
        with gate():
            pass
    assert waits == [6.0, 6.0]
    impatient = Gate("vendor", calls_per_minute=lambda: 100, patience=5.0, sleep=sleep)

    def burst() -> None:
        for _ in range(25):
            with impatient():
                pass

    with pytest.raises(HeldBack) as raised:
        burst()
    assert (raised.value.code, len(waits)) == ("budget-spent", 2)
