"""A dump of 200,000 responses whose worker is killed again and again: rows, memory, seconds.

    PYTHONPATH=.:layers/connectors python -m benchmarks.survey_dump [responses] [deaths] [page size]

QuestionPro is the sandbox, AWS is the emulator, each a process of its own, and so is each worker: the peak
of memory is the worker's alone. The seconds compare only with themselves.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

_SURVEY = "3154843"
_SLICE_MILLISECONDS = 900_000


@contextmanager
def _process(*arguments: str, **environment: str) -> Iterator[None]:
    """Another program, until the block ends."""
    running = subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        running.terminate()
        running.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on {port}")


def _emulator(port: int, home: str) -> dict[str, str]:
    """What keeps the emulator on loopback, and its files in `home`."""
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{home}/no-docker.sock",
        "HOME": home,
        "TMPDIR": home,
        "STATE_DIR": home,
        "S3_DATA_DIR": home,
    }


def _wait_until_healthy(port: int) -> None:
    import httpx

    _wait_for(port)
    for _ in range(300):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/_ministack/health", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the emulator does not become healthy")


def prepare(vendor: str, page_size: int) -> Callable[[int], str]:
    """Tables, bucket, queue, secret and settings; how to begin a dump by its number."""
    from sandbox.vendors.questionpro import QuestionPro
    from switchboard import aws, config
    from switchboard.settings import store
    from switchboard.settings.surveys import SurveysSettings
    from switchboard.surveys.dumps import dumps
    from tests.support.tables import create_tables

    create_tables()
    aws.s3().create_bucket(Bucket="dumps")
    for flow in ("DUMP", "RESPONSE"):
        os.environ[f"SURVEY_{flow}_QUEUE_URL"] = aws.sqs().create_queue(QueueName=flow)["QueueUrl"]
    secret = json.dumps(QuestionPro().secret(vendor))
    arn = aws.secretsmanager().create_secret(Name="questionpro", SecretString=secret)["ARN"]
    os.environ["QUESTIONPRO_SECRET_ARN"] = arn
    os.environ["API_KEY"] = QuestionPro.credentials["apiKey"]
    config.STALENESS = 0.0
    # The vendor's limit of calls a minute is far below what is measured here.
    area = {"surveys": {_SURVEY: {"pageSize": page_size}}, "vendor": {"callsPerMinute": 1_000_000}}
    store.write("surveys", SurveysSettings.model_validate(area), updated_by="benchmark")

    def begin(number: int) -> str:
        run = f"benchmark-{number}"
        entry = dumps().start(_SURVEY, partner_id="admin", full=True, run=run, correlation_id=run, by="call")
        return entry.ledger_id

    return begin


def work_on(dump_id: str, number: int, dies_after: int) -> None:
    """A worker: the `number`th, an hour after the one before, killed after so many checkpoints (0: never)."""
    from functions.survey_dump import app
    from switchboard import clock, work

    clock.now = lambda: datetime.now(UTC) + timedelta(hours=number)
    context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: _SLICE_MILLISECONDS)
    checkpoint = app.Slice.checkpoint
    seen = 0

    def dying(this: app.Slice, **facts: Any) -> None:
        nonlocal seen
        checkpoint(this, **facts)
        seen += 1
        if seen == dies_after:
            _report()
            os.kill(os.getpid(), signal.SIGKILL)

    app.Slice.checkpoint = dying  # type: ignore[method-assign,assignment]
    work.perform(dump_id, partial(app.do, context=context), lease=timedelta(minutes=15))
    _report()


def peak_memory() -> int:
    """Of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def rows_of(dump_id: str) -> int:
    """The rows of a dump that is done."""
    from switchboard import work

    entry = work.ledger().get(dump_id)
    return int(entry.result["rows"]) if entry is not None and entry.status == "synced" else 0


def _report() -> None:
    print(peak_memory(), flush=True)


@contextmanager
def surroundings(program: str, *arguments: str) -> Iterator[str]:
    """AWS's emulator, and the vendor as `program` plays it; yields the vendor's origin."""
    aws_port, vendor_port = _free_port(), _free_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws_port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "POWERTOOLS_SERVICE_NAME": "survey_dump",
        "POWERTOOLS_METRICS_NAMESPACE": "Switchboard",
        "POWERTOOLS_LOG_LEVEL": "ERROR",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "CRM_CONNECTOR": "builtin",
        "DUMPS_BUCKET": "dumps",
    }
    from tests.support.tables import table_environment

    os.environ |= table_environment()
    with (
        TemporaryDirectory() as home,
        _process("-m", "ministack", **_emulator(aws_port, home)),
        _process("-m", program, *arguments, "--port", str(vendor_port)),
    ):
        _wait_until_healthy(aws_port)
        _wait_for(vendor_port)
        yield f"http://127.0.0.1:{vendor_port}"


def main() -> None:
    """Run the dump and print what it took."""
    count, deaths, page_size = (
        int(value) for value in [*sys.argv[1:], *("200000", "20", "1000")[len(sys.argv) - 1 :]]
    )
    with surroundings("benchmarks.pages", str(count)) as vendor:
        dump_id = prepare(vendor, page_size)(0)
        began = time.monotonic()
        memory = [_run_worker(dump_id, number, count // page_size, deaths) for number in range(deaths + 1)]
        print(f"{count} responses, {deaths} deaths, {time.monotonic() - began:.0f} s")
        print(f"peak memory of a worker, MB: first {memory[0]}, last {memory[-1]}, most {max(memory)}")
        _check(dump_id, count)


def _run_worker(dump_id: str, number: int, pages: int, deaths: int) -> int:
    dies_after = 0 if number == deaths else max(pages // (deaths + 1), 1)
    code = f"from benchmarks.survey_dump import work_on; work_on({dump_id!r}, {number}, {dies_after})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if not done.stdout.strip():
        raise RuntimeError(done.stderr)
    return int(done.stdout.split()[-1])


def _check(dump_id: str, count: int) -> None:
    from functions.survey_dump import files
    from switchboard import work

    entry = work.ledger().get(dump_id)
    assert entry is not None and entry.status == "synced", entry  # noqa: S101, PT018 - a benchmark's check
    found = set()
    lines = 0
    for line in files.lines_of(files.get(entry.result["files"][0]["key"])):
        found.add(json.loads(line)["responseID"])
        lines += 1
    print(f"{lines} lines, {len(found)} different responses, count check {entry.result['countCheck']}")
    if lines != count or len(found) != count:
        raise SystemExit("rows were lost or doubled")


if __name__ == "__main__":
    main()
