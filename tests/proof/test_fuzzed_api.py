"""The whole API under schemathesis: its engine makes good and bad requests from the OpenAPI document.

In the tests each operation gets one request, the same ones every time. `make prove` has the engine's phases:
`coverage` (each limit of each schema, methods that are not there, a missing or wrong key), `fuzzing` (drawn
requests, good and bad) and `stateful` (what one call made is used, and deleted, by the next ones). With
`SWITCHBOARD_FUZZ_URL` and `…_KEY` they go to a deployed stack.
"""

import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events
from werkzeug.serving import WSGIRequestHandler, make_server

from switchboard import aws, config, errors, observability
from tests.proof.simulation.world import VENDORS
from tests.support.deployment import ADMIN_KEY, deployed
from tests.support.stand_ins import Sandbox
from tests.support.wsgi import Application

PHASES = os.environ.get("SWITCHBOARD_FUZZ_PHASES", "fuzzing").split(",")
EXAMPLES = int(os.environ.get("SWITCHBOARD_FUZZ_EXAMPLES", "1"))
CASES = int(os.environ.get("SWITCHBOARD_FUZZ_CASES", "100"))
URL = os.environ.get("SWITCHBOARD_FUZZ_URL")
KEY = os.environ.get("SWITCHBOARD_FUZZ_KEY", ADMIN_KEY)

CHECKS: dict[str, Any] = {
    # 502 and 503 are a vendor's: `fives_name_a_vendors_failure` holds each to its code. A 500 is never right.
    "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "502", "503"]},
    # A schema cannot say which fields go together, nor which URL may be called: a good request may be 422.
    "positive_data_acceptance": {"enabled": False},
}
"""Checks of schemathesis that are not as they come, each for a reason; all others are on."""


@schemathesis.check
def fives_name_a_vendors_failure(ctx: object, response: Any, case: object) -> None:
    """A 5xx is a problem document whose code is a vendor's failure."""
    if response.status_code >= 500:
        code = json.loads(response.content)["code"]
        known = errors.find(code)
        assert known is not None, f"{code} is no code of ours"
        assert code != "internal", "something broke on our side"


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: object) -> None:
    """An Idempotency-Key of its own for each request: the same one again is another test's matter."""
    headers = case.headers or {}
    key, own = headers.get("Idempotency-Key"), uuid.uuid4().hex
    if isinstance(key, str) and key:
        headers["Idempotency-Key"] = key[: -len(own)] + own if len(key) > 200 else key + own


def configured(api_url: str) -> SchemathesisConfig:
    """The engine's settings."""
    return SchemathesisConfig.from_dict(
        {
            "base-url": api_url,
            "cache": {"enabled": False},
            "auth": {"openapi": {"apiKey": {"api_key": KEY}}},
            "generation": {
                "max-examples": EXAMPLES,
                "mode": "all",
                "database": "none",
                "deterministic": EXAMPLES < 10,
                "no-shrink": True,
                # A name in the query that nobody knows is left alone (`QueryModel`).
                "allow-extra-parameters": False,
            },
            "checks": CHECKS,
            # Its schema is that of every area at once: all its limits together are tens of thousands.
            "operations": [
                {"include-name": "PUT /settings/{area}", "phases": {"coverage": {"enabled": False}}}
            ],
            "phases": {
                phase: {"enabled": phase in PHASES}
                for phase in ("examples", "coverage", "fuzzing", "stateful")
            },
        }
    )


@schemathesis.hook
def after_call(
    _: schemathesis.HookContext, __: schemathesis.Case[Any], response: schemathesis.Response
) -> None:
    """The emulator's gateway refuses a key in words of its own; here they become the template's."""
    if URL and response.status_code in (401, 403) and "x-amzn-errortype" in response.headers:
        code, title = {
            401: ("unauthorized", "No valid API key"),
            403: ("forbidden", "The key lacks the scope"),
        }[response.status_code]
        problem = {"type": f"urn:switchboard:problem:{code}", "title": title, "status": response.status_code}
        problem |= {"detail": title, "instance": "urn:switchboard:request:x", "code": code}
        problem |= {"correlationId": "x", "errors": []}
        response.headers["content-type"] = ["application/problem+json"]
        response.content = json.dumps(problem).encode()


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any, **__: Any) -> None:
        """Nothing: thousands of lines."""


@contextmanager
def served(application: Application) -> Iterator[str]:
    """The application on a port of this process; yields its URL."""
    server = make_server("127.0.0.1", 0, application, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def api_url(running_sandbox: Sandbox) -> Iterator[str]:
    """The deployed API's URL, or that of the bundle in a mocked account with the vendors' stand-ins."""
    if URL:
        yield URL
        return
    running_sandbox.reset()
    level = observability.logger.log_level
    with deployed() as deployment:
        for vendor in VENDORS:
            held = json.dumps(running_sandbox.secret(vendor))
            made = aws.secretsmanager().create_secret(Name=vendor, SecretString=held)
            deployment.patch.setenv(f"{vendor.upper()}_SECRET_ARN", made["ARN"])
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        deployment.patch.setattr(config, "wait_until_seen", lambda: None)
        observability.logger.setLevel("CRITICAL")
        try:
            with served(Application(deployment)) as url:
                yield url
        finally:
            observability.logger.setLevel(level)


def test_every_operation_keeps_the_document(api_url: str) -> None:
    """No 5xx but a vendor's absence, no answer beside its schema, nothing bad taken, no key too few."""
    schema = schemathesis.openapi.from_url(f"{api_url}/openapi.json", config=configured(api_url))
    found: dict[str, str] = {}
    cases: Counter[str] = Counter()
    for event in engine.from_schema(schema).execute():
        match event:
            case events.ScenarioFinished(phase=phase, recorder=recorder):
                cases[phase.value] += len(recorder.interactions)
                found = dict(_failures(recorder)) | found
            case events.NonFatalError(label=label, value=error):
                found.setdefault(f"{label}: {type(error).__name__}", str(error))
            case events.FatalError(exception=error):
                raise error
            case events.EngineFinished(failures=failures):
                found = {failure.title: failure.message for failure in failures} | found
            case _:
                pass
    print(f"{cases.total()} cases")
    print(", ".join(f"{number} of {phase}" for phase, number in cases.items()))
    assert found == {}, "\n\n".join(f"{label}: {words}" for label, words in found.items())
    assert cases.total() >= CASES


def _failures(recorder: Any) -> Iterator[tuple[str, str]]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                label = recorder.cases[case_id].value.operation.label
                yield f"{label}: {failure.title}", f"{failure.message}\n{check.failure_info.code_sample}"
