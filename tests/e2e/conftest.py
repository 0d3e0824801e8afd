"""The deployed local stack, and clients of its API."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from sandbox import vendors
from tests.e2e.bench import Bench
from tests.support import deployed_logs
from tools import stack as local_stack
from tools.stack import Stack

# A cold start of a function and of the authorizer before it take seconds on a busy machine.
TIMEOUT_SECONDS = 120.0
HERE = Path(__file__).parent

PartnerClient = Callable[..., httpx.Client]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test below this directory as ``e2e``."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Iterator[Stack]:
    """The stack, up to date with the sources; it is stopped at the end if it did not run before.

    At the end, too, the log of every function is looked through: it holds nothing personal and no secret.
    """
    ran_before = local_stack.running() is not None
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    # Bringing it up takes a while, and the user is to see the phases.
    with capture.global_and_fixture_disabled():
        print("\nbringing the stack up", flush=True)
        deployed = local_stack.up()
    began = datetime.now(UTC)
    yield deployed
    number, told = deployed_logs.look(deployed, since=began)
    if not ran_before:
        local_stack.down()
    assert told == [], "the deployed functions' logs tell too much"
    assert number, "no line of any deployed function was looked at"


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[httpx.Client]:
    """The API with the admin key; paths are relative: ``api.get("health")`` or ``api.get("/health")``."""
    with _client(stack, stack.admin_key) as client:
        yield client


@pytest.fixture(scope="session")
def anonymous(stack: Stack) -> Iterator[httpx.Client]:
    """The API without a key."""
    with _client(stack, None) as client:
        yield client


@pytest.fixture(scope="session")
def sandbox(stack: Stack) -> Iterator[httpx.Client]:
    """The sandbox: its control plane at ``/_control``, and the vendors."""
    with httpx.Client(base_url=stack.sandbox_url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        for vendor in vendors.load():
            # A run that was stopped half-way may have left one that misbehaves.
            client.delete(f"/_control/{vendor.name}/faults").raise_for_status()
        yield client


@pytest.fixture(scope="session")
def bench(stack: Stack, api: httpx.Client, sandbox: httpx.Client) -> Bench:
    """All of it in one hand, with the account below the API."""
    return Bench(stack, api, sandbox)


@pytest.fixture(scope="session")
def partner(stack: Stack, api: httpx.Client) -> Iterator[PartnerClient]:
    """Make partners: ``partner("social:write", "social:read")`` is a client with a new partner's key."""
    clients: list[httpx.Client] = []

    def make(*scopes: str) -> httpx.Client:
        name = f"e2e-{uuid.uuid4().hex[:12]}"
        answer = api.post("/partners", json={"name": name, "scopes": list(scopes)})
        assert answer.status_code == 201, answer.text
        client = _client(stack, answer.json()["apiKey"])
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def _client(stack: Stack, key: str | None) -> httpx.Client:
    headers = {} if key is None else {"x-api-key": key}
    return httpx.Client(base_url=stack.api_url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
