"""One HTTP call of a partner's URL: lean, bounded in time and bytes, to the address that was checked.

The connectors' client is made for vendors: authentication, repetition, breakers. A delivery needs none of it
and is the commonest call of all, so it goes over plain sockets: no import of httpx at the cold start, and a
quarter of its CPU. What is kept for each call:

- one deadline for look-up, connect, TLS, request and whole answer;
- `egress.resolve` says which addresses may be dialled, and exactly those are; TLS goes by the name;
- no redirects, proxies, cookies, compression; of the answer at most so many bytes.

A connection is used again within five seconds, when its answer was read to the end and nobody hung up.
HTTP/1.1 as RFC 9112 has it: 1xx answers are passed over, a body ends by length, by chunks, or by closing.
"""

import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from switchboard import egress

type ErrorClass = Literal["blocked", "dns", "connect", "tls", "timeout", "broken-answer"]
type Resolver = Callable[[str, int], list[str]]

KEEPALIVE_SECONDS = 5.0
"""Short: a connection that died in silence while a Lambda was frozen costs a lost answer."""

_MAX_HEAD = 32 * 1024
_MAX_IDLE = 64
_RECEIVED_AT_ONCE = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: |$)")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;.*)?")
_MOST_INTERIM_ANSWERS = 5


class CallFailed(Exception):
    """No whole answer came. `error_class` says why, as the log of deliveries has it."""

    def __init__(self, error_class: ErrorClass) -> None:
        super().__init__(error_class)
        self.error_class = error_class


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case. A body that is too large or compressed is not read: not `whole`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True


@dataclass(slots=True)
class _Connection:
    """A connection and what was received beyond the last answer's end."""

    socket: socket.socket
    deadline: float
    buffer: bytearray = field(default_factory=bytearray)
    idle_since: float = 0.0

    def limit(self) -> None:
        """Let the next operation take no more than what is left of the call."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)

    def send(self, message: bytes) -> None:
        self.limit()
        self.socket.sendall(message)

    def receive(self) -> bool:
        """Read some more; False when the other side has closed."""
        self.limit()
        received = self.socket.recv(_RECEIVED_AT_ONCE)
        self.buffer += received
        return bool(received)

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > _MAX_HEAD or not self.receive():
                raise CallFailed("broken-answer")
        found = bytes(self.buffer[:end]).removesuffix(b"\r")
        del self.buffer[: end + 1]
        return found

    def take(self, number: int) -> bytes:
        """The next bytes, exactly so many."""
        while len(self.buffer) < number:
            if not self.receive():
                raise CallFailed("broken-answer")
        found = bytes(self.buffer[:number])
        del self.buffer[:number]
        return found

    def is_alive(self, now: float) -> bool:
        """Whether an idle connection may be used: not old, and neither closed nor spoken on."""
        if now - self.idle_since > KEEPALIVE_SECONDS:
            return False
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)


class Client:
    """Calls URLs that `egress.check_url` has passed, from any number of threads.

    Args:
        resolve: which addresses of a host may be dialled; raises `egress.Refused` or OSError.
        ssl_context: what TLS trusts; certifi's authorities when left out.
    """

    def __init__(
        self, *, resolve: Resolver = egress.resolve, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float,
        max_bytes: int,
    ) -> Answer:
        """Call once; raises CallFailed."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        place = (parts.scheme, parts.hostname or "", parts.port or (443 if secure else 80))
        deadline = time.monotonic() + seconds
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        message = _request(method, target, parts.netloc, headers or {}, body)
        connection = self._reused(place, deadline) or self._connect(place, deadline)
        keep = False
        try:
            connection.send(message)
            answer, keep = _answer(connection, max_bytes)
        except TimeoutError:
            raise CallFailed("timeout") from None
        except ssl.SSLError:
            raise CallFailed("tls") from None
        except OSError:
            raise CallFailed("broken-answer") from None
        finally:
            if keep:
                self._put_back(place, connection)
            else:
                connection.socket.close()
        return answer

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            for held in self._idle.values():
                for connection in held:
                    connection.socket.close()
            self._idle.clear()

    def _reused(self, place: tuple[str, str, int], deadline: float) -> _Connection | None:
        now = time.monotonic()
        while True:
            with self._lock:
                held = self._idle.get(place)
                if not held:
                    return None
                connection = held.pop()
                if not held:
                    del self._idle[place]
            if connection.is_alive(now):
                connection.deadline = deadline
                return connection
            connection.socket.close()

    def _put_back(self, place: tuple[str, str, int], connection: _Connection) -> None:
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.setdefault(place, []).append(connection)
            oldest = self._take_oldest() if sum(map(len, self._idle.values())) > _MAX_IDLE else None
        if oldest is not None:
            oldest.socket.close()

    def _take_oldest(self) -> _Connection:
        place = min(self._idle, key=lambda each: self._idle[each][0].idle_since)
        held = self._idle[place]
        oldest = held.pop(0)
        if not held:
            del self._idle[place]
        return oldest

    def _connect(self, place: tuple[str, str, int], deadline: float) -> _Connection:
        scheme, host, port = place
        failure: ErrorClass = "connect"
        addresses = self._addresses(host, port, deadline)
        for number, address in enumerate(addresses):
            left = deadline - time.monotonic()
            if left <= 0:
                raise CallFailed("timeout")
            try:
                # The last address may use up what is left, an earlier one only its share.
                plain = socket.create_connection((address, port), left / (len(addresses) - number))
            except TimeoutError:
                failure = "timeout"
                continue
            except OSError:
                failure = "connect"
                continue
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if scheme != "https":
                return _Connection(plain, deadline)
            return _Connection(self._with_tls(plain, host, deadline), deadline)
        raise CallFailed(failure)

    def _with_tls(self, plain: socket.socket, host: str, deadline: float) -> ssl.SSLSocket:
        context = self._ssl_context or _trusting_certifi()
        try:
            plain.settimeout(max(deadline - time.monotonic(), 0.001))
            return context.wrap_socket(plain, server_hostname=host)
        except TimeoutError:
            plain.close()
            raise CallFailed("timeout") from None
        except ssl.SSLError:
            plain.close()
            raise CallFailed("tls") from None
        except OSError:
            plain.close()
            raise CallFailed("connect") from None

    def _addresses(self, host: str, port: int, deadline: float) -> list[str]:
        # The system's resolver knows no time-out of ours, so it runs in a thread that can be left behind;
        # an address needs no looking up, only the check.
        try:
            if _is_address(host):
                return self._resolve(host, port)
            left = deadline - time.monotonic()
            return _resolver_threads().submit(self._resolve, host, port).result(left)
        except egress.Refused:
            raise CallFailed("blocked") from None
        except socket.gaierror:
            raise CallFailed("dns") from None
        except TimeoutError:
            raise CallFailed("timeout") from None
        except (OSError, UnicodeError):
            raise CallFailed("dns") from None


@cache
def client() -> Client:
    """The process's client for partners' URLs."""
    return Client()


@cache
def _resolver_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=10, thread_name_prefix="resolver")


@cache
def _trusting_certifi() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: Switchboard",
        "Accept: */*",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if body is not None or method == "POST":
        lines.append(f"Content-Length: {len(body or b'')}")
    return "\r\n".join([*lines, "\r\n"]).encode("ascii") + (body or b"")


def _answer(connection: _Connection, max_bytes: int) -> tuple[Answer, bool]:
    """The answer, and whether its connection may be used again."""
    for _ in range(_MOST_INTERIM_ANSWERS):
        found = _STATUS.match(connection.line())
        if found is None:
            raise CallFailed("broken-answer")
        status = int(found[2])
        headers = _headers(connection)
        if status >= 200:
            break
    else:
        raise CallFailed("broken-answer")
    persists = found[1] == b"1" and "close" not in headers.get("connection", "").lower()
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        # Nobody asked for it, and 200 KB of it may unpack to 200 MB.
        return Answer(status, headers, b"", whole=False), False
    body, ended = _body(connection, status, headers, max_bytes)
    if body is None:
        return Answer(status, headers, b"", whole=False), False
    return Answer(status, headers, body), persists and ended and not connection.buffer


def _headers(connection: _Connection) -> dict[str, str]:
    headers: dict[str, str] = {}
    size = 0
    while line := connection.line():
        size += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if size > _MAX_HEAD or not colon:
            raise CallFailed("broken-answer")
        headers[name.lower()] = value.strip()
    return headers


def _body(
    connection: _Connection, status: int, headers: Mapping[str, str], max_bytes: int
) -> tuple[bytes | None, bool]:
    """The body, None when it is too large; and whether it ended before the connection did."""
    if status in (204, 304):
        return b"", True
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunks(connection, max_bytes), True
    if (length := headers.get("content-length")) is not None:
        if not _LENGTH.fullmatch(length):
            raise CallFailed("broken-answer")
        return (connection.take(int(length)), True) if int(length) <= max_bytes else (None, False)
    while len(connection.buffer) <= max_bytes:
        if not connection.receive():
            return bytes(connection.buffer), False
    return None, False


def _chunks(connection: _Connection, max_bytes: int) -> bytes | None:
    body = bytearray()
    while True:
        found = _CHUNK.fullmatch(connection.line())
        if found is None:
            raise CallFailed("broken-answer")
        size = int(found[1], 16)
        if len(body) + size > max_bytes:
            return None
        if size == 0:
            _headers(connection)  # trailers
            return bytes(body)
        body += connection.take(size)
        if connection.line():
            raise CallFailed("broken-answer")
