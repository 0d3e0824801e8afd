"""The audit trail: who did what as an operator, in the State table.

    pk               sk                  item
    AUDIT#<month>    <at>#<auditId>      one act: `by`, `action`, `target`, `outcome`

An act is written down before it is done (`begun`) and completed after it: one that cannot be written down is
not done, and one whose worker died shows as `begun`. Ids only, never what a body said.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from switchboard import clock, ids
from switchboard.api import Answer, Api, Call, Handler, Route
from switchboard.dynamo import Item, Table
from switchboard.errors import SwitchboardError

KEPT = timedelta(days=3 * 365)

_ID = re.compile(r"[\w:.~-]{1,200}")

ACTIONS: Mapping[tuple[str, str], str] = {
    ("POST", "/partners"): "partner.create",
    ("DELETE", "/partners/{partnerId}"): "partner.delete",
    ("POST", "/partners/{partnerId}/keys"): "key.create",
    ("DELETE", "/partners/{partnerId}/keys/{keyId}"): "key.revoke",
    ("PUT", "/settings/{area}"): "settings.change",
    ("POST", "/settings/{area}/rollback"): "settings.rollback",
    ("POST", "/settings/reload"): "settings.reload",
    ("POST", "/ledger/{ledgerId}/resubmit"): "entry.resubmit",
    ("POST", "/ledger/{ledgerId}/discard"): "entry.discard",
    ("POST", "/ledger/resubmissions"): "entries.resubmit",
    ("POST", "/queues/{queue}/redrive"): "queue.redrive",
    ("DELETE", "/customers/{customerId}"): "customer.erase",
}
"""The routes whose calls are acts of an operator."""

_TOLD = ("partnerId", "keyId", "version", "resubmissionId", "matched", "moved", "erasureId")
"""What of an answer says what came of the act."""


def audited(api: Api) -> Api:
    """The same routes; those of `ACTIONS` leave a trace."""
    for number, route in enumerate(api.routes):
        action = ACTIONS.get((route.method, route.path))
        if action is not None:
            api.routes[number] = replace(route, handler=_traced(route, action))
    return api


def _traced(route: Route, action: str) -> Handler:
    @wraps(route.handler)
    def handler(call: Call, **arguments: Any) -> Answer:
        if getattr(arguments.get("body"), "dry_run", False):
            return route.handler(call, **arguments)
        target = {to_camel(name): _as_id(held) for name, held in arguments.items() if isinstance(held, str)}
        trace = _begin(call, action, target)
        try:
            answer = route.handler(call, **arguments)
        except SwitchboardError as error:
            _end(trace, "refused", code=error.code)
            raise
        _end(trace, "done", **_told(answer))
        return answer

    return handler


def _as_id(text: str) -> str:
    """An id of a path; what can be none may be anything, an e-mail address too, and is not kept."""
    return text if _ID.fullmatch(text) else "[no id]"


def _told(answer: Answer) -> Item:
    if not isinstance(answer.body, BaseModel):
        return {}
    shown = answer.body.model_dump(mode="json", by_alias=True)
    return {"made": {name: shown[name] for name in _TOLD if shown.get(name) is not None}}


def _table() -> Table:
    return Table(os.environ["STATE_TABLE"])


def note(*, at: str, by: str, action: str, target: Item, correlation_id: str, **facts: object) -> None:
    """Write down what was done on an operator's behalf; the same again changes nothing.

    Args:
        at: when, RFC 3339; the same for a repeat.
        by: the partner id.
        action: a name like those of `ACTIONS`.
        target: the ids of what it was done to.
        correlation_id: of the call that asked for it.
        facts: `outcome`, and what came of it.
    """
    _put(ids.derived("aud", action, at, by), at, by, action, target, correlation_id, facts)


def _begin(call: Call, action: str, target: Item) -> tuple[str, str]:
    facts = {"outcome": "begun"}
    by = call.caller.partner_id
    return _put(ids.fresh("aud"), clock.timestamp(), by, action, target, call.correlation_id, facts)


def _put(
    audit_id: str, at: str, by: str, action: str, target: Item, correlation_id: str, facts: Item
) -> tuple[str, str]:
    key = (f"AUDIT#{at[:7]}", f"{at}#{audit_id}")
    act = {"auditId": audit_id, "at": at, "by": by, "action": action, "target": target}
    rest = {"correlationId": correlation_id, "expiresAt": int((clock.now() + KEPT).timestamp())}
    _table().put({"pk": key[0], "sk": key[1]} | act | rest | facts)
    return key


def _end(key: tuple[str, str], outcome: str, **facts: object) -> None:
    sets = {"outcome": outcome, **facts}
    _table().update(
        *key,
        "SET " + ", ".join(f"#{name} = :{name}" for name in sets),
        names={f"#{name}": name for name in sets},
        values={f":{name}": value for name, value in sets.items()},
    )


def newest(*, before: str, since: str) -> Iterator[Item]:
    """The acts from before one sort key back to a time, the newest first."""
    month = min(before, clock.timestamp(timedelta(minutes=1)))[:7]
    while month >= since[:7]:
        yield from _table().query_all(
            "pk = :pk AND sk BETWEEN :since AND :before",
            {":pk": f"AUDIT#{month}", ":since": since, ":before": before},
            forward=False,
            limit=100,
        )
        month = _month_before(month)


def _month_before(month: str) -> str:
    year, number = int(month[:4]), int(month[5:7])
    return f"{year - 1}-12" if number == 1 else f"{year}-{number - 1:02d}"
