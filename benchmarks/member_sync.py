"""Members synchronized beside a bare loop over the very same HTTP calls.

    PYTHONPATH=.:layers/connectors python -m benchmarks.member_sync [members]

CrowdTwist is the sandbox and AWS is the emulator, each a process of its own. The step works through members
that are known at CrowdTwist and have a new version; every HTTP request that it makes, to CrowdTwist and to
AWS, is written down. The bare loop then sends the same requests by `http.client`, kept alive, one after the
other, and does nothing else. A third sends them by the clients that the step uses, botocore and httpx, with
nothing around: what is between the two loops is the price of these libraries, and what is between it and the
step is ours. All take turns, so that a slow moment hits all.

The loops do not decide, record or repeat anything, and sign nothing anew; most of their conditional writes
are refused, since the step has made them already.
"""

import copy
import http.client
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from benchmarks import page
from benchmarks.surroundings import emulator, free_port, process, wait_for, wait_until_healthy

GOAL = 0.7
_ROUNDS = 5
_STEP, _CLIENTS, _BARE = "the step", "a loop over botocore and httpx", "a bare loop over http.client"


@dataclass(frozen=True)
class Request:
    """One HTTP request as it went out."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Operation:
    """The same of AWS as its client has it: `dynamodb`, `UpdateItem` and what it takes."""

    service: str
    name: str
    parameters: dict[str, Any]


@dataclass
class Sent:
    """What went out in one round, in order: as requests, and as the clients' calls."""

    requests: list[Request] = field(default_factory=list)
    calls: list[Request | Operation] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """Seconds of wall and of this process's CPU, for one round of members."""

    wall: float
    cpu: float


@contextmanager
def _recorded(sent: Sent) -> Iterator[None]:
    """Write down what goes out, to AWS and to the vendor."""
    import httpx

    from switchboard import aws

    def note_aws(request: Any, **_: Any) -> None:
        body = request.body.encode() if isinstance(request.body, str) else bytes(request.body or b"")
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        sent.requests.append(Request(request.method, request.url, headers, body))

    def note_call(params: dict[str, Any], model: Any, **_: Any) -> None:
        sent.calls.append(Operation(model.service_model.service_name, model.name, copy.deepcopy(params)))

    send = httpx.Client.send

    def note_vendor(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        made = Request(request.method, str(request.url), dict(request.headers), request.content)
        sent.requests.append(made)
        sent.calls.append(made)
        return send(client, request, **options)

    events = [client.meta.events for client in (aws.dynamodb(), aws.sqs())]
    for one in events:
        one.register("before-send.*.*", note_aws)
        one.register("before-parameter-build.*.*", note_call)
    httpx.Client.send = note_vendor  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        httpx.Client.send = send  # type: ignore[method-assign]
        for one in events:
            one.unregister("before-send.*.*", note_aws)
            one.unregister("before-parameter-build.*.*", note_call)


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


def _by_clients(calls: list[Request | Operation]) -> None:
    import httpx
    from botocore.exceptions import ClientError

    from switchboard import aws

    clients: dict[str, Any] = {"dynamodb": aws.dynamodb(), "sqs": aws.sqs()}
    with httpx.Client(trust_env=False) as vendor:
        for call in calls:
            if isinstance(call, Request):
                vendor.request(call.method, call.url, headers=call.headers, content=call.body).json()
                continue
            with suppress(ClientError):
                clients[call.service]._make_api_call(call.name, call.parameters)


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


def measure(members: int) -> tuple[float, dict[str, list[Round]]]:
    """HTTP calls a member; and the rounds of each contender, in turns."""
    rounds: dict[str, list[Round]] = {_STEP: [], _CLIENTS: [], _BARE: []}
    calls = 0
    _synchronize(_accept(members, 1))
    for number in range(_ROUNDS):
        ids = _accept(members, number + 2)
        sent = Sent()
        with _recorded(sent):
            rounds[_STEP].append(_timed(lambda: _synchronize(ids)))  # noqa: B023 - called at once
        rounds[_CLIENTS].append(_timed(lambda: _by_clients(sent.calls)))  # noqa: B023
        rounds[_BARE].append(_timed(lambda: _bare(sent.requests)))  # noqa: B023
        calls = len(sent.requests)
    return calls / members, rounds


def _cpu(rounds: list[Round], members: int) -> float:
    return statistics.median(one.cpu for one in rounds) / members * 1000


def section(calls: float, rounds: dict[str, list[Round]], members: int) -> str:
    """The page's section."""
    lines = [
        "## Member sync beside a bare loop",
        "",
        f"`python -m benchmarks.member_sync` (part of `make bench`): {members} members with a new version,"
        f" {_ROUNDS} rounds in turns; {calls:.1f} HTTP calls each, to CrowdTwist and to AWS. The bare loop"
        " sends the very same requests by `http.client`, one after the other, and does nothing else: it"
        " decides, records and repeats nothing, signs nothing anew, and most of its conditional writes are"
        " refused, since the step has made them. Between the two is a loop that sends them by the step's own"
        " clients: what it takes beyond the bare loop is the price of botocore and httpx.",
        "",
        "| way | members a second | CPU of the process, ms a member |",
        "|---|---|---|",
    ]
    for name, ways in rounds.items():
        wall = statistics.median(way.wall for way in ways)
        lines.append(f"| {name} | {members / wall:.0f} | {_cpu(ways, members):.2f} |")
    to_bare = [bare.wall / step.wall for step, bare in zip(rounds[_STEP], rounds[_BARE], strict=True)]
    to_clients = [one.wall / step.wall for step, one in zip(rounds[_STEP], rounds[_CLIENTS], strict=True)]
    cpu = {name: _cpu(ways, members) for name, ways in rounds.items()}
    ratio = statistics.median(to_bare)
    libraries, own = cpu[_CLIENTS] - cpu[_BARE], cpu[_STEP] - cpu[_CLIENTS]
    lines += [
        "",
        f"The step reaches **{ratio:.2f}** of the bare loop's members a second (median; {min(to_bare):.2f} to"
        f" {max(to_bare):.2f}), and {statistics.median(to_clients):.2f} of the loop's over its own clients."
        f" Goal: {GOAL} of the bare loop; {'met' if ratio >= GOAL else '**missed**'}. Of the step's"
        f" {cpu[_STEP]:.2f} ms of CPU a member, {cpu[_BARE]:.2f} are the bare calls, {libraries:.2f} botocore"
        f" and httpx, {own:.2f} the step itself.",
        "",
        "![CPU of one member](member-sync.svg)",
    ]
    page.bars(page.SECTIONS / "member-sync.svg", "CPU of one member, ms", list(cpu.items()), "ms", groups=3)
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
        text = section(*measure(members), members)
    page.write_section("member-sync", text)
    print(text)


if __name__ == "__main__":
    main()
