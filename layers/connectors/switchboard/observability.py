"""Logs and metrics of a step: JSON lines with the correlation id, and EMF metrics by flow.

Nothing personal goes into a log: ids, codes and counts do. The payload of a piece of work is in its
ledger entry, behind a scope.
"""

import logging
import os
import time

from aws_lambda_powertools import Logger

logger = Logger()

# httpx logs each whole URL at INFO, and a URL can carry a key.
logging.getLogger("httpx").setLevel(logging.WARNING)


def count(name: str, value: int = 1, **dimensions: str) -> None:
    """Count something, under its own dimensions (`flow`, `connector`, `status`)."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    namespace = os.environ["POWERTOOLS_METRICS_NAMESPACE"]
    with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=namespace) as metric:
        for dimension, held in dimensions.items():
            metric.add_dimension(name=dimension, value=held)


class Stopwatch:
    """Milliseconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def milliseconds(self) -> int:
        """Whole milliseconds so far."""
        return round((time.perf_counter() - self._start) * 1000)
