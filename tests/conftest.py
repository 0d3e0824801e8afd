"""What Powertools reads when it is imported has to stand before anything imports it."""

import os
from collections.abc import Generator
from typing import Any

import pytest

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "switchboard")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Switchboard")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Whatever test it was: what the functions logged while it ran holds nothing personal and no secret."""
    from tests.support import canaries

    report = yield
    if report.when == "call" and report.passed:
        # The logger's own stream is the test's standard output; other libraries' lines are in the log.
        found = canaries.breaches(report.capstdout + report.capstderr + report.caplog)
        if found:
            report.outcome = "failed"
            report.longrepr = "a log line of the functions told too much:\n" + "\n".join(found[:10])
    return report
