"""AWS as it was recorded, over plain HTTP: the last number of a request's path says which answer it gets.

    python -m benchmarks.canned <port> <answers.json>

A process of its own, a bare asyncio Protocol, so that it takes next to nothing from whom it answers.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import cast


class Canned(asyncio.Protocol):
    """One connection."""

    answers: list[bytes] = []

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            number = head.split(b" ", 2)[1].rpartition(b"/")[2]
            body = self.answers[int(number)] if number.isdigit() else b"{}"
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )


async def serve(port: int, answers: list[str]) -> None:
    """Answer until the process ends."""
    Canned.answers = [answer.encode() for answer in answers]
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
