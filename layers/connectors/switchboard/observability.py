"""Logs and metrics of a step: JSON lines with the correlation id, and CloudWatch's embedded metrics.

A metric costs no request: it is a line of the log, out of which CloudWatch makes it. The work itself is
counted by `metrics_rollup`, out of the State table's stream, and not by the steps that do it.

Nothing personal goes into a log: ids, codes and counts do. The payload of a piece of work is in its
ledger entry, behind a scope.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools import Logger

logger = Logger()

# httpx logs each whole URL at INFO, and a URL can carry a key.
logging.getLogger("httpx").setLevel(logging.WARNING)


type _Dimensions = tuple[tuple[str, str], ...]

MEASURED_BY = "switchboard"
"""The dimension `service` of what every step measures alike, so that it is one metric and not one a step."""

_noted: dict[_Dimensions, list[tuple[str, str, float]]] = {}
_collecting = 0


def count(name: str, value: int = 1, **dimensions: str) -> None:
    """Count something, under its own dimensions (`flow`, `connector`, `class`), never an id of anybody."""
    _note(name, "Count", value, dimensions)


def measure(name: str, value: float, *, unit: str = "Milliseconds", **dimensions: str) -> None:
    """Note one value of a measurement; CloudWatch keeps its distribution. `unit` is one of CloudWatch's."""
    _note(name, unit, value, dimensions)


@contextmanager
def collected() -> Iterator[None]:
    """Write what is noted inside at the end, a line for each set of dimensions, and not line by line."""
    global _collecting
    _collecting += 1
    try:
        yield
    finally:
        _collecting -= 1
        if not _collecting:
            _write()


def _note(name: str, unit: str, value: float, dimensions: dict[str, str]) -> None:
    _noted.setdefault(tuple(sorted(dimensions.items())), []).append((name, unit, value))
    if not _collecting:
        _write()


def _write() -> None:
    from aws_lambda_powertools.metrics import EphemeralMetrics

    while _noted:
        dimensions, values = _noted.popitem()
        metrics = EphemeralMetrics(namespace=os.environ["POWERTOOLS_METRICS_NAMESPACE"])
        for dimension, held in dimensions:
            metrics.add_dimension(name=dimension, value=held)
        for name, unit, value in values:
            metrics.add_metric(name=name, unit=unit, value=value)
        metrics.flush_metrics()


class Stopwatch:
    """Milliseconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def milliseconds(self) -> int:
        """Whole milliseconds so far."""
        return round((time.perf_counter() - self._start) * 1000)
