"""The whole API under schemathesis: good and bad requests made from the OpenAPI document, all checks on.

`SWITCHBOARD_FUZZ_EXAMPLES` is the number of requests for each operation: here one of each, in `make prove`
as many as make 5,000 cases. With `SWITCHBOARD_FUZZ_URL` and `…_KEY` they go to a deployed stack.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.failures import Failure, FailureGroup

from switchboard import config, observability
from tests.support.deployment import ADMIN_KEY, deployed
from tests.support.wsgi import Application

EXAMPLES = int(os.environ.get("SWITCHBOARD_FUZZ_EXAMPLES", "1"))
pytestmark = pytest.mark.skipif("SWITCHBOARD_FUZZ_EXAMPLES" not in os.environ, reason="in make prove only")
URL = os.environ.get("SWITCHBOARD_FUZZ_URL")
KEY = os.environ.get("SWITCHBOARD_FUZZ_KEY", ADMIN_KEY)
EXCLUDED: list[Any] = []
"""Checks that are off, each for a reason."""


@pytest.fixture(scope="module")
def schema() -> Iterator[Any]:
    """The document, and the application behind it."""
    if URL:
        yield schemathesis.openapi.from_url(f"{URL}/openapi.json")
        return
    with deployed() as deployment:
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        deployment.patch.setattr(config, "wait_until_seen", lambda: None)
        observability.logger.setLevel("CRITICAL")
        yield schemathesis.openapi.from_wsgi("/openapi.json", Application(deployment))
        observability.logger.setLevel("INFO")


def test_every_operation_keeps_the_document(schema: Any) -> None:
    """No 5xx but a vendor's absence, no answer beside its schema, nothing bad taken, nothing good refused."""
    found: dict[str, str] = {}
    cases = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=EXAMPLES < 10,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy())
        def hold(case: Any) -> None:
            nonlocal cases
            cases += 1
            try:
                case.call_and_validate(headers={"x-api-key": KEY}, excluded_checks=EXCLUDED)
            except FailureGroup as failures:
                for failure in failures.exceptions:
                    found.setdefault(
                        f"{case.operation.label}: {failure.title}", f"{failure}\n{failures.message}"
                    )
            except Failure as failure:
                found.setdefault(f"{case.operation.label}: {failure.title}", str(failure))

        hold()
    print(f"{cases} cases")
    assert found == {}, "\n\n".join(f"{label}: {words}" for label, words in found.items())
