"""What is made from the code or the lock file, and committed, is what would be made now."""

from pathlib import Path

from tools import errors_page, openapi, package
from tools.paths import ROOT


def test_the_openapi_document_is_current() -> None:
    assert openapi.DOCUMENT.read_text() == openapi.render(), "run `make docs`"


def test_the_page_of_error_codes_is_current() -> None:
    assert errors_page.PAGE.read_text() == errors_page.render(), "run `make docs`"


def test_the_layers_requirements_are_those_of_the_lock_file(tmp_path: Path) -> None:
    fresh = tmp_path / "requirements.txt"
    package.requirements(fresh)
    committed = (ROOT / "layers" / "connectors" / "requirements.txt").read_text()
    assert committed == fresh.read_text(), "run `make requirements`"
