"""Each quarter of an hour: accept the leads of Meta's forms that the webhook has not told of."""

from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.lead_backfill.logic import look_back
from switchboard import clock, ids, meta_leads, observability, queues
from switchboard.connectors.meta import meta
from switchboard.errors import SwitchboardError
from switchboard.settings import store
from switchboard.settings.leads import LeadSettings
from switchboard.work import Deadline

_RESERVE = timedelta(seconds=15)


def backfill(has_time: Deadline) -> int:
    """Read each form from where the last run came to; returns how many leads were missed so far.

    One form that cannot be read keeps no other from being read.
    """
    settings = store.current("leads", LeadSettings).meta
    missed = 0
    for form_id in sorted({*settings.form_ids, *meta_leads.forms()}):
        if not has_time():
            break
        started = clock.now()
        since = look_back(meta_leads.read_up_to(form_id), started, settings.first_backfill_days)
        try:
            missed += _read(form_id, since, settings.graph_version)
        except SwitchboardError as error:
            observability.count("BackfillFailed", code=error.code)
            observability.logger.warning("a form was not read", form_id=form_id, code=error.code)
            continue
        meta_leads.was_read(form_id, clock.rfc3339(started))
    return missed


def _read(form_id: str, since: datetime, version: str) -> int:
    missed = 0
    for leadgen_id in meta().leads_of(form_id, since=since, version=version):
        notice = meta_leads.Notice(leadgen_id, form_id=form_id)
        accepted = meta_leads.accept(notice, correlation_id=ids.fresh("cor"))
        if accepted.is_new:
            missed += 1
            queues.offer(accepted.entry)
    return missed


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge Scheduler entry."""

    def has_time() -> bool:
        return timedelta(milliseconds=context.get_remaining_time_in_millis()) > _RESERVE

    missed = backfill(has_time)
    observability.count("Backfilled", missed, flow=meta_leads.FLOW)
    observability.logger.info("backfilled", number=missed)
