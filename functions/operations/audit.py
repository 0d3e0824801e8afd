"""/audit: who did what as an operator. For administrators."""

from datetime import timedelta
from itertools import islice
from typing import Any

from switchboard import audit, clock, cursors
from switchboard.api import Answer, Api, Call
from switchboard.models import ApiModel, Moment, PageOf, PageQuery

api = Api("audit")

_LOOK_BACK = timedelta(days=400)
_POSITION = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z#aud_\w{26}"
_EXAMINED = 2000
"""Acts that one request looks through for its filter before it hands over a cursor."""


class AuditQuery(PageQuery):
    """The filters. `since`: 400 days back when left out. `by`: a partner id, `admin` for the first key."""

    action: str | None = None
    by: str | None = None
    since: Moment | None = None


class AuditEntry(ApiModel):
    """One act. `target`: the ids in its path; `made`: what it made. `begun`: nobody knows how it ended."""

    audit_id: str
    at: str
    by: str
    action: str
    target: dict[str, str]
    outcome: str
    code: str | None = None
    made: dict[str, Any] | None = None
    correlation_id: str


_SHOWN = ("auditId", "at", "by", "action", "target", "outcome", "code", "made", "correlationId")


@api.get("/audit", scope="admin", answers={200: PageOf[AuditEntry]})
def list_acts(call: Call, query: AuditQuery) -> Answer:
    """Who did what: partners, keys, settings, resubmissions, discards, redrives, erasures; newest first."""
    before = cursors.decode(query.cursor, _POSITION) or clock.timestamp(timedelta(seconds=1))
    since = clock.rfc3339(query.since or clock.now() - _LOOK_BACK)
    page: list[AuditEntry] = []
    seen = 0
    for item in islice(audit.newest(before=before, since=since), _EXAMINED):
        seen += 1
        if item["sk"] == before:
            continue
        before = item["sk"]
        if query.action in (None, item["action"]) and query.by in (None, item["by"]):
            page.append(
                AuditEntry.model_validate({name: item[name] for name in _SHOWN if name in item}, strict=False)
            )
            if len(page) == query.limit:
                break
    more = len(page) == query.limit or seen == _EXAMINED
    return Answer(200, PageOf[AuditEntry](items=page, next=cursors.encode(before) if more else None))
