"""The local stack: an AWS emulator and the sandbox on loopback, with the project deployed to it.

``python -m tools.stack up`` brings it up and writes ``.local/stack.json``; a second run reuses the
processes, the build and the deployment as far as nothing they are made of has changed. ``down`` stops
what ``up`` has recorded. ``status`` tells what runs, and exits with 1 when the stack is not there.
"""

import argparse
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sandbox import vendors
from tools import package, processes, roles
from tools.errors import ToolError
from tools.paths import BUILD, EMULATOR_HOME, LOCAL, LOGS, ROOT, STACK_FILE
from tools.processes import Process

REGION = "us-east-1"
STACK_NAME = "switchboard-local"
STAGE = "v1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
START_SECONDS = 60.0
EMULATOR = "emulator"
SANDBOX = "sandbox"


@dataclass(frozen=True)
class Stack:
    """What is known about the running stack, as ``.local/stack.json`` holds it in camelCase.

    ``api_url`` ends in ``/v1``. ``admin_key`` is the key with all scopes. ``outputs`` are the deployed
    stack's outputs, ``pids`` the process ids by name, ``deployed`` the hash of the build and parameters
    that were deployed. ``sandbox_tls_url`` is the sandbox behind a certificate that nobody can trust.
    """

    api_url: str
    admin_key: str
    aws_endpoint: str
    region: str
    sandbox_url: str
    stack_name: str
    outputs: Mapping[str, str]
    pids: Mapping[str, int]
    deployed: str
    sandbox_tls_url: str = ""

    @classmethod
    def load(cls, path: Path = STACK_FILE) -> Self | None:
        """Read the file; None when there is none."""
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(**{_snake(name): value for name, value in content.items()})

    def save(self, path: Path = STACK_FILE) -> None:
        """Write the file, readable by its owner only: it holds the admin key."""
        content = {_camel(name): value for name, value in asdict(self).items()}
        path.touch(mode=0o600)
        path.write_text(json.dumps(content, indent=2) + "\n")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def running() -> Stack | None:
    """The stack, when its file is there and its processes are alive."""
    stack = Stack.load()
    return stack if stack and all(_alive(name) for name in (EMULATOR, SANDBOX)) else None


def up(changes: Mapping[str, str] | None = None) -> Stack:
    """Bring the stack up, or up to date, and return it.

    ``changes`` are template parameters by name. ``ToolError`` when a phase fails: what this run has started
    is stopped again, and after a failed deployment everything is.
    """
    began = time.monotonic()
    with _only_one():
        started: list[Process] = []
        try:
            stack = _up(dict(changes or {}), started)
        except BaseException:
            for process in started:
                _stop(process)
            if any(process.name == EMULATOR for process in started):
                STACK_FILE.unlink(missing_ok=True)
            raise
    print(f"the stack is up after {time.monotonic() - began:.1f} s: {stack.api_url}", flush=True)
    return stack


def _up(changes: dict[str, str], started: list[Process]) -> Stack:
    own = package.fingerprint(("uv.lock", "tools/emulator.py")) + ("-roles" if roles.hold() else "")
    emulator = _ensure(EMULATOR, own, started)
    if emulator in started:
        STACK_FILE.unlink(missing_ok=True)  # its deployment went with the emulator that held it
    sandbox = _ensure(SANDBOX, package.fingerprint(("uv.lock", "sandbox")), started)
    endpoint, sandbox_url = (f"http://127.0.0.1:{process.port}" for process in (emulator, sandbox))

    with _phase("build") as done:
        built, made = package.build("local", {"Architecture": package.host_architecture(), **changes})
        done("" if made else "unchanged")
    with _phase("start") as done:
        _wait_until_healthy(emulator, f"{endpoint}/_ministack/health")
        _wait_until_healthy(sandbox, f"{sandbox_url}/_control/health")
        done("" if started else "running already")
    with _phase("deploy") as done:
        before = Stack.load()
        if before is not None and before.deployed == built.fingerprint:
            done("unchanged")
        else:
            STACK_FILE.unlink(missing_ok=True)
            _deploy(endpoint, built, started, [emulator, sandbox])
    with _phase("connect"):
        outputs = _outputs(endpoint)
        stack = Stack(
            api_url=f"{endpoint}/_aws/execute-api/{_output(outputs, 'RestApiId')}/{STAGE}",
            admin_key=_admin_key(endpoint, outputs),
            aws_endpoint=endpoint,
            region=REGION,
            sandbox_url=sandbox_url,
            stack_name=STACK_NAME,
            outputs=outputs,
            pids={process.name: process.pid for process in (emulator, sandbox)},
            deployed=built.fingerprint,
            sandbox_tls_url=_tls_url(sandbox_url),
        )
        _write_connector_secrets(endpoint, outputs, sandbox_url)
        _verify_sender(endpoint, built.overrides)
        stack.save()
    return stack


def down() -> bool:
    """Stop the recorded processes and their children, remove what they kept. False if nothing ran."""
    with _only_one():
        records = [record for name in (EMULATOR, SANDBOX) if (record := Process.load(_record(name)))]
        stopped = [_stop(process) for process in records]
        STACK_FILE.unlink(missing_ok=True)
        shutil.rmtree(EMULATOR_HOME, ignore_errors=True)
    return any(stopped)


@contextmanager
def _only_one() -> Iterator[None]:
    """Let one ``up`` or ``down`` work at a time; the next waits."""
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Done:
    """Takes the remark that is printed when a phase has ended."""

    remark = ""

    def __call__(self, remark: str) -> None:
        self.remark = remark


@contextmanager
def _phase(name: str) -> Iterator[_Done]:
    """Show a phase on the terminal: its name when it begins, its seconds when it ends."""
    print(f"  {name:<8}", end="", flush=True)
    began = time.monotonic()
    done = _Done()
    try:
        yield done
    except BaseException:
        print(f"{time.monotonic() - began:6.1f} s  failed", flush=True)
        raise
    print(f"{time.monotonic() - began:6.1f} s  {done.remark}".rstrip(), flush=True)


def _record(name: str) -> Path:
    return LOCAL / f"{name}.pid"


def _alive(name: str) -> bool:
    process = Process.load(_record(name))
    return process is not None and process.is_alive()


def _stop(process: Process) -> bool:
    stopped = process.stop()
    _record(process.name).unlink(missing_ok=True)
    if process.name == EMULATOR:
        shutil.rmtree(EMULATOR_HOME, ignore_errors=True)
    return stopped


def _ensure(name: str, fingerprint: str, started: list[Process]) -> Process:
    """The process of that name: the recorded one if it is alive and up to date, else a new one."""
    process = Process.load(_record(name))
    if process is not None and process.is_alive() and process.fingerprint == fingerprint:
        return process
    if process is not None:
        _stop(process)
    # The functions remember the sandbox's address for minutes: the same port again, if possible.
    port = processes.free_port(process.port if process is not None else None)
    log = LOGS / f"{name}.log"
    if name == EMULATOR:
        process = processes.start(
            name, _emulator_command(), _emulator_environment(port), log, port, fingerprint
        )
    else:
        command = [sys.executable, "-m", "sandbox", "--port", str(port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = processes.start(name, command, environment, log, port, fingerprint)
    process.save(_record(name))
    started.append(process)
    return process


def _emulator_command() -> list[str]:
    base: str = getattr(sys, "_base_executable", sys.executable)
    packages = Path(boto3.__file__).parent.parent
    return [base, "-P", str(ROOT / "tools" / "emulator.py"), str(packages)]


def _emulator_environment(port: int) -> dict[str, str]:
    """Loopback only, no listener but the gateway, no Docker, all files below ``.local/emulator``.

    Functions inherit this environment, so nothing of the caller's is in it.
    """
    # Then each function acts with its role's credentials, and the emulator evaluates the role's policies.
    enforced = {"AUTH": "true"} if roles.hold() else {}
    shutil.rmtree(EMULATOR_HOME, ignore_errors=True)
    for directory in ("tmp", "state", "s3"):
        (EMULATOR_HOME / directory).mkdir(parents=True)
    return {
        **CREDENTIALS,
        **enforced,
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(EMULATOR_HOME),
        "TMPDIR": str(EMULATOR_HOME / "tmp"),
        "STATE_DIR": str(EMULATOR_HOME / "state"),
        "S3_DATA_DIR": str(EMULATOR_HOME / "s3"),
        "PYTHONNOUSERSITE": "1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": REGION,
        "MINISTACK_REGION": REGION,
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{EMULATOR_HOME}/no-docker.sock",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _wait_until_healthy(process: Process, url: str) -> None:
    opener = build_opener(ProxyHandler({}))
    log = LOGS / f"{process.name}.log"
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            with opener.open(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, ConnectionError, TimeoutError):
            pass
        if not process.is_alive():
            raise ToolError(f"the {process.name} ended while starting", log)
        time.sleep(0.1)
    raise ToolError(f"the {process.name} was not ready within {START_SECONDS:.0f} s", log)


def _tls_url(sandbox_url: str) -> str:
    with build_opener(ProxyHandler({})).open(f"{sandbox_url}/_control/tls", timeout=5) as answer:
        return str(json.load(answer)["url"])


def _deploy(endpoint: str, built: package.Build, started: list[Process], all_of_them: list[Process]) -> None:
    """Deploy the build. A deployment that failed half-way is no stack: then all has to go."""
    arguments = ["deploy", "--config-env", "local", "--stack-name", STACK_NAME, "--region", REGION]
    arguments += [
        "--resolve-s3",
        "--no-confirm-changeset",
        "--no-fail-on-empty-changeset",
        "--no-progressbar",
    ]
    if roles.hold():
        template = roles.possible(BUILD / "template.yaml")
        arguments += ["--template-file", str(template), "--config-file", str(ROOT / "samconfig.toml")]
    if built.overrides:
        arguments += ["--parameter-overrides", *built.overrides]
    # No file of the user's own may send this deployment, or its credentials, anywhere else.
    nowhere = str(LOCAL / "no-aws-config")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **package.sam_environment(inherited),
        **CREDENTIALS,
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "NO_PROXY": "127.0.0.1,localhost",
        "SAM_CLI_POLL_DELAY": "0.5",
    }
    try:
        package.run_sam(arguments, LOGS / "deploy.log", environment)
    except ToolError:
        started[:] = all_of_them
        raise


def _options(endpoint: str) -> dict[str, Any]:
    """Arguments of an AWS client for the emulator, past any proxy."""
    return {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        "config": Config(proxies={}, retries={"max_attempts": 2}),
    }


def _outputs(endpoint: str) -> dict[str, str]:
    try:
        answer = boto3.client("cloudformation", **_options(endpoint)).describe_stacks(StackName=STACK_NAME)
    except (BotoCoreError, ClientError) as error:
        raise ToolError(f"the deployed stack cannot be read: {error}", LOGS / "emulator.log") from error
    found = answer["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in found}


def _output(outputs: Mapping[str, str], name: str) -> str:
    if name not in outputs:
        raise ToolError(f"the template has no output {name}")
    return outputs[name]


def _secret(endpoint: str, secret_id: str) -> str:
    try:
        answer = boto3.client("secretsmanager", **_options(endpoint)).get_secret_value(SecretId=secret_id)
    except (BotoCoreError, ClientError) as error:
        raise ToolError(f"the secret {secret_id} cannot be read: {error}", LOGS / "emulator.log") from error
    return str(answer["SecretString"])


def _as_object(secret: str) -> dict[str, Any]:
    try:
        content = json.loads(secret)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _admin_key(endpoint: str, outputs: Mapping[str, str]) -> str:
    secret = _secret(endpoint, _output(outputs, "AdminKeySecretArn"))
    return str(_as_object(secret).get("apiKey", secret))


def _write_connector_secrets(endpoint: str, outputs: Mapping[str, str], sandbox_url: str) -> None:
    """Point each connector at its stand-in; what the deployment put in its secret besides is kept."""
    client = boto3.client("secretsmanager", **_options(endpoint))
    for vendor in vendors.load():
        secret_id = outputs.get(vendor.secret_output or "")
        if secret_id is None:
            continue
        present = _as_object(_secret(endpoint, secret_id))
        wanted = {**present, **vendor.secret(sandbox_url)}
        if wanted != present:
            client.put_secret_value(SecretId=secret_id, SecretString=json.dumps(wanted))


def _verify_sender(endpoint: str, overrides: Sequence[str]) -> None:
    """Verify the identity that mails are sent by, as an operator does in SES by hand."""
    identity = dict(pair.split("=", 1) for pair in overrides).get("MailIdentity")
    if identity:
        boto3.client("sesv2", **_options(endpoint)).create_email_identity(EmailIdentity=identity)


def main() -> int:
    """Run one of the commands; the exit status is 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="template parameter, for up"
    )
    arguments = parser.parse_args()
    try:
        match arguments.command:
            case "up":
                up(dict(pair.split("=", 1) for pair in arguments.parameter if "=" in pair))
            case "down":
                print("the stack is down" if down() else "no stack was running")
            case _:
                return _status()
    except ToolError as error:
        print(error.report(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _status() -> int:
    stack = running()
    if stack is None:
        print("the stack is not running; 'make up' brings it up")
        return 1
    print(f"API      {stack.api_url}\nAWS      {stack.aws_endpoint}\nsandbox  {stack.sandbox_url}")
    print("pids     " + ", ".join(f"{name} {pid}" for name, pid in stack.pids.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
