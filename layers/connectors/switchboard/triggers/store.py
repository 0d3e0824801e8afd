"""Triggers in the Config table: what a partner has configured, and how its URL is doing.

All triggers are in one partition. A fan-out reads it whole, fresh, for each event: half a kilobyte for each
trigger, which is little beside the calls that come of it; so a change of a trigger is in force at once.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from switchboard import clock, config, webhooks
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import ConditionFailed, Item, Page

type Format = Literal["query", "webhook"]
type Method = Literal["GET", "POST"]
type State = Literal["active", "disabled"]

DISABLED_AFTER = timedelta(days=5)
"""So long a URL may do nothing but fail before it is called no more."""

PLACES = 10
"""So many calls at most go out at a time to a URL that is held back; the template's parameter ends there."""

PARTITION = "TRIGGERS"
ANY = "*"


@dataclass(frozen=True, slots=True)
class OldSecret:
    """A secret that has been replaced and still signs, until a time (RFC 3339)."""

    secret: str
    until: str


@dataclass(frozen=True, slots=True)
class Health:
    """How a trigger's URL is doing.

    Attributes:
        failing_since: the first failure since the last success.
        last_failure_at: the latest failure that was noted.
        slow_until: no call before then (429, 502, 504 and Retry-After).
        suspect: it has hung: one call at a time until one succeeds.
        quick_calls: of a slow one, its quick answers in a row; None: it is not slow.
        warned: the highest warning that was given, in per cent of the time to disabling.
        busy_until: of one that is held back, until when each of its places is taken at most.
    """

    failing_since: str | None = None
    last_failure_at: str | None = None
    slow_until: str | None = None
    suspect: bool = False
    quick_calls: int | None = None
    warned: int = 0
    busy_until: tuple[str, ...] = ("",) * PLACES

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to forget after a success."""
        return self.failing_since is None and self.slow_until is None and not self.suspect

    @property
    def is_slow(self) -> bool:
        """Whether its calls take long, so that only a few may be under way."""
        return self.quick_calls is not None


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to call a URL now: one of the few places of a URL that is held back, None of any other."""

    place: int | None = None
    until: str = ""


def disables_at(failing_since: str) -> str:
    """When a URL that fails since then is disabled, if nothing succeeds; RFC 3339."""
    return clock.rfc3339(clock.parse(failing_since) + DISABLED_AFTER)


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger. `where` is a condition on the record (`conditions.py`)."""

    trigger_id: str
    partner_id: str
    url: str
    object: str
    event: str
    format: Format
    method: Method
    status: State
    created_at: str
    updated_at: str
    where: Mapping[str, Any] = field(default_factory=dict)
    ordered: bool = False
    description: str | None = None
    max_per_second: float | None = None
    secret: str | None = None
    old_secrets: tuple[OldSecret, ...] = ()
    disabled_reason: str | None = None
    health: Health = Health()

    def takes(self, event: CrmEvent) -> bool:
        """Whether it is configured for this event's object and name, its filter aside."""
        return self.object in (ANY, event.object) and self.event in (ANY, event.event)

    def keys(self) -> list[str]:
        """The secrets that sign now, the present one first."""
        now = clock.timestamp()
        held = [] if self.secret is None else [self.secret]
        return held + [old.secret for old in self.old_secrets if old.until > now]


_BUSY = tuple(f"busyUntil{place}" for place in range(PLACES))


def _to_item(trigger: Trigger) -> Item:
    item: Item = {
        "pk": PARTITION,
        "sk": trigger.trigger_id,
        "partnerId": trigger.partner_id,
        "url": trigger.url,
        "object": trigger.object,
        "event": trigger.event,
        "format": trigger.format,
        "method": trigger.method,
        "status": trigger.status,
        "createdAt": trigger.created_at,
        "updatedAt": trigger.updated_at,
        "where": json.dumps(trigger.where),
        "ordered": trigger.ordered,
        "oldSecrets": [{"secret": old.secret, "until": old.until} for old in trigger.old_secrets],
    }
    optional = {
        "description": trigger.description,
        "secret": trigger.secret,
        "disabledReason": trigger.disabled_reason,
        "maxPerSecond": None if trigger.max_per_second is None else str(trigger.max_per_second),
    }
    return item | {name: value for name, value in optional.items() if value is not None}


def _from_item(item: Item) -> Trigger:
    limit = item.get("maxPerSecond")
    return Trigger(
        trigger_id=item["sk"],
        partner_id=item["partnerId"],
        url=item["url"],
        object=item["object"],
        event=item["event"],
        format=item["format"],
        method=item["method"],
        status=item["status"],
        created_at=item["createdAt"],
        updated_at=item["updatedAt"],
        where=json.loads(item["where"]),
        ordered=item["ordered"],
        description=item.get("description"),
        max_per_second=None if limit is None else float(limit),
        secret=item.get("secret"),
        old_secrets=tuple(OldSecret(old["secret"], old["until"]) for old in item["oldSecrets"]),
        disabled_reason=item.get("disabledReason"),
        health=Health(
            item.get("failingSince"),
            item.get("lastFailureAt"),
            item.get("slowUntil"),
            item.get("suspect", False),
            item.get("quickCalls"),
            item.get("warned", 0),
            tuple(item.get(name, "") for name in _BUSY),
        ),
    )


def create(trigger: Trigger) -> None:
    """Write a new trigger; of a creation whose answer got lost, the second write is the one that counts."""
    config.config_table().put(_to_item(trigger))


def get(trigger_id: str) -> Trigger | None:
    """The trigger, or None."""
    item = config.config_table().get(PARTITION, trigger_id)
    return _from_item(item) if item else None


def everyone() -> Iterator[Trigger]:
    """All triggers of all partners."""
    for item in config.config_table().query_all("pk = :pk", {":pk": PARTITION}, consistent=True):
        yield _from_item(item)


def page(partner_id: str | None, *, limit: int, start: str | None) -> tuple[list[Trigger], str | None]:
    """One page of a partner's triggers (of all with None), the oldest first, and the id to go on after."""
    found: list[Trigger] = []
    key = {"pk": PARTITION, "sk": start} if start else None
    while True:
        answer: Page = config.config_table().query(
            "pk = :pk", {":pk": PARTITION}, limit=limit + 1, start=key, consistent=True
        )
        for item in answer.items:
            if partner_id is None or item["partnerId"] == partner_id:
                found.append(_from_item(item))
        if len(found) > limit:
            return found[:limit], found[limit - 1].trigger_id
        key = answer.next_key
        if key is None:
            return found, None


_CONFIGURED = ("url", "object", "event", "method", "where", "ordered", "description", "maxPerSecond")


def configure(trigger: Trigger) -> None:
    """Write what a person can change; how the URL is doing stays. Raises ConditionFailed when it is gone."""
    item = _to_item(trigger) | {"updatedAt": clock.timestamp()}
    present = [name for name in (*_CONFIGURED, "updatedAt") if name in item]
    absent = [name for name in _CONFIGURED if name not in item]
    _update(trigger.trigger_id, {name: item[name] for name in present}, absent)


def rotate(trigger: Trigger, *, overlap: timedelta) -> str:
    """Give a trigger a new key of its scheme; the present one signs on for `overlap`. Returns the new one."""
    secret = webhooks.new_key(webhooks.scheme_of(trigger.secret or ""))
    now = clock.timestamp()
    kept = [old for old in trigger.old_secrets if old.until > now]
    if overlap and trigger.secret is not None:
        kept.append(OldSecret(trigger.secret, clock.timestamp(overlap)))
    if not overlap:
        kept = []
    held = [{"secret": old.secret, "until": old.until} for old in kept[-3:]]
    _update(trigger.trigger_id, {"secret": secret, "oldSecrets": held, "updatedAt": now})
    return secret


_FAILURES = ("failingSince", "lastFailureAt", "slowUntil", "suspect", "warned")


def enable(trigger_id: str) -> None:
    """Make a trigger active, and forget how its URL was doing; raises ConditionFailed when it is gone."""
    facts = {"status": "active", "updatedAt": clock.timestamp()}
    _update(trigger_id, facts, ("disabledReason", "quickCalls", *_FAILURES))


def disable(trigger_id: str, reason: str) -> bool:
    """Stop calling a trigger's URL; returns whether this call did it."""
    try:
        _update(
            trigger_id,
            {"status": "disabled", "disabledReason": reason, "updatedAt": clock.timestamp()},
            condition="#status = :active",
            values={":active": "active"},
        )
    except ConditionFailed:
        return False
    return True


def note_success(trigger_id: str) -> None:
    """Forget the failures."""
    _try_update(trigger_id, {}, _FAILURES)


def note_failure(trigger: Trigger, *, failing_since: str, slow_until: datetime | None, suspect: bool) -> None:
    """Note a failure, from when on the URL fails, and how carefully it is to be called from now on."""
    facts: Item = {"failingSince": failing_since, "lastFailureAt": clock.timestamp()}
    if slow_until is not None:
        facts["slowUntil"] = clock.rfc3339(slow_until)
    if suspect:
        facts["suspect"] = True
    _try_update(trigger.trigger_id, facts)


def note_slow(trigger_id: str, *, quick_calls: int | None) -> None:
    """Note that a URL is slow, and how many calls in a row were quick since; None: it is slow no more."""
    if quick_calls is None:
        _try_update(trigger_id, {}, ("quickCalls",))
    else:
        _try_update(trigger_id, {"quickCalls": quick_calls})


def note_warning(trigger_id: str, per_cent: int) -> bool:
    """Note that a warning goes out; returns whether this call is the one to give it."""
    return _try_update(
        trigger_id,
        {"warned": per_cent},
        condition="attribute_not_exists(warned) OR warned < :level",
        values={":level": per_cent},
    )


def take_turn(trigger: Trigger, *, at_once: int, until: datetime) -> Turn | None:
    """Be one of the few who call a URL that is held back, at most until a time; None: no place is free.

    Whether one is free was read with the trigger, so waiting costs no request.
    """
    now = clock.timestamp()
    for place in range(at_once):
        if trigger.health.busy_until[place] >= now:
            continue
        turn = Turn(place, clock.rfc3339(until))
        if _try_update(
            trigger.trigger_id,
            {_BUSY[place]: turn.until},
            condition=f"attribute_not_exists({_BUSY[place]}) OR {_BUSY[place]} < :now",
            values={":now": now},
        ):
            return turn
    return None


def leave_turn(trigger_id: str, turn: Turn) -> None:
    """Let the next one call; nothing to do for a URL that was not held back."""
    if turn.place is None:
        return
    name = _BUSY[turn.place]
    _try_update(trigger_id, {}, (name,), condition=f"#{name} = :until", values={":until": turn.until})


def delete(trigger_id: str) -> None:
    """Remove a trigger; what is still owed to it ends as skipped."""
    config.config_table().delete(PARTITION, trigger_id)


def _try_update(
    trigger_id: str,
    facts: Item,
    removed: tuple[str, ...] = (),
    *,
    condition: str | None = None,
    values: Item | None = None,
) -> bool:
    try:
        _update(trigger_id, facts, removed, condition=condition, values=values)
    except ConditionFailed:
        return False
    return True


def _update(
    trigger_id: str,
    facts: Item,
    removed: "tuple[str, ...] | list[str]" = (),
    *,
    condition: str | None = None,
    values: Item | None = None,
) -> None:
    names = {f"#{name}": name for name in (*facts, *removed)}
    parts = []
    if facts:
        parts.append("SET " + ", ".join(f"#{name} = :{name}" for name in facts))
    if removed:
        parts.append("REMOVE " + ", ".join(f"#{name}" for name in removed))
    guard = "attribute_exists(pk)" + (f" AND ({condition})" if condition else "")
    if condition and "#status" in condition:
        names["#status"] = "status"
    config.config_table().update(
        PARTITION,
        trigger_id,
        " ".join(parts),
        condition=guard,
        names=names,
        values={f":{name}": value for name, value in facts.items()} | (values or {}) or None,
    )
