"""The sandbox in this process, on loopback, for tests whose connectors speak real HTTP."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiohttp import web

from sandbox.application import create_application
from sandbox.vendor import Vendor
from switchboard import aws

_BUSY_SECONDS = 60.0
"""What a test waits for a stand-in of its own, when the machine is busy; httpx would wait for 5 seconds."""


@dataclass(frozen=True)
class Sandbox:
    """A vendor's stand-in and its control plane."""

    vendor: Vendor
    origin: str
    client: httpx.Client

    def fault(self, **fields: Any) -> None:
        """Put a fault in force (`sandbox.faults`)."""
        self.client.post(f"/_control/{self.vendor.name}/faults", json=fields).raise_for_status()

    def heal(self) -> None:
        """End all faults."""
        self.client.delete(f"/_control/{self.vendor.name}/faults").raise_for_status()

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """The calls that arrived, oldest first."""
        items: list[dict[str, Any]] = self.control("calls", since=since)["items"]
        return items

    def methods(self) -> list[str]:
        """The methods of the calls that arrived, oldest first."""
        return [call["method"] for call in self.calls()]

    def forget_calls(self) -> None:
        """Forget the calls so far."""
        self.client.delete(f"/_control/{self.vendor.name}/calls").raise_for_status()

    def control(self, path: str, **query: Any) -> Any:
        """What a control route answers."""
        return self.client.get(f"/_control/{self.vendor.name}/{path}", params=query).json()


@contextmanager
def serving(vendor: Vendor) -> Iterator[Sandbox]:
    """Serve a vendor on a free port of loopback, in a thread of its own."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_application([vendor]), access_log=None)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    origin = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=origin, trust_env=False, timeout=_BUSY_SECONDS) as client:
            yield Sandbox(vendor, origin, client)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def configured(sandbox: Sandbox, patch: pytest.MonkeyPatch, **changes: str | None) -> str:
    """Put the vendor's secret into the (mocked) account, as the stack tools do; returns its ARN."""
    values = {name: held for name, held in (sandbox.vendor.secret(sandbox.origin) | changes).items() if held}
    made = aws.secretsmanager().create_secret(Name=sandbox.vendor.name, SecretString=json.dumps(values))
    patch.setenv(f"{sandbox.vendor.name.upper()}_SECRET_ARN", made["ARN"])
    return made["ARN"]
