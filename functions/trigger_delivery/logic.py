"""What a call says, how it looks on the wire, and what an answer means for the delivery and its trigger."""

import json
import random
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Literal
from urllib.parse import quote

from pydantic.alias_generators import to_camel

from switchboard import clock
from switchboard.crm_events import ID_FIELDS, CrmEvent
from switchboard.triggers.deliveries import Attempt
from switchboard.triggers.messages import LONGEST_DELAY
from switchboard.triggers.store import DISABLED_AFTER, Health

LADDER: tuple[timedelta, ...] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The waits after each failed attempt: ten attempts in 75.5 hours."""

JITTER = 0.2
WARNINGS = (90, 70, 50)
"""Per cent of `DISABLED_AFTER`."""

SLOW = timedelta(seconds=4)
"""How long a URL that answered 429, 502 or 504 is left alone when it does not say; the shortest wait."""

LONG_CALL = timedelta(seconds=2)
"""Who takes so long to answer, or longer, is slow: a worker serves hundreds of others meanwhile."""

QUICK_ENOUGH = 5
"""So many quick answers in a row, and a URL is slow no more."""

_TURN_SECONDS, _TURN_GROWTH = 5, 1.4
"""The first wait for a turn, and how the next ones grow: each is less than half of all before it."""

_SLOWING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_QUIET = timedelta(hours=36)
"""Longer than the longest wait: who was not called for so long has not been failing all the time."""

_PARAMETERS = {
    "account_id": "AccountID",
    "case_id": "CaseID",
    "followup_id": "FollowupID",
    "task_id": "TaskID",
}

type Verdict = Literal["delivered", "gone", "again"]


def query_url(url: str, event: CrmEvent) -> str:
    """The URL as the source has it: `?AccountID=aaa&CaseID=ccc&FollowupID=fff`, behind what it has."""
    query = "&".join(
        f"{_PARAMETERS[name]}={quote(getattr(event, name), safe='')}" for name in ID_FIELDS[event.object]
    )
    if "?" not in url:
        return f"{url}?{query}"
    return f"{url}{query}" if url.endswith(("?", "&")) else f"{url}&{query}"


def webhook_body(event: CrmEvent) -> bytes:
    """The body of a webhook: type, time, and the ids as the only data."""
    ids = {to_camel(name): getattr(event, name) for name in ID_FIELDS[event.object]}
    body = {"type": event.type, "timestamp": event.occurred_at, "data": ids}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def error_class(status: int) -> str | None:
    """What an answer's status says; None for success. Only 2xx is success: nobody is followed elsewhere."""
    match status // 100:
        case 2:
            return None
        case 3:
            return "redirect"
        case 4:
            return {410: "gone", 429: "throttled"}.get(status, "client-error")
        case _:
            return "server-error"


def verdict(attempt: Attempt) -> Verdict:
    """410 says that nobody wants these calls any more; everything else that fails is tried again."""
    if attempt.error_class is None:
        return "delivered"
    return "gone" if attempt.error_class == "gone" else "again"


def next_wait(tries: int, retry_after: float | None) -> timedelta | None:
    """The wait after so many attempts with ±20 % of jitter, no shorter than Retry-After; None: give up."""
    if tries > len(LADDER):
        return None
    jittered = LADDER[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return max(jittered, timedelta(seconds=retry_after or 0))


def slow_for(attempt: Attempt) -> timedelta | None:
    """How long the whole URL is left alone; None when the answer does not ask for it."""
    if attempt.retry_after is not None:
        return timedelta(seconds=attempt.retry_after)
    return SLOW if attempt.status_code in _SLOWING else None


def turn_wait(waits: int) -> int:
    """Seconds until one who had to wait for its turn so often tries again.

    Longer each time, so that a long backlog costs little; and spread, since of those who come back at one
    moment all but a few have come for nothing.
    """
    steady = min(_TURN_SECONDS * _TURN_GROWTH ** min(waits, 20), LONGEST_DELAY)
    return round(steady * random.uniform(0.5, 1))  # noqa: S311 - no secret


def quick_calls(health: Health, took: timedelta) -> int | None:
    """What `Health.quick_calls` is after a call that took so long."""
    if took >= LONG_CALL:
        return 0
    if health.quick_calls is None or health.quick_calls + 1 >= QUICK_ENOUGH:
        return None
    return health.quick_calls + 1


def failing_since(health: Health, now: datetime) -> str:
    """Since when a URL that has just failed has done nothing else."""
    last = health.last_failure_at
    if health.failing_since is None or last is None or now - clock.parse(last) > _QUIET:
        return clock.rfc3339(now)
    return health.failing_since


def warning(since: str, now: datetime) -> int:
    """The warning that is due, in per cent of the way to disabling; 100 for disabling itself, 0 for none."""
    part = (now - clock.parse(since)) / DISABLED_AFTER * 100
    if part >= 100:
        return 100
    return next((level for level in WARNINGS if part >= level), 0)


def worth_noting(health: Health, since: str, now: datetime) -> bool:
    """Whether a failure is to be written to the trigger: not each one of a busy URL that is down."""
    last = health.last_failure_at
    return health.failing_since != since or last is None or now - clock.parse(last) > timedelta(minutes=1)
