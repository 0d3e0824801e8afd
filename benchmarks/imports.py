"""What each function behind the API imports at its cold start, and why; and SnapStart's price.

The libraries are kept here and held against a new process by a test, so that neither a function nor an import
comes in without its reason. The times are from Python's `-X importtime`.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

from tools.paths import BUILD, ROOT

_POWERTOOLS = "aws_lambda_powertools"


@dataclass(frozen=True)
class Imports:
    """What a function imports before its first call.

    Attributes:
        libraries: top-level packages that are not Python's.
        why: what it needs them for, and what it leaves for later.
    """

    libraries: frozenset[str]
    why: str


_LOGS = frozenset({_POWERTOOLS, "jmespath", "botocore", "typing_extensions"})
"""Powertools' logger imports botocore's name, to tell AWS of itself; the rest of it comes with a client."""
_API = _LOGS | {"pydantic", "pydantic_core", "annotated_types", "typing_inspection"}

IMPORTS = {
    "authorizer": Imports(
        _LOGS,
        "Powertools' logger. It is before every call, so it has no models and no router; botocore comes with"
        " the first key that is looked up.",
    ),
    "campaign_query": Imports(
        _API, "Routes and models of campaigns. The CRM's connector comes with the first call that asks it."
    ),
    "charging": Imports(
        _API,
        "Routes and models of the OCS's use cases, and the rules that refuse them. The OCS's client and its"
        " HTTP library come when something is done at once.",
    ),
    "console": Imports(frozenset(), "Python alone: it hands out files, and has no layer."),
    "crm_api": Imports(
        _API, "Routes and models of the CRM's records. The connector comes with the first call."
    ),
    "crm_event_intake": Imports(
        _API, "Routes and models of CRM events, and what publishes them; no vendor's client."
    ),
    "lead_create": Imports(
        _API,
        "Routes and models of leads, the matching and the assignment. Phone numbers and Meta's signature come"
        " with the first lead that has one.",
    ),
    "member_intake": Imports(
        _API, "Routes and models of members. CrowdTwist's client is the worker's and not here."
    ),
    "operations": Imports(
        _API,
        "Routes and models of the ledger, settings, partners and queues: the most of all, as it answers the"
        " most. The OpenAPI document is a file, and read when it is asked for.",
    ),
    "social_intake": Imports(_API, "Routes and models of posts and replies, and the criteria that filter."),
    "survey_api": Imports(
        _API, "Routes and models of surveys. QuestionPro's client comes with the first invitation."
    ),
    "trigger_config": Imports(
        _API, "Routes and models of triggers. Signing keys are made by what comes with the first of them."
    ),
}
"""Each function behind the API."""

_PROBE = """
import importlib, sys
importlib.import_module({module!r})
own = {{"functions", "switchboard", "awslambdaric", "__main__"}}
names = {{name.partition(".")[0] for name in sys.modules if not name.startswith("_sysconfigdata")}}
print("FOUND", *sorted(names - set(sys.stdlib_module_names) - own))
"""


def _environment(path: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, "POWERTOOLS_METRICS_NAMESPACE": "Switchboard"}


def found(function: str) -> set[str]:
    """The libraries that a new process has imported when the function's module is there."""
    site_packages = next((ROOT / ".venv" / "lib").glob("python3.*/site-packages"))
    path = f"{ROOT}:{ROOT / 'layers' / 'connectors'}:{site_packages}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", _PROBE.format(module=f"functions.{function}.app")],
        env=_environment(path),
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.rpartition("FOUND")[2].split())


def heaviest(function: str, most: int = 4) -> tuple[int, float, list[tuple[str, float]]]:
    """Modules, their milliseconds together, and the packages with the most of them, as deployed."""
    name = "".join(part.title() for part in function.split("_"))
    done = subprocess.run(
        [
            *(getattr(sys, "_base_executable", sys.executable), "-S", "-X", "importtime"),
            *("-c", f"import functions.{function}.app"),
        ],
        env=_environment(f"{BUILD / f'{name}Function'}:{BUILD / 'ConnectorsLayer' / 'python'}"),
        check=True,
        capture_output=True,
        text=True,
    )
    times: Counter[str] = Counter()
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr)
    for own, module in lines:
        package = module.partition(".")[0]
        times["Python's own" if package in sys.stdlib_module_names else package] += int(own)
    packages = [(package, time / 1000) for package, time in times.most_common(most)]
    return len(lines), sum(times.values()) / 1000, packages


def table() -> str:
    """The table of the page."""
    lines = [
        "### What each of them imports, and why",
        "",
        "Of the deployed artifact, by `-X importtime` (one run; its own cost is in it). Most of botocore is"
        " nobody's import: it comes with the first request to AWS. `benchmarks/imports.py` has the"
        " reasons, and a test fails when a function imports a library that is not in it.",
        "",
        "| function | modules | ms | the most of it, ms | why |",
        "|---|---|---|---|---|",
    ]
    for function, imports in IMPORTS.items():
        modules, milliseconds, packages = heaviest(function)
        most = ", ".join(f"{package} {time:.0f}" for package, time in packages if time >= 0.5)
        lines.append(f"| {function} | {modules} | {milliseconds:.0f} | {most} | {imports.why} |")
    return "\n".join(lines)


CACHE_GB_SECOND = 0.0000015046
RESTORE_GB = 0.0001397998
"""SnapStart's list prices for Python in US dollars (aws.amazon.com/lambda/pricing), us-east-1."""

PRICES_OF = "2026-11-22, us-east-1"
_MEMORY_GB = 0.5
_MONTH_SECONDS = 30 * 24 * 3600


def snapstart() -> str:
    """What the parameter SnapStart costs."""
    number = len(IMPORTS) - 1
    kept = CACHE_GB_SECOND * _MEMORY_GB * _MONTH_SECONDS
    restored = RESTORE_GB * _MEMORY_GB * 1000
    return f"""### SnapStart

`sam deploy --parameter-overrides SnapStart=on …` has AWS restore the {number} functions behind the API
that take time to start (all but `console`) from a snapshot taken after init, instead of starting them. It
is off by default: init is short here, AWS's own restore takes its time too, and it costs. List prices of
{PRICES_OF}: keeping a snapshot, ${CACHE_GB_SECOND} a GB-second, is ${kept:.2f} a month for a function of
{_MEMORY_GB} GB and **${kept * number:.2f} a month for all {number}**, called or not; restoring,
${RESTORE_GB} a GB, is ${restored:.2f} a thousand cold starts. Only the newest version of each function is
kept, so nothing is paid for old ones.

A change of a parameter, of the code or of the layer publishes new versions; with SnapStart a deployment then
takes some minutes longer, since AWS makes the snapshots. Nothing that must differ between processes is made
at init: ids and tokens are drawn when they are needed, and clients connect with the first call. How fast AWS
restores them is UNVERIFIED; on the emulator, the deployment with `SnapStart=on` and calls through the aliases
were seen to work.
"""
