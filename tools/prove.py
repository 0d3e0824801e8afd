"""`make prove`: the long forms of all proofs and the benchmarks, in about half an hour, and one report.

Each part is a program of its own with a time of its own; what it said is kept in `.local/prove/`. The report
is `docs/proof.md`. The benchmarks, the last part, write their sections into `docs/performance/`, and
`docs/performance.md` gathers them. A part that fails does not keep the others from running; the exit status
says that one did.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tools import stack as local_stack
from tools.errors import ToolError
from tools.paths import LOCAL, LOGS, ROOT
from tools.stack import Stack

OUTPUT = LOCAL / "prove"
REPORT = ROOT / "docs" / "proof.md"
USED = OUTPUT / "actions-used.jsonl"
FUZZED_CASES = 5_000


@dataclass(frozen=True)
class Part:
    """One part of the proof.

    Attributes:
        name: its file, and its row in the report.
        shows: what a pass of it says.
        command: the program and its arguments.
        environment: what makes its form the long one.
        minutes: after which it is ended, and counts as failed.
    """

    name: str
    shows: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    minutes: int = 5


@dataclass(frozen=True)
class Outcome:
    """What came of a part."""

    part: Part
    passed: bool
    seconds: float
    remark: str


def _pytest(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-q", "-rN", *arguments)


def parts(operations: int) -> tuple[Part, ...]:
    """All parts that need no stack, in their order."""
    examples = str(FUZZED_CASES // operations + 1)
    return (
        Part(
            "simulation",
            "Accepted work ends in one final state, with one effect for each version, the newest version"
            " last, and nothing of it in another partner's answer; each of six planted faults is caught.",
            _pytest("tests/proof/test_simulation.py", "tests/proof/test_check.py", "-n", "2"),
            {"SWITCHBOARD_SIMULATION_SEEDS": "16", "SWITCHBOARD_SIMULATION_STEPS": "120"},
            minutes=8,
        ),
        Part(
            "fuzzing",
            f"{FUZZED_CASES:,} requests made from the OpenAPI document: no 5xx, no answer beside its schema.",
            _pytest("tests/proof/test_fuzzed_api.py", "-s"),
            {"SWITCHBOARD_FUZZ_EXAMPLES": examples},
            minutes=8,
        ),
        Part(
            "state machines",
            "The ledger, a member and a trigger follow a model of a few lines, whatever is done to them.",
            _pytest("tests/proof/test_state_machines.py"),
            {"SWITCHBOARD_MACHINE_EXAMPLES": "25"},
        ),
        Part(
            "mutations",
            "Mutated signatures and tokens open nothing; mutated XML and JSON of a vendor breaks nothing.",
            _pytest("tests/proof/test_mutated_input.py"),
            {"SWITCHBOARD_MUTATIONS": "500"},
        ),
        Part(
            "matrix",
            "Each route of the document: own, other partner, without the scope, revoked, no key.",
            _pytest("tests/proof/test_matrix.py"),
        ),
        Part(
            "requests",
            "AWS requests for each unit of work are within their limits.",
            _pytest("tests/proof/test_bill.py"),
        ),
        Part(
            "all tests",
            "Unit and integration tests: no step uses an action that its role does not grant, and no log line"
            " of any test holds personal data or a secret.",
            _pytest("tests/unit", "tests/integration", "-n", "2"),
            {"SWITCHBOARD_STRICT": "1", "SWITCHBOARD_ACTIONS_USED": str(USED)},
            minutes=12,
        ),
        Part("cfn-lint", "`sam validate --lint` has no finding.", (".venv/bin/sam", "validate", "--lint")),
        Part(
            "checkov",
            "checkov finds nothing in the expanded template but what has a written reason.",
            (sys.executable, "-m", "tools.checkov"),
        ),
        Part(
            "killed dump",
            "200,000 responses through 512 MB of memory, a worker killed at every checkpoint: no row lost,"
            " none twice, each byte the vendor's, at most one page asked for again.",
            (sys.executable, "-m", "benchmarks.survey_dump"),
            minutes=12,
        ),
        Part(
            "benchmarks",
            "Each benchmark ran, and wrote its section; whether a goal is met stands there.",
            (sys.executable, "-m", "benchmarks"),
            minutes=10,
        ),
    )


def deployed_parts(stack: Stack, operations: int) -> tuple[Part, ...]:
    """The parts that need the deployed stack."""
    return (
        Part(
            "deployed fuzzing",
            "Requests of the same kind through the gateway, the authorizer and the deployed functions.",
            _pytest("tests/proof/test_fuzzed_api.py", "-s"),
            {
                "SWITCHBOARD_FUZZ_EXAMPLES": str(300 // operations + 1),
                "SWITCHBOARD_FUZZ_URL": stack.api_url,
                "SWITCHBOARD_FUZZ_KEY": stack.admin_key,
            },
            minutes=6,
        ),
    )


def run(part: Part) -> Outcome:
    """Run one part; its output goes into a file of its name."""
    print(f"  {part.name:<18}", end="", flush=True)
    environment = (
        os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'connectors'}"} | dict(part.environment)
    )
    output = OUTPUT / f"{part.name.replace(' ', '-')}.log"
    began = time.monotonic()
    with output.open("w") as file:
        try:
            done = subprocess.run(
                part.command,
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=part.minutes * 60,
                check=False,
            )
            passed, remark = done.returncode == 0, _last_words(output)
        except subprocess.TimeoutExpired:
            passed, remark = False, f"ended after {part.minutes} minutes"
    seconds = time.monotonic() - began
    print(f"{'passed' if passed else 'FAILED':<8}{seconds:6.1f} s  {remark}", flush=True)
    return Outcome(part, passed, seconds, remark)


def _last_words(output: Path) -> str:
    lines = [line.strip(" =") for line in output.read_text().splitlines() if line.strip(" =")]
    cases = next((line for line in lines if re.fullmatch(r"[.]*\d+ cases", line)), "").strip(".")
    last = re.sub(r" in [\d.]+s.*", "", lines[-1]) if lines else ""
    return ", ".join(part for part in (cases, last) if part)


def unused_grants() -> list[str]:
    """Actions that a role grants and no test has used; only after a whole run of the tests."""
    from tests.support.permissions import NOT_SEEN_HERE, granted

    used = {tuple(json.loads(line)) for line in USED.read_text().splitlines()} if USED.exists() else set()
    return [
        f"`{step}` {action} on {resource}"
        for step, grants in sorted(granted().items())
        for action, resource in sorted({(grant.action, grant.resource) for grant in grants})
        if action not in NOT_SEEN_HERE and (step, action, resource) not in used and resource
    ]


def machine() -> str:
    """The machine by its kind: processors and their model, the system, the Python."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
        if Path("/proc/cpuinfo").exists()
        else iter(()),
        platform.machine(),
    )
    return f"{os.cpu_count()} CPUs ({model}), {platform.system()}, Python {platform.python_version()}"


def report(outcomes: list[Outcome], unused: list[str]) -> str:
    """The page."""
    total = sum(outcome.seconds for outcome in outcomes)
    rows = [
        f"| {one.part.name} | {'passed' if one.passed else '**failed**'} | {one.seconds:.0f} s "
        f"| {one.part.shows} | {one.remark} |"
        for one in outcomes
    ]
    grants = "\n".join(f"- {grant}" for grant in unused) or "None."
    where = f"on {datetime.now(UTC):%Y-%m-%d}, on {machine()}; {total / 60:.0f} minutes"
    return f"""# Proof

Written by `make prove` {where}. How it is done: [proving](proving.md). What the work takes in time and money:
[performance](performance.md).

| part | outcome | time | what it shows | remark |
|---|---|---|---|---|
{chr(10).join(rows)}

## Granted and never used in a test

An action that a role grants, and no test in a mocked account has used. The end-to-end tests may use more.

{grants}
"""


def _canaries_of_the_stack() -> Outcome:
    """Whatever the deployed functions have logged so far holds no canary."""
    from tests.support import canaries

    part = Part("deployed logs", "No log line of the deployed functions holds personal data or a secret.", ())
    began = time.monotonic()
    texts = [log.read_text(errors="replace") for log in sorted(LOGS.glob("*.log"))]
    found = [breach for text in texts for breach in canaries.breaches(text)]
    lines = sum(1 for text in texts for _ in canaries.log_lines(text))
    (OUTPUT / "deployed-logs.log").write_text("\n".join(found) + "\n")
    return Outcome(part, not found, time.monotonic() - began, f"{lines} lines")


def main() -> int:
    """Run everything, or the parts that are named."""
    parser = argparse.ArgumentParser(description="the long forms of all proofs")
    parser.add_argument("only", nargs="*", help="names of parts; all when left out")
    parser.add_argument("--no-stack", action="store_true", help="leave out what needs the deployed stack")
    arguments = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    USED.unlink(missing_ok=True)
    document = json.loads((ROOT / "functions" / "operations" / "openapi.json").read_text())
    operations = sum(len(methods) for methods in document["paths"].values())
    wanted = [part for part in parts(operations) if not arguments.only or part.name in arguments.only]
    outcomes = [run(part) for part in wanted]
    if not arguments.no_stack and not arguments.only:
        ran_before = local_stack.running() is not None
        try:
            stack = local_stack.up()
            outcomes += [run(part) for part in deployed_parts(stack, operations)]
            outcomes.append(_canaries_of_the_stack())
        except ToolError as error:
            print(error.report(), file=sys.stderr)
            return 1
        finally:
            if not ran_before:
                local_stack.down()
    whole = not arguments.only
    if whole:
        REPORT.write_text(report(outcomes, unused_grants()))
        print(f"the report is {REPORT.relative_to(ROOT)}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
