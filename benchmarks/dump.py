"""The dump beside dlt and beside a bare loop: rows a second, peak memory, in one run over the same pages.

    PYTHONPATH=.:layers/connectors python -m benchmarks.dump [responses] [page size] [rounds]

QuestionPro is the sandbox's, with its pages rendered before anybody is timed, so that nobody waits for the
stand-in; each response has a free text of its own. AWS is the emulator. Every contestant is a process of its
own, they take turns, and the median counts.

    ours     the step survey_dump: pages to S3 with a checkpoint in DynamoDB each, de-duplicated by
             response id, matched against the CRM, then JSON Lines, CSV, manifest, count check
    dlt      its RESTClient to a filesystem destination, gzip JSON Lines, as one table with nested JSON
             left as it is (`flat`), and as dlt does it unless told (`nested`: a table for each level)
    floor    http.client, json.loads, a line each into one gzip file; no state, no table, no checkpoint
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from benchmarks import survey_dump
from benchmarks.pages import SURVEY
from benchmarks.surroundings import peak_memory, prepare, surroundings

ROUNDS = 3


def floor(base: str, page_size: int) -> int:
    """The bare loop."""
    import gzip
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.netloc)
    rows, page, pages = 0, 1, 1
    with TemporaryDirectory() as folder, gzip.open(f"{folder}/all.jsonl.gz", "wb", 6) as file:
        while page <= pages:
            path = f"{parts.path}/surveys/{SURVEY}/responses?page={page}&perPage={page_size}"
            connection.request("GET", path, headers={"api-key": os.environ["API_KEY"]})
            body = json.loads(connection.getresponse().read())
            pages = body["pagination"]["totalPages"]
            for item in body["response"]:
                file.write(json.dumps(item).encode() + b"\n")
                rows += 1
            page += 1
    return rows


def with_dlt(base: str, page_size: int, *, nesting: int | None) -> int:
    """The same by dlt."""
    import dlt
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator

    client = RESTClient(base, headers={"api-key": os.environ["API_KEY"]}, data_selector="response")
    paginator = PageNumberPaginator(base_page=1, total_path="pagination.totalPages")

    @dlt.resource(
        name="responses", write_disposition="append", primary_key="responseID", max_table_nesting=nesting
    )
    def responses():  # type: ignore[no-untyped-def]
        yield from client.paginate(
            f"surveys/{SURVEY}/responses", params={"perPage": page_size}, paginator=paginator
        )

    with TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=f"{folder}/state",
            destination=dlt.destinations.filesystem(bucket_url=f"{folder}/files"),
            dataset_name="dump",
        )
        pipeline.run(responses(), loader_file_format="jsonl")
        return int(pipeline.last_trace.last_normalize_info.row_counts["responses"])


_CONTESTANTS = ("ours", "dlt, flat", "dlt, nested", "floor")


def run(contestant: str, base: str, page_size: int, dump_id: str) -> None:
    """One contestant's turn; prints its rows, seconds, seconds of its CPU, and megabytes."""
    began = time.perf_counter()
    match contestant:
        case "ours":
            survey_dump.work_on(dump_id)
            rows = survey_dump.rows_of(dump_id)
        case "floor":
            rows = floor(base, page_size)
        case _:
            rows = with_dlt(base, page_size, nesting=0 if contestant == "dlt, flat" else None)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    print(f"\n{rows} {seconds} {cpu} {peak_memory()}", flush=True)


def _turn(contestant: str, base: str, page_size: int, dump_id: str = "") -> tuple[float, float, int, int]:
    code = f"from benchmarks.dump import run; run({contestant!r}, {base!r}, {page_size}, {dump_id!r})"
    environment = os.environ | {"RUNTIME__DLTHUB_TELEMETRY": "false", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    rows, seconds, cpu, memory = done.stdout.split()[-4:]
    return int(rows) / float(seconds), int(rows) / float(cpu), int(memory), int(rows)


def table(count: int = 50_000, page_size: int = 1000, rounds: int = ROUNDS) -> str:
    """The measurements as a Markdown table; "to dlt" is to the quicker of its two, `flat`."""
    speeds: dict[str, list[float]] = {name: [] for name in _CONTESTANTS}
    thrift: dict[str, list[float]] = {name: [] for name in _CONTESTANTS}
    memory: dict[str, int] = {}
    with surroundings("benchmarks.pages", str(count)) as vendor:
        begin = prepare(vendor, SURVEY, pageSize=page_size)
        base = f"{vendor}/questionpro/a/api/v2"
        _turn("floor", base, page_size)  # renders the pages
        for number in range(rounds):
            for name in _CONTESTANTS:
                speed, by_cpu, peak, rows = _turn(
                    name, base, page_size, begin(number) if name == "ours" else ""
                )
                if rows != count:
                    raise SystemExit(f"{name} brought {rows} rows of {count}")
                speeds[name].append(speed)
                thrift[name].append(by_cpu)
                memory[name] = max(peak, memory.get(name, 0))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    by_cpu_of = {name: statistics.median(found) for name, found in thrift.items()}
    lines = [
        f"{count} responses in pages of {page_size}, medians of {rounds} runs.",
        "",
        "| | rows a second | to dlt | rows a second of its CPU | to dlt | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {medians[name]:,.0f} | {medians[name] / medians['dlt, flat']:.1f} "
        f"| {by_cpu_of[name]:,.0f} | {by_cpu_of[name] / by_cpu_of['dlt, flat']:.1f} | {memory[name]} |"
        for name in _CONTESTANTS
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(*(int(value) for value in sys.argv[1:])))
