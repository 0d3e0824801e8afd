"""One call of a stranger's URL: every way in which an answer may come, or not."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from switchboard import egress_client
from switchboard.egress_client import Answer, CallFailed, Client

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

type Talk = Callable[[socket.socket, bytes], None]


@contextmanager
def server(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that hands each request to `talk`; its URL, and the requests it got."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)
    requests: list[bytes] = []
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(plain: socket.socket) -> None:
        plain.settimeout(5)
        try:
            with plain, tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
                while request := connection.recv(65536):
                    requests.append(request)
                    talk(connection, request)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(5)


def answering(answer: bytes, *, close: bool = False) -> Talk:
    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(answer)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return talk


@pytest.fixture
def client() -> Iterator[Client]:
    found = Client(resolve=lambda host, port: [host])
    yield found
    found.close()


def call(client: Client, url: str, seconds: float = 3, body: bytes | None = None) -> Answer:
    return client.call("POST" if body else "GET", url, body=body, seconds=seconds, max_bytes=1000)


@pytest.mark.parametrize(
    ("answer", "close", "status", "body"),
    [
        (OK, False, 200, b"ok"),
        (b"HTTP/1.0 200\r\n\r\nto the end", True, 200, b"to the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b""),
        (b"HTTP/1.1 200 OK\nContent-Length: 1\n\na", False, 200, b"a"),
        (b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", False, 404, b""),
        (f"{CHUNKED}3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: t\r\n\r\n".encode(), False, 200, b"abcde"),
    ],
)
def test_an_answer_is_read_as_http_has_it(
    client: Client, answer: bytes, close: bool, status: int, body: bytes
) -> None:
    with server(answering(answer, close=close)) as (url, _):
        found = call(client, url)
    assert (found.status, found.body, found.whole) == (status, body, True)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n..",
    ],
)
def test_what_is_too_large_or_compressed_is_not_read(client: Client, answer: bytes) -> None:
    with server(answering(answer)) as (url, _):
        found = call(client, url)
        assert (found.status, found.body, found.whole) == (200, b"", False)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
        b"",
    ],
)
def test_what_is_no_answer_is_a_broken_one(client: Client, answer: bytes) -> None:
    with (
        server(answering(answer, close=True)) as (url, _),
        pytest.raises(CallFailed, match="broken-answer"),
    ):
        call(client, url)


def test_a_call_ends_at_its_deadline_whatever_drips(client: Client) -> None:
    def drip(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        for _ in range(99):
            connection.sendall(b"x")
            time.sleep(0.05)

    began = time.monotonic()
    with server(drip) as (url, _), pytest.raises(CallFailed, match="timeout"):
        call(client, url, 0.3)
    assert time.monotonic() - began < 1


def test_nobody_there_is_a_failure_to_connect(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(CallFailed, match="connect"):
        call(client, f"http://127.0.0.1:{port}/")


def test_the_next_address_is_tried(client: Client) -> None:
    with server(answering(OK)) as (url, _):
        several = Client(resolve=lambda host, port: ["127.0.0.9", "127.0.0.1"])
        assert several.call("GET", url, seconds=3, max_bytes=9).status == 200
        several.close()


def test_a_connection_is_used_again_until_it_is_old_or_closed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[int] = []

    def talk(connection: socket.socket, request: bytes) -> None:
        ports.append(connection.getpeername()[1])
        connection.sendall(OK)

    with server(talk) as (url, requests):
        assert [call(client, url).body for _ in range(2)] == [b"ok", b"ok"]
        assert call(client, url, body=b"{}").body == b"ok"
        assert len(set(ports)) == 1
        monkeypatch.setattr(egress_client, "KEEPALIVE_SECONDS", -1)
        call(client, url)
    assert len(set(ports)) == 2
    assert requests[2].endswith(b"Content-Length: 2\r\n\r\n{}")
    assert b"Accept-Encoding: identity" in requests[0]
    with server(answering(OK + b"HTTP/1.1 200 smuggled")) as (url, _):
        assert [call(client, url).body for _ in range(2)] == [b"ok", b"ok"]
    with server(answering(OK, close=True)) as (url, _):
        for _ in range(2):
            assert call(client, url).body == b"ok"
            time.sleep(0.05)  # the other side's farewell arrives


def test_only_so_many_connections_are_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_client, "_MAX_IDLE", 1)
    with server(answering(OK)) as (first, _), server(answering(OK)) as (second, _):
        for url in (first, second, first):
            assert call(client, url).body == b"ok"
        assert sum(map(len, client._idle.values())) == 1


def test_tls_goes_by_the_name_and_to_the_address_that_was_checked(tmp_path: Path) -> None:
    pem = self_signed(tmp_path, "partner.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    looked_up: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK)

    trusting = Client(resolve=resolve, ssl_context=ssl.create_default_context(cafile=pem))
    with server(talk, context) as (url, requests):
        named = url.replace("http://127.0.0.1", "https://partner.example.com")
        other = url.replace("http://127.0.0.1", "https://other.example.com")
        assert call(trusting, named).body == b"ok"
        with pytest.raises(CallFailed, match="tls"):
            call(trusting, other)
        trusting.close()
    assert looked_up == ["partner.example.com", "other.example.com"]
    assert b"\r\nHost: partner.example.com:" in requests[0]
    assert len(requests) == 1


def self_signed(folder: Path, name: str) -> Path:
    """A certificate for a name, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = folder / "server.pem"
    pem.write_bytes(private + made.public_bytes(encoding))
    return pem
