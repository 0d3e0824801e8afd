"""A cold start of every function behind the API: init and first call, by the real `awslambdaric`.

    PYTHONPATH=.:layers/connectors python -m benchmarks.cold_start [rounds]

A new process each, the artifacts as `make build` makes them, the first call a recorded event whose requests
to AWS are answered from a record, over TLS (`first_call`). Beside it, in turns: the same function with the
same imports and no byte code; with everything imported and no byte code (`cold_everything`), which is how
functions are that import at their top and are deployed by `sam build` alone; and the floor (`cold_floor`).
"""

import compileall
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from benchmarks import first_call, imports, page, runtime_api
from benchmarks.certificate import trusted
from benchmarks.first_call import Account, FirstCall
from benchmarks.runtime_api import Started
from tools import package
from tools.paths import BUILD, ROOT

ROUNDS = 3
AT_MOST_OF_EVERYTHING = 0.25
AT_MOST_TO_FLOOR = 3.0
_RUNTIME = ("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")

type Rounds = dict[str, dict[str, list[Started]]]
"""By function, and by way: a `Started` of each round."""


@dataclass(frozen=True)
class _Places:
    """Folders on the path of the contenders."""

    runtime: Path
    layer: Path
    sources: Path
    own: Path


def runtime_of(folder: Path) -> Path:
    """The runtime's own packages with byte code, as they are in Lambda's image."""
    for name in _RUNTIME:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"{name} is missing; 'make bench' installs it")
        origin = Path(spec.origin)
        if spec.submodule_search_locations:
            shutil.copytree(origin.parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, folder)
    compileall.compile_dir(str(folder), quiet=1)
    return folder


def _sources(folder: Path) -> Path:
    """Layer and functions as `sam build` alone leaves them: the libraries whole, nothing compiled."""
    no_byte_code = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "functions", folder / "functions", ignore=no_byte_code)
    own = ROOT / "layers" / "connectors" / "switchboard"
    shutil.copytree(own, folder / "switchboard", ignore=no_byte_code)
    for line in (ROOT / "layers" / "connectors" / "requirements.txt").read_text().splitlines():
        if required := re.match(r"([A-Za-z0-9._-]+)==", line):
            _copy_distribution(required[1], folder)
    return folder


def _copy_distribution(name: str, folder: Path) -> None:
    for file in metadata.distribution(name).files or ():
        if ".." in file.parts or file.suffix == ".pyc":
            continue
        place = folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(file.locate()), place)


def _ways(call: FirstCall, places: _Places) -> dict[str, tuple[str, dict[str, str]]]:
    """Handler and environment of each contender."""
    handler = f"functions.{call.function}.app.lambda_handler"
    name = "".join(part.title() for part in call.function.split("_"))
    deployed = f"{BUILD / f'{name}Function'}:{places.layer}:{places.runtime}"
    return {
        "deployed": (handler, {"PYTHONPATH": deployed}),
        "sources": (handler, {"PYTHONPATH": f"{places.sources}:{places.runtime}"}),
        "everything": (
            "cold_everything.lambda_handler",
            {"PYTHONPATH": f"{places.own}:{places.sources}:{places.runtime}"},
        ),
        "floor": ("cold_floor.lambda_handler", {"PYTHONPATH": f"{places.own}:{places.runtime}"}),
    }


def _own(folder: Path) -> Path:
    """The floor with byte code, the other contender without."""
    for name in ("cold_floor", "cold_everything"):
        shutil.copy(ROOT / "benchmarks" / f"{name}.py", folder)
    compileall.compile_file(str(folder / "cold_floor.py"), quiet=1)
    return folder


def _one(call: FirstCall, way: tuple[str, Mapping[str, str]], account: Account, common: Path) -> Started:
    handler, own = way
    known = common / f"{call.function}.json"
    environment = {
        **first_call.environment_at(call, account.url),
        **own,
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ENDPOINT_URL": account.url,
        "AWS_CA_BUNDLE": str(common / "ca.pem"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "STEP": call.function,
        "FLOOR": str(known),
    }
    account.play(call)
    started = runtime_api.start(handler, call.event, environment)
    account.check(f"{call.function} ({handler})")
    if started.answer.get("statusCode") != call.answer.get("statusCode"):
        raise RuntimeError(f"{call.function} ({handler}) answered {started.answer}")
    return started


def measure(rounds: int = ROUNDS) -> Rounds:
    """All contenders of all functions, in turns."""
    package.build("local")
    found: Rounds = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        runtime, own, sources, common = (folder / name for name in ("runtime", "own", "sources", "common"))
        for each in (runtime, own, sources, common):
            each.mkdir()
        layer = BUILD / "ConnectorsLayer" / "python"
        places = _Places(runtime_of(runtime), layer, _sources(sources), _own(own))
        certificate = trusted(common)
        calls = first_call.record()
        for call in calls:
            known = {"requests": [asdict(one) for one in call.exchanges], "answer": call.answer}
            (common / f"{call.function}.json").write_text(json.dumps(known))
        with first_call.account(certificate) as account:
            for _ in range(rounds):
                for call in calls:
                    for name, way in _ways(call, places).items():
                        ways = found.setdefault(call.function, {})
                        ways.setdefault(name, []).append(_one(call, way, account, common))
    return found


def _median(started: list[Started], what: str) -> float:
    return statistics.median(float(getattr(one, what)) for one in started)


def section(found: Rounds, rounds: int) -> str:
    """The page's section."""
    lines = [
        "## Cold start of each function behind the API",
        "",
        f"`python -m benchmarks.cold_start` (part of `make bench`): init and the first call through the real"
        f" `awslambdaric`, medians of {rounds} rounds in turns, a new process each. The call is a recorded"
        " event; what the function asks of AWS is answered from a record over TLS on loopback, the same for"
        " all. The ratios are of CPU time, which is what a cold start waits for at 512 MB (0.29 of a CPU),"
        " and which other work on the machine moves least.",
        "",
        "- **deployed**: the artifact of `make build`.",
        "- **no byte code**: the same function and imports, as `sam build` alone leaves them.",
        "- **everything**: besides, all modules of the layer and its libraries imported at the top"
        " (`benchmarks/cold_everything.py`). Goal: deployed takes at most a quarter.",
        "- **floor**: Python's own `http.client`, `ssl`, `hmac` and `json`, the same requests, signed, over a"
        " connection for each service (`benchmarks/cold_floor.py`). Goal: deployed takes at most 3 times.",
        "",
        "| function | init, ms | first call, ms | CPU, ms | of no byte code | of everything | to the floor |",
        "|---|---|---|---|---|---|---|",
    ]
    missed = []
    for function, ways in found.items():
        cpu = {name: _median(started, "cpu") for name, started in ways.items()}
        deployed = ways["deployed"]
        of_everything, to_floor = cpu["deployed"] / cpu["everything"], cpu["deployed"] / cpu["floor"]
        lines.append(
            f"| {function} | {_median(deployed, 'init'):.0f} | {_median(deployed, 'call'):.0f} "
            f"| {cpu['deployed']:.0f} "
            f"| {cpu['deployed'] / cpu['sources']:.2f} | {of_everything:.2f} | {to_floor:.1f}x |"
        )
        missed += [f"`{function}` a quarter"] if of_everything > AT_MOST_OF_EVERYTHING else []
        missed += [f"`{function}` 3 times the floor"] if to_floor > AT_MOST_TO_FLOOR else []
    verdict = f"Missed: {', '.join(missed)}." if missed else "Both goals are met by every function."
    lines += ["", "![CPU of a cold start](cold-start.svg)", "", verdict]
    return "\n".join(lines)


def _plot(found: Rounds) -> None:
    names = {"deployed": "deployed", "everything": "everything, no byte code", "floor": "floor"}
    rows = [
        (f"{function}, {names[way]}", _median(ways[way], "cpu"))
        for function, ways in found.items()
        for way in names
    ]
    page.bars(page.SECTIONS / "cold-start.svg", "CPU of init and first call, ms", rows, "ms", groups=3)


def main() -> None:
    """Measure, and write the section."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    found = measure(rounds)
    _plot(found)
    text = section(found, rounds)
    page.write_section("cold-start", "\n\n".join([text, imports.table(), imports.snapstart()]))
    print(text)


if __name__ == "__main__":
    main()
