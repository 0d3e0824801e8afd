"""The one error of the tools."""

from pathlib import Path


class ToolError(Exception):
    """A step failed for a reason the user can act on; ``log`` is the file whose tail shows why."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def report(self, lines: int = 30) -> str:
        """The message, with the last ``lines`` lines of the log below it."""
        if self.log is None or not self.log.exists():
            return str(self)
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"{self} (the end of {self.log.name}:)", *(f"    {line}" for line in tail)])
