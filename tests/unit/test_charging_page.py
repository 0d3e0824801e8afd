"""The page of operations is the one that the table makes."""

from tools import charging_page


def test_the_page_of_operations_is_current() -> None:
    assert charging_page.PAGE.read_text() == charging_page.render(), "run `python -m tools.charging_page`"
