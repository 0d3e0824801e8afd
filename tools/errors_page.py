"""docs/errors.md, made from the error registry: `python -m tools.errors_page` writes it."""

from switchboard.errors import SwitchboardError, registry
from switchboard.work import parked_status
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


def render() -> str:
    """The page as Markdown."""
    rows = [
        f"| `{row.code}` | {row.status} | {row.error_class} | {'yes' if row.retryable else 'no'} "
        f"| {row.title} | {row.action} | `{parked_status(SwitchboardError(row.code))}` |"
        for row in registry()
    ]
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
