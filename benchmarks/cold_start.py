"""What a cold start of each function costs: a new process that imports it and makes its AWS client.

Three ways for each: as it is deployed (byte code in the artifact), the same sources without byte code (as
`sam build` alone leaves them), and a bare process that imports http.client, the floor.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from tools import package
from tools.paths import BUILD, ROOT

RUNS = 7
_PROBE = "import importlib; importlib.import_module({module!r}); {client}"
_CLIENT = "from switchboard import aws; aws.dynamodb()"
_FLOOR = "import http.client, json, ssl; ssl.create_default_context()"


@dataclass(frozen=True)
class Measured:
    """Medians in milliseconds of wall time, of the whole process."""

    function: str
    deployed: float
    without_byte_code: float


def _milliseconds(code: str, **environment: str) -> float:
    """One run of a new interpreter."""
    clean = {
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    timed = f"import time; begun = time.perf_counter()\n{code}\nprint((time.perf_counter() - begun) * 1000)"
    done = subprocess.run(
        [getattr(sys, "_base_executable", sys.executable), "-S", "-c", timed],
        env=clean | environment,
        cwd=tempfile.gettempdir(),
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.splitlines()[-1])


def measure() -> tuple[float, list[Measured]]:
    """The floor, and each function; the ways take turns, so that a slow moment hits them all."""
    package.build("local")
    layer = BUILD / "ConnectorsLayer" / "python"
    site_packages = next((ROOT / ".venv" / "lib").glob("python3.*/site-packages"))
    sources = f"{ROOT}:{ROOT / 'layers' / 'connectors'}:{site_packages}"
    names = [artifact.name.removesuffix("Function") for artifact in sorted(BUILD.glob("*Function"))]
    floors: list[float] = []
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
    with tempfile.TemporaryDirectory() as nothing_cached:
        for _ in range(RUNS):
            floors.append(_milliseconds(_FLOOR))
            for name in names:
                step = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
                probe = _PROBE.format(module=f"functions.{step}.app", client=_CLIENT)
                artifact = f"{BUILD / f'{name}Function'}:{layer}"
                times[name][0].append(_milliseconds(probe, PYTHONPATH=artifact))
                times[name][1].append(
                    _milliseconds(probe, PYTHONPATH=sources, PYTHONPYCACHEPREFIX=nothing_cached)
                )
    measured = [Measured(name, *(statistics.median(way) for way in ways)) for name, ways in times.items()]
    return statistics.median(floors), measured


def table() -> str:
    """The measurements as a Markdown table of ratios."""
    floor, measured = measure()
    lines = [
        f"Cold start, medians of {RUNS} runs; the floor (http.client and TLS) took {floor:.0f} ms.",
        "",
        "| function | deployed, ms | to the floor | without byte code, to deployed |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.function} | {one.deployed:.0f} | {one.deployed / floor:.1f} "
        f"| {one.without_byte_code / one.deployed:.1f} |"
        for one in measured
    ]
    return "\n".join(lines)
