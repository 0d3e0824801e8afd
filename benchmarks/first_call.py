"""What a function asks of AWS in its first call, recorded, and played back to every contender alike.

Recorded in a mocked account with the event of `events/`, as a new process would ask: nothing is cached.
Played back over TLS on loopback, so that a contender pays for a connection as it would at AWS, and for no
emulator: the n-th request of a kind gets the n-th recorded answer of that kind.
"""

import importlib
import json
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tools.paths import ROOT

EVENTS = {
    "authorizer": "authorizer",
    "campaign_query": "campaign_query_create",
    "charging": "charging_customer",
    "console": "console_page",
    "crm_api": "crm_api_create_customer",
    "crm_event_intake": "crm_event_intake_case_edit",
    "lead_create": "lead_create",
    "member_intake": "member_intake_enrolled",
    "operations": "operations_health",
    "social_intake": "social_intake_complaint",
    "survey_api": "survey_api_dump",
    "trigger_config": "trigger_config_create",
}
"""Each function behind the API, and the recorded event that is its first call."""

_NOT_OUR_ENVIRONMENT = frozenset({"PYTEST_CURRENT_TEST", "AWS_ENDPOINT_URL"})
_BESIDE = {"POWERTOOLS_METRICS_NAMESPACE": "Switchboard"}
_AWS = "https://sqs.eu-central-1.amazonaws.com"


@dataclass(frozen=True)
class Exchange:
    """One request to AWS, and its answer."""

    service: str
    target: str
    content_type: str
    body: str
    status: int
    answer: str


@dataclass(frozen=True)
class FirstCall:
    """A function's first call.

    Attributes:
        function: the step's name.
        event: what API Gateway hands to it.
        environment: the variables that it was recorded with.
        exchanges: what it asked of AWS, in order.
        answer: what it gave back.
    """

    function: str
    event: Mapping[str, Any]
    environment: Mapping[str, str]
    exchanges: tuple[Exchange, ...]
    answer: Any


def record() -> list[FirstCall]:
    """The first call of every function, each in an account of its own."""
    return [_record(function, event_named(name)) for function, name in EVENTS.items()]


def event_named(name: str) -> dict[str, Any]:
    """One of the events of `events/`."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def record_warm(function: str, warming: Mapping[str, Any], event: Mapping[str, Any]) -> FirstCall:
    """A later call: what a process asks of AWS that has answered another event before."""
    return _record(function, event, warming)


def _record(function: str, event: Mapping[str, Any], warming: Mapping[str, Any] | None = None) -> FirstCall:
    from moto.core.botocore_stubber import BotocoreStubber

    from switchboard import config
    from tests.support.deployment import Context, deployed, forget_everything

    staleness, before = config.STALENESS, dict(os.environ)
    exchanges: list[Exchange] = []
    with deployed() as deployment:
        config.STALENESS = staleness
        process = BotocoreStubber.process_request

        def noted(stubber: BotocoreStubber, request: Any) -> Any:
            answer = process(stubber, request)
            exchanges.append(_exchange(request, answer))
            return answer

        forget_everything()
        deployment.patch.setattr(BotocoreStubber, "process_request", noted)
        for name, value in (_BESIDE | {"POWERTOOLS_SERVICE_NAME": function}).items():
            deployment.patch.setenv(name, value)
        handler = importlib.import_module(f"functions.{function}.app").lambda_handler
        if warming is not None:
            handler(json.loads(json.dumps(warming)), Context())
            exchanges.clear()
        answer = handler(json.loads(json.dumps(event)), Context())
        environment = {
            name: value
            for name, value in os.environ.items()
            if before.get(name) != value and name not in _NOT_OUR_ENVIRONMENT
        }
    return FirstCall(function, event, environment, tuple(exchanges), answer)


def _exchange(request: Any, answer: Any) -> Exchange:
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    body = request.body or b""
    status, _, content = answer
    return Exchange(
        headers["authorization"].split("/")[3],
        headers["x-amz-target"],
        headers.get("content-type", ""),
        body if isinstance(body, str) else bytes(body).decode(),
        status,
        content.decode() if isinstance(content, bytes) else content,
    )


class Account:
    """AWS as it was recorded: one call's answers at a time, over TLS."""

    def __init__(self, certificate: Path) -> None:
        self._waiting: dict[str, list[Exchange]] = {}
        self._unknown: list[str] = []
        account = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = account._answer(self.headers.get("X-Amz-Target", ""))
                content = answer.encode()
                self.wfile.write(
                    b"HTTP/1.1 %d OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (status, len(content), content)
                )

            def log_message(self, *_: Any) -> None:
                return

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def play(self, call: FirstCall) -> None:
        """Answer as in this call, from its beginning."""
        self._unknown.clear()
        self._waiting = {}
        for exchange in call.exchanges:
            self._waiting.setdefault(exchange.target, []).append(exchange)

    def _answer(self, target: str) -> tuple[int, str]:
        waiting = self._waiting.get(target)
        if not waiting:
            self._unknown.append(target)
            return 500, "{}"
        exchange = waiting.pop(0)
        return exchange.status, exchange.answer

    def check(self, who: str) -> None:
        """`RuntimeError` unless all that was recorded was asked for, and nothing else."""
        left = [target for target, waiting in self._waiting.items() for _ in waiting]
        if left or self._unknown:
            raise RuntimeError(f"{who} did not ask for {left}, and asked for {self._unknown} unrecorded")

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def environment_at(call: FirstCall, url: str) -> dict[str, str]:
    """The call's variables, with AWS at this address."""
    return {name: value.replace(_AWS, url) for name, value in call.environment.items()}


@contextmanager
def account(certificate: Path) -> Iterator[Account]:
    """The recorded account, until the block ends."""
    made = Account(certificate)
    try:
        yield made
    finally:
        made.close()
