"""The vendors' stand-ins in this process, on loopback: one vendor, or the whole sandbox."""

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

from sandbox import vendors
from sandbox.application import create_application
from sandbox.control import Control
from sandbox.desk import Desk
from sandbox.vendor import Vendor
from switchboard import aws

_BUSY_SECONDS = 60.0
"""What a test waits for a stand-in of its own, when the machine is busy; httpx would wait for 5 seconds."""


@contextmanager
def _on_loopback(application: web.Application) -> Iterator[str]:
    """Serve an application on a free port, in a thread of its own; yields its origin."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(frozen=True)
class StandIn:
    """One vendor at work, with its control plane."""

    desk: Desk
    origin: str
    client: httpx.Client

    @property
    def vendor(self) -> Vendor:
        """What it plays."""
        return self.desk.vendor

    @property
    def secret(self) -> dict[str, str]:
        """The connector's secret for it."""
        return self.vendor.secret(self.origin)

    def connect(self, patch: pytest.MonkeyPatch, **changes: str | None) -> str:
        """Put its secret into the (mocked) account, as the stack tools do; returns the ARN."""
        values = {name: held for name, held in (self.secret | changes).items() if held}
        stored = aws.secretsmanager().create_secret(Name=self.vendor.name, SecretString=json.dumps(values))
        patch.setenv(f"{self.vendor.name.upper()}_SECRET_ARN", stored["ARN"])
        arn: str = stored["ARN"]
        return arn

    def fault(self, **fields: Any) -> None:
        """Put a fault in force (`sandbox.faults`)."""
        self.client.post(f"/_control/{self.vendor.name}/faults", json=fields).raise_for_status()

    def heal(self) -> None:
        """End all faults."""
        self.desk.faults.clear()

    def calls(self) -> list[dict[str, Any]]:
        """The calls that arrived, oldest first."""
        items: list[dict[str, Any]] = self.control("calls")["items"]
        return items

    def lines(self, method: str = "", path: str = "") -> list[str]:
        """Method and path of each call that arrived, of this method and with this in its path."""
        made = [(call.method, call.path) for call in self.desk.calls.since(0)]
        return [f"{one} {where}" for one, where in made if one.startswith(method) and path in where]

    def methods(self) -> list[str]:
        """The methods of the calls that arrived, oldest first."""
        return [call.method for call in self.desk.calls.since(0)]

    def forget_calls(self) -> None:
        """Forget the calls so far."""
        self.desk.calls.clear()

    def control(self, path: str) -> Any:
        """What a control route answers."""
        return self.client.get(f"/_control/{self.vendor.name}/{path}").raise_for_status().json()

    def reset(self) -> None:
        """Back to the first state."""
        self.desk.reset()


@contextmanager
def serving(vendor: Vendor) -> Iterator[StandIn]:
    """One vendor, in its first state, for as long as the block lasts."""
    desk = Desk(vendor)
    desk.reset()
    application = web.Application()
    application.add_routes(Control({vendor.name: desk}, None).routes())
    application.add_subapp(vendor.prefix, desk.application())
    with (
        _on_loopback(application) as origin,
        httpx.Client(base_url=origin, trust_env=False, timeout=_BUSY_SECONDS) as client,
    ):
        yield StandIn(desk, origin, client)


@dataclass(frozen=True)
class Sandbox:
    """All vendors at work, with their control plane."""

    url: str
    client: httpx.Client

    def fault(self, vendor: str, **fault: Any) -> None:
        """Have a vendor misbehave."""
        self.client.post(f"/_control/{vendor}/faults", json=fault).raise_for_status()

    def end_faults(self, vendor: str) -> None:
        """Have it behave again."""
        self.client.delete(f"/_control/{vendor}/faults").raise_for_status()

    def calls(self, vendor: str) -> list[Any]:
        """The calls that a vendor got."""
        found: list[Any] = self.client.get(f"/_control/{vendor}/calls").json()["items"]
        return found

    def reset(self) -> None:
        """Back to the first state."""
        self.client.post("/_control/reset").raise_for_status()

    def put(self, path: str, body: object) -> None:
        """Change something through the control plane."""
        self.client.put(f"/_control/{path}", json=body).raise_for_status()

    def delete(self, path: str) -> None:
        """Remove something through the control plane."""
        self.client.delete(f"/_control/{path}").raise_for_status()

    def secret(self, vendor: str) -> dict[str, str]:
        """What a vendor's connector needs."""
        [found] = [one for one in vendors.load() if one.name == vendor]
        return found.secret(self.url)


@contextmanager
def serving_all() -> Iterator[Sandbox]:
    """The whole sandbox, in its first state, for as long as the block lasts."""
    with (
        _on_loopback(create_application(vendors.load())) as origin,
        httpx.Client(base_url=origin, trust_env=False, timeout=_BUSY_SECONDS) as client,
    ):
        yield Sandbox(origin, client)
