"""Build what is deployed: the layer's requirements, ``sam build``, a lean layer, byte code.

``sam build`` alone leaves two things on the table, both paid at every cold start:

- botocore carries the models of more than 400 AWS services, 27 MB. The services that the project calls
  are kept (``AWS_SERVICES``), with the files that all of them share; the rest is removed. A client for a
  service that is not in the list fails with botocore's UnknownServiceError, and a unit test compares the
  list with the clients made in the code.
- A Lambda's file system is read-only, so Python compiles the sources again in each new environment. The
  byte code is therefore put into the artifacts, ``unchecked-hash``, since zips carry no true times; it
  has to be made by the very minor version that runs it.

Distribution metadata (``*.dist-info``) stays: pydantic looks for plug-ins there.
"""

import argparse
import compileall
import hashlib
import json
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.paths import BIN, BUILD, LOCAL, LOGS, ROOT

AWS_SERVICES = (
    "cloudwatch",
    "dynamodb",
    "dynamodbstreams",
    "events",
    "lambda",
    "s3",
    "scheduler",
    "secretsmanager",
    "ses",
    "sesv2",
    "sqs",
    "sts",
)
UNUSED = ("boto3/data", "boto3/examples", "pydantic/v1")
OWN_PACKAGES = ("switchboard",)

REQUIREMENTS = ROOT / "layers" / "connectors" / "requirements.txt"
SOURCES = ("template.yaml", "samconfig.toml", "uv.lock", "functions", "layers", "tools/package.py")
BUILD_RECORD = LOCAL / "build.json"


@dataclass(frozen=True)
class Build:
    """What was built: the hash of all that went in, and SAM's parameter overrides."""

    fingerprint: str
    overrides: tuple[str, ...]


def requirements(target: Path = REQUIREMENTS) -> None:
    """Write the layer's requirements, with hashes, as ``uv.lock`` pins them."""
    command = [_uv(), "export", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ToolError(f"uv export failed: {done.stderr.strip()}")
    target.write_text(done.stdout)


def _uv() -> str:
    bundled = LOCAL / "uv" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(bundled) if bundled.exists() else None)
    if found is None:
        raise ToolError("uv is not installed; 'make setup' does that")
    return found


def fingerprint(sources: Sequence[str] = SOURCES, root: Path = ROOT, salt: str = "") -> str:
    """SHA-256 over names and contents of the sources, byte code caches left out."""
    digest = hashlib.sha256(salt.encode())
    for source in sources:
        for path in _files(root / source):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root)}\0{content}\n".encode())
    return digest.hexdigest()


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.relative_to(source).parts
    )


def host_architecture() -> str:
    """This machine's architecture in Lambda's words."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def parameter_overrides(config_env: str, changes: Mapping[str, str], root: Path = ROOT) -> tuple[str, ...]:
    """The overrides of ``samconfig.toml`` for an environment, with ``changes`` on top, as ``Name=value``."""
    config = tomllib.loads((root / "samconfig.toml").read_text()).get(config_env, {})
    merged: dict[str, str] = {}
    for command in ("global", "build", "deploy"):
        merged |= _as_mapping(config.get(command, {}).get("parameters", {}).get("parameter_overrides", []))
    return tuple(f"{name}={value}" for name, value in sorted((merged | dict(changes)).items()))


def _as_mapping(overrides: Any) -> dict[str, str]:
    if isinstance(overrides, dict):
        return {name: str(value) for name, value in overrides.items()}
    words = overrides.split() if isinstance(overrides, str) else [str(word) for word in overrides]
    return {name: value.strip('"') for name, _, value in (word.partition("=") for word in words)}


def sam_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for SAM: this Python first, telemetry off, its own files inside the project."""
    return {
        **base,
        "PATH": f"{BIN}{os.pathsep}{base.get('PATH', os.defpath)}",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_CHECK_VERSION": "0",
        "__SAM_CLI_APP_DIR": str(LOCAL / "sam"),
    }


def run_sam(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    """Run SAM with its output in ``log``; ``ToolError`` when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            [str(BIN / "sam"), *arguments],
            cwd=ROOT,
            env=dict(environment),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        raise ToolError(f"sam {arguments[0]} failed", log)


def build(config_env: str, changes: Mapping[str, str] | None = None) -> tuple[Build, bool]:
    """Build into ``.aws-sam/build`` unless what is there was built of the same sources.

    Returns the build, and whether it had to be made. ``changes`` are parameter overrides.
    """
    overrides = parameter_overrides(config_env, changes or {})
    salt = f"{config_env} {' '.join(overrides)} {sys.version}"
    wanted = Build(fingerprint(salt=salt), overrides)
    if _built() == wanted and (BUILD / "template.yaml").exists():
        return wanted, False
    BUILD_RECORD.unlink(missing_ok=True)
    check_runtime((ROOT / "template.yaml").read_text())
    if find_spec("pip") is None:
        raise ToolError("sam build needs pip in .venv; 'make setup' puts it there")
    arguments = ["build", "--config-env", config_env]
    if overrides:
        arguments += ["--parameter-overrides", *overrides]
    run_sam(arguments, LOGS / "build.log", sam_environment())
    trim(BUILD)
    compile_artifacts(BUILD)
    BUILD_RECORD.parent.mkdir(parents=True, exist_ok=True)
    BUILD_RECORD.write_text(json.dumps(asdict(wanted)) + "\n")
    return wanted, True


def _built() -> Build | None:
    try:
        record = json.loads(BUILD_RECORD.read_text())
        return Build(record["fingerprint"], tuple(record["overrides"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def check_runtime(template: str) -> None:
    """``ToolError`` unless every runtime in the template is the Python that makes the byte code."""
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    runtimes = set(re.findall(r"^\s*(?:Runtime|BuildMethod):\s*[\"']?(python[\d.]+)", template, re.MULTILINE))
    if runtimes != {here}:
        found = ", ".join(sorted(runtimes)) or "no Python"
        raise ToolError(f"the byte code would be for {here}, but the template runs {found}")


def trim(build_directory: Path) -> None:
    """Remove from the layer what no function uses: botocore's other models, boto3's resources, pydantic 1."""
    for unused in UNUSED:
        for folder in build_directory.glob(f"*/python/{unused}"):
            shutil.rmtree(folder)
    for data in build_directory.glob("*/python/botocore/data"):
        for model in data.iterdir():
            if model.is_dir() and model.name not in AWS_SERVICES:
                shutil.rmtree(model)


def compile_artifacts(build_directory: Path) -> None:
    """Put byte code into every artifact, since at run time it can be neither written nor kept.

    Our own sources stay beside theirs, for tracebacks. Of the libraries only the byte code is shipped: that
    halves the files which a cold start unpacks and looks at. The names in it are those of the running
    function (``/opt``, ``/var/task``), so that the artifact does not depend on where it was built.
    ``ToolError`` when a source does not compile.
    """
    for artifact in sorted(path for path in build_directory.iterdir() if path.is_dir()):
        libraries = artifact / "python"
        if libraries.is_dir():
            for library in libraries.iterdir():
                _compile(library, "/opt", artifact, sourceless=library.name not in OWN_PACKAGES)
        else:
            _compile(artifact, "/var/task", artifact, sourceless=False)


def _compile(path: Path, root: str, artifact: Path, *, sourceless: bool) -> None:
    compile_path = compileall.compile_dir if path.is_dir() else compileall.compile_file
    compiled = path.is_file() and path.suffix != ".py"
    compiled = compiled or compile_path(
        str(path),
        quiet=1,
        force=True,
        legacy=sourceless,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        stripdir=str(artifact),
        prependdir=root,
    )
    if not compiled:
        raise ToolError(f"a source of {artifact.name} does not compile")
    if sourceless:
        for source in [path] if path.is_file() else list(path.rglob("*.py")):
            if source.with_suffix(".pyc").exists():
                source.unlink()


def deploy(config_env: str) -> None:
    """Build and deploy to AWS with the caller's own credentials, SAM's output on the terminal."""
    made, _ = build(config_env)
    arguments = ["deploy", "--config-env", config_env]
    if made.overrides:
        arguments += ["--parameter-overrides", *made.overrides]
    done = subprocess.run([str(BIN / "sam"), *arguments], cwd=ROOT, env=sam_environment(), check=False)
    if done.returncode != 0:
        raise ToolError("sam deploy failed")


def main() -> int:
    """Run one of the commands; the exit status is 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.package", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["requirements", "build", "deploy"])
    parser.add_argument("--config-env", default="default", help="environment of samconfig.toml")
    arguments = parser.parse_args()
    try:
        match arguments.command:
            case "requirements":
                requirements()
            case "build":
                _, made = build(arguments.config_env)
                print("built .aws-sam/build" if made else "nothing has changed since the last build")
            case _:
                deploy(arguments.config_env)
    except ToolError as error:
        print(error.report(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
