"""When a schedule was to run last."""

from datetime import datetime

from switchboard import schedules
from switchboard.schedules import Rate
from switchboard.settings.surveys import Schedule

_MISSED = 10_000


def latest_run(schedule: Schedule, since: datetime | None, now: datetime) -> datetime | None:
    """The last run that was due by `now`, None when there is none after `since`.

    A schedule that is seen for the first time runs at once when it is a rate, and waits for its first
    time when it is a cron expression.
    """
    parsed = schedules.parse(schedule.expression)
    if since is None:
        return now if isinstance(parsed, Rate) else None
    if isinstance(parsed, Rate):
        periods = (now - since) // parsed.period
        return since + periods * parsed.period if periods else None
    found = None
    moment: datetime | None = since
    for _ in range(_MISSED):
        moment = parsed.next_after(moment, schedule.zone) if moment is not None else None
        if moment is None or moment > now:
            break
        found = moment
    return found
