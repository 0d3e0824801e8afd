"""AWS's emulator and the vendor beside a benchmark of surveys, each a process of its own."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

SLICE_MILLISECONDS = 900_000
"""A Lambda's whole time."""


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[None]:
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on {port}")


def emulator(port: int, home: str) -> dict[str, str]:
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


def wait_until_healthy(port: int) -> None:
    import httpx

    wait_for(port)
    for _ in range(300):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/_ministack/health", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the emulator does not become healthy")


@contextmanager
def surroundings(program: str, *arguments: str) -> Iterator[str]:
    """AWS's emulator, and the vendor as `program` plays it; yields the vendor's origin."""
    aws_port, vendor_port = free_port(), free_port()
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
        process("-m", "ministack", **emulator(aws_port, home)),
        process("-m", program, *arguments, "--port", str(vendor_port)),
    ):
        wait_until_healthy(aws_port)
        wait_for(vendor_port)
        yield f"http://127.0.0.1:{vendor_port}"


def prepare(vendor: str, survey: str, **settings: Any) -> Callable[[int], str]:
    """Tables, bucket, queue, secret and the survey's settings; how to begin a dump by its number."""
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
    area = {"surveys": {survey: settings}, "vendor": {"callsPerMinute": 1_000_000}}
    store.write("surveys", SurveysSettings.model_validate(area), updated_by="benchmark")

    def begin(number: int) -> str:
        run = f"benchmark-{number}"
        entry = dumps().start(survey, partner_id="admin", full=True, run=run, correlation_id=run, by="call")
        return entry.ledger_id

    return begin


def peak_memory() -> int:
    """Of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
