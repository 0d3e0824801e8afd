"""A member of the loyalty programme, as the API takes one and as the steps pass it on (source 003).

The ledger has one entry for each member, whichever partner brings it: there is one such member in the CRM
and in CrowdTwist, and versions would mean nothing if two entries raced for it. It belongs to the partner who
brought it first.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from switchboard.errors import FieldError, SwitchboardError
from switchboard.ledger import Entry, entry_id
from switchboard.models import ApiModel
from switchboard.versions import order_of

FLOW = "member"
PUSH_FLOW = "member_push"
EVENT_FLOW = "member_event"

type CtSyncStatus = Literal["Success", "Data Error", "CT Failure", "OIC Failure"]
"""The values of the member's CT Sync Status. `Success` is ours: the source names only the failures."""

type Text = Annotated[str, Field(min_length=1, max_length=200)]
type Attribute = str | int | float | bool | None

_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


type Email = Annotated[
    str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\.[^@\s\x00-\x1f]+$")
]
type Phone = Annotated[
    str,
    Field(
        max_length=40,
        pattern=r"^\+?[0-9][0-9 ()./-]{3,}$",
        description="E.164, or national with country.",
    ),
]
type PostalCode = Annotated[str, Field(min_length=1, max_length=20)]
type CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")]
type Attributes = Annotated[dict[Text, Attribute], Field(max_length=100)]


class MemberData(ApiModel):
    """The member's own data. What is left out is not known, and stays as it is in CrowdTwist."""

    first_name: Text
    last_name: Text
    email: Email
    phone: Phone | None = None
    postal_code: PostalCode | None = None
    date_of_birth: date | None = None
    city: Text | None = None
    state: Text | None = None
    country: CountryCode | None = None
    email_opt_in: bool | None = None
    attributes: Attributes = {}


class Member(MemberData):
    """`PUT /members/{memberNumber}`: the member as the CRM has it now.

    Either `version` or `modifiedAt` says how new it is: one member keeps to one of the two.
    """

    version: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    modified_at: AwareDatetime | None = None

    @property
    def order(self) -> int:
        """What is compared to tell an older update: the version, or microseconds since the epoch."""
        if self.version is not None:
            return self.version
        assert self.modified_at is not None  # noqa: S101 - the intake refuses a member without either
        return order_of(self.modified_at)

    @property
    def profile(self) -> dict[str, Any]:
        """The member's own data under the API's names, without its version."""
        return self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"version", "modified_at"}
        )


def data_faults(member: MemberData) -> tuple[FieldError, ...]:
    """What of the member's data breaks a rule that several fields make together."""
    if member.phone is not None and not member.phone.startswith("+") and member.country is None:
        return (FieldError("/phone", "a national number needs the country; or write it as E.164"),)
    return ()


def faults(member: Member) -> tuple[FieldError, ...]:
    """The same, and that it says how new it is."""
    if member.version is None and member.modified_at is None:
        newness = FieldError("/version", "give version or modifiedAt, which say how new the member is")
        return (newness, *data_faults(member))
    return data_faults(member)


def is_member_number(text: str) -> bool:
    """Whether it can be a member number: 1-64 letters, digits and `._:-`, the first a letter or digit."""
    return _NUMBER.fullmatch(text) is not None


def member_ledger_id(number: str) -> str:
    """The ledger id of a member: the same for every partner."""
    return entry_id("", FLOW, number)


class MemberState(ApiModel):
    """Where a member's synchronization stands.

    `status` is the ledger's state of the newest accepted version; `ctSyncStatus` and `ctSyncError` are what
    came of the last attempt, as they stand on the member in the CRM.
    """

    member_number: str
    status: str
    ledger_id: str
    ct_sync_status: str | None = None
    ct_sync_error: str | None = None
    code: str | None = None
    action: str | None = None
    attempts: int = 0
    version: int
    crowd_twist_id: int | str | None = None
    updated_at: str
    history: list[dict[str, Any]] = []


def state_of(entry: Entry, history: list[dict[str, Any]]) -> MemberState:
    """A member's ledger entry as the API shows it."""
    parked: dict[str, CtSyncStatus] = {
        "data_error": "Data Error",
        "remote_failure": "CT Failure",
        "integration_failure": "OIC Failure",
    }
    known = entry.result.get("ctSyncStatus")
    return MemberState(
        member_number=entry.entity,
        status=entry.status,
        ledger_id=entry.ledger_id,
        # A worker that died again and again could not write down what it came to.
        ct_sync_status=parked.get(entry.status, known) if entry.code == "worker-lost" else known,
        ct_sync_error=entry.result.get("ctSyncError"),
        code=entry.code,
        action=entry.action,
        attempts=entry.attempts,
        version=int(entry.version),
        crowd_twist_id=entry.result.get("crowdTwistId"),
        updated_at=entry.updated_at,
        history=history,
    )


class Segment(ApiModel):
    """A segment of CrowdTwist that the member is in."""

    name: str
    since: str


class Pushed(ApiModel):
    """What CrowdTwist has pushed about a member; `profile` under its own names."""

    profile: dict[str, Any] | None = None
    segments: list[Segment] = []


class MemberView(ApiModel):
    """A member as the CRM has it; `crowdTwist` is what CrowdTwist has pushed."""

    member_number: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    postal_code: str | None = None
    date_of_birth: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    email_opt_in: bool | None = None
    attributes: dict[str, Any] = {}
    ct_sync_status: str | None = None
    ct_sync_error: str | None = None
    crowd_twist_id: int | str | None = None
    crowd_twist: Pushed = Pushed()


_VIEWED = (
    *("firstName", "lastName", "email", "phone", "postalCode", "dateOfBirth", "city", "state", "country"),
    *("emailOptIn", "attributes", "ctSyncStatus", "ctSyncError", "crowdTwistId"),
)


def view_of(number: str, entry: Entry | None, held: Mapping[str, Any] | None) -> MemberView:
    """A member out of the CRM's record; out of what was accepted, while the CRM has none.

    Raises:
        SwitchboardError: `not-found` when there is neither.
    """
    if held is None and (entry is None or not entry.payload):
        raise SwitchboardError("not-found", "There is no such member.")
    known = {name: value for name, value in (held or {}).items() if value is not None}
    if entry is not None and "lastName" not in known:
        known = entry.payload | known
    said = known.get("crowdTwist", {})
    segments = [{"name": name, "since": at} for name, at in sorted(said.get("segments", {}).items())]
    shown = {name: known[name] for name in _VIEWED if name in known}
    pushed = {"profile": said.get("profile"), "segments": segments}
    return MemberView.model_validate({"memberNumber": number, "crowdTwist": pushed} | shown)


class PushBody(BaseModel):
    """`POST /hooks/crowdtwist/{token}`: an object of whatever members CrowdTwist pushes."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class PushAnswer(BaseModel):
    """What CrowdTwist is told: whether its push is about a member of ours."""

    status: Literal["accepted", "ignored"]
