"""docs/errors.md, made from the error registry and its words: `python -m tools.errors_page` writes it."""

from collections.abc import Iterator

from switchboard.errors import ErrorCode, SwitchboardError, registry
from switchboard.work import parked_status
from tools import error_words
from tools.paths import ROOT

PAGE = ROOT / "docs" / "errors.md"

_HEAD = """# Error codes

Made from `layers/connectors/switchboard/errors.py` by `make docs`; every problem document and every ledger
entry carries one of these codes. *Repeated*: the work is done again by itself, with growing waits, before it
is parked in the state of the last column. What is parked waits for a person: put the cause right, then
`POST /ledger/{ledgerId}/resubmit`.

| code | HTTP | whose fault | repeated | what it is | what to do | parked as |
|---|---|---|---|---|---|---|
"""


def _section(row: ErrorCode) -> Iterator[str]:
    """A code in full, under the anchor that is its name."""
    repeated = "repeated by itself" if row.retryable else "not repeated by itself"
    yield f"## {row.code}\n"
    yield f"{row.title}. HTTP {row.status}, class `{row.error_class}`, {repeated}.\n"
    yield f"**What it means.** {error_words.MEANS.get(row.code, row.title + '.')}\n"
    yield f"**Whose fault.** {error_words.whose_fault(row)}\n"
    yield "**What to do.**\n"
    yield from (f"{number}. {step}" for number, step in enumerate(error_words.steps(row), 1))
    yield f"\n**See it gone.** {error_words.gone(row)}\n"


def render() -> str:
    """The page as Markdown."""
    rows = [
        f"| [`{row.code}`](#{row.code}) | {row.status} | {row.error_class} "
        f"| {'yes' if row.retryable else 'no'} | {row.title} | {row.action} "
        f"| `{parked_status(SwitchboardError(row.code))}` |"
        for row in registry()
    ]
    sections = [line for row in registry() for line in _section(row)]
    return _HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
