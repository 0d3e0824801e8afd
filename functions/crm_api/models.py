"""Customers, cases, followups and tasks as the CRM API takes and shows them."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from switchboard.models import ApiModel, PageQuery

type Name = Annotated[str, Field(min_length=1, max_length=200)]
type Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$")]
type Phone = Annotated[str, Field(min_length=3, max_length=40)]
type Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
type Subject = Annotated[str, Field(min_length=1, max_length=500)]
type Text = Annotated[str, Field(min_length=1, max_length=60_000)]
type CaseStatus = Literal["open", "closed"]


class CustomerChange(ApiModel):
    """`PATCH …/{accountId}`: what is not named stays, null removes a field."""

    first_name: Name | None = None
    last_name: Name | None = None
    email: Email | None = None
    phone: Annotated[Phone | None, Field(description="E.164, or national with `country`")] = None
    company: Name | None = None
    country: Annotated[Country | None, Field(description="ISO 3166-1 alpha-2")] = None


class NewCustomer(CustomerChange):
    """`POST /crm/customers`."""

    last_name: Name


class CaseChange(ApiModel):
    """`PATCH …/cases/{caseId}`."""

    subject: Subject | None = None
    description: Text | None = None
    status: CaseStatus | None = None
    priority: Name | None = None
    assigned_to: Name | None = None


class NewCase(CaseChange):
    """`POST …/cases`."""

    subject: Subject


class NewFollowup(ApiModel):
    """`POST …/followups`. A followup is never changed."""

    body: Text


class TaskChange(ApiModel):
    """`PATCH …/tasks/{taskId}`."""

    subject: Subject | None = None
    kind: Name | None = None
    status: Name | None = None
    due_at: AwareDatetime | None = None


class NewTask(TaskChange):
    """`POST …/tasks`."""

    subject: Subject


class CustomerQuery(PageQuery):
    """Which customers; several conditions hold together."""

    email: Annotated[str | None, Field(min_length=1, max_length=254)] = None
    phone: Annotated[str | None, Field(min_length=1, max_length=40)] = None
    country: Annotated[Country | None, Field(description="of a national `phone`")] = None
    community: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    author_id: Annotated[str | None, Field(min_length=1, max_length=500)] = None
    q: Annotated[str | None, Field(min_length=1, max_length=200)] = None


class _Shown(ApiModel):
    """What all records have. `rev` is the record's ETag; a CRM outside may have none."""

    account_id: str
    rev: int | None = None
    created_at: str | None = None
    updated_at: str | None = None


class Profile(ApiModel):
    """A social profile of a customer."""

    community: str
    author_id: str
    author_name: str | None = None
    handle: str | None = None


class Customer(_Shown):
    """A customer. `temporary` until somebody sets a real name."""

    first_name: str | None = None
    last_name: str
    email: str | None = None
    phone: str | None = None
    company: str | None = None
    country: str | None = None
    temporary: bool = False
    profiles: list[Profile] = []
    survey_invitations: dict[str, Any] = {}
    """By survey: the personal URL to mail, and how many reminders are due."""


class Case(_Shown):
    """A case."""

    case_id: str
    subject: str
    description: str | None = None
    status: str
    priority: str | None = None
    assigned_to: str | None = None
    channel: str | None = None
    last_activity_at: str | None = None


class Followup(_Shown):
    """A followup of a case."""

    case_id: str
    followup_id: str
    body: str


class Task(_Shown):
    """A task."""

    task_id: str
    subject: str
    kind: str | None = None
    status: str | None = None
    due_at: str | None = None


def shown[T: ApiModel](model: type[T], record: dict[str, Any]) -> T:
    """A record as the API shows it; what the model does not name stays inside."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    known = {name: value for name, value in record.items() if name in names}
    if "profiles" in known:
        known["profiles"] = [shown(Profile, profile) for profile in known["profiles"]]
    return model.model_validate(known)
