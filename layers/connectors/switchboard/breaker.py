"""What stands between all workers and one vendor: a circuit breaker and a rate budget, both shared.

    client = ConnectorClient("crowdtwist", auth, gate=Gate("crowdtwist", calls_per_minute=budget))

A worker asks the gate before each request and tells it what came of it. The state is one item of the State
table for each connector, so that an outage is learnt once, not by each worker:

              `THRESHOLD` failures in a row                 the probe's turn comes (`probeAt`)
    closed ────────────────────────────────▶ open ────────────────────────────────▶ one call goes through
       ▲                                      ▲                                          │
       │                                      └──────────────── it failed ───────────────┤
       └───────────────────────────────────────────────────────  it was answered ────────┘

Taking the probe moves `probeAt` on by an interval, in one conditional write: so there is at most one probe
an interval whatever happens to the worker that took it. While the breaker is open every other call raises
`HeldBack` and nothing is sent. Work that was held back waits in the ledger under the connector's name
(`Ledger.held`), costs nothing meanwhile, and is released when the breaker closes (`work.release`).

A failure is what says that the vendor is away for everybody: no answer, 5xx, 429, a refused key. An answer
that refuses one record is an answer. Requests: none for a call in the usual case, since a process looks at
the item at most once a second (an eventually consistent read, half a read unit); one write for a block of the
rate budget.

The gate also measures each call (`VendorMilliseconds`, whose sample count is the number of calls) and counts
each failure by its code (`VendorFailures`), by connector.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from weakref import WeakSet

from switchboard import clock, observability
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.errors import AnswerLost, HeldBack, SwitchboardError, VendorError

THRESHOLD = 5
"""Failures in a row, of all workers together, that open the breaker."""

PATIENT_THRESHOLD = 15
"""The same where one call is sent up to three times: a caller's single bad moment opens nothing."""

PROBE_INTERVAL = timedelta(seconds=20)
"""Between two probes. Longer than the connector's deadline, so that there is one probe at a time."""

LOOKED_AT_AGAIN = 1.0
"""Seconds for which a process trusts what it has read."""

_FORGOTTEN_AFTER = timedelta(minutes=2)
"""Failures that are further apart are no outage."""

_SLICES = 10
"""Parts of a minute that a budget is spent by: a fixed minute would let two minutes' calls through in one."""

_WHOLE_MINUTE_BELOW = 100
_BLOCKS = 20
_KEPT = timedelta(hours=1)
_PARTITION = "BREAKER"


@cache
def _table() -> Table:
    return Table(os.environ["STATE_TABLE"])


@dataclass(frozen=True, slots=True)
class State:
    """One connector's breaker. While it is open: `opened_at`, and `probe_at`, when the next probe may go."""

    connector: str
    is_open: bool = False
    failures: int = 0
    failed_at: str = ""
    probe_at: str = ""
    opened_at: str = ""

    @property
    def probe_is_due(self) -> bool:
        """Whether the next call may go through as the probe."""
        return self.is_open and self.probe_at <= clock.timestamp()


def _state(item: Item) -> State:
    return State(
        item["sk"],
        item["isOpen"],
        item.get("failures", 0),
        item.get("failedAt", ""),
        item.get("probeAt", ""),
        item.get("openedAt", ""),
    )


def everyone() -> list[State]:
    """The breaker of each connector that has ever failed."""
    return [_state(item) for item in _table().query_all("pk = :pk", {":pk": _PARTITION}, consistent=True)]


_closed_here: set[str] = set()
_of_this_process: "WeakSet[Breaker]" = WeakSet()


def closed_here() -> set[str]:
    """The connectors whose breaker this process has closed since it was last asked."""
    closed = set(_closed_here)
    _closed_here.clear()
    return closed


@dataclass(eq=False)
class Breaker:
    """The breaker of one connector, as one process sees it.

    Args:
        connector: its name, as in `ConnectorClient`.
        monotonic: seconds, for what this process remembers.
        threshold: failures in a row that open it.
        probe_every: between two probes.
    """

    connector: str
    monotonic: Callable[[], float] = time.monotonic
    threshold: int = THRESHOLD
    probe_every: timedelta = PROBE_INTERVAL
    _seen: State | None = field(default=None, init=False)
    _looked_at: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        _of_this_process.add(self)

    def admit(self) -> bool:
        """Let a call through; whether it is the probe. Raises HeldBack while the breaker is open."""
        state = self._present()
        if state.probe_is_due and self._take_probe():
            return True
        if not self._present().is_open:
            return False
        raise self._held_back()

    @property
    def is_open(self) -> bool:
        """Whether it is open, as far as this process knows."""
        return self._present().is_open

    def answered(self, *, probe: bool) -> None:
        """The vendor answered, whatever it said: the probe closes the breaker, a row of failures ends."""
        closed: Item = {":no": False, ":zero": 0}
        if probe:
            self._write("SET isOpen = :no, failures = :zero", closed)
            observability.logger.warning("the vendor is back", connector=self.connector)
            observability.count("BreakerClosed", connector=self.connector)
            _closed_here.add(self.connector)
        elif self._present().failures and not self._present().is_open:
            self._write("SET failures = :zero", closed, condition="isOpen = :no")

    def failed(self, error: SwitchboardError, *, probe: bool) -> None:
        """The vendor failed: `THRESHOLD` times in a row open the breaker; a failed probe leaves it open."""
        pause = max(self.probe_every, timedelta(seconds=error.retry_after or 0))
        probe_at: Item = {":probeAt": clock.timestamp(pause)}
        if probe:
            # The turn was taken already; only a longer Retry-After moves it.
            if pause > self.probe_every:
                self._write("SET probeAt = :probeAt", probe_at)
            return
        if self._present().is_open:
            return
        failure: Item = {":no": False, ":now": clock.timestamp(), ":one": 1}
        state = self._write(
            "SET isOpen = if_not_exists(isOpen, :no), failedAt = :now ADD failures :one",
            failure | {":recent": clock.timestamp(-_FORGOTTEN_AFTER)},
            condition="attribute_not_exists(failedAt) OR failedAt >= :recent",
        ) or self._write("SET isOpen = if_not_exists(isOpen, :no), failedAt = :now, failures = :one", failure)
        if state and state.failures >= self.threshold and not state.is_open:
            opens: Item = {":yes": True, ":no": False, ":now": clock.timestamp()} | probe_at
            opened = "SET isOpen = :yes, probeAt = :probeAt, openedAt = :now"
            if self._write(opened, opens, condition="isOpen = :no"):
                observability.logger.warning("the vendor is away", connector=self.connector, code=error.code)
                observability.count("BreakerOpened", connector=self.connector)

    def _present(self) -> State:
        if self._seen is None or self.monotonic() - self._looked_at >= LOOKED_AT_AGAIN:
            item = _table().get(_PARTITION, self.connector, consistent=False)
            self._remember(_state(item) if item else State(self.connector))
        assert self._seen is not None  # noqa: S101 - remembered two lines above
        return self._seen

    def _remember(self, state: State) -> None:
        self._seen, self._looked_at = state, self.monotonic()

    def forget(self) -> None:
        """Look at the shared state before the next call."""
        self._seen = None

    def _take_probe(self) -> bool:
        turn: Item = {":yes": True, ":now": clock.timestamp(), ":next": clock.timestamp(self.probe_every)}
        condition = "isOpen = :yes AND probeAt <= :now"
        return self._write("SET probeAt = :next", turn, condition=condition) is not None

    def _write(self, update: str, values: Item, *, condition: str | None = None) -> State | None:
        """The state after the write; None when the condition did not hold."""
        try:
            item = _table().update(_PARTITION, self.connector, update, condition=condition, values=values)
        except ConditionFailed as found:
            if found.item:
                self._remember(_state(found.item))
            return None
        self._remember(_state(item))
        return self._seen

    def _held_back(self) -> HeldBack:
        state = self._present()
        wait = (clock.parse(state.probe_at) - clock.now()).total_seconds()
        return HeldBack(
            self.connector,
            "circuit-open",
            f"{self.connector} is away and was not called.",
            retry_after=max(wait, 1.0),
        )


@dataclass
class Budget:
    """So many calls a minute, of all workers together.

    The minute is spent in slices of 6 seconds (whole, for small budgets), so that any 60 seconds see at
    most a tenth more. A worker takes its calls by the block, a twentieth of a slice, in one conditional
    write; what it does not use of a block is lost with the slice.

    Args:
        connector: whose calls are counted.
        calls_per_minute: asked for each block, so that a change in the settings is obeyed soon.
    """

    connector: str
    calls_per_minute: Callable[[], int]
    _slice: int = field(default=-1, init=False)
    _left: int = field(default=0, init=False)
    _spent: bool = field(default=False, init=False)

    def take(self) -> None:
        """Take one call; raises HeldBack until the next slice when none is left."""
        allowed = self.calls_per_minute()
        seconds, calls = (
            (60, allowed) if allowed < _WHOLE_MINUTE_BELOW else (60 // _SLICES, allowed // _SLICES)
        )
        now = clock.now().timestamp()
        number = int(now // seconds)
        if self._slice != number:
            self._slice, self._left, self._spent = number, 0, False
        if self._left == 0 and not self._spent:
            self._left = self._reserve(number, seconds, calls, max(1, calls // _BLOCKS))
            self._spent = self._left == 0
        if self._left == 0:
            raise HeldBack(
                self.connector,
                "budget-spent",
                f"The {allowed} calls a minute to {self.connector} are used up for now.",
                retry_after=(number + 1) * seconds - now,
            )
        self._left -= 1

    def _reserve(self, number: int, seconds: int, calls: int, block: int) -> int:
        try:
            _table().update(
                f"BUDGET#{self.connector}",
                f"{seconds}#{number}",
                "ADD taken :block SET expiresAt = :expiresAt",
                condition="attribute_not_exists(taken) OR taken <= :most",
                values={
                    ":block": block,
                    ":most": calls - block,
                    ":expiresAt": int((clock.now() + _KEPT).timestamp()),
                },
            )
        except ConditionFailed:
            return 0
        return block


class Gate:
    """Breaker and budget of one connector; what a `ConnectorClient` takes as `gate`.

    Args:
        connector: its name.
        calls_per_minute: the rate budget; none when left out.
        threshold: failures in a row that open the breaker.
        probe_every: between two probes; longer than the deadline of the connector's calls.
        patience: seconds that a call waits for its turn in the budget before it is held back, for vendors
            whose callers come in bursts; a slice of a budget is 6 seconds.
        sleep: waits seconds.
    """

    def __init__(
        self,
        connector: str,
        *,
        calls_per_minute: Callable[[], int] | None = None,
        threshold: int = THRESHOLD,
        probe_every: timedelta = PROBE_INTERVAL,
        patience: float = 0.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.breaker = Breaker(connector, threshold=threshold, probe_every=probe_every)
        self._budget = Budget(connector, calls_per_minute) if calls_per_minute else None
        self._patience = patience
        self._sleep = sleep

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Around one request: raises HeldBack instead of sending it; learns from what the request raises."""
        probe = self.breaker.admit()
        self._take_turn()
        watch = observability.Stopwatch()
        try:
            yield
        except SwitchboardError as error:
            self._measure(watch, error)
            if says_it_is_away(error):
                self.breaker.failed(error, probe=probe)
            elif isinstance(error, VendorError):
                self.breaker.answered(probe=probe)
            if isinstance(error, VendorError) and self.breaker.is_open:
                error.waits_for = self.breaker.connector
            raise
        self._measure(watch, None)
        self.breaker.answered(probe=probe)

    def _take_turn(self) -> None:
        left = self._patience
        while self._budget:
            try:
                self._budget.take()
            except HeldBack as held:
                wait = held.retry_after or 0.0
                if wait > left:
                    raise
                left -= wait
                self._sleep(wait)
            else:
                return

    def _measure(self, watch: observability.Stopwatch, error: SwitchboardError | None) -> None:
        connector = self.breaker.connector
        whose = {"service": observability.MEASURED_BY, "connector": connector}
        observability.measure("VendorMilliseconds", watch.milliseconds, **whose)
        # A look-up that finds nothing is an answer: each new member would be a failure of the vendor's.
        if error is not None and error.code != "not-found":
            observability.count("VendorFailures", 1, **whose, code=error.code)


def says_it_is_away(error: SwitchboardError) -> bool:
    """Whether a failure speaks of the vendor as a whole, not of one record or of ourselves.

    A 403 is about rights to one thing; a 401 refuses our key whatever the record is, and repeating it brings
    a lock-out nearer.
    """
    if not isinstance(error, VendorError):
        return False
    if error.code == "remote-auth":
        return error.extra.get("vendor_status") != 403
    return isinstance(error, AnswerLost) or error.code in (
        "remote-unavailable",
        "remote-timeout",
        "remote-rate",
    )


def forget() -> None:
    """Drop what this process has cached."""
    _table.cache_clear()
    _closed_here.clear()
    for one in _of_this_process:
        one.forget()
