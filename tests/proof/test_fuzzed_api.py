"""The whole API under schemathesis: good and bad requests made from the OpenAPI document.

`SWITCHBOARD_FUZZ_EXAMPLES` is the number of requests for each operation: in the tests one of each, the same
ones every time; in `make prove` as many as make 5,000 cases. With `SWITCHBOARD_FUZZ_URL` and `…_KEY` they go
to a deployed stack.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from switchboard import aws, config, errors, observability
from tests.proof.simulation.world import VENDORS
from tests.support.deployment import ADMIN_KEY, deployed
from tests.support.loopback import Sandbox
from tests.support.wsgi import Application

EXAMPLES = int(os.environ.get("SWITCHBOARD_FUZZ_EXAMPLES", "1"))
URL = os.environ.get("SWITCHBOARD_FUZZ_URL")
KEY = os.environ.get("SWITCHBOARD_FUZZ_KEY", ADMIN_KEY)
EXCLUDED: list[Any] = [
    positive_data_acceptance,  # a schema cannot say which fields go together, nor which cursor we have given
    not_a_server_error,  # a vendor that is away is a 5xx too; `ours` looks for those that are not
]
"""Checks of schemathesis that are off, each for a reason."""


@pytest.fixture(scope="module")
def schema(running_sandbox: Sandbox) -> Iterator[Any]:
    """The document, and the application behind it with the vendors' stand-ins."""
    if URL:
        yield schemathesis.openapi.from_url(f"{URL}/openapi.json")
        return
    running_sandbox.reset()
    with deployed() as deployment:
        for vendor in VENDORS:
            held = json.dumps(running_sandbox.secret(vendor))
            made = aws.secretsmanager().create_secret(Name=vendor, SecretString=held)
            deployment.patch.setenv(f"{vendor.upper()}_SECRET_ARN", made["ARN"])
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        deployment.patch.setattr(config, "wait_until_seen", lambda: None)
        observability.logger.setLevel("CRITICAL")
        yield schemathesis.openapi.from_wsgi("/openapi.json", Application(deployment))
        observability.logger.setLevel("INFO")


def ours(status: int, body: bytes) -> str | None:
    """What is wrong with a 5xx that is not a vendor's absence, told by a code; None for any other answer."""
    if status < 500:
        return None
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError):
        return f"{status} without a code"
    known = errors.find(code) if isinstance(code, str) else None
    return f"{status} {code}" if status == 500 or known is None else None


def test_every_operation_keeps_the_document(schema: Any) -> None:
    """No 5xx but a vendor's absence, no answer beside its schema, nothing bad taken."""
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
                answer = case.call_and_validate(headers={"x-api-key": KEY}, excluded_checks=EXCLUDED)
            except FailureGroup as failures:
                for failure in failures.exceptions:
                    found.setdefault(
                        f"{case.operation.label}: {failure.title}", f"{failure}\n{failures.message}"
                    )
            except Failure as failure:
                found.setdefault(f"{case.operation.label}: {failure.title}", str(failure))
            else:
                if wrong := ours(answer.status_code, answer.content):
                    found.setdefault(f"{case.operation.label}: {wrong}", case.as_curl_command())

        hold()
    print(f"{cases} cases")
    assert found == {}, "\n\n".join(f"{label}: {words}" for label, words in found.items())
