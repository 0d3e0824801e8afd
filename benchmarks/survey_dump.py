"""A dump whose worker is killed at every checkpoint, with a Lambda's memory of 512 MB: rows, pages, memory.

    PYTHONPATH=.:layers/connectors python -m benchmarks.survey_dump [responses] [page size]

Every page of the dump has one death, and so has every step before and behind the pages. Where in its page a
worker dies goes round (`_PAGE`): when it has the page, when the page is an object in S3, when one of its
responses is on its customer, a moment before the checkpoint, a moment after it. Whoever comes next is a
process of its own and knows nothing but what the dead one has left in DynamoDB and S3.

It fails when a row is lost, is there twice or differs by a byte; when a death costs more than the page that
it fell into; when the kernel has to refuse a worker memory, or the last one holds much more than the first.

QuestionPro is the sandbox, AWS is the emulator. The seconds compare only with themselves.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

from benchmarks.pages import SURVEY, customer_of
from benchmarks.surroundings import SLICE_MILLISECONDS, prepare, surroundings

MEMORY = 512 * 1024 * 1024
"""Bytes of data that the kernel lets a worker have (RLIMIT_DATA: every private page, touched or not)."""

STEADY = 32
"""Megabytes that the last worker may have held more than the first one."""

CUSTOMERS = 20
EVERY = 500
"""Each so many-th response names one of the customers."""

_PAGE = ("page {} read", "page {} in S3", "page {} on a customer", "checkpoint {} due", "checkpoint {}")
_COSTS_THE_PAGE = _PAGE[:4]
_FILES = ("jsonl.gz", "csv", "parquet")


def places(pages: int) -> list[str]:
    """Where the workers die, one after the other."""
    found = ["checkpoint 0 due", "checkpoint 0"]
    found += [_PAGE[page % len(_PAGE)].format(page) for page in range(1, pages + 1)]
    for kind in _FILES:
        found += [f"{kind} begun", f"{kind} written", f"checkpoint {kind} due", f"checkpoint {kind}"]
    return [*found, "what was given", "manifest", "checkpoint manifest due", "checkpoint manifest", "cursor"]


def work_on(dump_id: str, number: int = 0) -> None:
    """A worker, the `number`th: half an hour after the one before, whose lease is over by then."""
    from functions.survey_dump import app
    from switchboard import clock, work

    clock.now = lambda: datetime.now(UTC) + timedelta(minutes=30 * number)
    context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: SLICE_MILLISECONDS)
    work.perform(dump_id, partial(app.do, context=context), lease=timedelta(minutes=15))


def rows_of(dump_id: str) -> int:
    """The rows of a dump that is done."""
    from switchboard import work

    entry = work.ledger().get(dump_id)
    return int(entry.result["rows"]) if entry is not None and entry.status == "synced" else 0


class _Fate:
    """Kills this process at a place. It stands around what the step does, and changes nothing of it."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._page = 0

    def _reached(self, place: str) -> None:
        if place == self._place:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Stand around each step that leaves something behind."""
        from functions.survey_dump import app, files
        from switchboard.connectors import survey_vendor
        from switchboard.surveys.dumps import Dumps

        patched: Any = app.Slice
        patched.checkpoint = self._around_checkpoint(app.Slice.checkpoint)
        patched._write = self._behind(app.Slice._write, lambda _, kind, columns: f"{kind} written")
        patched = survey_vendor()
        patched.responses = self._behind(patched.responses, self._page_read)
        patched = app
        patched._import = self._behind(app._import, lambda *_: f"page {self._page} on a customer")
        patched = files
        patched.put = self._behind(files.put, self._object_put)
        patched = files.Upload
        patched.write = self._behind(files.Upload.write, lambda upload, _: f"{_kind(upload.key)} begun")
        patched = Dumps
        patched.move_cursor = self._behind(Dumps.move_cursor, lambda *_, **__: "cursor")

    def _behind(self, done: Callable[..., Any], place: Callable[..., str]) -> Callable[..., Any]:
        def doing(*arguments: Any, **options: Any) -> Any:
            result = done(*arguments, **options)
            self._reached(place(*arguments, **options))
            return result

        return doing

    def _around_checkpoint(self, checkpoint: Callable[..., None]) -> Callable[..., None]:
        def keeping(this: Any, **facts: Any) -> None:
            name = _checkpoint(facts)
            self._reached(f"checkpoint {name} due")
            checkpoint(this, **facts)
            self._reached(f"checkpoint {name}")

        return keeping

    def _page_read(self, survey_id: str, *, page: int, **_: Any) -> str:
        self._page = page
        return f"page {page} read"

    def _object_put(self, key: str, *_: Any) -> str:
        if key.startswith("parts/"):
            return f"page {self._page} in S3"
        return "what was given" if key.startswith("seen/") else key.rpartition("/")[2].partition(".")[0]


def _kind(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[2]


def _checkpoint(facts: dict[str, Any]) -> str:
    if "manifest" in facts:
        return "manifest"
    return str(facts["files"][-1]["format"] if facts.get("files") else facts["page"])


def nursery(dump_id: str) -> None:
    """Bear a worker for each line on standard input, `<number> <where it dies>`, and tell how it ended.

    The workers are forked from this process, which has loaded the step and its clients, and has not yet
    spoken to anybody: no worker inherits a connection.
    """
    from functions.survey_dump import app, parquet  # noqa: F401 - loaded once for all
    from switchboard import aws
    from switchboard.connectors import builtin_crm, questionpro  # noqa: F401 - as above

    for client in (aws.dynamodb, aws.s3, aws.secretsmanager, aws.sqs):
        client()
    for line in sys.stdin:
        number, _, place = line.strip().partition(" ")
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            _Fate(place).watch()
            work_on(dump_id, int(number))
            os._exit(0)
        _, status, used = os.wait4(child, 0)
        ended = {"status": os.waitstatus_to_exitcode(status), "megabytes": used.ru_maxrss // 1024}
        print(json.dumps(ended), flush=True)


class _Nursery:
    """The process that bears the workers."""

    def __init__(self, dump_id: str) -> None:
        code = f"from benchmarks.survey_dump import nursery; nursery({dump_id!r})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._count = 0

    def worker(self, place: str) -> tuple[int, int]:
        """How a worker ended that is to die there: its exit code, -9 when it did; its peak in megabytes."""
        told, answers = self._process.stdin, self._process.stdout
        assert told is not None and answers is not None  # noqa: S101, PT018 - pipes
        print(self._count, place, file=told, flush=True)
        self._count += 1
        ended = json.loads(answers.readline())
        return ended["status"], ended["megabytes"]

    def close(self) -> None:
        """No more workers."""
        self._process.communicate()


def run(dump_id: str, pages: int) -> list[int]:
    """Kill a worker at each place, then let one end the dump; their peaks in megabytes."""
    nursery_ = _Nursery(dump_id)
    peaks = []
    try:
        for place in places(pages):
            status, megabytes = nursery_.worker(place)
            _demand(status == -signal.SIGKILL, f"the worker that was to die at {place!r} ended with {status}")
            peaks.append(megabytes)
        status, megabytes = nursery_.worker("never")
        _demand(status == 0, f"the last worker ended with {status}")
    finally:
        nursery_.close()
    return [*peaks, megabytes]


# what is there at the end -----------------------------------------------------------------------------


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"FAILED: {otherwise}")


def _check_pages(vendor: str, pages: int, page_size: int) -> int:
    """How many pages were asked for again: each that a death cost, once."""
    import httpx

    calls = httpx.get(f"{vendor}/_control/questionpro/calls", trust_env=False, timeout=60).json()["items"]
    asked = Counter(
        int(call["query"]["page"][0]) for call in calls if call["query"]["perPage"] == [str(page_size)]
    )
    lost = {page for page in range(1, pages + 1) if _PAGE[page % len(_PAGE)] in _COSTS_THE_PAGE}
    for page in range(1, pages + 1):
        _demand(asked[page] == 1 + (page in lost), f"page {page} was asked for {asked[page]} times")
    return len(lost)


def _vendors_lines(vendor: str, pages: int, page_size: int) -> Iterator[str]:
    """The survey's responses as the vendor writes them."""
    import httpx

    from sandbox.vendors.questionpro import API_KEY
    from switchboard.connectors.questionpro import split_items

    with httpx.Client(base_url=vendor, trust_env=False, timeout=60, headers={"api-key": API_KEY}) as client:
        for page in range(1, pages + 1):
            query = {"page": page, "perPage": page_size}
            answer = client.get(f"/questionpro/a/api/v2/surveys/{SURVEY}/responses", params=query)
            yield from (raw for _, raw in split_items(answer.text)[1])


def _check_files(result: dict[str, Any], vendor: str, count: int, pages: int, page_size: int) -> None:
    from functions.survey_dump import files

    contents = {}
    for file in result["files"]:
        contents[file["format"]] = files.get(file["key"])
        digest = hashlib.sha256(contents[file["format"]]).hexdigest()
        _demand(digest == file["sha256"] and int(file["rows"]) == count, f"the manifest on {file['format']}")
    with gzip.open(io.BytesIO(contents["jsonl.gz"]), "rt", encoding="utf-8", newline="\n") as lines:
        written = (line.removesuffix("\n") for line in lines)
        for number, (theirs, ours) in enumerate(
            zip_longest(_vendors_lines(vendor, pages, page_size), written), 1
        ):
            _demand(theirs == ours, f"line {number} of the JSON Lines")
    rows = csv.reader(io.StringIO(contents["csv"].decode(), newline=""))
    wanted = ["responseID", *(str(10_000_000 + index) for index in range(count))]
    _demand([row[0] for row in rows] == wanted, "the rows of the CSV")
    _demand(contents["parquet"][-4:] == b"PAR1", "the Parquet file's end")


def _check_customers(accounts: list[str], count: int) -> int:
    from switchboard.connectors import crm
    from switchboard.crm import SurveyKeeper

    keeper = crm()
    assert isinstance(keeper, SurveyKeeper)  # noqa: S101 - the built-in CRM is one
    known = [index for index in range(count) if index % EVERY == 0]
    for place, account_id in enumerate(accounts):
        found = sorted(each.response_id for each in keeper.survey_responses(account_id))
        wanted = sorted(str(10_000_000 + index) for index in known if index // EVERY % CUSTOMERS == place)
        _demand(found == wanted, f"the responses of customer {place}")
    return len(known)


def _customers() -> list[str]:
    from switchboard.connectors import crm
    from switchboard.connectors.builtin_crm import BuiltinCrm
    from tests.support import factories

    keeper = crm()
    assert isinstance(keeper, BuiltinCrm)  # noqa: S101 - the surroundings say so
    people = (factories.customer(email=customer_of(place)) for place in range(CUSTOMERS))
    return [keeper.records.create_customer(person)["accountId"] for person in people]


def main() -> None:
    """Run the dump, check what is there, and print what it took."""
    count, page_size = (int(value) for value in [*sys.argv[1:], *("200000", "1000")[len(sys.argv) - 1 :]])
    pages = -(-count // page_size)
    _demand(page_size >= EVERY, f"pages of {EVERY} or more, so that each has a response of a customer")
    known = ("--known", str(EVERY), str(CUSTOMERS))
    with surroundings("benchmarks.pages", str(count), *known) as vendor:
        dump_id = prepare(vendor, SURVEY, pageSize=page_size, parquet=True)(0)
        accounts = _customers()
        began = time.monotonic()
        peaks = run(dump_id, pages)
        seconds = time.monotonic() - began
        from switchboard import work

        entry = work.ledger().get(dump_id)
        _demand(entry is not None and entry.status == "synced", f"the dump is {entry}")
        result = entry.result if entry is not None else {}
        again = _check_pages(vendor, pages, page_size)
        _check_files(result, vendor, count, pages, page_size)
        imported = _check_customers(accounts, count)
        told = (int(result["rows"]), int(result["imported"]), int(result["unmatched"]))
        _demand(told == (count, imported, count - imported), f"rows, imported, unmatched: {told}")
        _demand(result["countCheck"]["agrees"] is True, f"count check {result['countCheck']}")
    first, last = peaks[2], peaks[pages + 1]
    _demand(last - first <= STEADY, f"memory grew from {first} to {last} MB")
    print(
        f"{count:,} responses in {pages} pages, {len(peaks) - 1} workers killed, {seconds:.0f} s; lost 0,"
        f" doubled 0, {again} pages asked for again, none more than once; peak of a worker {first} MB at the"
        f" first page, {last} MB at the last, {max(peaks)} MB with the files, of {MEMORY >> 20} MB"
    )


if __name__ == "__main__":
    main()
