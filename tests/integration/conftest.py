"""Integration tests run each step against the template's tables and queues in a mocked account."""

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
def _served() -> Iterator[Sandbox]:
    with serving_all() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_served: Sandbox) -> Sandbox:
    """The vendors' stand-ins on loopback, in their first state."""
    _served.reset()
    return _served
