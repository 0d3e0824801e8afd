"""Invitations, dumps and responses as the API takes and shows them."""

from typing import Annotated, Any, Self

from pydantic import Field

from switchboard.models import ApiModel
from switchboard.surveys.invitations import Email, Invitation


class Issued(ApiModel):
    """An invitation's answer."""

    invitation_id: str
    survey_url: str
    status: str

    @classmethod
    def of(cls, invitation: Invitation) -> Self:
        """As it stands."""
        return cls(
            invitation_id=invitation.invitation_id,
            survey_url=invitation.survey_url,
            status=invitation.status,
        )


class InvitationShown(Issued):
    """An invitation with its life so far."""

    survey_id: str
    email: str
    first_name: str | None
    last_name: str | None
    customer_id: str | None
    transaction_id: str | None
    delivery: str
    reminders: int
    created_at: str
    expires_at: str
    reminded_at: str | None
    responded_at: str | None
    response_id: str | None

    @classmethod
    def of(cls, invitation: Invitation) -> Self:
        """As it stands."""
        return cls.model_validate({name: getattr(invitation, name) for name in cls.model_fields})


class Batch(ApiModel):
    """`POST …/invitations/batch`: each as in `POST …/invitations`; a bad one spoils no other."""

    invitations: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100)]


class BatchAnswer(ApiModel):
    """Item by item: `httpStatus` with the invitation's members, or with `problem`."""

    items: list[dict[str, Any]]


class Reminded(ApiModel):
    """How many are reminded."""

    count: int


class OptOut(ApiModel):
    """Who wants no survey."""

    email: Email


class NewDump(ApiModel):
    """`POST …/dumps`. `full`: everything once more, not only what is new."""

    full: bool = False


class DumpFile(ApiModel):
    """A file behind a URL that works for an hour; `sha256` is of its bytes."""

    format: str
    url: str
    rows: int
    sha256: str
    bytes: int


class CountCheck(ApiModel):
    """The survey's total against what the dumps have given, all of them together."""

    survey: int | None
    ours: int
    agrees: bool


class DumpState(ApiModel):
    """Where a dump stands."""

    dump_id: str
    survey_id: str | None
    status: str
    full: bool
    from_: Annotated[str | None, Field(alias="from")] = None
    to: str | None = None
    rows: int
    imported: int
    unmatched: int
    files: list[DumpFile] = []
    manifest: str | None = None
    count_check: CountCheck | None = None
    code: str | None = None
    error: str | None = None
    action: str | None = None
    started_at: str
    updated_at: str


class CustomerResponse(ApiModel):
    """A response as the CRM keeps it on its customer."""

    survey_id: str
    survey_name: str | None
    response_id: str
    status: str
    responded_at: str
    invitation_id: str | None
    answers: list[dict[str, str]]
