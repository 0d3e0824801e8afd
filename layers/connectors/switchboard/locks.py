"""A lock on a name, for a read that is followed by a write which must not cross another's.

It is a lease in the State table: who dies with it loses it by time alone.
"""

import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from switchboard.dynamo import ConditionFailed, Table
from switchboard.errors import SwitchboardError

_FIRST_WAIT = 0.02
_LONGEST_WAIT = 0.25


@contextmanager
def locked(table: Table, name: str, *, lease: float, wait: float) -> Iterator[None]:
    """Hold the lock on `name` inside this block.

    Args:
        table: where the lock is kept.
        name: what is locked.
        lease: seconds after which another may take it, whatever happens to this process.
        wait: seconds to wait for another holder.

    Raises:
        SwitchboardError: `in-progress`, when another has held it for all of `wait`.
    """
    token = secrets.token_hex(8)
    key = (f"LOCK#{name}", "LOCK")
    give_up = time.monotonic() + wait
    pause = _FIRST_WAIT
    while not _taken(table, key, token, lease):
        if time.monotonic() + pause > give_up:
            raise SwitchboardError("in-progress", "The same object is being changed.", retry_after=2)
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, _LONGEST_WAIT)
    try:
        yield
    finally:
        with suppress(ConditionFailed):
            table.delete(*key, condition="holder = :token", values={":token": token})


def _taken(table: Table, key: tuple[str, str], token: str, lease: float) -> bool:
    now = time.time()
    item = {"pk": key[0], "sk": key[1], "holder": token}
    times = {"until": round((now + lease) * 1000), "expiresAt": int(now + lease) + 3600}
    try:
        table.put(
            item | times,
            condition="attribute_not_exists(pk) OR #until < :now",
            names={"#until": "until"},
            values={":now": round(now * 1000)},
        )
    except ConditionFailed as failed:
        return failed.taken("holder", token) is not None
    return True
