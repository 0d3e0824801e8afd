"""Each minute: dumps whose time has come, reminders that are due, invitations that end."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.survey_tick.logic import latest_run
from switchboard import clock, ids, observability
from switchboard.errors import SwitchboardError
from switchboard.settings import store
from switchboard.settings.surveys import Schedule, SurveysSettings
from switchboard.surveys import OWNER
from switchboard.surveys.dumps import dumps
from switchboard.surveys.invitations import Invitation, next_look
from switchboard.surveys.issue import invitations, survey_settings
from switchboard.surveys.reminding import remind

_PER_SHARD = 250
_RESERVE = timedelta(seconds=5)


def start_dumps(now: datetime, done: Counter[str]) -> None:
    """Begin the dump of every survey whose schedule says so; missed runs are made up for by one."""
    for survey_id, survey in store.current("surveys", SurveysSettings).surveys.items():
        if survey.schedule is not None:
            try:
                done["dump started"] += _start(survey_id, survey.schedule, now)
            except SwitchboardError as error:
                # One that runs ends, and the next minute tries again.
                done[f"dump not started: {error.code}"] += 1


def _start(survey_id: str, schedule: Schedule, now: datetime) -> bool:
    since = dumps().since(survey_id, schedule.expression)
    run = latest_run(schedule, since, now)
    if run is not None:
        dumps().start(
            survey_id,
            partner_id=OWNER,
            full=schedule.full,
            run=f"schedule:{clock.rfc3339(run)}",
            correlation_id=ids.derived("cor", survey_id, clock.rfc3339(run)),
            by="schedule",
        )
    if since is None or run is not None:
        dumps().ran(survey_id, schedule.expression, run or now)
    return run is not None


def look_after(invitation: Invitation, done: Counter[str]) -> None:
    """Remind, end, or look again later."""
    survey = survey_settings(invitation.survey_id)
    if invitation.expires_at <= clock.timestamp():
        invitations().expire(invitation)
        done["expired"] += 1
        return
    due = next_look(invitation, survey)
    if due > clock.timestamp():
        invitations().look_again(invitation, due)
    elif quiet := survey.quiet_for_reminders(clock.now()):
        invitations().look_again(invitation, min(clock.timestamp(quiet), invitation.expires_at))
        done["in quiet hours"] += 1
    elif remind(invitation, run=f"schedule:{due}", survey=survey, correlation_id=invitation.invitation_id):
        done["reminded"] += 1
    else:
        invitations().look_again(invitation, invitation.expires_at)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge Scheduler entry."""
    done: Counter[str] = Counter()
    start_dumps(clock.now(), done)
    for invitation in invitations().due(limit=_PER_SHARD):
        if timedelta(milliseconds=context.get_remaining_time_in_millis()) < _RESERVE:
            break
        look_after(invitation, done)
    for what, number in done.items():
        if number:
            observability.logger.info("ticked", what=what, number=number)
