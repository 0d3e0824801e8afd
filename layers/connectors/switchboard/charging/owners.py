"""Whose an account, a subscriber or a subscription is: what is done for one customer is kept in order.

Noted when it is created through us, since the OCS cannot be asked while it is away. What was created
elsewhere is in order with itself only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from switchboard.charging.jobs import Job
from switchboard.dynamo import Table

_LEVELS = ("customer", "account", "subscriber")


@dataclass(frozen=True, slots=True)
class Owners:
    """The notes, in the State table."""

    table: Table

    def group(self, job: Job) -> str:
        """What the job is in order with: `customer:<externalId>` when its customer is known."""
        operation = job.operation
        if operation.action == "create" and operation.kind == "customer":
            return f"customer:{job.body['externalId']}"
        if operation.action in ("create", "offer"):
            for level in (*_LEVELS, "parent"):
                if reference := job.body.get(level):
                    return self._of("account" if level == "parent" else level, reference)
            return f"{operation.kind}:{job.body['externalId']}"
        return self._of(operation.kind, job.reference)

    def note(self, job: Job, group: str) -> None:
        """Remember the group of what the job makes or renames."""
        if job.operation.makes or job.operation.action == "external-id":
            kind = job.operation.subject
            pk = _pk(kind, {"externalId": job.body["externalId"]})
            if f"{kind}:{job.body['externalId']}" != group:
                self.table.put({"pk": pk, "sk": "OWNER", "group": group})

    def _of(self, kind: str, reference: Mapping[str, str]) -> str:
        item = self.table.get(_pk(kind, reference), "OWNER")
        if item is not None:
            return str(item["group"])
        [(name, held)] = reference.items()
        return f"{kind}:{held}" if name == "externalId" else f"{kind}:{name}:{held}"


def customer_of(group: str) -> str | None:
    """The customer's external id, when the group is a customer's."""
    kind, _, external_id = group.partition(":")
    return external_id if kind == "customer" and not external_id.startswith("refId:") else None


def _pk(kind: str, reference: Mapping[str, str]) -> str:
    [(name, held)] = reference.items()
    return f"OCS#{kind}#{name}#{held}"
