"""Erasing a person's rows in the files of dumps that were made before.

A dump's CSV goes first, the JSON Lines last: they tell which rows it is, so a worker that dies in between
finds them again. The ledger and the manifest get the new SHA-256 before the bytes behind it change. A version
of an object that is no longer the present one is deleted when the person is in it.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from functions.retention.person import Person
from switchboard import work
from switchboard.aws import s3
from switchboard.dynamo import Item
from switchboard.ledger import SHARDS, UNFINISHED, Entry
from switchboard.surveys import DUMP
from switchboard.tombstones import response_name

_IN_MEMORY = 16 * 1024 * 1024
_LINES = ".jsonl.gz"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object."""

    key: str
    version_id: str
    is_latest: bool


def running(before: str) -> bool:
    """Whether a dump is unfinished that may have read its rows before that time."""
    table = work.ledger().table
    for state in (*UNFINISHED, "held:questionpro"):
        for shard in range(SHARDS):
            for item in table.query_all("openKey = :key", {":key": f"{state}#{shard}"}, index="Open"):
                entry = work.ledger().get(item["ledgerId"]) if item.get("flow") == DUMP else None
                if entry is not None and entry.status in UNFINISHED and entry.created_at <= before:
                    return True
    return False


def versions(after: str | None) -> Iterator[Version]:
    """Every version of every part and file, by key, from behind one key."""
    for prefix in ("parts/", "surveys/"):
        yield from (version for version in _versions_of(prefix) if after is None or version.key > after)


def erase(version: Version, person: Person) -> int:
    """Take the person's rows out of one version; returns how many. Again, it changes nothing."""
    if not version.key.endswith(_LINES):
        return _forget_csv(version, person)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as left:
        rows = _copy_lines(version, person, left)
        if not rows:
            return 0
        if not version.is_latest:
            _delete(version)
        elif version.key.startswith("parts/"):
            _put(version.key, left, "application/gzip")
        else:
            _rewrite_dump(version.key, person, left, rows)
    return rows


def _versions_of(prefix: str) -> Iterator[Version]:
    for page in s3().get_paginator("list_object_versions").paginate(Bucket=_bucket(), Prefix=prefix):
        for found in page.get("Versions", []):
            yield Version(found["Key"], found.get("VersionId") or "null", found.get("IsLatest", True))


def _bucket() -> str:
    return os.environ["DUMPS_BUCKET"]


def _open(version: Version) -> IO[bytes]:
    known = {} if version.version_id == "null" else {"VersionId": version.version_id}
    body: Any = s3().get_object(Bucket=_bucket(), Key=version.key, **known)["Body"]  # type: ignore[arg-type]
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    for chunk in body.iter_chunks(1024 * 1024):
        copy.write(chunk)
    copy.seek(0)
    return copy


def _delete(version: Version) -> None:
    s3().delete_object(Bucket=_bucket(), Key=version.key, VersionId=version.version_id)


def _put(key: str, content: IO[bytes], content_type: str) -> None:
    """Put a new version and delete the one before it."""
    content.seek(0)
    s3().put_object(Bucket=_bucket(), Key=key, Body=content, ContentType=content_type)
    for version in _versions_of(key):
        if version.key == key and not version.is_latest:
            _delete(version)


def _copy_lines(version: Version, person: Person, left: IO[bytes]) -> int:
    """Copy the lines of others, in one gzip member; the person's are learned, and counted."""
    rows = 0
    with (
        _open(version) as held,
        gzip.GzipFile(fileobj=held, mode="rb") as lines,
        gzip.GzipFile(fileobj=left, mode="wb", mtime=0) as copy,
    ):
        for line in lines:
            item = json.loads(line) if line.strip() else {}
            if person.has_response(item):
                person.responses.add(response_name(item.get("surveyID"), item.get("responseID")))
                rows += 1
            else:
                copy.write(line)
    return rows


def _copy_csv(version: Version, survey_id: str, person: Person, left: IO[bytes]) -> int:
    rows = 0
    with _open(version) as held, io.TextIOWrapper(held, "utf-8", newline="") as text:
        out = io.TextIOWrapper(left, "utf-8", newline="", write_through=True)
        writer = csv.writer(out)
        for row in csv.reader(text):
            # An old version is known by its addresses too: its JSON Lines may be gone.
            named = not version.is_latest and person.is_in(row)
            if named or (row and response_name(survey_id, row[0]) in person.responses):
                rows += 1
            else:
                writer.writerow(row)
        out.detach()
    return rows


def _forget_csv(version: Version, person: Person) -> int:
    """A CSV that is no longer the present one; the present one is rewritten with its JSON Lines."""
    if version.is_latest or not version.key.endswith(".csv"):
        return 0
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as left:
        rows = _copy_csv(version, version.key.split("/")[1], person, left)
    if rows:
        _delete(version)
    return rows


def _rewrite_dump(key: str, person: Person, lines: IO[bytes], rows: int) -> None:
    folder, survey_id = key.rpartition("/")[0], key.split("/")[1]
    table = f"{folder}/responses.csv"
    written = {key: _facts(lines)}
    # A dump that failed may have come no further than its JSON Lines.
    if any(version.is_latest for version in _versions_of(table)):
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as left:
            if _copy_csv(Version(table, "null", is_latest=True), survey_id, person, left):
                _put(table, left, "text/csv; charset=utf-8")
            written[table] = _facts(left)
    _tell_ledger(key.split("/")[2], written, rows, folder)
    _put(key, lines, "application/gzip")


def _facts(content: IO[bytes]) -> Item:
    content.seek(0)
    digest, size = hashlib.sha256(), 0
    while chunk := content.read(1024 * 1024):
        digest.update(chunk)
        size += len(chunk)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _tell_ledger(dump_id: str, written: dict[str, Item], rows: int, folder: str) -> None:
    """The dump's entry and manifest speak of the files as they are now."""
    entry = work.ledger().get(dump_id)
    if entry is None:
        return
    files = [file | written.get(file["key"], {}) for file in entry.result.get("files", [])]
    if files == entry.result.get("files"):
        return
    left = int(entry.result["rows"]) - rows
    files = [file | {"rows": left} for file in files]
    manifest = f"{folder}/manifest.json"
    said = json.loads(s3().get_object(Bucket=_bucket(), Key=manifest)["Body"].read())
    content = json.dumps(said | {"files": files, "rows": left}, default=int).encode()
    s3().put_object(Bucket=_bucket(), Key=manifest, Body=content, ContentType="application/json")
    _replace_result(entry, entry.result | {"files": files, "rows": left})


def _replace_result(entry: Entry, result: Item) -> None:
    work.ledger().table.update(
        f"LEDGER#{entry.ledger_id}",
        "ENTRY",
        "SET #result = :result",
        condition="#revision = :seen",
        names={"#result": "result", "#revision": "revision"},
        values={":result": result, ":seen": entry.revision},
    )
