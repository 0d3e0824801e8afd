"""Parquet, written column by column as a stream: the table of the CSV, for Athena, Spark, DuckDB, pandas.

Every column is an optional UTF-8 string; a row group has at most `ROWS` rows, in one gzip page a column
(PLAIN values, definition levels in RLE). That is all that a table of text needs, and little enough to write
out here: a library for it weighs 50 to 150 MB, as much as everything else together.

Source: github.com/apache/parquet-format (README.md, Encodings.md, parquet.thrift) and Thrift's compact
protocol (github.com/apache/thrift, doc/specs/thrift-compact-protocol.md).
"""

import zlib
from collections.abc import Callable, Iterable, Sequence

ROWS = 10_000

_MAGIC = b"PAR1"
_BYTE_ARRAY, _OPTIONAL, _UTF8, _GZIP, _DATA_PAGE = 6, 1, 0, 2, 0
_PLAIN, _RLE = 0, 3

# Thrift's compact types.
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


class Writer:
    """A Parquet file in the making.

    Args:
        write: takes the file's bytes, in order.
        names: the columns; two of one name would be one to a reader, so they are told apart by a number.
    """

    def __init__(self, write: Callable[[bytes], None], names: Sequence[str]) -> None:
        self._write = write
        self._names = _different(names)
        self._columns: list[list[str | None]] = [[] for _ in self._names]
        self._groups: list[bytes] = []
        self._at = 0
        self._rows = 0
        self._put(_MAGIC)

    def add(self, row: Iterable[str | None]) -> None:
        """One row, as many cells as there are columns; None and "" are null."""
        for column, cell in zip(self._columns, row, strict=True):
            column.append(cell or None)
        if len(self._columns[0]) >= ROWS:
            self._end_group()

    def close(self) -> None:
        """Write what is left, and the footer."""
        if self._columns[0]:
            self._end_group()
        footer = _struct(
            (1, _I32, 1),
            (2, _LIST, (_STRUCT, [_schema_root(len(self._names)), *map(_schema_leaf, self._names)])),
            (3, _I64, self._rows),
            (4, _LIST, (_STRUCT, self._groups)),
            (6, _BINARY, b"Switchboard"),
        )
        self._put(footer + len(footer).to_bytes(4, "little") + _MAGIC)

    def _put(self, content: bytes) -> None:
        self._write(content)
        self._at += len(content)

    def _end_group(self) -> None:
        count = len(self._columns[0])
        begin, total, chunks = self._at, 0, []
        for name, cells in zip(self._names, self._columns, strict=True):
            chunk, size = self._column(name, cells)
            chunks.append(chunk)
            total += size
        self._groups.append(
            _struct(
                (1, _LIST, (_STRUCT, chunks)),
                (2, _I64, total),
                (3, _I64, count),
                (5, _I64, begin),
                (6, _I64, self._at - begin),
            )
        )
        self._rows += count
        self._columns = [[] for _ in self._names]

    def _column(self, name: str, cells: list[str | None]) -> tuple[bytes, int]:
        """Write one column's page; its ColumnChunk, and how large it is without compression."""
        levels = _levels(cells)
        values = b"".join(
            len(encoded).to_bytes(4, "little") + encoded
            for encoded in (cell.encode(errors="replace") for cell in cells if cell is not None)
        )
        plain = len(levels).to_bytes(4, "little") + levels + values
        packed = _gzip(plain)
        header = _struct(
            (1, _I32, _DATA_PAGE),
            (2, _I32, len(plain)),
            (3, _I32, len(packed)),
            (5, _STRUCT, _struct((1, _I32, len(cells)), (2, _I32, _PLAIN), (3, _I32, _RLE), (4, _I32, _RLE))),
        )
        begin = self._at
        self._put(header + packed)
        size = len(header) + len(plain)
        meta = _struct(
            (1, _I32, _BYTE_ARRAY),
            (2, _LIST, (_I32, [_zigzag(_PLAIN), _zigzag(_RLE)])),
            (3, _LIST, (_BINARY, [_binary(name.encode())])),
            (4, _I32, _GZIP),
            (5, _I64, len(cells)),
            (6, _I64, size),
            (7, _I64, self._at - begin),
            (9, _I64, begin),
        )
        return _struct((2, _I64, begin), (3, _STRUCT, meta)), size


def _different(names: Sequence[str]) -> list[str]:
    """The names, each once, a reader's case aside (Athena knows no upper case)."""
    taken: set[str] = set()
    found = []
    for name in names:
        one, number = name, 1
        while one.casefold() in taken:
            number += 1
            one = f"{name} {number}"
        taken.add(one.casefold())
        found.append(one)
    return found


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def _levels(cells: list[str | None]) -> bytes:
    """Which cells are there, as runs: the run's length, then 1 or 0 (width 1)."""
    found = bytearray()
    start = 0
    for place in range(1, len(cells) + 1):
        if place == len(cells) or (cells[place] is None) != (cells[start] is None):
            found += _varint((place - start) << 1)
            found.append(0 if cells[start] is None else 1)
            start = place
    return bytes(found)


def _schema_root(children: int) -> bytes:
    return _struct((4, _BINARY, b"schema"), (5, _I32, children))


def _schema_leaf(name: str) -> bytes:
    string = _struct((1, _STRUCT, _struct()))
    return _struct(
        (1, _I32, _BYTE_ARRAY),
        (3, _I32, _OPTIONAL),
        (4, _BINARY, name.encode()),
        (6, _I32, _UTF8),
        (10, _STRUCT, string),
    )


# Thrift, compact ----------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _zigzag(number: int) -> bytes:
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def _binary(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _struct(*fields: tuple[int, int, object]) -> bytes:
    """Fields as (id, type, value), in the order of their ids; a struct's value is ready-made."""
    found = bytearray()
    before = 0
    for number, kind, value in fields:
        found.append((number - before) << 4 | kind)
        before = number
        match value:
            case int():
                found += _zigzag(value)
            case bytes():
                found += value if kind == _STRUCT else _binary(value)
            case (int() as of, list() as items):
                count = len(items)
                found += bytes([count << 4 | of]) if count < 15 else bytes([0xF0 | of]) + _varint(count)
                for item in items:
                    found += item
            case _:
                raise TypeError(f"no value of Thrift: {type(value).__name__}")
    found.append(0)
    return bytes(found)
