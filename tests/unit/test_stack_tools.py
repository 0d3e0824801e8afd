"""The tools that package the project and run the local stack."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import package, processes, stack
from tools.errors import ToolError
from tools.paths import ROOT
from tools.processes import Process

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


def start(script: str, log: Path) -> Process:
    command = [sys.executable, "-c", script]
    process = processes.start("sleeper", command, os.environ, log, port=1, fingerprint="f")
    until = time.monotonic() + 10
    while not log.read_text().strip() and time.monotonic() < until:
        time.sleep(0.02)
    return process


def alive(pid: int) -> bool:
    return any(entry.pid == pid for entry in processes.process_table())


def test_stopping_takes_the_children_along(tmp_path: Path) -> None:
    process = start(PARENT, tmp_path / "log")
    child = int((tmp_path / "log").read_text())
    assert process.is_alive()
    assert alive(child)
    assert process.stop()
    assert not process.is_alive()
    assert not alive(child)
    assert not process.stop()


def test_children_are_stopped_when_the_leader_is_gone(tmp_path: Path) -> None:
    process = start(PARENT, tmp_path / "log")
    child = int((tmp_path / "log").read_text())
    os.kill(process.pid, signal.SIGKILL)
    until = time.monotonic() + 5
    while process.is_alive() and time.monotonic() < until:
        time.sleep(0.02)
    assert alive(child)
    assert process.stop()
    assert not alive(child)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    process = start(STUBBORN, tmp_path / "log")
    assert process.stop(grace_seconds=0.2)
    assert not process.is_alive()


def test_a_stranger_with_the_recorded_number_is_left_alone(tmp_path: Path) -> None:
    process = start(PARENT, tmp_path / "log")
    mistaken = Process("sleeper", process.pid, "another start", process.port, process.fingerprint)
    assert not mistaken.is_alive()
    assert not mistaken.stop()
    assert process.is_alive()
    process.stop()


def test_a_record_survives_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.pid"
    assert Process.load(path) is None
    path.write_text("{}")
    assert Process.load(path) is None
    process = Process("sandbox", 1, "2", 3, "4")
    process.save(path)
    assert Process.load(path) == process


def test_both_ways_to_read_the_process_table_agree() -> None:
    try:
        listed = processes._table_from_ps()
    except FileNotFoundError:
        pytest.skip("there is no ps here")
    assert os.getpid() in {entry.pid for entry in listed}
    assert os.getpid() in {entry.pid for entry in processes.process_table()}


def test_the_preferred_port_is_taken_when_it_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert processes.free_port(port) != port
    assert processes.free_port(port) == port


def test_the_stack_file_is_camel_case_and_private(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    assert stack.Stack.load(path) is None
    made = stack.Stack(
        api_url="http://127.0.0.1:1/v1",
        admin_key="k",
        aws_endpoint="http://127.0.0.1:1",
        region="us-east-1",
        sandbox_url="http://127.0.0.1:2",
        stack_name="switchboard-local",
        outputs={"RestApiId": "a"},
        pids={"emulator": 1},
        deployed="d",
    )
    made.save(path)
    assert '"apiUrl"' in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert stack.Stack.load(path) == made


def test_the_emulator_gets_nothing_of_the_callers_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stack, "EMULATOR_HOME", tmp_path / "emulator")
    monkeypatch.setenv("AWS_PROFILE", "production")
    environment = stack._emulator_environment(1234)
    assert "AWS_PROFILE" not in environment
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert environment["TMPDIR"].startswith(str(tmp_path))


def test_the_fingerprint_follows_names_and_contents(tmp_path: Path) -> None:
    source = tmp_path / "functions"
    (source / "__pycache__").mkdir(parents=True)
    (source / "app.py").write_text("a")

    def now(salt: str = "") -> str:
        return package.fingerprint(("functions",), root=tmp_path, salt=salt)

    first = now()
    (source / "__pycache__" / "app.pyc").write_text("b")
    assert now() == first
    assert now("x86_64") != first
    (source / "app.py").rename(source / "main.py")
    assert now() != first


@pytest.mark.parametrize("runtime", ["python3.12", "python3.14"])
def test_another_runtime_is_refused(runtime: str) -> None:
    with pytest.raises(ToolError, match=runtime):
        package.check_runtime(f"Globals:\n  Function:\n    Runtime: {runtime}\n")


def test_the_template_runs_the_python_of_the_tools() -> None:
    package.check_runtime((ROOT / "template.yaml").read_text())


def test_overrides_are_merged_over_samconfig(tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text(
        '[local.build.parameters]\nparameter_overrides = "Stage=local Architecture=arm64"\n'
        '[local.deploy.parameters]\nparameter_overrides = ["LocalStack=true"]\n'
    )
    merged = package.parameter_overrides("local", {"Architecture": "x86_64"}, root=tmp_path)
    assert merged == ("Architecture=x86_64", "LocalStack=true", "Stage=local")
    assert package.parameter_overrides("prod", {}, root=tmp_path) == ()


def test_trim_keeps_what_is_used_and_what_all_share(tmp_path: Path) -> None:
    data = tmp_path / "Connectors" / "python" / "botocore" / "data"
    for model in ("dynamodb", "workspaces"):
        (data / model).mkdir(parents=True)
    (data / "endpoints.json").write_text("{}")
    package.trim(tmp_path)
    assert sorted(path.name for path in data.iterdir()) == ["dynamodb", "endpoints.json"]


def test_the_layer_keeps_every_service_that_the_code_calls() -> None:
    call = re.compile(r"""(?:client|resource)\(\s*["']([a-z0-9-]+)["']""")
    sources = [
        *(ROOT / "functions").rglob("*.py"),
        *(ROOT / "layers" / "connectors" / "switchboard").rglob("*.py"),
    ]
    called = {service for path in sources for service in call.findall(path.read_text())}
    assert called <= set(package.AWS_SERVICES)


def test_byte_code_is_used_although_the_times_differ(tmp_path: Path) -> None:
    artifact = tmp_path / "Echo"
    artifact.mkdir()
    (artifact / "app.py").write_text("WHAT = 'compiled'\n")
    package.compile_artifacts(tmp_path)
    (artifact / "app.py").write_text("WHAT = 'source'\n")
    os.utime(artifact / "app.py", (315532800, 315532800))
    shown = subprocess.run(
        [sys.executable, "-c", "import app; print(app.WHAT)"],
        cwd=artifact,
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "compiled"


def test_a_source_that_does_not_compile_fails_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = tmp_path / "Echo"
    artifact.mkdir()
    (artifact / "app.py").write_text("def\n")
    with pytest.raises(ToolError, match="Echo"):
        package.compile_artifacts(tmp_path)
    capsys.readouterr()


def test_an_error_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "deploy.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    report = ToolError("sam deploy failed", log).report(lines=2)
    assert report.splitlines() == [
        "sam deploy failed (the end of deploy.log:)",
        "    line 98",
        "    line 99",
    ]


def test_every_target_has_a_help_text() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE)
    explained = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert phony == explained
    wanted = {"demo", "test", "up", "down", "lint", "typecheck", "build", "deploy", "bench"}
    assert wanted <= set(explained)
