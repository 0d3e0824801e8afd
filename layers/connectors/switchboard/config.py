"""The Config table, and how soon a change in it is seen by every worker.

Settings and secrets are cached in each process. One item, the epoch, counts the changes; a process looks
at it at most once in `STALENESS`, and drops what it has cached when the count has moved. Whoever changes
something waits out `STALENESS` before he answers, so a change is in force when the call returns.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from switchboard.dynamo import Table, Write, transact

STALENESS = 1.0
"""Seconds for which a process may still work with the old settings."""

EPOCH = ("EPOCH", "EPOCH")


@cache
def config_table() -> Table:
    """The Config table of this deployment."""
    return Table(os.environ["CONFIG_TABLE"])


@dataclass
class _Seen:
    epoch: int = -1
    looked_at: float = float("-inf")


_seen = _Seen()


def epoch(monotonic: Callable[[], float] = time.monotonic) -> int:
    """The count of changes, at most `STALENESS` seconds old."""
    now = monotonic()
    if now - _seen.looked_at >= STALENESS:
        item = config_table().get(*EPOCH)
        _seen.epoch = item["epoch"] if item else 0
        _seen.looked_at = now
    return _seen.epoch


def next_epoch() -> Write:
    """The write that tells every process to look again; goes into the transaction of the change."""
    return Write(config_table(), key=EPOCH, update="ADD epoch :one", values={":one": 1})


def wait_until_seen() -> None:
    """Wait until no process can still work with what was there before."""
    time.sleep(STALENESS)


def forget() -> None:
    """Drop what this process has cached."""
    _seen.looked_at = float("-inf")
    _seen.epoch = -1
    config_table.cache_clear()


def bump() -> None:
    """Have every process read settings and secrets anew; returns once none works with the old ones."""
    transact([next_epoch()])
    wait_until_seen()
