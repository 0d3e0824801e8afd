"""Every flow under seeded faults, and six planted mutants that the check has to catch.

One seed, and each mutant until it is caught. `make prove` runs more seeds (`SWITCHBOARD_SIMULATION_SEEDS`),
and longer ones (`SWITCHBOARD_SIMULATION_STEPS`).
"""

import os
import random
from collections import Counter
from typing import Any

import pytest

from tests.proof.simulation import flows, mutants
from tests.proof.simulation.chaos import FAULTS, Chaos
from tests.proof.simulation.history import violations
from tests.proof.simulation.mutants import Plant
from tests.proof.simulation.world import run
from tests.support.stand_ins import Sandbox

SEEDS = int(os.environ.get("SWITCHBOARD_SIMULATION_SEEDS", "1"))
STEPS = int(os.environ.get("SWITCHBOARD_SIMULATION_STEPS", "50"))
RATE = 0.06

MOST_TRIES = 30
"""Seeds after which a mutant counts as not caught: the rarest shows in one run of three or four."""

HOW: dict[Plant, dict[str, Any]] = {
    mutants.blind_write: {"rule": "stale", "flows": (flows.Members,), "rate": 0.0},
    mutants.acknowledged_before_saved: {"rule": "lost", "flows": (flows.Posts,), "kinds": ("refused",)},
    mutants.no_partner_in_the_key: {"rule": "lost", "flows": (flows.Posts,), "rate": 0.0},
    mutants.dropped_on_time_out: {
        "rule": ("lost", "stale"),
        "flows": (flows.Members,),
        "rate": 0.0,
        "troubled": ("crowdtwist",),
    },
    mutants.batch_failure_swallowed: {"rule": "lost", "flows": (flows.Triggers,), "kinds": ("refused",)},
    mutants.resubmit_without_lease: {
        "rule": "done twice",
        "flows": (flows.Posts, flows.Replies),
        "kinds": ("overtaken",),
        "rate": 0.7,
        "steps": 60,
    },
}
"""Where each mutant shows: the rule that it breaks, and the run in which it does so soon."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_doubled_stale_or_told_to_others(sandbox: Sandbox, seed: int) -> None:
    history, chaos = run(sandbox, seed, steps=STEPS, rate=RATE)
    assert violations(history) == []
    assert sum(chaos.injected.values()) > STEPS / 10
    assert sum(sent.accepted for sent in history.sent) > STEPS / 10


def test_a_few_runs_have_every_kind_of_fault() -> None:
    """Without a deployment: what the lots give, call by call."""
    drawn: Counter[str] = Counter()
    chaos = Chaos(random.Random(0), 1.0)
    for _ in range(60):
        with chaos.during():
            try:
                chaos._around("point", lambda: None, lambda: RuntimeError())
            except BaseException:  # noqa: BLE001 - that is what it is for
                continue
    drawn += chaos.injected
    assert set(drawn) == set(FAULTS)


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_mutant_is_caught(sandbox: Sandbox, mutant: Plant) -> None:
    how = {"steps": 30, "rate": 0.2} | HOW[mutant]
    rule = how.pop("rule")
    for seed in range(MOST_TRIES):
        with mutants.planted(mutant):
            history, _ = run(sandbox, seed, **how)
        if any(line.startswith(rule) for line in violations(history)):  # a word, or one of several
            return
    pytest.fail(f"{mutant.__name__} broke the rule '{rule}' in none of {MOST_TRIES} runs")
