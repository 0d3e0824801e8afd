"""The sandbox's frame, with a vendor of four routes: echo, count, refuse, crash."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sandbox import server, vendors
from sandbox.application import create_application
from sandbox.vendor import Vendor

Client = TestClient[web.Request, web.Application]


class Echo(Vendor):
    name: ClassVar[str] = "echo"
    prefix: ClassVar[str] = "/echo"
    base_path: ClassVar[str] = "/v1"
    secret_output: ClassVar[str | None] = "EchoSecretArn"
    credentials: ClassVar[dict[str, str]] = {"apiKey": "echo-key"}

    def __init__(self) -> None:
        self.count = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/echo", self._echo),
            web.post("/v1/count", self._count),
            web.get("/v1/refuse", self._refuse),
        ]

    def control_routes(self) -> list[web.RouteDef]:
        return [web.get("/count", self._show)]

    def reset(self) -> None:
        self.count = 0

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def _count(self, _request: web.Request) -> web.Response:
        self.count += 1
        return web.json_response({"count": self.count})

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response({"count": self.count})

    async def _refuse(self, _request: web.Request) -> web.Response:
        raise web.HTTPConflict(text="no")


def drive(scenario: Callable[[Client], Awaitable[None]]) -> None:
    """Run a scenario against a sandbox of its own."""

    async def run() -> None:
        async with TestClient(TestServer(create_application([Echo()]))) as client:
            await asyncio.wait_for(scenario(client), timeout=20)

    asyncio.run(run())


async def calls(client: Client, since: int = 0) -> list[dict[str, Any]]:
    answer = await (await client.get("/_control/echo/calls", params={"since": since})).json()
    items: list[dict[str, Any]] = answer["items"]
    return items


async def fault(client: Client, **fields: Any) -> None:
    assert (await client.post("/_control/echo/faults", json=fields)).status == 201


async def count(client: Client) -> int:
    return int((await (await client.get("/_control/echo/count")).json())["count"])


def test_health_names_the_vendors() -> None:
    async def scenario(client: Client) -> None:
        answer = await client.get("/_control/health")
        assert await answer.json() == {"status": "ok", "vendors": ["echo"]}

    drive(scenario)


def test_calls_are_recorded_as_they_came() -> None:
    async def scenario(client: Client) -> None:
        answer = await client.post(
            "/echo/v1/echo?a=1&a=%20", data=b"\xff{}", headers={"Authorization": "Bearer secret"}
        )
        assert await answer.read() == b"\xff{}"
        await client.get("/echo/v1/refuse")
        await client.get("/echo/v1/nowhere")
        first, second, third = await calls(client)
        assert (first["seq"], first["method"], first["path"], first["status"]) == (1, "POST", "/v1/echo", 200)
        assert first["target"] == "/echo/v1/echo?a=1&a=%20"
        assert first["query"] == {"a": ["1", " "]}
        assert first["headers"]["authorization"] == "Bearer secret"
        assert base64.b64decode(first["bodyBase64"]) == b"\xff{}"
        assert first["fault"] is None
        assert "bodyBase64" not in second
        assert (second["status"], third["status"]) == (409, 404)
        assert [call["seq"] for call in await calls(client, since=2)] == [3]

    drive(scenario)


def test_status_fault_with_headers_for_the_next_calls_only() -> None:
    async def scenario(client: Client) -> None:
        await fault(
            client, kind="status", status=429, headers={"Retry-After": "7"}, body="slow down", count=2
        )
        for _ in range(2):
            answer = await client.post("/echo/v1/count")
            assert (answer.status, answer.headers["Retry-After"], await answer.text()) == (
                429,
                "7",
                "slow down",
            )
        assert (await client.post("/echo/v1/count")).status == 200
        assert await count(client) == 1
        assert [call["fault"] for call in await calls(client)] == ["status", "status", None]

    drive(scenario)


def test_path_and_method_choose_the_calls() -> None:
    async def scenario(client: Client) -> None:
        await fault(client, kind="status", status=503, path="^/v1/count$", method="post")
        assert (await client.post("/echo/v1/echo", data=b"x")).status == 200
        assert (await client.post("/echo/v1/count")).status == 503
        assert (await client.get("/echo/v1/count")).status == 405
        await client.delete("/_control/echo/faults")
        assert (await client.post("/echo/v1/count")).status == 200

    drive(scenario)


@pytest.mark.parametrize(("kind", "work_done"), [("down", 0), ("answerLost", 1)])
def test_reset_connections_with_and_without_the_work(kind: str, work_done: int) -> None:
    async def scenario(client: Client) -> None:
        await fault(client, kind=kind, count=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.post("/echo/v1/count", data=b"x")
        assert await count(client) == work_done
        (call,) = await calls(client)
        assert (call["status"], call["fault"]) == (None, kind)
        assert call["body"] == ("x" if work_done else "")

    drive(scenario)


def test_slow_answers_after_the_delay() -> None:
    async def scenario(client: Client) -> None:
        await fault(client, kind="slow", seconds=0.2)
        began = time.monotonic()
        assert (await client.post("/echo/v1/count")).status == 200
        assert time.monotonic() - began >= 0.2

    drive(scenario)


def test_drip_gives_the_whole_answer_a_byte_at_a_time() -> None:
    async def scenario(client: Client) -> None:
        await fault(client, kind="drip", seconds=0.05)
        began = time.monotonic()
        answer = await client.post("/echo/v1/echo", data=b"12345")
        assert await answer.read() == b"12345"
        assert time.monotonic() - began >= 0.2

    drive(scenario)


def test_drip_ends_when_the_caller_hangs_up() -> None:
    async def scenario(client: Client) -> None:
        await fault(client, kind="drip", seconds=0.05, count=1)
        timeout = aiohttp.ClientTimeout(total=0.2)
        answer = await client.post("/echo/v1/echo", data=b"x" * 1000, timeout=timeout)
        with pytest.raises(TimeoutError):
            await answer.read()
        await asyncio.sleep(0.3)
        assert (await calls(client))[0]["durationMs"] is not None

    drive(scenario)


def test_hang_ends_when_the_caller_hangs_up() -> None:
    async def scenario(client: Client) -> None:
        await fault(client, kind="hang", count=1)
        with pytest.raises(TimeoutError):
            await client.post("/echo/v1/count", timeout=aiohttp.ClientTimeout(total=0.2))
        await asyncio.sleep(0.3)
        (call,) = await calls(client)
        assert call["status"] is None
        assert call["durationMs"] < 1000
        assert await count(client) == 0

    drive(scenario)


def test_error_rate_is_seeded() -> None:
    async def statuses(client: Client) -> list[int]:
        await fault(client, kind="errorRate", rate=0.5, seed=7, status=500)
        found = [(await client.post("/echo/v1/count")).status for _ in range(40)]
        await client.delete("/_control/echo/faults")
        return found

    async def scenario(client: Client) -> None:
        first = await statuses(client)
        assert set(first) == {200, 500}
        assert await statuses(client) == first

    drive(scenario)


def test_reset_puts_everything_back() -> None:
    async def scenario(client: Client) -> None:
        await client.post("/echo/v1/count")
        await fault(client, kind="status", status=500)
        assert (await client.post("/_control/reset")).status == 204
        assert await count(client) == 0
        assert await calls(client) == []
        assert (await (await client.get("/_control/echo/faults")).json())["items"] == []
        assert (await client.post("/echo/v1/count")).status == 200
        await client.delete("/_control/echo/calls")
        assert await calls(client) == []

    drive(scenario)


@pytest.mark.parametrize(
    "body",
    [b"no json", b"[]", b'{"kind": "flood"}', b'{"kind": "errorRate"}', b'{"kind": "down", "path": "("}'],
)
def test_a_bad_fault_is_refused(body: bytes) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.post("/_control/echo/faults", data=body)).status == 422

    drive(scenario)


def test_an_unknown_vendor_is_not_found() -> None:
    async def scenario(client: Client) -> None:
        assert (await client.get("/_control/nobody/calls")).status == 404
        assert (await client.get("/_control/echo/calls?since=yesterday")).status == 400

    drive(scenario)


def test_the_secret_points_at_the_vendor() -> None:
    assert Echo().secret("http://127.0.0.1:8600/") == {
        "baseUrl": "http://127.0.0.1:8600/echo/v1",
        "apiKey": "echo-key",
    }


def test_every_registered_vendor_fits_the_frame() -> None:
    registered = vendors.load()
    create_application(registered)
    for vendor in registered:
        assert vendor.prefix.startswith("/")
        assert vendor.prefix != "/_control"


def test_behind_bad_tls_only_who_does_not_look_gets_through() -> None:
    async def run() -> None:
        runner = await server.start(0)
        try:
            origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as session:
                secure = (await (await session.get(f"{origin}/_control/tls")).json())["url"]
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await session.post(f"{secure}/sink/a", data=b"secret")
                answer = await session.post(f"{secure}/sink/b", data=b"seen", ssl=False)
                assert answer.status == 200
                held = await (await session.get(f"{origin}/_control/sink/calls")).json()
                assert [(call["path"], call["body"]) for call in held["items"]] == [("/b", "seen")]
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), timeout=20))
