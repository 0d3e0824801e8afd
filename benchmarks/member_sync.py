"""Members synchronized beside a bare loop over the very same HTTP calls.

    PYTHONPATH=.:layers/connectors python -m benchmarks.member_sync [members]

CrowdTwist is the sandbox and AWS is the emulator, each a process of its own. The step works through members
that are known at CrowdTwist and have a new version; every HTTP request that it makes, to CrowdTwist and to
AWS, is written down. The bare loop then sends the same requests by `http.client`, kept alive, one after the
other, and does nothing else. Both take turns, so that a slow moment hits both.
"""

import http.client
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from benchmarks import page
from benchmarks.surroundings import emulator, free_port, process, wait_for, wait_until_healthy

GOAL = 0.7
_ROUNDS = 5


@dataclass(frozen=True)
class Request:
    """One HTTP request as it went out."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Round:
    """Seconds of wall and of this process's CPU, for one round of members; and the requests of the step."""

    wall: float = 0.0
    cpu: float = 0.0
    requests: list[Request] = field(default_factory=list)


@contextmanager
def _recorded(requests: list[Request]) -> Iterator[None]:
    """Write down what goes out, to AWS and to the vendor."""
    import httpx

    from switchboard import aws

    def note_aws(request: Any, **_: Any) -> None:
        body = request.body.encode() if isinstance(request.body, str) else bytes(request.body or b"")
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        requests.append(Request(request.method, request.url, headers, body))

    send = httpx.Client.send

    def note_vendor(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        requests.append(Request(request.method, str(request.url), dict(request.headers), request.content))
        return send(client, request, **options)

    events = [client.meta.events for client in (aws.dynamodb(), aws.sqs())]
    for one in events:
        one.register("before-send.*.*", note_aws)
    httpx.Client.send = note_vendor  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        httpx.Client.send = send  # type: ignore[method-assign]
        for one in events:
            one.unregister("before-send.*.*", note_aws)


def _timed(work: Callable[[], None]) -> Round:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Round(time.perf_counter() - wall, time.process_time() - cpu)


def _accept(members: int, version: int) -> list[str]:
    from switchboard import work
    from switchboard.members import FLOW, Member
    from tests.support import factories

    ids = []
    for number in range(members):
        fields = factories.member(version=version, email=f"m{number}@example.com", lastName=f"M v{version}")
        accepted = work.ledger().accept(
            partner_id="admin",
            flow=FLOW,
            entity=f"m{number}",
            payload=Member.model_validate(fields, strict=False).model_dump(
                mode="json", by_alias=True, exclude_none=True
            ),
            group=f"m{number}",
            correlation_id="benchmark",
            version=version,
            shared=True,
        )
        ids.append(accepted.entry.ledger_id)
    return ids


def _synchronize(ledger_ids: list[str]) -> None:
    from functions.member_sync.app import do
    from switchboard import work

    for ledger_id in ledger_ids:
        work.perform(ledger_id, do, lease=timedelta(seconds=60))


def _bare(requests: list[Request]) -> None:
    connections: dict[str, http.client.HTTPConnection] = {}
    for request in requests:
        parts = urlsplit(request.url)
        if parts.netloc not in connections:
            connections[parts.netloc] = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=30
            )
        connection = connections[parts.netloc]
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request(request.method, target, request.body, request.headers)
        answer = connection.getresponse()
        content = answer.read()
        if content:
            json.loads(content)
    for connection in connections.values():
        connection.close()


def _prepare(sandbox: str) -> None:
    from sandbox.vendors.crowdtwist import CrowdTwist
    from switchboard import aws, config
    from switchboard.settings import store
    from switchboard.settings.members import MemberSettings
    from tests.support.tables import create_tables

    create_tables()
    secret = json.dumps(CrowdTwist().secret(sandbox))
    arn = aws.secretsmanager().create_secret(Name="crowdtwist", SecretString=secret)["ARN"]
    os.environ["CROWDTWIST_SECRET_ARN"] = arn
    os.environ["MEMBER_QUEUE_URL"] = aws.sqs().create_queue(QueueName="members")["QueueUrl"]
    # No budget: the vendor's rate is not what is measured.
    config.STALENESS = 0.0
    fast = MemberSettings.model_validate({"callsPerMinute": 1_000_000})
    store.write("members", fast, updated_by="benchmark")
    config.STALENESS = 3600.0


def measure(members: int) -> list[tuple[Round, Round]]:
    """Rounds of the step and of the bare loop."""
    rounds = []
    _synchronize(_accept(members, 1))
    for number in range(_ROUNDS):
        ids = _accept(members, number + 2)
        requests: list[Request] = []
        with _recorded(requests):
            step = _timed(lambda: _synchronize(ids))  # noqa: B023 - called at once
        step.requests = requests
        rounds.append((step, _timed(lambda: _bare(requests))))  # noqa: B023 - called at once
    return rounds


def section(rounds: list[tuple[Round, Round]], members: int) -> str:
    """The page's section."""
    calls = len(rounds[0][0].requests) / members
    walls = [bare.wall / step.wall for step, bare in rounds]
    lines = [
        "## Member sync beside a bare loop",
        "",
        f"{members} members with a new version, {_ROUNDS} rounds in turns; {calls:.1f} HTTP calls each. The"
        " bare loop sends the same requests by `http.client` and does nothing else.",
        "",
        "| way | members/s | CPU of the process, ms a member |",
        "|---|---|---|",
    ]
    for name, ways in (
        ("the step", [pair[0] for pair in rounds]),
        ("bare loop", [pair[1] for pair in rounds]),
    ):
        wall = statistics.median(way.wall for way in ways)
        cpu = statistics.median(way.cpu for way in ways)
        lines.append(f"| {name} | {members / wall:.0f} | {cpu / members * 1000:.2f} |")
    ratio = statistics.median(walls)
    verdict = (
        "met" if ratio >= GOAL else "missed: signing and botocore's parsing of each AWS call are the rest"
    )
    lines += [
        "",
        f"The step reaches **{ratio:.2f}** of the bare loop's members per second (median; {min(walls):.2f} to"
        f" {max(walls):.2f}). Goal: {GOAL}; {verdict}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the section."""
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    aws_port, sandbox_port = free_port(), free_port()
    from tests.support.tables import table_environment

    os.environ |= table_environment() | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws_port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "POWERTOOLS_SERVICE_NAME": "member_sync",
        "POWERTOOLS_METRICS_NAMESPACE": "Switchboard",
        "POWERTOOLS_LOG_LEVEL": "ERROR",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "CRM_CONNECTOR": "builtin",
    }
    with (
        TemporaryDirectory() as home,
        process("-m", "ministack", **emulator(aws_port, home)),
        process("-m", "sandbox", "--port", str(sandbox_port)),
    ):
        wait_until_healthy(aws_port)
        wait_for(sandbox_port)
        _prepare(f"http://127.0.0.1:{sandbox_port}")
        text = section(measure(members), members)
    page.write_section("member-sync", text)
    print(text)


if __name__ == "__main__":
    main()
