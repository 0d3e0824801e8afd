"""Lambda's Runtime API for one process: it hands out events, takes the answers, and holds the clock.

The wire is that of docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, as `awslambdaric` speaks it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_SECONDS = 60.0


@dataclass(frozen=True)
class Started:
    """One cold start.

    Attributes:
        init: milliseconds from the process's start until it asked for its first event.
        call: milliseconds from handing it out to the answer.
        cpu: milliseconds of CPU, user and system, of the whole process.
        answer: what the function gave back.
    """

    init: float
    call: float
    cpu: float
    answer: Any


@dataclass(frozen=True)
class Worked:
    """Many calls of one warm process.

    Attributes:
        cpu: milliseconds of CPU a call, user and system.
        per_second: calls, one after the other.
        peak: the most memory that the process held, MB.
    """

    cpu: float
    per_second: float
    peak: float


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, events: Sequence[Mapping[str, Any]], warm_after: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events = [json.dumps(event).encode() for event in events]
        self.warm_after = warm_after
        self.asked: list[float] = []
        self.answered: list[float] = []
        self.answers: list[Any] = []
        self.warm, self.done = threading.Event(), threading.Event()
        self.go_on = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """Nothing: the process is killed while it asks for its next event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """`invocation/next`: the next event; after the last one it is held until the process is ended."""
        number = len(self.server.asked)
        if number and number == self.server.warm_after:
            self.server.warm.set()
            self.server.go_on.wait(_SECONDS)
        if number == len(self.server.events):
            self.server.done.set()
            self.server.go_on.wait(_SECONDS)
            return
        self.server.asked.append(time.perf_counter())
        event = self.server.events[number]
        deadline = int((time.time() + 28) * 1000)
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(event)}\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {uuid.uuid4()}\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n"
            "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f\r\n\r\n"
        )
        self.wfile.write(head.encode() + event)

    def do_POST(self) -> None:
        """`invocation/<id>/response`, or one of the errors."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answered.append(time.perf_counter())
        failed = self.path.endswith("/error")
        self.server.answers.append(body.decode() if failed else json.loads(body))
        if failed or len(self.server.answers) == len(self.server.events):
            self.server.done.set()
            self.server.warm.set()
        self.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def _process(
    server: _Server, handler: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The function, started; killed when the block ends."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    lambdas_own = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_address[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/function",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "LAMBDA_TASK_ROOT": environment["PYTHONPATH"].partition(os.pathsep)[0],
        "_HANDLER": handler,
    }
    process = subprocess.Popen(
        [getattr(sys, "_base_executable", sys.executable), "-S", "-m", "awslambdaric", handler],
        env=lambdas_own | dict(environment),
        cwd=lambdas_own["LAMBDA_TASK_ROOT"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        server.go_on.set()
        server.shutdown()
        server.server_close()


def _check(server: _Server, handler: str) -> None:
    bad = [one for one in server.answers if not isinstance(one, dict) or "errorType" in one]
    if bad or len(server.answers) < len(server.events):
        raise RuntimeError(f"{handler} did not answer all of its events: {bad[:1]}")


def start(handler: str, event: Mapping[str, Any], environment: Mapping[str, str]) -> Started:
    """Start a function in a process of its own, have it answer one event, and end it.

    Raises:
        RuntimeError: it did not answer.
    """
    server = _Server([event])
    began = time.perf_counter()
    with _process(server, handler, environment) as process:
        server.done.wait(_SECONDS)
        process.kill()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = -signal.SIGKILL
    _check(server, handler)
    return Started(
        (server.asked[0] - began) * 1000,
        (server.answered[0] - server.asked[0]) * 1000,
        (used.ru_utime + used.ru_stime) * 1000,
        server.answers[0],
    )


def work(
    handler: str, events: Sequence[Mapping[str, Any]], environment: Mapping[str, str], *, warming: int
) -> Worked:
    """Have one process answer all events; the first `warming` of them do not count.

    Raises:
        RuntimeError: it did not answer all.
    """
    server = _Server(events, warming)
    with _process(server, handler, environment) as process:
        server.warm.wait(_SECONDS)
        before = cpu_seconds(process.pid)
        server.go_on.set()
        server.done.wait(_SECONDS)
        used = cpu_seconds(process.pid) - before
        peak = peak_megabytes(process.pid)
    _check(server, handler)
    counted = len(events) - warming
    seconds = server.answered[-1] - server.asked[warming]
    return Worked(used * 1000 / counted, counted / seconds, peak)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, user and system (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid: int) -> float:
    """The most memory that a process has held at once, resident (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
