"""Where the benchmarks' deliveries go: a bare asyncio Protocol that answers 200 and counts.

    python -m benchmarks.sink <port> [<certificate.pem>]

`/hang…` is never answered. `GET /stats` tells how many calls came since the last `/stats`, and the seconds
between the first and the last of them.
"""

import asyncio
import json
import ssl
import sys
import time
from typing import cast

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_OK_AND_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


class Sink(asyncio.Protocol):
    """One connection."""

    calls = 0
    first = 0.0
    last = 0.0

    def __init__(self, *, close: bool) -> None:
        self._close = close
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head.split(b" ", 2)[1])

    def _answer(self, path: bytes) -> None:
        if path == b"/stats":
            body = json.dumps({"calls": Sink.calls, "seconds": Sink.last - Sink.first}).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            Sink.calls, Sink.first = 0, 0.0
        elif not path.startswith(b"/hang"):
            Sink.calls += 1
            Sink.last = time.monotonic()
            Sink.first = Sink.first or Sink.last
            self._transport.write(_OK_AND_CLOSE if self._close else _OK)
            if self._close:
                self._transport.close()


async def serve(port: int, certificate: str | None) -> None:
    """Answer until the process ends."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Sink(close=context is not None), "127.0.0.1", port, ssl=context, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
