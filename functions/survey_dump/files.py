"""The dump's objects in S3: parts that are read ahead, files that are written piece by piece."""

import csv
import gzip
import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from functions.survey_dump.given import Pair, pack, pairs
from functions.survey_dump.logic import META, cells, digest_of, header, neutral, number_of
from switchboard.aws import s3

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_PIECE = 8 * 1024 * 1024
"""S3 takes pieces of 5 MiB and more; this is also what one file needs of memory."""

_AHEAD = 8
_EXACT = 1e18

_HAS_EXTRA = 4
_FIELD_NAME = b"SB"
_EXTRA_FIELD = 65_535 - 4
"""What a member's extra field holds beside its own name and length."""


def bucket() -> str:
    """The bucket of this deployment's dumps."""
    return os.environ["DUMPS_BUCKET"]


def put(key: str, content: bytes, content_type: str) -> None:
    """Write a small object."""
    s3().put_object(Bucket=bucket(), Key=key, Body=content, ContentType=content_type)


def get(key: str) -> bytes:
    """Read a small object."""
    return s3().get_object(Bucket=bucket(), Key=key)["Body"].read()


def exists(key: str) -> bool:
    """Whether there is such an object."""
    found = s3().list_objects_v2(Bucket=bucket(), Prefix=key, MaxKeys=1)
    return any(each.get("Key") == key for each in found.get("Contents", []))


def read_ahead(keys: Iterable[str]) -> Iterator[bytes]:
    """The objects in order, a few of them fetched while the one before is worked on."""
    s3()
    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting: deque[Future[bytes]] = deque()
        for key in keys:
            waiting.append(pool.submit(get, key))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class Upload:
    """An object of any size, written in pieces; it is there only when the block has ended well."""

    def __init__(self, key: str, content_type: str) -> None:
        self.key = key
        self.size = 0
        self._content_type = content_type
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    @property
    def sha256(self) -> str:
        """Of the bytes behind the object's URL."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> None:
        """Add to the object."""
        self._digest.update(content)
        self.size += len(content)
        self._buffer += content
        while len(self._buffer) >= _PIECE:
            self._send(bytes(self._buffer[:_PIECE]))
            del self._buffer[:_PIECE]

    def _send(self, piece: bytes) -> None:
        if self._upload_id is None:
            begun = s3().create_multipart_upload(
                Bucket=bucket(), Key=self.key, ContentType=self._content_type
            )
            self._upload_id = begun["UploadId"]
        number = len(self._parts) + 1
        answer = s3().upload_part(
            Bucket=bucket(), Key=self.key, UploadId=self._upload_id, PartNumber=number, Body=piece
        )
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            # What a dead worker leaves, the bucket's lifecycle takes away.
            if self._upload_id is not None and isinstance(error, Exception):
                s3().abort_multipart_upload(Bucket=bucket(), Key=self.key, UploadId=self._upload_id)
            return
        if self._upload_id is None:
            put(self.key, bytes(self._buffer), self._content_type)
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        s3().complete_multipart_upload(
            Bucket=bucket(),
            Key=self.key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
        )


def part(lines: Iterable[str], given: Iterable[Pair] = ()) -> bytes:
    """A page's lines as one gzip member; members one after the other are a gzip file too.

    `given` stands in the member's extra field (RFC 1952, 2.3.1.1), so that whoever takes the dump up learns
    what it has given without reading the lines again. What has no room there is left out.
    """
    text = "".join(f"{line}\n" for line in lines)
    member = gzip.compress(text.encode(), compresslevel=6, mtime=0)
    held = pack(given)
    if not 0 < len(held) <= _EXTRA_FIELD:
        return member
    field = _FIELD_NAME + len(held).to_bytes(2, "little") + held
    flags = bytes([member[3] | _HAS_EXTRA])
    return member[:3] + flags + member[4:10] + len(field).to_bytes(2, "little") + field + member[10:]


def given_in(content: bytes) -> Iterator[Pair]:
    """What a part has given."""
    field, _ = _apart(content)
    if field:
        yield from pairs(field)
        return
    for line in lines_of(content):
        yield number_of(loads(line), line), digest_of(line)


def _apart(content: bytes) -> tuple[bytes, bytes]:
    """A part's extra field, and the part without it."""
    if not content[3] & _HAS_EXTRA:
        return b"", content
    end = 12 + int.from_bytes(content[10:12], "little")
    return content[16:end], content[:3] + bytes([content[3] & ~_HAS_EXTRA]) + content[4:10] + content[end:]


def lines_of(content: bytes) -> Iterator[str]:
    """A part's lines."""
    # Not splitlines(): a JSON string may hold U+2028 and the like as they are.
    yield from (line for line in gzip.decompress(content).decode().split("\n") if line)


def loads(line: str) -> Any:
    """A line as Python values, by orjson; by json where orjson is stricter."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _rows(content: bytes, columns: Mapping[str, str]) -> Iterator[list[Any]]:
    """A part's rows."""
    for line in lines_of(content):
        found = cells(loads(line), columns)
        # orjson reads a whole number of more than 64 bits as a float; json reads it as it is.
        if any(type(cell) is float and not -_EXACT < cell < _EXACT for cell in found):
            found = cells(json.loads(line), columns)
        yield found


def write_json_lines(key: str, parts: Iterable[str]) -> dict[str, Any]:
    """All parts in one file, byte for byte."""
    with Upload(key, "application/gzip") as upload:
        upload.write(part(()))
        for content in read_ahead(parts):
            upload.write(_apart(content)[1])
    return {"format": "jsonl.gz", "key": key, "sha256": upload.sha256, "bytes": upload.size}


def write_csv(key: str, parts: Iterable[str], columns: Mapping[str, str]) -> dict[str, Any]:
    """All parts in one table."""
    with Upload(key, "text/csv; charset=utf-8") as upload:
        upload.write(_csv([header(columns)]))
        for content in read_ahead(parts):
            upload.write(_csv([neutral(cell) for cell in row] for row in _rows(content, columns)))
    return {"format": "csv", "key": key, "sha256": upload.sha256, "bytes": upload.size}


def write_parquet(key: str, parts: Iterable[str], columns: Mapping[str, str]) -> dict[str, Any]:
    """All parts in one table of text columns; a cell is as it came, since nothing takes it for a formula."""
    from functions.survey_dump.parquet import Writer

    with Upload(key, "application/vnd.apache.parquet") as upload:
        writer = Writer(upload.write, [*META, *columns.values()])
        for content in read_ahead(parts):
            for row in _rows(content, columns):
                writer.add(_text(cell) for cell in row)
        writer.close()
    return {"format": "parquet", "key": key, "sha256": upload.sha256, "bytes": upload.size}


def _text(cell: Any) -> str | None:
    return cell if cell is None or isinstance(cell, str) else str(cell)


def _csv(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", errors="replace")
