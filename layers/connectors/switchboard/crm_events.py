"""CRM events: thin facts that an object of the CRM was created, edited or deleted. Ids, never the data.

They travel on one EventBridge bus (source `switchboard.crm`, detail-type `<object>.<event>`), so that a
deployment can add rules of its own. A step that takes them from its queue looks the record up by the ids.
"""

import os
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import model_validator

from switchboard import aws, clock, ids
from switchboard.models import ApiModel

SOURCE = "switchboard.crm"

type CrmObject = Literal["customer", "case", "followup", "task", "member"]
type CrmEventName = Literal["create", "edit", "delete"]

ID_FIELDS: dict[CrmObject, tuple[str, ...]] = {
    "customer": ("account_id",),
    "case": ("account_id", "case_id"),
    "followup": ("account_id", "case_id", "followup_id"),
    "task": ("account_id", "task_id"),
    "member": ("member_number",),
}
"""Which ids an event of each object carries, all of them and no others."""

_ENTRIES_A_CALL = 10


class CrmEvent(ApiModel):
    """One CRM event.

    `origin` says which CRM it happened in: `builtin`, `siebel`, `vcc`, or `partner:<partnerId>`.
    `recovered` marks an event that a sweep found because nothing had told of it, `in_step` a change that a
    synchronization made itself: it has nothing to learn from it.
    """

    event_id: str
    object: CrmObject
    event: CrmEventName
    origin: str
    occurred_at: str
    account_id: str | None = None
    case_id: str | None = None
    followup_id: str | None = None
    task_id: str | None = None
    member_number: str | None = None
    recovered: bool = False
    in_step: bool = False

    @model_validator(mode="after")
    def _has_its_ids(self) -> Self:
        wanted = ID_FIELDS[self.object]
        for names in ID_FIELDS.values():
            for name in names:
                given = getattr(self, name)
                if (name in wanted) != (given is not None):
                    raise ValueError(f"a {self.object} has the ids {', '.join(wanted)}")
        if self.object == "followup" and self.event == "edit":
            raise ValueError("a followup is created and deleted, never edited")
        return self

    @property
    def type(self) -> str:
        """`case.edit` and the like: the bus's detail-type, and a webhook's type."""
        return f"{self.object}.{self.event}"


def new_event(object: CrmObject, event: CrmEventName, *, origin: str, **ids_of_it: str) -> CrmEvent:  # noqa: A002
    """An event that happens now."""
    facts = {"object": object, "event": event, "origin": origin, "occurred_at": clock.timestamp()}
    return CrmEvent.model_validate(facts | {"event_id": ids.fresh("evt")} | ids_of_it)


class NotPublished(Exception):
    """The bus did not take some events; they may be published again, the receivers tell them by their id."""

    def __init__(self, events: Sequence[CrmEvent]) -> None:
        super().__init__(f"the bus did not take {len(events)} events")
        self.events = events


def publish(events: Sequence[CrmEvent]) -> None:
    """Put events on the bus; raises NotPublished with those that it did not take."""
    refused: list[CrmEvent] = []
    for start in range(0, len(events), _ENTRIES_A_CALL):
        chunk = events[start : start + _ENTRIES_A_CALL]
        answer = aws.eventbridge().put_events(
            Entries=[
                {
                    "EventBusName": os.environ["CRM_EVENT_BUS"],
                    "Source": SOURCE,
                    "DetailType": event.type,
                    "Detail": event.model_dump_json(by_alias=True, exclude_none=True),
                }
                for event in chunk
            ]
        )
        refused += [
            event for event, entry in zip(chunk, answer["Entries"], strict=True) if entry.get("ErrorCode")
        ]
    if refused:
        raise NotPublished(refused)
