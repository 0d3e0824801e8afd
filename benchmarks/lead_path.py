"""The lead path, warm: CPU and memory of `lead_create` beside Node-RED and FastAPI with httpx.

    PYTHONPATH=.:layers/connectors python -m benchmarks.lead_path [leads]

The flow is a form's lead: check the body, look for the customer, create the lead, answer 201. Ours is the
deployed artifact under the real `awslambdaric`; AWS is an emulator. The others get the same body by HTTP and
send the very requests that ours sends when it is warm, with the same bodies, kept alive, to a server that
gives the recorded answers; they parse these, and answer. So they pay for the same traffic, but not for AWS's
signature, rules of matching and assignment, or a record that survives them. All one lead at a time, in turns.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import first_call, node_red, page, runtime_api
from benchmarks.cold_start import runtime_of
from benchmarks.runtime_api import Worked
from benchmarks.surroundings import emulator, free_port, process, wait_for, wait_until_healthy
from tools import package
from tools.paths import BUILD

ROUNDS = 3
WARMING = 30
GOAL, AIM = 0.5, 1 / 3
_HANDLER = "functions.lead_create.app.lambda_handler"
_OURS, _RED, _FASTAPI = "`lead_create`", "Node-RED", "FastAPI + httpx"


def _event(number: int | str) -> dict[str, Any]:
    event = first_call.event_named("lead_create")
    body = json.loads(event["body"]) | {"email": f"lead.{number}@example.com", "phone": None}
    event["body"] = json.dumps({name: value for name, value in body.items() if value is not None})
    return event


def _calls(folder: Path, port: int) -> Path:
    """What a warm process asks for one lead, for the others to ask; and the answers, for who gives them."""
    warm = first_call.record_warm("lead_create", _event("before"), _event("now"))
    if warm.answer["statusCode"] != 201:
        raise RuntimeError(f"the recorded lead was not created: {warm.answer}")
    calls = [
        {"url": f"http://127.0.0.1:{port}/aws/{number}", "target": one.target, "body": one.body}
        for number, one in enumerate(warm.exchanges)
    ]
    (folder / "answers.json").write_text(json.dumps([one.answer for one in warm.exchanges]))
    (folder / "calls.json").write_text(json.dumps(calls))
    return folder / "calls.json"


def _ours(leads: int, environment: Mapping[str, str], number: int) -> Worked:
    events = [_event(f"{number}.{each}") for each in range(WARMING + leads)]
    return runtime_api.work(_HANDLER, events, environment, warming=WARMING)


def _by_http(port: int, pid: int, path: str, leads: int) -> Worked:
    """Leads to a running server, one after the other, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    before = began = 0.0
    for number in range(WARMING + leads):
        if number == WARMING:
            before, began = runtime_api.cpu_seconds(pid), time.perf_counter()
        body = _event(number)["body"]
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 201 or b"leadId" not in content:
            raise RuntimeError(f"no lead, but {answer.status} {content[:200]!r}")
    used, seconds = runtime_api.cpu_seconds(pid) - before, time.perf_counter() - began
    return Worked(used * 1000 / leads, leads / seconds, runtime_api.peak_megabytes(pid))


def _uvicorn(stack: ExitStack, calls: Path) -> tuple[int, int]:
    """FastAPI's server; its port and process."""
    port = free_port()
    command = ["-m", "uvicorn", "benchmarks.lead_fastapi:app", "--port", str(port), "--log-level", "error"]
    running = subprocess.Popen([sys.executable, *command], env=os.environ | {"CALLS": str(calls)})
    stack.callback(running.wait)
    stack.callback(running.terminate)
    wait_for(port)
    return port, running.pid


def _emulated(stack: ExitStack) -> dict[str, str]:
    """AWS by the emulator, with the tables; the environment of the function."""
    from switchboard import aws
    from tests.support.tables import create_tables, table_environment

    port = free_port()
    environment = table_environment() | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    os.environ |= environment
    home = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
    stack.enter_context(process("-m", "ministack", **emulator(port, home)))
    wait_until_healthy(port)
    for made_for_the_record in (aws.dynamodb, aws.sqs):
        made_for_the_record.cache_clear()
    create_tables()
    queue = aws.sqs().create_queue(QueueName="leads")["QueueUrl"]
    return environment | {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "CRM_CONNECTOR": "builtin",
        "STAGE": "bench",
        "LOCAL_STACK": "true",
        "CRM_EVENT_BUS": "default",
        "LEAD_QUEUE_URL": queue,
        "POWERTOOLS_SERVICE_NAME": "lead_create",
        "POWERTOOLS_METRICS_NAMESPACE": "Switchboard",
    }


def measure(leads: int) -> tuple[int, dict[str, list[Worked]]]:
    """How many calls a lead takes; and the rounds of each contender."""
    package.build("local")
    found: dict[str, list[Worked]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        canned = free_port()
        calls = _calls(folder, canned)
        runtime = folder / "runtime"
        runtime.mkdir()
        path = f"{BUILD / 'LeadCreateFunction'}:{BUILD / 'ConnectorsLayer' / 'python'}:{runtime_of(runtime)}"
        environment = _emulated(stack) | {"PYTHONPATH": path}
        stack.enter_context(process("-m", "benchmarks.canned", str(canned), str(folder / "answers.json")))
        wait_for(canned)
        fastapi = _uvicorn(stack, calls)
        ways: dict[str, Callable[[int], Worked]] = {
            _OURS: lambda number: _ours(leads, environment, number),
            _FASTAPI: lambda _: _by_http(*fastapi, "/leads", leads),
        }
        if node_red.available():
            home = folder / "node-red"
            home.mkdir()
            port = free_port()
            red = stack.enter_context(node_red.running_leads(home, port, json.loads(calls.read_text())))
            ways[_RED] = lambda _: _by_http(red.port, red.pid, "/leads", leads)
        for number in range(ROUNDS):
            for name, way in ways.items():
                found.setdefault(name, []).append(way(number))
        return len(json.loads(calls.read_text())), found


def _median(rounds: list[Worked]) -> Worked:
    return Worked(
        statistics.median(one.cpu for one in rounds),
        statistics.median(one.per_second for one in rounds),
        statistics.median(one.peak for one in rounds),
    )


def section(calls: int, found: dict[str, list[Worked]], leads: int) -> str:
    """The page's section."""
    medians = {name: _median(rounds) for name, rounds in found.items()}
    red = medians.get(_RED)
    lines = [
        "## The lead path, warm",
        "",
        f"`python -m benchmarks.lead_path` (part of `make bench`): {leads} leads, one at a time, after"
        f" {WARMING} that do not count; medians of {len(found[_OURS])} rounds in turns. A lead takes {calls}"
        " requests to AWS. Ours is the deployed artifact under `awslambdaric`, signs each of them, matches,"
        " assigns and keeps a record. The others send the same requests with the same bodies unsigned, get"
        " the recorded answers, parse them and answer 201; nothing else. CPU is that of the process.",
        "",
        "| | CPU a lead, ms | to Node-RED | peak memory, MB | leads a second, one at a time |",
        "|---|---|---|---|---|",
    ]
    for name, one in medians.items():
        ratio = f"{one.cpu / red.cpu:.2f}" if red else "no Node"
        lines.append(f"| {name} | {one.cpu:.2f} | {ratio} | {one.peak:.0f} | {one.per_second:.0f} |")
    if red:
        share = medians[_OURS].cpu / red.cpu
        told = "met" if share <= GOAL else "**missed**"
        lines += ["", f"Goal: at most {GOAL} of Node-RED's CPU, aim {AIM:.2f}; {told} with {share:.2f}."]
    lines += ["", "![CPU of one lead](lead-path.svg)"]
    rows = [(name.strip("`"), one.cpu) for name, one in medians.items()]
    page.bars(page.SECTIONS / "lead-path.svg", "CPU of one lead, ms", rows, "ms", groups=len(rows))
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the section."""
    leads = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    text = section(*measure(leads), leads)
    page.write_section("lead-path", text)
    print(text)


if __name__ == "__main__":
    main()
