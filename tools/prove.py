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
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from tools import roles
from tools import stack as local_stack
from tools.errors import ToolError
from tools.paths import LOCAL, ROOT
from tools.stack import Stack

OUTPUT = LOCAL / "prove"
USED_FILE = "SWITCHBOARD_ACTIONS_USED"
"""The variable that names the file, as `tests.support.permissions` reads it."""

REPORT = ROOT / "docs" / "proof.md"
OUTCOMES = OUTPUT / "outcomes.json"
USED = OUTPUT / "actions-used.jsonl"
FUZZED_CASES = 5_000
"""Requests that are made in process; the deployed stack is some ten times slower."""

DEPLOYED_CASES = 5_000


@dataclass(frozen=True)
class Part:
    """One part of the proof.

    Attributes:
        name: its file, and its row in the report.
        shows: what a pass of it says.
        command: the program and its arguments.
        environment: what makes its form the long one.
        minutes: after which it is ended, and counts as failed.
        alone: it has processes for every core, or measures time; the others run two at a time.
    """

    name: str
    shows: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    minutes: int = 5
    alone: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a part."""

    part: Part
    passed: bool
    seconds: float
    remark: str
    day: str = ""


def _pytest(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-q", "-rN", *arguments)


def parts(operations: int) -> tuple[Part, ...]:
    """All parts that need no stack, in their order."""
    return (
        Part(
            "simulation",
            "Accepted work ends in one final state, with one effect for each version, the newest version"
            " last, and nothing of it in another partner's answer; each of six planted faults is caught.",
            _pytest("tests/proof/test_simulation.py", "tests/proof/test_check.py", "-n", "2"),
            {"SWITCHBOARD_SIMULATION_SEEDS": "16", "SWITCHBOARD_SIMULATION_STEPS": "120"},
            minutes=8,
            alone=True,
        ),
        Part(
            "repeated writes",
            "Each write is made twice by the SDK's own retry: nobody waits, nothing is done twice.",
            _pytest("tests/proof/test_repeated_writes.py"),
        ),
        Part(
            "fuzzing",
            f"{FUZZED_CASES:,} good and bad requests and more, made from the OpenAPI document, one after the"
            " other and in chains: no 5xx of ours, no answer beside its schema, nothing bad taken.",
            _pytest("tests/proof/test_fuzzed_api.py", "-s"),
            {
                "SWITCHBOARD_FUZZ_PHASES": "coverage,fuzzing,stateful",
                "SWITCHBOARD_FUZZ_EXAMPLES": "5",  # the coverage alone has some 6,000
                "SWITCHBOARD_FUZZ_CASES": str(FUZZED_CASES),
            },
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
            {"SWITCHBOARD_STRICT": "1", USED_FILE: str(USED)},
            minutes=12,
            alone=True,
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
            alone=True,
        ),
        Part(
            "benchmarks",
            "Each benchmark ran, and wrote its section; whether a goal is met stands there.",
            (sys.executable, "-m", "benchmarks"),
            minutes=10,
            alone=True,
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
                "SWITCHBOARD_FUZZ_PHASES": "fuzzing",
                "SWITCHBOARD_FUZZ_EXAMPLES": str(DEPLOYED_CASES // operations + 1),
                "SWITCHBOARD_FUZZ_CASES": str(DEPLOYED_CASES),
                "SWITCHBOARD_FUZZ_URL": stack.api_url,
                "SWITCHBOARD_FUZZ_KEY": stack.admin_key,
            },
            minutes=9,
        ),
    )


def run(part: Part) -> Outcome:
    """Run one part; its output goes into a file of its name."""
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
    return _told(Outcome(part, passed, seconds, remark))


def run_all(wanted: Iterable[Part]) -> list[Outcome]:
    """Run parts, those of one process two at a time; the outcomes in the parts' order."""
    outcomes: list[Outcome] = []
    for alone, some in groupby(wanted, key=attrgetter("alone")):
        with ThreadPoolExecutor(1 if alone else 2) as pool:
            outcomes += pool.map(run, some)
    return outcomes


def _told(outcome: Outcome) -> Outcome:
    verdict = "passed" if outcome.passed else "FAILED"
    print(f"  {outcome.part.name:<18}{verdict:<8}{outcome.seconds:6.1f} s  {outcome.remark}", flush=True)
    return outcome


def _last_words(output: Path) -> str:
    lines = [line.strip(" =") for line in output.read_text().splitlines() if line.strip(" =")]
    cases = next((line for line in lines if re.fullmatch(r"[.]*\d+ cases", line)), "").strip(".")
    summed = [line for line in lines if re.search(r"\d+ (passed|failed|error)", line)]
    last = re.sub(r" in [\d.]+s.*", "", (summed or lines or [""])[-1])
    return ", ".join(part for part in (cases, last) if part).replace(f"{ROOT}/", "")


NEEDED_UNSEEN = {
    (
        "*",
        "sqs:SendMessage",
        "*Dlq",
    ): "Lambda sends there, with the function's role, what has failed for good",
    ("crm_changes", "sqs:SendMessage", "CrmChangesRedoQueue"): "the same, of a batch of the stream",
    ("operations", "sqs:*", "CrmChanges*"): "a mocked account has no queue that a stream sends to",
    (
        "*",
        "dynamodb:GetItem",
        "IdempotencyTable",
    ): "Powertools reads a record that a refused write did not bring",
}
"""Grants, as patterns of step, action and resource, that no test in a mocked account can use, and why."""


def unused_grants() -> list[str]:
    """Actions that a role grants and no test has used; only after a whole run of the tests."""
    from tests.support.permissions import NOT_SEEN_HERE, granted

    used = {tuple(json.loads(line)) for line in USED.read_text().splitlines()} if USED.exists() else set()
    return [
        f"`{step}` {action} on {resource}"
        for step, grants in sorted(granted().items())
        for action, resource in sorted({(grant.action, grant.resource) for grant in grants})
        if action not in NOT_SEEN_HERE
        and (step, action, resource) not in used
        and resource
        and not _is_needed((step, action, resource))
    ]


def _is_needed(grant: tuple[str, str, str]) -> bool:
    return any(all(map(fnmatchcase, grant, pattern)) for pattern in NEEDED_UNSEEN)


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


def _kept(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """These outcomes, among those of the parts that ran before and not now; each with its day."""
    held = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    held |= {
        one.part.name: {
            "shows": one.part.shows,
            "passed": one.passed,
            "seconds": one.seconds,
            "remark": one.remark,
            "day": today,
        }
        for one in outcomes
    }
    OUTCOMES.write_text(json.dumps(held, indent=1))
    return [
        Outcome(Part(name, one["shows"], ()), one["passed"], one["seconds"], one["remark"], one["day"])
        for name, one in held.items()
    ]


def report(outcomes: list[Outcome], unused: list[str]) -> str:
    """The page."""
    rows = [
        f"| {one.part.name} | {'passed' if one.passed else '**failed**'} | {one.seconds:.0f} s "
        f"| {one.day} | {one.part.shows} | {one.remark} |"
        for one in outcomes
    ]
    grants = "\n".join(f"- {grant}" for grant in unused) or "None."
    reasons = "\n".join(f"- `{' '.join(pattern)}`: {why}" for pattern, why in NEEDED_UNSEEN.items())
    minutes = sum(one.seconds for one in outcomes) / 60
    where = f"on {machine()}; its parts take {minutes:.0f} minutes, one after the other"
    return f"""# Proof

Written by `make prove` {where}. How it is done: [proving](proving.md). What the work takes in time and money:
[performance](performance.md).

| part | outcome | time | on | what it shows | remark |
|---|---|---|---|---|---|
{chr(10).join(rows)}

## Granted and never used in a test

An action that a role grants, and no test in a mocked account has used. The end-to-end tests may use more.

{grants}

Left out of this list, each for a reason:

{reasons}
"""


def _on_the_stack(operations: int) -> list[Outcome]:
    """The parts on the deployed stack, stopped afterwards; one that ran before runs again as it was."""
    ran_before = local_stack.running() is not None
    began = time.monotonic()
    shows = "`sam deploy` brings the stack up; each function has its role's credentials, and the roles hold."
    try:
        os.environ[roles.STRICT] = "1"
        stack = local_stack.up()
        up = _outcome("stack", shows, began, "up")
        return [up, *run_all(deployed_parts(stack, operations)), _logs_of_the_stack(stack)]
    except ToolError as error:
        print(error.report(), file=sys.stderr)
        return [_outcome("stack", shows, began, "not up", passed=False)]
    finally:
        # One that ran before has been given other rules, so it is not left as it is now either.
        local_stack.down()
        del os.environ[roles.STRICT]
        if ran_before:
            local_stack.up()


def _outcome(name: str, shows: str, began: float, remark: str, *, passed: bool = True) -> Outcome:
    return _told(Outcome(Part(name, shows, ()), passed, time.monotonic() - began, remark))


def _logs_of_the_stack(stack: Stack) -> Outcome:
    """Whatever the deployed functions have logged so far holds no canary."""
    from tests.support import deployed_logs

    shows = "No log line of the deployed functions holds personal data, a secret or a denied action."
    began = time.monotonic()
    try:
        number, found = deployed_logs.look(stack)
    except (BotoCoreError, ClientError) as error:
        return _outcome("deployed logs", shows, began, type(error).__name__, passed=False)
    (OUTPUT / "deployed-logs.log").write_text("\n".join(found) + "\n")
    passed = number > 0 and not found
    return _outcome("deployed logs", shows, began, f"{number} lines", passed=passed)


def main() -> int:
    """Run everything, or the parts that are named."""
    parser = argparse.ArgumentParser(description="the long forms of all proofs")
    parser.add_argument("only", nargs="*", help="names of parts, or `deployed`; all when left out")
    parser.add_argument("--no-stack", action="store_true", help="leave out what needs the deployed stack")
    arguments = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    document = json.loads((ROOT / "functions" / "operations" / "openapi.json").read_text())
    operations = sum(len(methods) for methods in document["paths"].values())
    every = parts(operations)
    if unknown := {*arguments.only} - {part.name for part in every} - {"deployed"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wanted = [part for part in every if not arguments.only or part.name in arguments.only]
    if any(USED_FILE in part.environment for part in wanted):
        USED.unlink(missing_ok=True)
    outcomes = run_all(wanted)
    if not arguments.no_stack and (not arguments.only or "deployed" in arguments.only):
        outcomes += _on_the_stack(operations)
    REPORT.write_text(report(_kept(outcomes), unused_grants()))
    print(f"the report is {REPORT.relative_to(ROOT)}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
