"""The keys of the ledger's items, and the expressions that write them."""

import secrets
import zlib
from datetime import timedelta

from switchboard import clock
from switchboard.dynamo import Item

SHARDS = 4
"""Partitions of an index that many writers share, so that an outage of a vendor heats no single one."""

LOST_AFTER = timedelta(minutes=2)
"""When the sweeper looks after an accepted entry that nobody has claimed."""


def pk_of(ledger_id: str) -> str:
    """The partition of an entry."""
    return f"LEDGER#{ledger_id}"


def shard_of(ledger_id: str) -> int:
    """An entry's partition of the indexes."""
    return zlib.crc32(ledger_id.encode()) % SHARDS


def open_key(status: str, ledger_id: str) -> str:
    """Where the index Open has an entry."""
    return f"{status}#{shard_of(ledger_id)}"


def held_key(connector: str) -> str:
    """What stands in the place of the status, while a breaker holds the entry."""
    return f"held:{connector}"


def recent_key(partner_id: str, month: str, shard: int) -> str:
    """A partner's month in the index Recent."""
    return f"{partner_id}#{month}#{shard}"


def everyone_key(month: str, shard: int) -> str:
    """A month in the index Everyone."""
    return f"{month}#{shard}"


class Update:
    """An update expression in the making: what to set and what to remove."""

    def __init__(self, **always: object) -> None:
        self.names: dict[str, str] = {}
        self.values: Item = {}
        self._set: list[str] = []
        self._remove: list[str] = []
        self.set_all(**always)

    def set_all(self, **values: object) -> "Update":
        for name, value in values.items():
            self.set(name, value)
        return self

    def set(self, name: str, value: object, expression: str = "{value}") -> "Update":
        self.names[f"#{name}"] = name
        self.values[f":{name}"] = value
        self._set.append(f"#{name} = " + expression.format(name=f"#{name}", value=f":{name}"))
        return self

    def put(self, **values: object) -> "Update":
        """Set these, also those that are set already: the last value counts."""
        for name, value in values.items():
            if f":{name}" in self.values:
                self.values[f":{name}"] = value
            else:
                self.set(name, value)
        return self

    def set_once(self, name: str, value: object) -> "Update":
        return self.set(name, value, "if_not_exists({name}, {value})")

    def append_history(self, move: Item) -> "Update":
        self.values[":none"] = []
        return self.set("history", [move], "list_append(if_not_exists({name}, :none), {value})")

    def next_revision(self) -> "Update":
        self.values[":zero"] = 0
        return self.set("revision", 1, "if_not_exists({name}, :zero) + {value}")

    def remove(self, *names: str) -> "Update":
        for name in names:
            self.names[f"#{name}"] = name
            self._remove.append(f"#{name}")
        return self

    @property
    def expression(self) -> str:
        removed = f" REMOVE {', '.join(self._remove)}" if self._remove else ""
        return f"SET {', '.join(self._set)}{removed}"


def claim_with(update: "Update", ledger_id: str, lease: timedelta) -> str:
    """Let an update of `accept` take the work too, as `Ledger.claim` does for work that is there already.

    Returns the lease's token.
    """
    until = clock.timestamp(lease)
    token = secrets.token_hex(8)
    update.put(
        status="in_progress",
        attempts=1,
        unrecorded=1,
        leaseToken=token,
        leaseUntil=until,
        dueAt=until,
        openKey=open_key("in_progress", ledger_id),
    )
    return token
