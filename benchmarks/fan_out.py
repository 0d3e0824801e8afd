"""Deliveries: a second on kept-alive HTTP, CPU with a new TLS connection each, one of a thousand hanging.

    PYTHONPATH=.:layers/connectors python -m benchmarks.fan_out

The sink is one process on loopback and the same for all. What is measured of us is `attempt.call`: the check
of the URL, the signature, the call, the verdict; and the whole step with tables that answer at once. Each
number is the median of rounds in which the contenders take turns. Kept-alive calls are GETs with the ids in
the query, on both sides; those over TLS are signed POSTs.
"""

import json
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import node_red, page
from benchmarks.certificate import self_signed

IN_FLIGHT = 10
ROUNDS = 3
KEPT_ALIVE_CALLS = 2_000
NEW_CONNECTION_CALLS = 300
ENDPOINTS = 1_000
WORKERS = 8


@dataclass(frozen=True)
class Measured:
    """One round of one contender."""

    per_second: float
    cpu_ms: float


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def sink(certificate: Path | None = None) -> Iterator[str]:
    """The sink in a process of its own; its URL."""
    port = free_port()
    arguments = [str(port), *([str(certificate)] if certificate else [])]
    running = subprocess.Popen([sys.executable, "-m", "benchmarks.sink", *arguments])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def _stats(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/stats", timeout=5) as answer:  # noqa: S310 - loopback
        found: dict[str, float] = json.load(answer)
    return found


# the contenders: each makes `calls` calls of a URL ---------------------------------------------------------


def _trigger(url: str) -> Any:
    """As most are: a query of what is plain, a signed webhook of what goes over TLS."""
    from switchboard import clock, webhooks
    from switchboard.triggers.store import Trigger

    now = clock.timestamp()
    if url.startswith("http:"):
        return Trigger("trg_a", "admin", url, "*", "*", "query", "GET", "active", now, now)
    key = webhooks.new_key("v1")
    return Trigger("trg_a", "admin", url, "*", "*", "webhook", "POST", "active", now, now, secret=key)


def _delivery() -> Any:
    from switchboard import clock
    from switchboard.crm_events import new_event
    from switchboard.triggers.deliveries import Delivery

    event = new_event("case", "edit", origin="builtin", account_id="a", case_id="c")
    now = clock.timestamp()
    return Delivery("dlv_a_b", "trg_a", "admin", event, "pending", 0, 0, [], now, now, lease_token="t")  # noqa: S106


def ours(url: str, calls: int) -> None:
    """`attempt.call`, from the ten threads of a worker."""
    from functions.trigger_delivery import attempt

    trigger, delivery = _trigger(url), _delivery()

    def one(_: int) -> None:
        made = attempt.call(trigger, delivery)
        if made.error_class:
            raise RuntimeError(made.error_class)

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        for _ in threads.map(one, range(calls)):
            pass


def our_step(url: str, calls: int) -> None:
    """The whole step, batch by batch; its tables answer at once and remember nothing."""
    handler = _step_without_tables(url)
    for _ in range(calls // IN_FLIGHT):
        handler(IN_FLIGHT)


def _step_without_tables(url: str) -> Callable[[int], None]:
    from functions.trigger_delivery import app, delivery
    from switchboard.triggers import store
    from switchboard.triggers.messages import Message

    trigger, claimed = _trigger(url), _delivery()
    store.get = lambda trigger_id: trigger
    tables: Any = SimpleNamespace(claim=lambda *_, **__: claimed, record=lambda *_, **__: True)
    delivery.deliveries = lambda: tables  # type: ignore[assignment]
    body = Message("trg_a", "dlv_a_b").to_json()
    context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    record = {"messageId": "m", "receiptHandle": "r", "attributes": {}, "body": body}

    def handle(number: int) -> None:
        answer = app.lambda_handler({"Records": [record] * number}, context)
        if answer["batchItemFailures"]:
            raise RuntimeError("a delivery failed")

    return handle


def with_pycurl(url: str, calls: int) -> None:
    """libcurl, one after the other, a new connection and a full handshake each."""
    import pycurl

    from functions.trigger_delivery import logic

    body = logic.webhook_body(_delivery().event)
    curl = pycurl.Curl()
    options = {
        pycurl.URL: url,
        pycurl.POSTFIELDS: body,
        pycurl.HTTPHEADER: ["Content-Type: application/json"],
        pycurl.FRESH_CONNECT: 1,
        pycurl.FORBID_REUSE: 1,
        pycurl.SSL_SESSIONID_CACHE: 0,
        pycurl.CAINFO: os.environ["BENCHMARK_CERTIFICATE"],
        pycurl.WRITEFUNCTION: lambda received: None,
    }
    for option, value in options.items():
        curl.setopt(option, value)
    for _ in range(calls):
        curl.perform()
        if curl.getinfo(pycurl.RESPONSE_CODE) != 200:
            raise RuntimeError("a call failed")


def _prepare_this_process() -> None:
    os.environ |= {
        "LOCAL_STACK": "true",
        "STAGE": "bench",
        "POWERTOOLS_SERVICE_NAME": "trigger_delivery",
        "POWERTOOLS_METRICS_NAMESPACE": "Switchboard",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "TRIGGER_DELIVERY_QUEUE_URL": "none",
    }
    if certificate := os.environ.get("BENCHMARK_CERTIFICATE"):
        from switchboard import egress_client

        trusting = egress_client.Client(ssl_context=ssl.create_default_context(cafile=certificate))
        egress_client.client = lambda: trusting  # type: ignore[assignment]


def contend(name: str, url: str, calls: int) -> None:
    """In a process of its own: make the calls, a few first that do not count; tell the CPU seconds."""
    _prepare_this_process()
    contender: Callable[[str, int], None] = {"ours": ours, "step": our_step, "pycurl": with_pycurl}[name]
    contender(url, 100)
    if url.startswith("http:"):
        _stats(url)
    before = resource.getrusage(resource.RUSAGE_SELF)
    contender(url, calls)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"CPU {used}", flush=True)


def _contend(name: str, url: str, calls: int) -> float:
    """CPU milliseconds a call."""
    code = f"from benchmarks.fan_out import contend; contend({name!r}, {url!r}, {calls})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.rpartition("CPU ")[2]) * 1000 / calls


# the three measurements ------------------------------------------------------------------------------------


def kept_alive() -> dict[str, Measured]:
    """Deliveries per second, and CPU each, over connections that stay open."""
    rounds: dict[str, list[Measured]] = {}

    def note(name: str, url: str, cpu_ms: float) -> None:
        stats = _stats(url)
        rounds.setdefault(name, []).append(Measured(stats["calls"] / stats["seconds"], cpu_ms))

    with ExitStack() as stack:
        url = stack.enter_context(sink())
        red = None
        if node_red.available():
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            red = stack.enter_context(node_red.running(home, free_port(), in_flight=IN_FLIGHT))
        for _ in range(ROUNDS):
            for name in ("ours", "step"):
                note(name, url, _contend(name, url, KEPT_ALIVE_CALLS))
            if red is not None:
                _node_red_calls(red, url, 500)
                _stats(url)
                used = _node_red_calls(red, url, KEPT_ALIVE_CALLS)
                note("Node-RED", url, used * 1000 / KEPT_ALIVE_CALLS)
    return {name: _median(found) for name, found in rounds.items()}


def _node_red_calls(red: node_red.NodeRed, url: str, calls: int) -> float:
    """Have Node-RED make the calls, wait until it rests; the CPU seconds that it used."""
    before = used = red.cpu_seconds()
    red.go(url, calls)
    while True:
        time.sleep(0.5)
        now = red.cpu_seconds()
        if now - used < 0.02:
            return now - before
        used = now


def new_connections() -> dict[str, float]:
    """CPU milliseconds a delivery over TLS, a new connection and a full handshake each."""
    rounds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        certificate = self_signed(Path(folder))
        os.environ["BENCHMARK_CERTIFICATE"] = str(certificate)
        with sink(certificate) as url:
            for _ in range(ROUNDS):
                for name in ("ours", "pycurl"):
                    rounds.setdefault(name, []).append(_contend(name, url, NEW_CONNECTION_CALLS))
        del os.environ["BENCHMARK_CERTIFICATE"]
    return {name: statistics.median(found) for name, found in rounds.items()}


def latencies(url: str, *, hanging: bool) -> list[float]:
    """Milliseconds from the event to each endpoint's answer, sorted, of all that answer.

    Eight workers take batches of ten from one queue, as Lambda's poller hands them out.
    """
    from functions.trigger_delivery import attempt

    delivery = _delivery()
    triggers = [_trigger(f"{url}/{number}") for number in range(ENDPOINTS)]
    if hanging:
        triggers[7] = _trigger(f"{url}/hang")
    batches = [triggers[start : start + IN_FLIGHT] for start in range(0, ENDPOINTS, IN_FLIGHT)]
    began = time.monotonic()

    def one(trigger: Any) -> float | None:
        made = attempt.call(trigger, delivery)
        return None if made.error_class else (time.monotonic() - began) * 1000

    def worker(batch: list[Any]) -> list[float]:
        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            return [found for found in threads.map(one, batch) if found is not None]

    with ThreadPoolExecutor(WORKERS) as workers:
        return sorted(found for batch in workers.map(worker, batches) for found in batch)


def one_hangs() -> tuple[float, float]:
    """The 99th percentile of the others' milliseconds: with all well, and with one of a thousand hanging."""
    from functions.trigger_delivery import attempt

    _prepare_this_process()
    attempt.CALL_SECONDS = 3.0
    with sink() as url:
        latencies(url, hanging=False)
        rounds = [
            [latencies(url, hanging=hanging)[int(0.99 * (ENDPOINTS - 1))] for hanging in (False, True)]
            for _ in range(ROUNDS)
        ]
    return statistics.median(well for well, _ in rounds), statistics.median(bad for _, bad in rounds)


def _median(rounds: list[Measured]) -> Measured:
    return Measured(
        statistics.median(one.per_second for one in rounds), statistics.median(one.cpu_ms for one in rounds)
    )


def section(alive: dict[str, Measured], fresh: dict[str, float], hung: tuple[float, float]) -> str:
    """The page's section."""
    well, hangs = hung
    red = alive.get("Node-RED")
    lines = [
        "## Fan-out",
        "",
        "`python -m benchmarks.fan_out` (part of `make bench`): the sink is one process on loopback, the same"
        " for all; the contenders take turns. Node-RED 4 is installed into `.local/node-red` where Node"
        " is there, else left out. Ours is a delivery's call (check, sign, call, verdict), and the"
        " whole step with tables that answer at once. Node-RED keeps no record of what it delivered and"
        " repeats nothing; its rate is that of the call alone, as ours in the first row.",
        "",
        f"| HTTP kept alive, {IN_FLIGHT} in flight, medians of {ROUNDS} rounds of {KEPT_ALIVE_CALLS:,} calls"
        " | per second | to Node-RED | CPU each, ms | to Node-RED |",
        "|---|---|---|---|---|",
    ]
    for name, found in alive.items():
        rate = f"{found.per_second / red.per_second:.1f}x" if red else "no Node"
        cpu = f"{found.cpu_ms / red.cpu_ms:.2f}x" if red else "no Node"
        lines.append(
            f"| {_NAMES.get(name, name)} | {found.per_second:,.0f} | {rate} | {found.cpu_ms:.3f} | {cpu} |"
        )
    lines += [
        "",
        "| HTTPS, a new connection and a full handshake each | CPU each, ms | to pycurl |",
        "|---|---|---|",
        *(f"| {name} | {used:.2f} | {used / fresh['pycurl']:.2f}x |" for name, used in fresh.items()),
        "",
        f"One of {ENDPOINTS:,} URLs hangs, {WORKERS} workers: the others' 99th percentile is {hangs:.0f} ms,"
        f" {well:.0f} ms with all well ({hangs / well:.2f}x).",
        "",
        "![CPU of one delivery](fan-out.svg)",
        "",
        _verdicts(alive, fresh, hangs / well),
        "",
        "In a deployment the three requests to DynamoDB come on top, about 1.2 ms of CPU: they, not the call,"
        " are the cost of a delivery on record (`docs/decisions/triggers.md`).",
    ]
    return "\n".join(lines)


_NAMES = {"ours": "a delivery's call", "step": "the whole step, tables answering at once"}


def _verdicts(alive: dict[str, Measured], fresh: dict[str, float], slower: float) -> str:
    """Each goal, and whether it is met."""
    goals = [
        ("at most 1.5 times pycurl's CPU over new TLS connections", fresh["ours"] / fresh["pycurl"] <= 1.5),
        ("a hanging URL moves the others by at most a fifth", slower <= 1.2),
    ]
    if red := alive.get("Node-RED"):
        faster = alive["ours"].per_second / red.per_second
        goals.insert(0, ("at least 5 times Node-RED's deliveries a second", faster >= 5))
    return "Goals: " + "; ".join(f"{goal}: {'met' if met else '**missed**'}" for goal, met in goals) + "."


def _plot(alive: dict[str, Measured], fresh: dict[str, float]) -> None:
    rows = [(f"{_NAMES.get(name, name)}, kept alive", found.cpu_ms) for name, found in alive.items()]
    rows += [(f"{name}, new TLS connection", used) for name, used in fresh.items()]
    page.bars(page.SECTIONS / "fan-out.svg", "CPU of one delivery, ms", rows, "ms")


def main() -> None:
    """Measure, and write the section."""
    alive, fresh = kept_alive(), new_connections()
    text = section(alive, fresh, one_hangs())
    _plot(alive, fresh)
    page.write_section("fan-out", text)
    print(text)


if __name__ == "__main__":
    main()
