"""The ledger: the one record of every piece of work.

An entry says where the work stands, why it failed and what to do about it. Its key is (partner, flow,
entity); its states are those of `Status`:

    accept          claim             record
    ──────▶ pending ─────▶ in_progress ─────▶ synced | unchanged | data_error | remote_failure | …
               ▲                │
               │                ├──▶ retrying   (a repeat is due at `due_at`)
               └── resubmit     └──▶ unknown    (sent, no answer: looked up before it is sent again)

An entry that found its vendor's breaker open is `retrying` too, but waits under the connector's name until
the breaker closes (`held`); an attempt that was not made is not counted.

Every move is one conditional write:

- `accept` takes only a newer version, so an older one that arrives late changes nothing.
- `claim` gives the work to one worker until its lease ends; a worker that dies loses it by time alone.
- `record` holds only for the worker with the lease. When a newer version has come in meanwhile, the
  result goes into the history and the entry stays pending for the newer one.

The payload is kept in the entry and messages carry only its id: a lost message loses nothing, and nothing
personal waits in a queue.
"""

from switchboard.ledger.entries import (
    DONE,
    FAILED,
    RESUBMITTABLE,
    STATUSES,
    UNFINISHED,
    Accepted,
    Entry,
    Status,
    action_for,
    entry_id,
    only_waits,
)
from switchboard.ledger.keys import SHARDS
from switchboard.ledger.store import Ledger

__all__ = [
    "DONE",
    "FAILED",
    "RESUBMITTABLE",
    "SHARDS",
    "STATUSES",
    "UNFINISHED",
    "Accepted",
    "Entry",
    "Ledger",
    "Status",
    "action_for",
    "entry_id",
    "only_waits",
]
