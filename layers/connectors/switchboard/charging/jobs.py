"""An operation with its arguments, as the ledger keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from switchboard.charging.operations import BY_NAME, Operation

FLOW = "charging"


@dataclass(frozen=True, slots=True)
class Job:
    """An operation with its arguments, as the ledger keeps them.

    Attributes:
        reference: `{"externalId": …}` or `{"refId": …}` of the path's entity; empty for a create.
        part: the resource or the balance that the path names.
        body: the caller's body.
        later: whether the caller allowed it to be done after the answer.
    """

    operation: Operation
    reference: dict[str, str]
    part: str | None
    body: dict[str, Any]
    later: bool = False

    def payload(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {
            "operation": self.operation.name,
            "reference": self.reference,
            "part": self.part,
            "body": self.body,
            "later": self.later,
        }

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "Job":
        """The job back."""
        rest = {name: payload[name] for name in ("reference", "part", "body", "later")}
        return cls(BY_NAME[payload["operation"]], **rest)

    @property
    def subject(self) -> dict[str, str]:
        """Refers to the entity that the answer shows, once the operation is done."""
        if self.operation.makes or (self.operation.action == "external-id"):
            return {"externalId": self.body["externalId"]}
        if self.operation.action == "update" and "externalId" in self.body and "refId" not in self.reference:
            return {"externalId": self.body["externalId"]}
        return self.reference
