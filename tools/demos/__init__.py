"""What `make demo` shows: one module for each capability, each through the public API alone."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tools.paths import ROOT
from tools.stack import Stack

_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class DemoStack:
    """The running stack as a demo sees it: an administrator's client, and the sandbox."""

    stack: Stack
    api: httpx.Client
    sandbox: httpx.Client

    def client(self, key: str) -> httpx.Client:
        """A client with another key."""
        return client(self.stack.api_url, key)

    def partner(self, name: str, *scopes: str) -> httpx.Client:
        """A client with the key of a new partner."""
        answer = self.api.post("/partners", json={"name": name, "scopes": list(scopes)})
        answer.raise_for_status()
        return self.client(answer.json()["apiKey"])

    def wait_for(self, look: Callable[[], Any], what: str) -> Any:
        """What `look` returns once it is not None; raises TimeoutError after two minutes."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(_LOOK_SECONDS)
        raise TimeoutError(f"waited in vain for {what}")


def client(base_url: str, key: str) -> httpx.Client:
    """An HTTP client of the API; a cold start on a busy machine takes seconds."""
    return httpx.Client(base_url=base_url, headers={"x-api-key": key}, timeout=60, trust_env=False)


def headline(text: str) -> None:
    """Print what comes next."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def line(subject: str, outcome: str) -> None:
    """Print what came of one step."""
    print(f"  {subject:<44} {outcome}", flush=True)


def recorded(name: str) -> Any:
    """The JSON body of a recorded event, `events/<name>.json`."""
    event = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return json.loads(event["body"])
