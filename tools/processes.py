"""Detached processes that are found again, and stopped, by what was recorded about them.

A process id alone is not enough: after a restart of the machine it may belong to a stranger. So the
record holds the start time too, and a process is ours only when both fit. Each process leads a
session and process group of its own; stopping it stops the group, and with it all its children.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")

# Children of this very run. They are collected here and not by Popen, which is dropped at once.
_STARTED: set[int] = set()


@dataclass(frozen=True)
class Entry:
    """A line of the process table; ``started`` is only good for comparing with itself."""

    pid: int
    group: int
    started: str


@dataclass(frozen=True)
class Process:
    """A process that was started here. ``fingerprint`` is the content hash of what it runs."""

    name: str
    pid: int
    started: str
    port: int
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a record; None when there is none or it is no record."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write the record."""
        path.write_text(json.dumps(asdict(self)) + "\n")

    def is_alive(self) -> bool:
        """Whether the very process that was recorded is running."""
        return any(entry.pid == self.pid and entry.started == self.started for entry in process_table())

    def stop(self, grace_seconds: float = 5.0) -> bool:
        """Stop the process and its children: SIGTERM, and after the grace SIGKILL. False if nothing ran."""
        if not self._members():
            return False
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
            if not self._members():
                return True
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return True
            self._wait_until_gone(seconds)
        return True

    def _wait_until_gone(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._members() and time.monotonic() < until:
            time.sleep(0.05)

    def _members(self) -> list[Entry]:
        """The group's living processes.

        While a group has members its number is given to no new process. So if the leader is gone, what
        is left in the group is ours; if a process of that number with another start time is there, the
        number was given away, hence the group had died out before.
        """
        table = process_table()
        if any(entry.pid == self.pid and entry.started != self.started for entry in table):
            return []
        return [entry for entry in table if entry.group == self.pid]


def start(
    name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, port: int, fingerprint: str
) -> Process:
    """Start a detached process whose output goes to ``log``; it outlives the caller."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _STARTED.add(child.pid)
    child.returncode = 0  # it is left to itself on purpose, and Popen warns about a child that still runs
    started = next((entry.started for entry in process_table() if entry.pid == child.pid), "")
    return Process(name, child.pid, started, port, fingerprint)


def process_table() -> list[Entry]:
    """All processes that are alive; zombies, which only wait to be collected, are not."""
    _collect_children()
    return _table_from_proc() if (PROC / "self" / "stat").exists() else _table_from_ps()


def _collect_children() -> None:
    """Collect those started here that have ended, so that none stays a zombie."""
    for pid in list(_STARTED):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            _STARTED.discard(pid)


def _table_from_proc() -> list[Entry]:
    entries = []
    for path in PROC.iterdir():
        if not path.name.isdecimal():
            continue
        try:
            stat = (path / "stat").read_text(errors="replace")
        except OSError:
            continue  # it ended while we were looking
        # The name in parentheses may hold anything; the fields are counted from behind it.
        fields = stat.rpartition(")")[2].split()
        if fields[0] not in "ZX":
            entries.append(Entry(int(path.name), int(fields[2]), fields[19]))
    return entries


def _table_from_ps() -> list[Entry]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,pgid=,stat=,lstart="],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    rows = (line.split(None, 3) for line in listing.stdout.splitlines())
    return [Entry(int(row[0]), int(row[1]), row[3]) for row in rows if len(row) == 4 and row[2][0] != "Z"]


def free_port(preferred: int | None = None) -> int:
    """A free TCP port on 127.0.0.1: the preferred one, if it is free."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
