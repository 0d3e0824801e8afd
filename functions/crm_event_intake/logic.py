"""CRM events as partners and 8x8 tell them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from switchboard import clock, ids
from switchboard.crm_events import ID_FIELDS, CrmEvent, CrmEventName
from switchboard.errors import FieldError, SwitchboardError
from switchboard.members import is_member_number
from switchboard.models import ApiModel, QueryModel

type OutsideObject = Literal["customer", "case", "followup", "task", "member"]
type Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)
_NAMES = ("account_id", "case_id", "followup_id", "task_id", "member_number")


class NewEvent(ApiModel):
    """`POST /crm/events`. Which ids it takes follows from the object: a member has `memberNumber` alone."""

    object: OutsideObject
    event: CrmEventName
    account_id: Id | None = None
    case_id: Id | None = None
    followup_id: Id | None = None
    task_id: Id | None = None
    member_number: Id | None = None
    occurred_at: AwareDatetime | None = None
    event_id: Id | None = None


class EventAccepted(ApiModel):
    """The event is on the bus."""

    event_id: str


class HookQuery(QueryModel):
    """The ids as 8x8 appends them."""

    model_config = ConfigDict(populate_by_name=True, frozen=True, defer_build=True)

    account_id: Annotated[Id | None, Field(alias="AccountID")] = None
    case_id: Annotated[Id | None, Field(alias="CaseID")] = None
    followup_id: Annotated[Id | None, Field(alias="FollowupID")] = None
    task_id: Annotated[Id | None, Field(alias="TaskID")] = None


def event_of(body: NewEvent, *, partner_id: str) -> CrmEvent:
    """The event that a partner tells; raises `invalid` with the field that is wrong."""
    if body.object == "followup" and body.event == "edit":
        raise _invalid("event", "a followup is created and deleted, never edited")
    if body.object == "member":
        if body.event == "delete":
            raise _invalid("event", "a member is created and edited, never deleted")
        if body.member_number is not None and not is_member_number(body.member_number):
            raise _invalid("memberNumber", "1 to 64 letters, digits and . _ : -")
    given = {name: getattr(body, name) for name in _NAMES if getattr(body, name) is not None}
    _check_ids(body.object, given, to_camel)
    occurred = body.occurred_at or clock.now()
    if not _EARLIEST <= occurred <= clock.now() + _AHEAD:
        raise _invalid("occurredAt", "between 2000 and tomorrow")
    return CrmEvent.model_validate(
        {
            "event_id": body.event_id or ids.fresh("evt"),
            "object": body.object,
            "event": body.event,
            "origin": f"partner:{partner_id}",
            "occurred_at": clock.rfc3339(occurred),
        }
        | given
    )


def hook_event(object_: str, event: str, query: HookQuery) -> CrmEvent:
    """The event that 8x8 tells; raises `not-found` for an object or event that it does not have."""
    names = ID_FIELDS.get(object_)  # type: ignore[call-overload]
    if names is None or object_ == "member" or event not in ("create", "edit", "delete"):
        raise SwitchboardError("not-found", "There is no such object or event.")
    if object_ == "followup" and event == "edit":
        raise _invalid("event", "a followup is created and deleted, never edited")
    given = {name: getattr(query, name) for name in names if getattr(query, name) is not None}
    _check_ids(object_, given, lambda name: f"query/{_PARAMETERS[name]}")
    try:
        return CrmEvent.model_validate(
            {
                "event_id": ids.fresh("evt"),
                "object": object_,
                "event": event,
                "origin": "vcc",
                "occurred_at": clock.timestamp(),
            }
            | given
        )
    except ValidationError:
        raise SwitchboardError("invalid") from None


def ids_of(event: CrmEvent) -> dict[str, str]:
    """The ids that the event carries."""
    return {name: value for name in _NAMES if (value := getattr(event, name)) is not None}


_PARAMETERS = {
    "account_id": "AccountID",
    "case_id": "CaseID",
    "followup_id": "FollowupID",
    "task_id": "TaskID",
}


def _check_ids(object_: str, given: dict[str, str], shown: Callable[[str], str]) -> None:
    wanted = ID_FIELDS[object_]  # type: ignore[index]
    fields = [FieldError(f"/{shown(name)}", f"a {object_} needs it") for name in wanted if name not in given]
    fields += [FieldError(f"/{shown(name)}", f"a {object_} has none") for name in given if name not in wanted]
    if fields:
        raise SwitchboardError("invalid", fields=tuple(fields))


def _invalid(field: str, detail: str) -> SwitchboardError:
    return SwitchboardError("invalid", fields=(FieldError(f"/{field}", detail),))
