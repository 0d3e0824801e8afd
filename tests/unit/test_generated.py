"""What is made from the code or the lock file, and committed, is what would be made now."""

from pathlib import Path

import pytest

from switchboard.errors import ErrorCode, registry
from tools import error_words, errors_page, openapi, package
from tools.paths import ROOT


def test_the_openapi_document_is_current() -> None:
    assert openapi.DOCUMENT.read_text() == openapi.render(), "run `make docs`"


def test_the_page_of_error_codes_is_current() -> None:
    assert errors_page.PAGE.read_text() == errors_page.render(), "run `make docs`"


@pytest.mark.parametrize("row", registry(), ids=lambda row: row.code)
def test_each_error_code_has_its_anchor_and_its_words(row: ErrorCode) -> None:
    assert row.code in error_words.MEANS, "add what it means to tools/error_words.py, then run `make docs`"
    [section] = [
        part for part in errors_page.render().split("\n## ")[1:] if part.partition("\n")[0] == row.code
    ]
    for heading in ("What it means", "Whose fault", "What to do", "See it gone"):
        assert f"**{heading}.**" in section
    assert "\n1. " in section


def test_the_words_are_of_codes_that_there_are() -> None:
    assert set(error_words.MEANS) <= {row.code for row in registry()}


def test_the_layers_requirements_are_those_of_the_lock_file(tmp_path: Path) -> None:
    fresh = tmp_path / "requirements.txt"
    package.requirements(fresh)
    committed = (ROOT / "layers" / "connectors" / "requirements.txt").read_text()
    assert committed == fresh.read_text(), "run `make requirements`"
