"""Each minute: count what was done out of the State table's stream, and measure what waits.

A step of its own, so that the steps which do the work pay nothing for being counted, and so that somebody
still tells when the sweeper stands.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.metrics_rollup import logic
from switchboard import breaker, clock, counts, observability, standing
from switchboard.errors import SwitchboardError
from switchboard.secrets import connector_secret

_RESERVE = timedelta(seconds=20)
"""Of the function's time, for what is measured after the stream."""


def configured(connector: str) -> bool:
    """Whether a connector's secret has been filled in."""
    try:
        connector_secret(connector)
    except SwitchboardError as error:
        if error.code == "not-configured":
            return False
        raise
    return True


def measure(has_time: counts.Deadline) -> Iterator[logic.Metric]:
    """The numbers of this minute."""
    yield from logic.of_moves(counts.rollup().catch_up(has_time))
    breakers = breaker.everyone()
    found = standing.look(None, breakers)
    now = clock.now()
    yield from logic.of_standing(found, now)
    yield from logic.of_breakers(breakers, found.held, now)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge Scheduler entry."""

    def has_time() -> bool:
        return timedelta(milliseconds=context.get_remaining_time_in_millis()) > _RESERVE

    with observability.collected():
        for name, unit, value, dimensions in measure(has_time):
            observability.measure(name, value, unit=unit, **dimensions)
    standing.note_configured({connector: configured(connector) for connector in standing.CONNECTORS})
