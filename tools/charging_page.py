"""docs/charging-operations.md, made from the table of operations; `python -m tools.charging_page` does it."""

from switchboard.charging.operations import OPERATIONS, TRANSITIONS, Operation
from switchboard.settings.charging import READS
from tools.paths import ROOT

PAGE = ROOT / "docs" / "charging-operations.md"

_HEAD = """# The operations of charging

Made from `layers/connectors/switchboard/charging/operations.py` by `python -m tools.charging_page`. The
first 44 are the use cases of source 002. *Name* is what the ledger and `settings/charging` call an operation;
the OCS's paths are below the secret's `baseUrl`, all POST. **UNVERIFIED**: no page of the vendor shows the
writes' paths; change one under `paths` in `settings/charging`. `/docs` has every field of the bodies.

| name | our route | body | the OCS's operation | its path |
|---|---|---|---|---|
"""


def _row(operation: Operation) -> str:
    return (
        f"| `{operation.name}` | `{operation.method} {operation.path}` | {operation.body.__name__} "
        f"| {operation.call} | `{operation.ocs_path}` |"
    )


def render() -> str:
    """The page as Markdown."""
    parts = [_HEAD, "\n".join(_row(operation) for operation in OPERATIONS)]
    parts.append("\n\n## Reads\n\n| name | the OCS's path |\n|---|---|\n")
    parts.append("\n".join(f"| `{name}` | `{path}` |" for name, path in READS.items()))
    parts.append("\n\n## States\n\n| from | to |\n|---|---|\n")
    parts.append(
        "\n".join(f"| {state} | {', '.join(ways) or '(final)'} |" for state, ways in TRANSITIONS.items())
    )
    return "".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
