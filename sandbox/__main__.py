"""Serve the sandbox on loopback until SIGTERM."""

import argparse

from aiohttp import web

from sandbox.application import create_application
from sandbox.vendors import load


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    arguments = parser.parse_args()
    web.run_app(
        create_application(load()),
        host="127.0.0.1",
        port=arguments.port,
        access_log=None,
        shutdown_timeout=1.0,
    )


if __name__ == "__main__":
    main()
