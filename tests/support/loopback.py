"""The sandbox on a port of this process, for tests that are not end to end."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from aiohttp import web

from sandbox import vendors
from sandbox.application import create_application


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox and its control plane."""

    url: str

    def fault(self, vendor: str, **fault: Any) -> None:
        """Have a vendor misbehave."""
        answer = httpx.post(f"{self.url}/_control/{vendor}/faults", json=fault, trust_env=False)
        assert answer.status_code == 201, answer.text

    def end_faults(self, vendor: str) -> None:
        """Have it behave again."""
        httpx.delete(f"{self.url}/_control/{vendor}/faults", trust_env=False)

    def calls(self, vendor: str) -> list[Any]:
        """The calls that a vendor got."""
        found: list[Any] = httpx.get(f"{self.url}/_control/{vendor}/calls", trust_env=False).json()["items"]
        return found

    def reset(self) -> None:
        """Back to the first state."""
        httpx.post(f"{self.url}/_control/reset", trust_env=False)

    def put(self, path: str, body: object) -> None:
        """Change something through the control plane."""
        httpx.put(f"{self.url}/_control/{path}", json=body, trust_env=False).raise_for_status()

    def delete(self, path: str) -> None:
        """Remove something through the control plane."""
        httpx.delete(f"{self.url}/_control/{path}", trust_env=False).raise_for_status()

    def secret(self, vendor: str) -> dict[str, str]:
        """What a vendor's connector needs."""
        [found] = [one for one in vendors.load() if one.name == vendor]
        return found.secret(self.url)


@contextmanager
def served() -> Iterator[Sandbox]:
    """A sandbox for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_application(vendors.load()), shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Sandbox(f"http://127.0.0.1:{port}")
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
