"""What a caller prefers, and how a call becomes a job."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from switchboard.charging.jobs import Job
from switchboard.charging.models import IdQuery
from switchboard.charging.operations import Operation
from switchboard.errors import SwitchboardError
from switchboard.models import ApiModel

LONGEST_WAIT = 20.0
MAX_ID = 200
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?")


@dataclass(frozen=True, slots=True)
class Preference:
    """The `Prefer` header (RFC 7240): whether it may be done after the answer, and seconds to wait first."""

    respond_async: bool
    wait: float | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Preference":
        """Read the header; what is not known in it is left alone, as the RFC asks."""
        parts = [part.strip().lower() for part in headers.get("prefer", "").split(",")]
        waits = [found for part in parts if (found := _WAIT.fullmatch(part))]
        seconds = min(float(waits[0][1]), LONGEST_WAIT) if waits else None
        return cls("respond-async" in parts, seconds)

    @property
    def applied(self) -> dict[str, str]:
        """The header that tells the caller that his preference was followed."""
        return {"Preference-Applied": "respond-async"}


def job(
    operation: Operation,
    path: Mapping[str, str],
    body: ApiModel,
    query: IdQuery,
    *,
    made_id: str,
    later: bool,
) -> Job:
    """The job of a call; what it makes gets `made_id` when the caller gives no external id."""
    given = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
    content: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if operation.action == "update":
        content = given  # a null there is a value
    if operation.makes:
        content.setdefault("externalId", made_id)
    reference: dict[str, str] = {query.id_type: path_id(path["id"])} if "id" in path else {}
    part = path.get("resource") or path.get("balance_id")
    return Job(operation, reference, path_id(part) if part else None, content, later)


def path_id(segment: str) -> str:
    """An id out of the path; `not-found` when no entity can have it."""
    found = unquote(segment)
    if len(found) > MAX_ID or not found.isprintable():
        raise SwitchboardError("not-found", "No entity has such an id.")
    return found


def same_work(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two payloads ask for the same; `later` is how, not what."""
    return {**one, "later": None} == {**other, "later": None}
