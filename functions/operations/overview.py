"""GET /overview: how much was done in the last 24 hours, what waits now, and how the vendors are."""

from collections import Counter
from typing import Literal

from switchboard import breaker, clock, counts, standing, work
from switchboard.api import Answer, Api, Call
from switchboard.models import ApiModel

api = Api("overview")


class Counted(ApiModel):
    """Pieces of work that came in, got done, and failed for good. What is done again counts as done again."""

    accepted: int = 0
    done: int = 0
    failed: int = 0


class Hour(Counted):
    """One hour; `at` is its beginning."""

    at: str


class Now(ApiModel):
    """What is open: waiting for its worker, for its next attempt, or for a person.

    `oldestAt`: when the longest unfinished piece was accepted; what waits by design (for quiet hours, for a
    customer to appear) and calls of triggers, which are repeated for days, do not count for it.
    """

    waiting: int = 0
    retrying: int = 0
    failed: int = 0
    oldest_at: str | None = None


class FlowOverview(ApiModel):
    """One flow. `hours`: 24, the oldest first, the last one is this hour."""

    flow: str
    last24_hours: Counted
    now: Now
    hours: list[Hour]


class ConnectorOverview(ApiModel):
    """One vendor. While its breaker is open nothing is sent to it, but one probe at `nextProbeAt`.

    `half-open`: the next call goes through, and decides. `held`: pieces of work that wait for it to close.
    """

    connector: str
    configured: bool
    breaker: Literal["closed", "open", "half-open"]
    open_since: str | None = None
    next_probe_at: str | None = None
    held: int = 0


class Overview(ApiModel):
    """Everything at a glance; a partner sees its own work, and no connectors.

    `hours` are counted each minute. `nowIsMinimum`: so much is open that only a part of it was counted.
    """

    at: str
    flows: list[FlowOverview]
    connectors: list[ConnectorOverview]
    now_is_minimum: bool = False


@api.get("/overview", scope="ledger:read", answers={200: Overview})
def overview(call: Call) -> Answer:
    """How much was done in the last 24 hours, what waits now, and how the vendors are."""
    whose = None if call.caller.is_admin else call.caller.partner_id
    breakers = breaker.everyone()
    found = standing.look(whose, breakers)
    counted = counts.last_hours(work.ledger().table, whose)
    flows = [_flow(name, counted.get(name, {}), found) for name in sorted(counted.keys() | found.flows)]
    connectors = _connectors(breakers, found) if call.caller.is_admin else []
    body = Overview(
        at=clock.timestamp(), flows=flows, connectors=connectors, now_is_minimum=not found.is_whole
    )
    return Answer(200, body, {"Cache-Control": "no-store"})


def _flow(name: str, counted: dict[str, Counter[str]], found: standing.Standing) -> FlowOverview:
    hours = [
        Hour(at=f"{hour}:00:00.000Z", **counted.get(hour, Counter())) for hour in counts.hours_until_now()
    ]
    now = found.flow(name)
    return FlowOverview(
        flow=name,
        last24_hours=Counted(
            accepted=sum(hour.accepted for hour in hours),
            done=sum(hour.done for hour in hours),
            failed=sum(hour.failed for hour in hours),
        ),
        now=Now(waiting=now.waiting, retrying=now.retrying, failed=now.failed, oldest_at=now.oldest_at),
        hours=hours,
    )


def _connectors(breakers: list[breaker.State], found: standing.Standing) -> list[ConnectorOverview]:
    configured = standing.configured_connectors()
    states = {state.connector: state for state in breakers}
    return [
        _connector(states.get(name, breaker.State(name)), configured.get(name, False), found)
        for name in standing.CONNECTORS
    ]


def _connector(state: breaker.State, configured: bool, found: standing.Standing) -> ConnectorOverview:
    known = ConnectorOverview(
        connector=state.connector,
        configured=configured,
        breaker="closed",
        held=found.held.get(state.connector, 0),
    )
    if not state.is_open:
        return known
    return known.model_copy(
        update={
            "breaker": "half-open" if state.probe_is_due else "open",
            "open_since": state.opened_at or None,
            "next_probe_at": state.probe_at,
        }
    )
