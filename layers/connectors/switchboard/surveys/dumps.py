"""Dumps: starting one, and where one stands. The slices are the step `survey_dump`.

pk                       sk                item
SURVEY_DUMPS#<survey>    RUNNING           which dump has the survey now: one at a time
SURVEY_DUMPS#<survey>    DUMP#<started>    one for each dump, for the list
SURVEY_DUMPS#<survey>    CURSOR#<partner>  how far a partner's dumps have come
SURVEY_DUMPS#<survey>    SCHEDULE          the schedule's last run
SURVEY_DUMPS#<survey>    COLUMNS           the columns of the CSV, which only ever become more
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from switchboard import clock, ids, queues, work
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.errors import SwitchboardError
from switchboard.ledger import UNFINISHED, Entry, entry_id
from switchboard.surveys import DUMP

_HAND_OVER = timedelta(minutes=1)
"""So long a dump that has the survey may be without its ledger entry, which is written a moment later."""


def _pk(survey_id: str) -> str:
    return f"SURVEY_DUMPS#{survey_id}"


@dataclass(frozen=True, slots=True)
class Dumps:
    """The dumps in the State table."""

    table: Table

    def start(
        self, survey_id: str, *, partner_id: str, full: bool, run: str, correlation_id: str, by: str
    ) -> Entry:
        """Begin a dump, unless this `run` has begun already.

        Raises:
            SwitchboardError: `dump-running` while another dump has the survey, its id in `extra` when it is
                the same partner's.
        """
        dump_id = entry_id(partner_id, DUMP, f"{survey_id}:{run}")
        known = work.ledger().get(dump_id)
        if known is not None:
            return known
        started = clock.timestamp()
        self._take_survey(survey_id, dump_id, partner_id, started)
        self.table.put(
            {
                "pk": _pk(survey_id),
                "sk": f"DUMP#{started}#{dump_id}",
                "ledgerId": dump_id,
                "partnerId": partner_id,
            }
        )
        entry = (
            work.ledger()
            .accept(
                partner_id=partner_id,
                flow=DUMP,
                entity=f"{survey_id}:{run}",
                payload={"surveyId": survey_id, "full": full, "by": by, "startedAt": started},
                group=survey_id,
                correlation_id=correlation_id,
            )
            .entry
        )
        queues.offer(entry)
        return entry

    def hold(self, dump: Entry) -> None:
        """Have the survey for a dump that is worked on: one that was resubmitted waits for another.

        Raises:
            SwitchboardError: `waits-for-earlier` while another dump has the survey.
        """
        survey_id = dump.payload["surveyId"]
        held = self.table.get(_pk(survey_id), "RUNNING")
        if held is not None and held["dumpId"] == dump.ledger_id:
            return
        try:
            self._take_survey(survey_id, dump.ledger_id, dump.partner_id, clock.timestamp())
        except SwitchboardError as running:
            words = "Another dump of this survey runs."
            raise SwitchboardError("waits-for-earlier", words, retry_after=running.retry_after) from None

    def _take_survey(self, survey_id: str, dump_id: str, partner_id: str, at: str) -> None:
        held = self.table.get(_pk(survey_id), "RUNNING")
        if held is not None and held["dumpId"] != dump_id:
            entry = work.ledger().get(held["dumpId"])
            is_new = clock.parse(held["at"]) + _HAND_OVER > clock.now()
            if (entry is None and is_new) or (entry is not None and entry.status in UNFINISHED):
                raise _running(held, partner_id)
        values: Item = {":before": held["dumpId"]} if held is not None else {}
        try:
            self.table.put(
                {
                    "pk": _pk(survey_id),
                    "sk": "RUNNING",
                    "dumpId": dump_id,
                    "partnerId": partner_id,
                    "at": at,
                },
                condition="dumpId = :before" if held is not None else "attribute_not_exists(pk)",
                values=values or None,
            )
        except ConditionFailed as found:
            raise _running(found.item or {}, partner_id) from None

    def listed(
        self, survey_id: str, *, partner_id: str | None, limit: int, before: str | None
    ) -> tuple[list[Item], str | None]:
        """One page of a survey's dumps, the newest first, and the place to go on before.

        `partner_id` None is everybody's.
        """
        values: Item = {":pk": _pk(survey_id), ":dump": "DUMP#"}
        page = self.table.query(
            "pk = :pk AND begins_with(sk, :dump)",
            values if partner_id is None else values | {":partner": partner_id},
            filter_expression=None if partner_id is None else "partnerId = :partner",
            forward=False,
            limit=limit,
            start={"pk": _pk(survey_id), "sk": before} if before else None,
        )
        return page.items, page.next_key["sk"] if page.next_key else None

    def cursor(self, survey_id: str, partner_id: str) -> Item | None:
        """How far the partner's dumps have come: `to`, and `seenKey` of what he has been given."""
        return self.table.get(_pk(survey_id), f"CURSOR#{partner_id}")

    def move_cursor(self, survey_id: str, partner_id: str, *, to: str, seen_key: str) -> None:
        """The partner has been given everything up to `to`; a dump that ends late moves nothing back."""
        try:
            self.table.put(
                {"pk": _pk(survey_id), "sk": f"CURSOR#{partner_id}", "to": to, "seenKey": seen_key},
                condition="attribute_not_exists(pk) OR #to < :to",
                names={"#to": "to"},
                values={":to": to},
            )
        except ConditionFailed:
            return

    def columns(self, survey_id: str, found: dict[str, str]) -> dict[str, str]:
        """The survey's columns (key to header) with the `found` ones behind those known before."""
        for _ in range(10):
            item = self.table.get(_pk(survey_id), "COLUMNS")
            known: list[list[str]] = item["columns"] if item else []
            merged = {column[0]: column[1] for column in known}
            merged |= {key: header for key, header in found.items() if key not in merged}
            if item is not None and len(merged) == len(known):
                return merged
            try:
                self.table.put(
                    {"pk": _pk(survey_id), "sk": "COLUMNS", "columns": [[k, h] for k, h in merged.items()]},
                    condition="size(#columns) = :known" if item else "attribute_not_exists(pk)",
                    names={"#columns": "columns"} if item else None,
                    values={":known": len(known)} if item else None,
                )
            except ConditionFailed:
                continue
            return merged
        raise SwitchboardError("conflict", "Others keep adding columns.")

    # schedule -----------------------------------------------------------------------------------------

    def since(self, survey_id: str, expression: str) -> datetime | None:
        """From when on the schedule's runs are still to come; None when it has not been seen before."""
        item = self.table.get(_pk(survey_id), "SCHEDULE")
        if item is None or item["expression"] != expression:
            return None
        return clock.parse(item["since"])

    def ran(self, survey_id: str, expression: str, since: datetime) -> None:
        """The schedule's runs up to `since` are done."""
        self.table.put(
            {
                "pk": _pk(survey_id),
                "sk": "SCHEDULE",
                "expression": expression,
                "since": clock.rfc3339(since),
            }
        )


def _running(held: Item, partner_id: str) -> SwitchboardError:
    extra: dict[str, object] = {}
    if held.get("partnerId") == partner_id:
        extra["dumpId"] = held["dumpId"]
    return SwitchboardError("dump-running", extra=extra, retry_after=30)


def dumps() -> Dumps:
    """The dumps of this deployment."""
    return Dumps(work.ledger().table)


def fresh_run() -> str:
    """A run that nobody has asked for before."""
    return ids.fresh("run")


def status_of(entry: Entry) -> str:
    """`running`, `complete` or `failed`."""
    if entry.status in UNFINISHED:
        return "running"
    return "complete" if entry.status == "synced" else "failed"


def facts(entry: Entry) -> dict[str, Any]:
    """The members of a dump's answer that its ledger entry has."""
    result = entry.result
    return {
        "dumpId": entry.ledger_id,
        "surveyId": entry.payload.get("surveyId"),
        "status": status_of(entry),
        "full": bool(entry.payload.get("full")),
        "from": result.get("from"),
        "to": result.get("to"),
        "rows": result.get("rows", 0),
        "imported": result.get("imported", 0),
        "unmatched": result.get("unmatched", 0),
        "countCheck": result.get("countCheck"),
        "code": entry.code,
        "error": entry.detail,
        "action": entry.action,
        "startedAt": entry.created_at,
        "updatedAt": entry.updated_at,
    }
