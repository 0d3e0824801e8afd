"""The proofs run in process on a mocked account, with the vendors' stand-ins on loopback."""

from collections.abc import Iterator

import pytest

from tests.support.deployment import Deployment, deployed
from tests.support.stand_ins import Sandbox, serving_all


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    """The whole bundle, deployed into a mocked account."""
    with deployed() as deployment:
        yield deployment


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    """The vendors' stand-ins, as the tests before have left them."""
    with serving_all() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """The vendors' stand-ins on loopback, in their first state."""
    running_sandbox.reset()
    return running_sandbox
