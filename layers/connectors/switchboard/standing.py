"""Where the work stands now: what waits, since when, and for whom; read from the State table's open index.

About thirty queries, most of them empty, however much was done before: what is done is not in the index.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from switchboard import breaker
from switchboard.counts import DELIVERIES
from switchboard.dynamo import Item, Table
from switchboard.errors import find
from switchboard.ledger import FAILED, SHARDS, UNFINISHED

CONNECTORS = ("siebel", "crowdtwist", "questionpro", "ocsio", "vcc", "sem", "meta")
"""The vendors, by the names of their secrets."""

LOOKED_AT = 100_000
"""Open entries that one look counts at most, which takes seconds; beyond that the numbers are minimums."""


@dataclass
class Flow:
    """A flow's open work. `oldest_at`: when the longest unfinished piece of it was accepted."""

    waiting: int = 0
    retrying: int = 0
    failed: int = 0
    oldest_at: str | None = None


@dataclass
class Standing:
    """All open work. `held`: what waits for a connector's breaker; `is_whole`: none was left out."""

    flows: dict[str, Flow] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    is_whole: bool = True

    def flow(self, name: str) -> Flow:
        """The flow's, made when it has none."""
        return self.flows.setdefault(name, Flow())


@cache
def _table() -> Table:
    return Table(os.environ["STATE_TABLE"])


def look(partner_id: str | None, breakers: list[breaker.State]) -> Standing:
    """Count the open work.

    Args:
        partner_id: whose; None for everyone's.
        breakers: of the connectors whose held work is looked for.
    """
    found = Standing()
    for number, (group, item) in enumerate(_open([*UNFINISHED, *FAILED, "delivery"], breakers)):
        if number == LOOKED_AT:
            found.is_whole = False
            break
        if partner_id not in (None, item.get("partnerId")):
            continue
        _count(found, group, item)
    return found


def _open(groups: list[str], breakers: list[breaker.State]) -> Iterator[tuple[str, Item]]:
    for group in [*groups, *(f"held:{state.connector}" for state in breakers)]:
        for shard in range(SHARDS):
            key = {":key": f"{group}#{shard}"}
            for item in _table().query_all("openKey = :key", key, index="Open"):
                yield group, item


def _count(found: Standing, group: str, item: Item) -> None:
    flow = found.flow(item.get("flow", DELIVERIES))
    status = item.get("status")
    if status in FAILED:
        flow.failed += 1
        return
    if status in ("retrying", "unknown"):
        flow.retrying += 1
    else:
        flow.waiting += 1
    if group.startswith("held:"):
        connector = group.removeprefix("held:")
        found.held[connector] = found.held.get(connector, 0) + 1
    since = item.get("acceptedAt")
    if since and not waits_by_design(item.get("code")) and (flow.oldest_at or since) >= since:
        flow.oldest_at = since


def waits_by_design(code: str | None) -> bool:
    """Whether work waits for something else to happen (quiet hours, a customer), and is not stuck."""
    known = find(code) if code else None
    return known is not None and known.error_class == "conflict"


# connectors -------------------------------------------------------------------------------------------------


def note_configured(configured: dict[str, bool]) -> None:
    """Keep which connectors have their credentials, for those who may not read the secrets themselves."""
    if configured_connectors() != configured:
        _table().put({"pk": "CONNECTORS", "sk": "CONFIGURED", "configured": configured})


def configured_connectors() -> dict[str, bool]:
    """Which connectors have their credentials, as of a minute ago; none are known before the first look."""
    item = _table().get("CONNECTORS", "CONFIGURED", consistent=False)
    return dict(item["configured"]) if item else {}


def forget() -> None:
    """Drop what this process has cached."""
    _table.cache_clear()
