"""`make demo`: bring the stack up, run the main jobs through its public API, print what came of each.

A stack that ran before stays up; one that was started for the demo is stopped again.
"""

import importlib
import pkgutil
import sys
import time

import httpx

from tools import demos, stack
from tools.errors import ToolError

ORDER = ("social", "leads", "members", "triggers", "surveys", "charging", "timeline")


def main() -> int:
    """Run every demo; returns the exit status."""
    started = time.monotonic()
    ran_before = stack.running() is not None
    try:
        deployed = stack.up()
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        with (
            demos.client(deployed.api_url, deployed.admin_key) as api,
            httpx.Client(base_url=deployed.sandbox_url, timeout=60, trust_env=False) as sandbox,
        ):
            shown = demos.DemoStack(deployed, api, sandbox)
            for name in _present():
                begun = time.monotonic()
                importlib.import_module(f"tools.demos.{name}").run(shown)
                print(f"  ({time.monotonic() - begun:.1f} s)")
    finally:
        if not ran_before:
            stack.down()
    print(f"\nthe demo took {time.monotonic() - started:.0f} s in all")
    return 0


def _present() -> list[str]:
    there = {module.name for module in pkgutil.iter_modules(demos.__path__)}
    return [name for name in ORDER if name in there]


if __name__ == "__main__":
    sys.exit(main())
