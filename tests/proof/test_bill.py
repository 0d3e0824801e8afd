"""AWS requests for each unit of work: they are the bill, so their number is held like any other promise."""

import pytest

from benchmarks import bill
from tests.support.deployment import Deployment
from tests.support.stand_ins import Sandbox


@pytest.mark.parametrize("unit", bill.UNITS, ids=lambda unit: unit.name)
def test_a_unit_of_work_stays_within_its_requests(
    deployment: Deployment, sandbox: Sandbox, unit: bill.Unit
) -> None:
    made = bill.measure(deployment, sandbox, unit)
    assert made.dynamodb <= unit.most, f"{unit.name}: {made.calls} {made.keys}"
