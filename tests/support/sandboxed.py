"""The sandbox in this process: its vendors on loopback, with faults and call logs, for one test or many."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from sandbox.desk import Desk
from sandbox.faults import Fault
from sandbox.vendor import Vendor
from switchboard import aws


@dataclass(frozen=True)
class Served:
    """One vendor at work."""

    desk: Desk
    origin: str

    @property
    def secret(self) -> dict[str, str]:
        """The connector's secret for it."""
        return self.desk.vendor.secret(self.origin)

    def fault(self, **fault: Any) -> None:
        """Let something go wrong; see `sandbox.faults`."""
        self.desk.faults.add(Fault.model_validate(fault))

    def mend(self) -> None:
        """End all faults."""
        self.desk.faults.clear()

    def calls(self, method: str = "", path: str = "") -> list[str]:
        """Method and path of each call that arrived, of this method and with this in its path."""
        made = [(call.method, call.path) for call in self.desk.calls.since(0)]
        return [f"{one} {where}" for one, where in made if one.startswith(method) and path in where]

    def connect(self, patch: pytest.MonkeyPatch) -> None:
        """Point the connector's secret, in the mocked account, at it."""
        name = self.desk.vendor.name
        stored = aws.secretsmanager().create_secret(Name=name, SecretString=json.dumps(self.secret))
        patch.setenv(f"{name.upper()}_SECRET_ARN", stored["ARN"])


@contextmanager
def served(vendor: Vendor) -> Iterator[Served]:
    """Serve a vendor on a free port of loopback, in a thread of its own."""
    loop = asyncio.new_event_loop()
    desk = Desk(vendor)
    desk.reset()
    application = web.Application()
    application.add_subapp(vendor.prefix, desk.application())
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Served(desk, f"http://127.0.0.1:{port}")
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
