"""Integration tests run each step against the template's tables and queues in a mocked account."""

from collections.abc import Iterator

import pytest

from tests.support.deployment import Deployment, deployed


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    """The whole bundle, deployed into a mocked account."""
    with deployed() as deployment:
        yield deployment
