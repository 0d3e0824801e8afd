"""`make bench`: every benchmark, and its table on the terminal."""

import subprocess
import sys

from benchmarks import cold_start, dump, fan_out

EACH = ("bill", "member_sync")
"""Benchmarks that are programs of their own and write their own section of `docs/performance.md`."""

if __name__ == "__main__":
    print(cold_start.table())
    print(fan_out.table())
    print(f"\nThe dump beside dlt: {dump.table()}")
    for name in EACH:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
