"""Serve the sandbox on loopback until SIGTERM."""

import argparse
import asyncio
import signal

from sandbox import server


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    asyncio.run(_serve(parser.parse_args().port))


async def _serve(port: int) -> None:
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    runner = await server.start(port)
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    main()
