"""`make bench`: every benchmark, its section of `docs/performance.md`, and its table on the terminal."""

import subprocess
import sys

from benchmarks import dump

EACH = ("cold_start", "lead_path", "fan_out", "member_sync", "bill")
"""Benchmarks that are programs of their own and write their own section of `docs/performance.md`."""

if __name__ == "__main__":
    failed = [
        name
        for name in EACH
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    print(f"\nThe dump beside dlt: {dump.table()}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
