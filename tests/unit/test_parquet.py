"""The Parquet files, as an independent reader sees them."""

from pathlib import Path

import duckdb
import pytest

from functions.survey_dump import parquet


def written(tmp_path: Path, names: list[str], rows: list[list[str | None]]) -> str:
    path = tmp_path / "table.parquet"
    with path.open("wb") as file:
        writer = parquet.Writer(file.write, names)  # type: ignore[arg-type]
        for row in rows:
            writer.add(row)
        writer.close()
    return str(path)


def read(path: str) -> tuple[list[str], list[tuple[str | None, ...]]]:
    with duckdb.connect() as database:
        found = database.execute("SELECT * FROM read_parquet(?)", [path])
        return [column[0] for column in found.description or []], found.fetchall()


@pytest.mark.parametrize("count", [0, 1, 13, 100])
def test_a_reader_finds_what_was_written(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 13)  # several row groups, the last one short or just full
    names = ["responseID", "Größe 😀", *(f"c{number}" for number in range(20))]
    rows: list[list[str | None]] = [
        [str(number), "é😀\u2028\n" * (number % 4), *(None if number % 3 else f"v{n}" for n in range(20))]
        for number in range(count)
    ]
    found_names, found = read(written(tmp_path, names, rows))
    assert found_names == names
    assert found == [tuple(cell or None for cell in row) for row in rows]


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    names, rows = read(written(tmp_path, ["a", "A", "a"], [["1", "2", "3"]]))
    assert names == ["a", "A 2", "a 3"]
    assert rows == [("1", "2", "3")]


def test_what_utf_8_cannot_hold_spoils_no_file(tmp_path: Path) -> None:
    assert read(written(tmp_path, ["a"], [["\ud800x"]]))[1] == [("?x",)]


def test_large_cells_and_statistics_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, ["a", "b"], [["x" * 1_000_000, None], [None, None], ["y", "z"]])
    with duckdb.connect() as database:
        [(rows, groups)] = database.execute(
            "SELECT num_rows, num_row_groups FROM parquet_file_metadata(?)", [path]
        ).fetchall()
        meta = database.execute(
            "SELECT path_in_schema, type, compression, num_values FROM parquet_metadata(?)", [path]
        ).fetchall()
    assert (rows, groups) == (3, 1)
    assert meta == [("a", "BYTE_ARRAY", "GZIP", 3), ("b", "BYTE_ARRAY", "GZIP", 3)]
