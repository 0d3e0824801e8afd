"""One call to a vendor: what it sends, when it is repeated and ends, what its failures are called."""

import gzip
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from switchboard.errors import AnswerLost, HeldBack, SwitchboardError, VendorError
from switchboard.http import ConnectorClient, url_path
from switchboard.secrets import Secret
from switchboard.transport import DeadlineTransport
from switchboard.vendor_failures import retry_after_seconds, vendor_words

VALUES: dict[str, object] = {"baseUrl": "https://vendor.example/api/v2/", "apiKey": "first-key-1"}


class Time:
    """Seconds that pass only when somebody sleeps, or a vendor takes long."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds


class Vault:
    """The secrets of one connector, newest last: a refresh moves on to the next one."""

    def __init__(self, *values: dict[str, object]) -> None:
        self.values = list(values) or [VALUES]
        self.refreshes = 0

    def __call__(self, name: str, *, refresh: bool = False) -> Secret:
        self.refreshes += refresh
        return Secret(name, self.values[min(self.refreshes, len(self.values) - 1)])


class Vendor:
    """Answers with the given answers in turn, the last one for ever; remembers the requests."""

    def __init__(
        self, *answers: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]
    ) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request)


def key_auth(secret: Secret) -> Callable[[httpx.Request], httpx.Request]:
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["X-Key"] = secret["apiKey"]
        return request

    return sign


def client_of(
    vendor: Vendor, *, vault: Vault | None = None, now: Time | None = None, **settings: Any
) -> ConnectorClient:
    now = now or Time()
    return ConnectorClient(
        "acme",
        key_auth,
        secret=vault or Vault(),
        transport=httpx.MockTransport(vendor),
        clock=now,
        sleep=now.sleep,
        jitter=lambda: 0.5,
        now=lambda: 1_700_000_000.0,
        **settings,
    )


def failure(client: ConnectorClient, method: str, **options: Any) -> SwitchboardError:
    """The error of a call that has to fail."""
    with pytest.raises(SwitchboardError) as caught:
        client.request(method, "things", **options)
    return caught.value


OK = httpx.Response(200, json={"id": 1})


# --- What is sent -----------------------------------------------------------------------------------------


def test_the_path_is_put_beneath_the_base_url_of_the_secret() -> None:
    vendor = Vendor(OK)

    answer = client_of(vendor).get(url_path("users", "a/b c"), params={"id_type": "id"})

    assert answer.json() == {"id": 1}
    assert str(vendor.requests[0].url) == "https://vendor.example/api/v2/users/a%2Fb%20c?id_type=id"


def test_without_a_path_the_base_url_itself_is_called() -> None:
    vendor = Vendor(OK)
    client_of(vendor).get()
    assert str(vendor.requests[0].url) == "https://vendor.example/api/v2"


def test_a_path_cannot_lead_to_another_host() -> None:
    vendor = Vendor(OK)
    client_of(vendor).get("//evil.example/x")
    client_of(vendor).get("https://evil.example/x")
    assert {request.url.host for request in vendor.requests} == {"vendor.example"}


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_an_id_cannot_lead_out_of_its_path(segment: str) -> None:
    with pytest.raises(SwitchboardError) as caught:
        url_path("users", segment)
    assert caught.value.code == "invalid"


def test_a_path_that_makes_no_url_is_invalid() -> None:
    with pytest.raises(SwitchboardError) as caught:
        client_of(Vendor(OK)).get("a\nb")
    assert caught.value.code == "invalid"


def test_each_verb_sends_its_method_and_body() -> None:
    vendor = Vendor(OK)
    client = client_of(vendor)

    client.get("x")
    client.post("x", json={"a": "ü"})
    client.put("x", content=b"<a/>", headers={"Content-Type": "text/xml"})
    client.delete("x")
    client.post("x", data={"a": "1"})

    assert [request.method for request in vendor.requests] == ["GET", "POST", "PUT", "DELETE", "POST"]
    bodies = [request.content for request in vendor.requests]
    assert bodies == [b"", '{"a":"ü"}'.encode(), b"<a/>", b"", b"a=1"]
    assert vendor.requests[2].headers["content-type"] == "text/xml"


def test_every_request_carries_the_credentials_the_correlation_id_and_no_wish_for_compression() -> None:
    vendor = Vendor(OK)

    client_of(vendor, correlation_id=lambda: "c-1", headers={"X-Vendor": "v"}).get("x")

    headers = vendor.requests[0].headers
    assert headers["x-key"] == "first-key-1"
    assert headers["x-correlation-id"] == "c-1"
    assert headers["x-vendor"] == "v"
    assert headers["accept-encoding"] == "identity"


def test_cookies_do_not_travel_from_call_to_call() -> None:
    vendor = Vendor(httpx.Response(200, headers={"Set-Cookie": "session=abc; Path=/"}))
    client = client_of(vendor)
    client.get("x")
    client.get("x")
    assert "cookie" not in vendor.requests[1].headers


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    vendor = Vendor(OK)
    assert client_of(vendor).get("x").status_code == 200


def test_the_authentication_is_made_once_for_each_secret() -> None:
    made: list[Secret] = []

    def auth(secret: Secret) -> None:
        made.append(secret)

    now = Time()
    client = ConnectorClient(
        "acme", auth, secret=Vault(), transport=httpx.MockTransport(Vendor(OK)), clock=now
    )
    client.get("x")
    client.get("x")
    assert len(made) == 1


# --- What the failures are called -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, "remote-unexpected"),
        (304, "remote-unexpected"),
        (400, "remote-refused"),
        (401, "remote-auth"),
        (403, "remote-auth"),
        (404, "remote-refused"),
        (409, "remote-refused"),
        (429, "remote-rate"),
        (500, "remote-unavailable"),
        (502, "remote-unavailable"),
        (503, "remote-unavailable"),
        (504, "remote-unavailable"),
    ],
)
def test_a_status_becomes_a_code(status: int, code: str) -> None:
    error = failure(client_of(Vendor(httpx.Response(status, text="no"))), "GET")
    assert isinstance(error, VendorError)
    assert error.code == code
    assert error.detail == f"acme answered {status}: no"
    assert error.extra == {"vendor_status": status}


def test_a_redirect_is_not_followed() -> None:
    vendor = Vendor(httpx.Response(302, headers={"Location": "https://evil.example/"}))
    assert failure(client_of(vendor), "GET").code == "remote-unexpected"
    assert len(vendor.requests) == 1


def test_a_status_that_the_caller_handles_is_an_answer() -> None:
    assert client_of(Vendor(httpx.Response(404))).get("x", accept={404}).status_code == 404


def test_the_vendor_s_own_reading_comes_first() -> None:
    def classify(response: httpx.Response) -> VendorError | None:
        if "Status: Error" in response.text:
            return VendorError("remote-refused", response.text)
        if "SBL-EAI-04397" in response.text:
            return VendorError("remote-refused", "lasting")
        return None

    hidden = client_of(
        Vendor(httpx.Response(200, text="Status: Error for jane@example.com")), classify=classify
    )
    lasting_vendor = Vendor(httpx.Response(500, text="SBL-EAI-04397"))
    passed = client_of(Vendor(httpx.Response(500, text="something else")), classify=classify)

    error = failure(hidden, "GET")
    assert (error.code, error.detail) == ("remote-refused", "Status: Error for [email]")
    assert "jane" not in str(error)
    assert failure(client_of(lasting_vendor, classify=classify), "GET").code == "remote-refused"
    assert len(lasting_vendor.requests) == 1
    assert failure(passed, "GET").code == "remote-unavailable"


def test_a_connector_s_own_error_class_survives() -> None:
    class AlreadyTaken(VendorError):
        pass

    client = client_of(Vendor(OK), classify=lambda _: AlreadyTaken("remote-refused", "x"))
    assert isinstance(failure(client, "PUT"), AlreadyTaken)


def test_the_vendor_s_words_are_redacted_and_capped() -> None:
    body = "Email Address is already taken: jane@example.com, key first-key-1 " + "long " * 1000
    detail = failure(client_of(Vendor(httpx.Response(400, text=body))), "GET").detail
    assert detail.startswith(
        "acme answered 400: Email Address is already taken: [email], key [redacted] long"
    )
    assert len(detail) <= 500 + len("acme answered 400: ")


def test_a_page_of_html_gives_its_text() -> None:
    page = httpx.Response(503, html="<html><body><h1>Service\n Unavailable</h1></body></html>")
    assert failure(client_of(Vendor(page)), "POST").detail == "acme answered 503: Service Unavailable"


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        (httpx.ConnectError("refused"), "remote-unavailable"),
        (httpx.ConnectTimeout("slow"), "remote-unavailable"),
        (httpx.PoolTimeout("busy"), "remote-unavailable"),
        (httpx.ReadTimeout("silent"), "remote-timeout"),
        (httpx.WriteTimeout("stuck"), "remote-timeout"),
        (httpx.ReadError("reset"), "remote-unavailable"),
        (httpx.RemoteProtocolError("garbage"), "remote-unavailable"),
    ],
)
def test_a_harmless_call_without_an_answer_is_repeated_and_then_fails(failed: Exception, code: str) -> None:
    vendor = Vendor(failed)
    error = failure(client_of(vendor), "GET")
    assert error.code == code
    assert not isinstance(error, AnswerLost)
    assert len(vendor.requests) == 3


@pytest.mark.parametrize(
    "failed",
    [
        httpx.ReadTimeout("silent"),
        httpx.WriteTimeout("stuck"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("cut off"),
        httpx.Response(502, text="bad gateway"),
        httpx.Response(504, text="gateway timeout"),
    ],
)
def test_a_post_that_may_have_acted_is_lost_and_never_repeated(failed: httpx.Response | Exception) -> None:
    vendor = Vendor(failed)
    assert isinstance(failure(client_of(vendor), "POST"), AnswerLost)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "failed", [httpx.ConnectError("refused"), httpx.ConnectTimeout(""), httpx.PoolTimeout("")]
)
def test_a_post_that_was_never_sent_is_not_lost(failed: Exception) -> None:
    vendor = Vendor(failed)
    error = failure(client_of(vendor), "POST")
    assert error.code == "remote-unavailable"
    assert not isinstance(error, AnswerLost)


def test_a_credential_that_makes_no_header_is_not_shown() -> None:
    error = failure(client_of(Vendor(httpx.LocalProtocolError("Illegal header value b'key\\n'"))), "POST")
    assert error.code == "not-configured"
    assert error.__suppress_context__
    assert "key" not in str(error)


# --- Repetition -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_harmless_call_is_repeated_until_it_works(method: str) -> None:
    vendor = Vendor(httpx.Response(503), httpx.ConnectError("refused"), OK)
    now = Time()
    assert client_of(vendor, now=now).request(method, "x").status_code == 200
    assert now.sleeps == [0.2, 0.4], "half of the growing upper bound, since the jitter is fixed at 0.5"


def test_a_post_is_repeated_only_when_the_caller_calls_it_idempotent() -> None:
    once = Vendor(httpx.Response(503), OK)
    assert failure(client_of(once), "POST").code == "remote-unavailable"
    assert len(once.requests) == 1

    again = Vendor(httpx.ReadTimeout("silent"), httpx.Response(504), OK)
    assert client_of(again).post("x", json={"a": 1}, idempotent=True).status_code == 200
    assert [request.content for request in again.requests] == [b'{"a":1}'] * 3


def test_a_put_that_the_caller_calls_harmful_is_not_repeated() -> None:
    vendor = Vendor(httpx.ReadTimeout("silent"))
    assert isinstance(failure(client_of(vendor), "PUT", idempotent=False), AnswerLost)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 403, 302])
def test_a_refusal_is_not_repeated(status: int) -> None:
    vendor = Vendor(httpx.Response(status))
    failure(client_of(vendor), "GET")
    assert len(vendor.requests) == 1


def test_a_short_retry_after_is_waited_for() -> None:
    vendor, now = Vendor(httpx.Response(429, headers={"Retry-After": "3"}), OK), Time()
    client_of(vendor, now=now).get("x")
    assert now.sleeps == [3.0]


@pytest.mark.parametrize("value", ["60", "Tue, 14 Nov 2023 22:14:20 GMT"])
def test_a_long_retry_after_is_left_to_the_caller(value: str) -> None:
    vendor, now = Vendor(httpx.Response(429, headers={"Retry-After": value})), Time()
    error = failure(client_of(vendor, now=now), "GET")
    assert (error.code, error.retry_after) == ("remote-rate", 60.0)
    assert now.sleeps == []


def test_a_classified_error_gets_the_retry_after_too() -> None:
    vendor = Vendor(httpx.Response(200, headers={"Retry-After": "60"}))
    client = client_of(vendor, classify=lambda _: VendorError("remote-rate", "slow"))
    assert failure(client, "GET").retry_after == 60.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        (" 1.5 ", 1.5),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:30 -0000", 10.0),
        ("Tue, 14 Nov 2000 22:13:30 GMT", 0.0),
        ("999999999", 86_400.0),
        ("-5", None),
        ("9" * 5000, None),
        ("soon", None),
        ("Tue, 99 Nov 2023 99:13:30 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, 1_700_000_000.0) == seconds


def test_a_gate_goes_around_each_attempt_and_sees_how_it_ended() -> None:
    seen: list[str] = []

    @contextmanager
    def gate() -> Iterator[None]:
        try:
            yield
        except SwitchboardError as error:
            seen.append(error.code)
            raise
        seen.append("answered")

    client = client_of(Vendor(httpx.Response(503), OK), gate=gate)
    assert client.get("x").is_success
    assert seen == ["remote-unavailable", "answered"]


def test_a_shut_gate_keeps_the_request_in() -> None:
    @contextmanager
    def gate() -> Iterator[None]:
        raise HeldBack("acme", "circuit-open", "away", retry_after=7)
        yield

    vendor = Vendor(OK)
    held = failure(client_of(vendor, gate=gate), "GET")
    assert (held.code, held.retry_after) == ("circuit-open", 7)
    assert vendor.requests == []


def test_nothing_is_repeated_after_the_deadline() -> None:
    now = Time()

    def slow(_: httpx.Request) -> httpx.Response:
        now.seconds += 4
        return httpx.Response(503, headers={"Retry-After": "3"})

    vendor = Vendor(slow)
    error = failure(client_of(vendor, now=now, deadline=10), "GET")

    assert error.code == "remote-timeout"
    assert len(vendor.requests) == 2, "4 s, a wait of 3 s, and an answer when 11 s are gone"
    assert now.sleeps == [3.0]


def test_a_wait_that_would_outlast_the_deadline_is_not_begun() -> None:
    vendor, now = Vendor(httpx.Response(503, headers={"Retry-After": "2"})), Time()
    failure(client_of(vendor, now=now), "GET", deadline=1.5)
    assert now.sleeps == []


@pytest.mark.parametrize("deadline", [0, -1])
def test_without_time_left_nothing_is_sent(deadline: float) -> None:
    vendor = Vendor(OK)
    assert failure(client_of(vendor), "POST", deadline=deadline).code == "remote-unavailable"
    assert vendor.requests == []


# --- 401 --------------------------------------------------------------------------------------------------


def needs(key: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: OK if request.headers["x-key"] == key else httpx.Response(401, text="no")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_after_a_401_a_rotated_secret_is_read_and_used_once(method: str) -> None:
    vault = Vault(VALUES, VALUES | {"apiKey": "second-key-2"})
    vendor = Vendor(needs("second-key-2"))
    assert client_of(vendor, vault=vault).request(method, "x").status_code == 200
    assert [request.headers["x-key"] for request in vendor.requests] == ["first-key-1", "second-key-2"]


def test_the_same_refused_credentials_are_not_sent_again() -> None:
    vault, vendor = Vault(), Vendor(needs("other"))
    assert failure(client_of(vendor, vault=vault), "GET").code == "remote-auth"
    assert (vault.refreshes, len(vendor.requests)) == (1, 1)


def test_a_secret_is_refreshed_only_once_a_call() -> None:
    vault = Vault(VALUES, VALUES | {"apiKey": "second-key-2"}, VALUES | {"apiKey": "third-key-3"})
    vendor = Vendor(needs("third-key-3"))
    assert failure(client_of(vendor, vault=vault), "GET").code == "remote-auth"
    assert (vault.refreshes, len(vendor.requests)) == (1, 2)


def test_a_403_does_not_refresh_the_secret() -> None:
    vault = Vault()
    failure(client_of(Vendor(httpx.Response(403)), vault=vault), "GET")
    assert vault.refreshes == 0


# --- Size and encoding ------------------------------------------------------------------------------------


def large(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(b"x" * 1001))


def packed(_: httpx.Request) -> httpx.Response:
    bomb = httpx.ByteStream(gzip.compress(b"0" * 1_000_000))
    return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=bomb)


@pytest.mark.parametrize("answer", [large, packed])
def test_an_answer_too_large_or_compressed_is_refused(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    vendor = Vendor(answer)
    client = client_of(vendor, max_bytes=1000)
    assert failure(client, "GET").code == "remote-unexpected"
    assert isinstance(failure(client, "POST"), AnswerLost), "it may have acted, and cannot tell us"
    assert len(vendor.requests) == 2


def test_an_answer_of_exactly_the_largest_size_is_read() -> None:
    vendor = Vendor(httpx.Response(200, content=b"x" * 1000))
    assert len(client_of(vendor, max_bytes=1000).get("x").content) == 1000


def test_an_error_too_large_to_read_is_still_known_by_its_status() -> None:
    vendor = Vendor(lambda _: httpx.Response(422, stream=httpx.ByteStream(b"x" * 1001)))
    error = failure(client_of(vendor, max_bytes=1000), "POST")
    assert (error.code, error.detail) == (
        "remote-refused",
        "acme answered 422: the answer is larger than 1000 bytes",
    )


def test_an_empty_answer_may_claim_any_encoding() -> None:
    vendor = Vendor(lambda _: httpx.Response(204, headers={"Content-Encoding": "gzip"}))
    assert client_of(vendor).delete("x").content == b""


def test_a_charset_of_the_vendor_is_obeyed() -> None:
    vendor = Vendor(
        httpx.Response(200, headers={"Content-Type": "text/xml; charset=ISO-8859-1"}, content=b"M\xfcller")
    )
    assert client_of(vendor).get("x").text == "Müller"


def test_long_words_lose_their_cut_end() -> None:
    text = "a " * 1990 + "b" * 10 + "jane@example.com" + "c" * 50
    assert "jane" not in vendor_words(text)


# --- On the wire: a real socket, where a vendor can drip --------------------------------------------------


type Serve = Callable[[socket.socket], None]
type Start = Callable[[Serve], "Wire"]


class Wire:
    """A server on loopback that runs `serve` for each connection."""

    def __init__(self, serve: Serve) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._serve = serve
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                self._serve(connection)
            except OSError:
                return  # the client has gone: what these tests are about

    def close(self) -> None:
        # A shutdown wakes accept(); closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._acceptor, *self._threads]:
            thread.join(5)


@pytest.fixture
def wire() -> Iterator[Start]:
    servers: list[Wire] = []

    def start(serve: Serve) -> Wire:
        servers.append(Wire(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def transport() -> Iterator[DeadlineTransport]:
    transport = DeadlineTransport()
    yield transport
    transport.close()


def wired(url: str, transport: httpx.BaseTransport, **settings: Any) -> ConnectorClient:
    values: dict[str, object] = {"baseUrl": url, "apiKey": "k"}
    return ConnectorClient("acme", key_auth, secret=Vault(values), transport=transport, **settings)


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def drips_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    drip(connection, b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 100)


def drips_body(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    drip(connection, b"x" * 1000)


def drips_a_chunk_header(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    drip(connection, b"0" * 1000)


def says_continue_for_ever(connection: socket.socket) -> None:
    connection.recv(65536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def says_nothing(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


SLOW = [drips_headers, drips_body, drips_a_chunk_header, says_continue_for_ever, says_nothing]


@pytest.mark.parametrize("serve", SLOW)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_drips_cannot_outlast_the_deadline(
    wire: Start,
    transport: DeadlineTransport,
    serve: Serve,
    method: str,
) -> None:
    client = wired(wire(serve).url, transport, deadline=0.3)

    started = time.monotonic()
    error = failure(client, method)
    took = time.monotonic() - started

    assert 0.25 < took < 0.8
    assert error.code == "remote-timeout"
    assert isinstance(error, AnswerLost) == (method == "POST")


def test_a_server_that_takes_the_request_slowly_cannot_outlast_the_deadline(
    wire: Start, transport: DeadlineTransport
) -> None:
    def sips(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(12):
            connection.recv(20_000)
            time.sleep(0.05)

    client = wired(wire(sips).url, transport, deadline=0.3)

    started = time.monotonic()
    with pytest.raises(AnswerLost):
        client.post("x", content=b"x" * 20_000_000)
    assert time.monotonic() - started < 0.8


def test_a_look_up_that_hangs_cannot_outlast_the_deadline() -> None:
    release = threading.Event()

    def hangs(_host: str, _port: int) -> list[str]:
        release.wait(5)
        return []

    transport = DeadlineTransport(resolve=hangs)
    started = time.monotonic()
    error = failure(wired("http://vendor.example", transport, deadline=0.2), "POST")
    release.set()

    assert time.monotonic() - started < 0.8
    assert error.code == "remote-unavailable"


def test_a_tls_handshake_that_hangs_cannot_outlast_the_deadline(
    wire: Start, transport: DeadlineTransport
) -> None:
    url = wire(says_nothing).url.replace("http:", "https:")
    started = time.monotonic()
    error = failure(wired(url, transport, deadline=0.3), "POST")
    assert time.monotonic() - started < 0.8
    assert error.code == "remote-unavailable"
    assert not isinstance(error, AnswerLost)


def test_a_server_without_tls_is_unavailable(wire: Start, transport: DeadlineTransport) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    url = wire(plain).url.replace("http:", "https:")
    error = failure(wired(url, transport), "POST")
    assert error.code == "remote-unavailable"
    assert not isinstance(error, AnswerLost)


def test_a_closed_port_is_unavailable(transport: DeadlineTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(wired(f"http://127.0.0.1:{port}", transport), "POST")
    assert error.code == "remote-unavailable"
    assert not isinstance(error, AnswerLost)


def test_an_unknown_host_is_unavailable() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = failure(wired("http://vendor.example", DeadlineTransport(resolve=unknown)), "POST")
    assert error.code == "remote-unavailable"


def test_the_next_address_is_tried_when_the_first_refuses(
    wire: Start,
) -> None:
    port = wire(answers).port
    transport = DeadlineTransport(resolve=lambda _host, _port: ["127.0.0.2", "127.0.0.1"])
    client = wired(f"http://vendor.example:{port}", transport)
    assert client.post("x").status_code == 200
    transport.close()


def answers(connection: socket.socket) -> None:
    while connection.recv(65536):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def test_a_connection_is_used_again(wire: Start, transport: DeadlineTransport) -> None:
    server = wire(answers)
    client = wired(server.url, transport)
    assert [client.get("x").json() for _ in range(3)] == [{}, {}, {}]
    assert server.connections == 1


@pytest.mark.parametrize(
    "cut", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"garbage\r\n\r\n"]
)
def test_an_answer_that_breaks_off_is_lost_to_a_post_and_repeated_for_a_get(
    wire: Start, transport: DeadlineTransport, cut: bytes
) -> None:
    def breaks_off(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(cut)

    server = wire(breaks_off)
    client = wired(server.url, transport, sleep=lambda _: None)

    assert isinstance(failure(client, "POST"), AnswerLost)
    assert server.connections == 1
    assert failure(client, "GET").code == "remote-unavailable"
    assert server.connections == 4


def test_an_endless_answer_is_cut_at_the_cap(wire: Start, transport: DeadlineTransport) -> None:
    def endless(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    error = failure(wired(wire(endless).url, transport, max_bytes=100_000), "GET")
    assert error.code == "remote-unexpected"


def test_a_failed_call_gives_its_connection_back(
    wire: Start,
) -> None:
    transport = DeadlineTransport(max_connections=1)
    slow, good = wire(drips_body), wire(answers)
    failure(wired(slow.url, transport, deadline=0.1), "GET")
    assert wired(good.url, transport).get("x").status_code == 200
    transport.close()


def test_two_threads_keep_their_own_deadlines(wire: Start, transport: DeadlineTransport) -> None:
    client = wired(wire(says_nothing).url, transport)
    took: dict[float, float] = {}

    def call(deadline: float) -> None:
        started = time.monotonic()
        failure(client, "GET", deadline=deadline)
        took[deadline] = time.monotonic() - started

    threads = [threading.Thread(target=call, args=(deadline,)) for deadline in (0.1, 0.5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert took[0.1] < 0.4 < took[0.5] < 0.9


# --- The process ------------------------------------------------------------------------------------------


def test_all_connectors_of_a_process_share_one_http_client() -> None:
    one = ConnectorClient("siebel", key_auth, secret=Vault())
    other = ConnectorClient("vcc", key_auth, secret=Vault())
    assert one._client() is other._client()


def test_the_libraries_do_not_log_urls() -> None:
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)


def test_importing_the_module_imports_neither_httpx_nor_boto3() -> None:
    code = "import sys, switchboard.http; sys.exit(bool({'httpx', 'httpcore', 'boto3'} & set(sys.modules)))"
    paths = [path for path in sys.path if path]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"], check=True)
