"""Queue of dumps: a slice of a dump, as far as one Lambda's time goes; then the next one.

A page of responses is one object in S3 and one checkpoint. Whoever takes a dump up goes on behind the last
checkpoint, so a worker that died costs one page; one who has lost the lease fails at his next checkpoint.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.survey_dump import files, logic
from functions.survey_dump.given import Given, Pair
from switchboard import clock, observability, queues, work
from switchboard.connectors import survey_vendor
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError, VendorError
from switchboard.ledger import Entry
from switchboard.settings.surveys import Survey
from switchboard.survey_vendor import ResponsePage
from switchboard.surveys import responses
from switchboard.surveys.dumps import dumps
from switchboard.surveys.issue import survey_settings
from switchboard.tombstones import Tombstones, covers
from switchboard.work import Outcome

_RESERVE = timedelta(seconds=75)
"""A page is begun with so much time left: its call may take a minute."""

_FILE_TIME = timedelta(minutes=5)
"""A file is begun with so much time left, unless the slice has just begun."""

_IMPORTERS = 8


class Slice:
    """One worker's time on one dump. `result` is all that the next worker needs; checkpoints keep it."""

    def __init__(self, entry: Entry, result: Item, context: LambdaContext) -> None:
        self.entry = entry
        self.result = result
        self.survey_id: str = entry.payload["surveyId"]
        self.survey: Survey = survey_settings(self.survey_id)
        self.erased = Tombstones(work.ledger().table).all()
        self.moved = False
        self._context = context

    @property
    def time_left(self) -> timedelta:
        """Of this function."""
        return timedelta(milliseconds=self._context.get_remaining_time_in_millis())

    @property
    def folder(self) -> str:
        """Where the dump's files are."""
        return f"surveys/{self.survey_id}/{self.entry.ledger_id}"

    @property
    def formats(self) -> tuple[str, ...]:
        """The files, in the order in which they are written."""
        return ("jsonl.gz", "csv", "parquet") if self.survey.parquet else ("jsonl.gz", "csv")

    @property
    def parts(self) -> list[str]:
        """The keys of the pages so far."""
        return logic.part_keys(self.entry.ledger_id, self.result["parts"])

    def checkpoint(self, **facts: Any) -> None:
        """Keep these facts; raises ConditionFailed when another worker has the dump by now."""
        self.result.update(facts)
        work.ledger().checkpoint(self.entry, self.result, lease=self.time_left)
        self.moved = True

    def begin(self) -> None:
        """What the dump covers: everything since the partner's last one, with a margin for late arrivals."""
        cursor = dumps().cursor(self.survey_id, self.entry.partner_id)
        if self.entry.payload["full"] or (cursor is not None and not files.exists(cursor["seenKey"])):
            cursor = None  # what he was given may have outlived the bucket's retention
        since = None
        if cursor is not None:
            since = clock.rfc3339(clock.parse(cursor["to"]) - timedelta(hours=self.survey.overlap_hours))
        self.checkpoint(
            **{"from": since, "to": clock.timestamp()},
            base=cursor["seenKey"] if cursor else None,
            page=0,
            parts=[],
            rows=0,
            imported=0,
            unmatched=0,
            columns={},
            total=None,
            read=False,
            files=[],
        )

    def given(self) -> Given:
        """What the partner has been given by earlier dumps, and by this one."""
        base = self.result["base"]
        given = Given(files.get(base) if base else b"")
        for number, digest in self.result.get("withheld", ()):
            given.take(int(number), int(digest))
        for content in files.read_ahead(self.parts):
            for number, digest in files.given_in(content):
                given.take(number, digest)
        return given

    def read_pages(self, given: Given) -> bool:
        """Page after page until the last one; False when the time was up before."""
        begin = self.result["from"]
        before: list[int] = []
        while not self.result["read"]:
            if self.time_left < _RESERVE and self.moved:
                return False
            number = int(self.result["page"]) + 1
            page = survey_vendor().responses(
                self.survey_id,
                page=number,
                per_page=self.survey.page_size,
                since=begin[:19] if begin else None,
            )
            numbers = [logic.number_of(item, raw) for item, raw in page.items]
            if numbers and numbers == before:
                raise VendorError("remote-unexpected", f"questionpro repeats page {number - 1}.")
            before = numbers
            self._take(page, given)
        return True

    def _take(self, page: ResponsePage, given: Given) -> None:
        """The page's new responses become an object, rows of the CRM, and a checkpoint."""
        fresh: list[tuple[dict[str, Any], str]] = []
        taken: list[Pair] = []
        for item, raw in page.items:
            number, digest = logic.number_of(item, raw), logic.digest_of(raw)
            if not given.take(number, digest):
                continue
            if covers(self.erased, item):
                # Counted as given, or the survey's count and ours would differ for ever.
                self.result.setdefault("withheld", []).append([number, digest])
            else:
                fresh.append((item, raw))
                taken.append((number, digest))
        result = self.result
        if fresh:
            token = self.entry.lease_token or ""
            key = logic.part_key(self.entry.ledger_id, token, page.number)
            files.put(key, files.part((raw for _, raw in fresh), taken), "application/gzip")
            result["parts"] = logic.extended(result["parts"], token, page.number)
        known = [item for item, _ in fresh if responses.may_match(item)]
        with ThreadPoolExecutor(_IMPORTERS) as pool:
            matched = list(pool.map(partial(_import, self.entry.correlation_id), known))
        columns = result["columns"]
        shapes: dict[tuple[Any, ...], dict[str, Any]] = {}
        for item, _ in fresh:
            shapes.setdefault(logic.shape_of(item), item)
        for item in shapes.values():
            for column, title in logic.columns_of(item):
                columns.setdefault(column, title)
        self.checkpoint(
            page=page.number,
            rows=result["rows"] + len(fresh),
            imported=result["imported"] + sum(matched),
            unmatched=result["unmatched"] + len(fresh) - sum(matched),
            total=page.total if result["from"] is None else None,
            read=page.last,
        )

    def write_files(self, given: Given) -> bool:
        """The files, what the partner has by now, and the manifest last; False when the time was up."""
        columns = dumps().columns(self.survey_id, self.result["columns"])
        for format_ in self.formats[len(self.result["files"]) :]:
            if self.time_left < _FILE_TIME and self.moved:
                return False
            written = self._write(format_, columns) | {"rows": self.result["rows"]}
            self.checkpoint(files=[*self.result["files"], written])
        self._check_count(len(given))
        seen_key = f"seen/{self.survey_id}/{self.entry.ledger_id}"
        files.put(seen_key, given.packed(), "application/octet-stream")
        manifest = {
            "dumpId": self.entry.ledger_id,
            "surveyId": self.survey_id,
            "columns": logic.header(columns),
        } | {name: self.result[name] for name in ("from", "to", "rows", "imported", "unmatched", "files")}
        manifest["countCheck"] = self.result["countCheck"]
        files.put(
            f"{self.folder}/manifest.json", json.dumps(manifest, default=int).encode(), "application/json"
        )
        self.checkpoint(manifest=f"{self.folder}/manifest.json")
        dumps().move_cursor(self.survey_id, self.entry.partner_id, to=self.result["to"], seen_key=seen_key)
        return True

    def _write(self, format_: str, columns: dict[str, str]) -> Item:
        if format_ == "csv":
            return files.write_csv(f"{self.folder}/responses.csv", self.parts, columns)
        if format_ == "parquet":
            return files.write_parquet(f"{self.folder}/responses.parquet", self.parts, columns)
        return files.write_json_lines(f"{self.folder}/responses.jsonl.gz", self.parts)

    def _check_count(self, ours: int) -> None:
        """The survey's total against what the partner has been given, all dumps together."""
        total = self.result["total"]
        if total is None:
            total = survey_vendor().responses(self.survey_id, page=1, per_page=1).total
        check: Item = {"survey": total, "ours": ours, "agrees": total is None or total == ours}
        self.result["countCheck"] = check
        if not check["agrees"]:
            observability.count("SurveyCountDiffers")
            observability.logger.error("survey and dumps differ", survey_id=self.survey_id, **check)


def _import(correlation_id: str, item: dict[str, Any]) -> bool:
    """One response onto its customer; what does not go at once has an entry of its own, and waits there."""
    try:
        found = responses.match(item)
        if responses.take(item, found):
            responses.enter(
                item, correlation_id=correlation_id, status="synced", customer_id=found.customer_id
            )
            return True
        if not found.hints:
            return False
    except SwitchboardError as error:
        if error.code == "invalid":
            return False
    queues.offer(responses.enter(item, correlation_id=correlation_id).entry)
    return False


def do(entry: Entry, result: Item, *, context: LambdaContext) -> Outcome:
    """A slice: begin, read, write; `pending` when there is more to do."""
    dumps().hold(entry)
    this = Slice(entry, result, context)
    if "page" not in result:
        this.begin()
    given = this.given()
    done = this.read_pages(given) and this.write_files(given)
    return Outcome("synced" if done else "pending")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry, one dump at a time."""
    answer = work.run_batch(event, context, partial(do, context=context))
    for record in event["Records"]:
        entry = work.ledger().get(json.loads(record["body"])["ledgerId"])
        if entry is not None and entry.status == "pending":
            queues.offer(entry)
    return answer
