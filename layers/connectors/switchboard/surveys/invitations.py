"""Invitations: one person's personal URL of one survey, and whether he has answered.

    pk                          sk           item
    INVITATION#<id>             INVITATION   the invitation; its id is its ledger entry's
    SURVEY_PERSON#<digest>      COOLDOWN     when this person was last asked about this survey
    SURVEY_PERSON#<digest>      OPT_OUT      this person wants no survey

An invitation is in two indexes of the State table: `Recent` under its survey and status, which is what lists
read, and `Open` under `dueAt` while somebody has still to look after it (a reminder, its end). `attempts`
counts its reminders, because that name is in both.
"""

import heapq
import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from switchboard import clock, ids
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.models import ApiModel
from switchboard.settings.surveys import Survey

type InvitationStatus = Literal["issued", "reminded", "responded", "expired"]
type Delivery = Literal["caller", "crm", "mail"]
type Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$")]
type Text = Annotated[str, Field(min_length=1, max_length=200)]
type Value = Annotated[str, Field(max_length=500)] | int | float | bool

STATUSES: tuple[str, ...] = get_args(InvitationStatus.__value__)
WAITING = ("issued", "reminded")
_SHARDS = 4
_KEPT = timedelta(days=3 * 365)


class NewInvitation(ApiModel):
    """`POST /surveys/{surveyId}/invitations`.

    The same e-mail address and `transactionId` is the same invitation, with the same URL; without a
    `transactionId` a person has one invitation to a survey.
    """

    email: Email
    first_name: Text | None = None
    last_name: Text | None = None
    mobile: Annotated[str, Field(min_length=3, max_length=40)] | None = None
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}([-_ ][A-Za-z0-9]{1,8})*$")] | None = None
    customer_id: Text | None = None
    transaction_id: Text | None = None
    parameters: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=100)], Value],
        Field(max_length=20, description="Captured with the answers (employee id, campaign id …)"),
    ] = {}

    @property
    def texts(self) -> dict[str, str]:
        """The parameters as they travel."""
        return {name: _text(value) for name, value in self.parameters.items()}

    @property
    def entity(self) -> str:
        """What the ledger knows it by, within its survey."""
        address = person(self.email)
        return f"{len(address)}:{address}:{self.transaction_id or ''}"


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def person(email: str) -> str:
    """An e-mail address as people are told apart by it."""
    return email.strip().casefold()


@dataclass(frozen=True, slots=True)
class Invitation:
    """One invitation as it stands."""

    invitation_id: str
    survey_id: str
    partner_id: str
    email: str
    survey_url: str
    status: InvitationStatus
    created_at: str
    expires_at: str
    reminders: int = 0
    first_name: str | None = None
    last_name: str | None = None
    customer_id: str | None = None
    transaction_id: str | None = None
    reminded_at: str | None = None
    responded_at: str | None = None
    response_id: str | None = None
    delivery: Delivery = "caller"
    """Who sends the mail: whoever asked, the CRM that finds the URL on the customer, or SES."""
    language: str | None = None
    reminded_by: str | None = None
    """The run that has counted the newest reminder."""
    opt_out_token: str = field(default_factory=secrets.token_urlsafe, repr=False)


def _key(survey_id: str, status: str) -> str:
    return f"invitation#{survey_id}#{status}"


def _open_key(invitation_id: str) -> str:
    return f"invitation#{zlib.crc32(invitation_id.encode()) % _SHARDS}"


def next_look(invitation: Invitation, survey: Survey) -> str:
    """When somebody looks after an unanswered invitation: its next reminder, else its end."""
    after = survey.reminders.after_days
    if after is None or invitation.reminders >= survey.reminders.max:
        return invitation.expires_at
    since = clock.parse(invitation.reminded_at or invitation.created_at)
    return min(clock.rfc3339(since + timedelta(days=after)), invitation.expires_at)


@dataclass(frozen=True, slots=True)
class Invitations:
    """The invitations in the State table."""

    table: Table

    def get(self, invitation_id: str) -> Invitation | None:
        """The invitation."""
        item = self.table.get(f"INVITATION#{invitation_id}", "INVITATION")
        return _from_item(item) if item else None

    def put(self, invitation: Invitation, survey: Survey) -> Invitation:
        """Keep a new invitation; when it is there already, that one."""
        item: Item = {
            "pk": f"INVITATION#{invitation.invitation_id}",
            "sk": "INVITATION",
            "invitationId": invitation.invitation_id,
            "surveyId": invitation.survey_id,
            "partnerId": invitation.partner_id,
            "email": invitation.email,
            "surveyUrl": invitation.survey_url,
            "status": invitation.status,
            "createdAt": invitation.created_at,
            "expiresOn": invitation.expires_at,
            "attempts": 0,
            "firstName": invitation.first_name,
            "lastName": invitation.last_name,
            "accountId": invitation.customer_id,
            "transactionId": invitation.transaction_id,
            "delivery": invitation.delivery,
            "language": invitation.language,
            "optOutToken": invitation.opt_out_token,
            "recentKey": _key(invitation.survey_id, invitation.status),
            "recentAt": f"{invitation.created_at}#{invitation.invitation_id}",
            "openKey": _open_key(invitation.invitation_id),
            "dueAt": next_look(invitation, survey),
            "expiresAt": int((clock.now() + survey.lifetime + _KEPT).timestamp()),
        }
        try:
            self.table.put(item, condition="attribute_not_exists(pk)")
        except ConditionFailed as found:
            if found.item is None:
                raise
            return _from_item(found.item)
        return invitation

    def respond(self, invitation: Invitation, response_id: str, at: str) -> None:
        """He has answered; the first answer counts."""
        self._move(
            invitation,
            "responded",
            "respondedAt = :at, responseId = :response",
            {":at": at, ":response": response_id},
            condition="#status <> :new",
            done=True,
        )

    def remind(self, invitation: Invitation, *, run: str, survey: Survey) -> Invitation | None:
        """Count one more reminder; None when this run has counted it, or he has answered meanwhile."""
        now = clock.timestamp()
        due = next_look(_reminded(invitation, now), survey)
        return self._move(
            invitation,
            "reminded",
            "remindedAt = :at, attempts = :next, remindedBy = :run, dueAt = :due",
            {
                ":at": now,
                ":next": invitation.reminders + 1,
                ":seen": invitation.reminders,
                ":run": run,
                ":due": due,
                ":issued": "issued",
            },
            condition="#status IN (:issued, :new) AND attempts = :seen"
            " AND (attribute_not_exists(remindedBy) OR remindedBy <> :run)",
        )

    def expire(self, invitation: Invitation) -> None:
        """Its time is over."""
        self._move(
            invitation,
            "expired",
            "expiredAt = :at",
            {":at": clock.timestamp(), ":issued": "issued", ":reminded": "reminded"},
            condition="#status IN (:issued, :reminded)",
            done=True,
        )

    def look_again(self, invitation: Invitation, at: str) -> None:
        """Look after it at another time."""
        try:
            self.table.update(
                f"INVITATION#{invitation.invitation_id}",
                "INVITATION",
                "SET dueAt = :at",
                condition="attribute_exists(openKey)",
                values={":at": at},
            )
        except ConditionFailed:
            return

    def _move(
        self,
        invitation: Invitation,
        status: InvitationStatus,
        changes: str,
        values: Item,
        *,
        condition: str,
        done: bool = False,
    ) -> Invitation | None:
        try:
            item = self.table.update(
                f"INVITATION#{invitation.invitation_id}",
                "INVITATION",
                f"SET #status = :new, recentKey = :key, {changes}"
                + (" REMOVE openKey, dueAt" if done else ""),
                condition=f"attribute_exists(pk) AND {condition}",
                names={"#status": "status"},
                values={":new": status, ":key": _key(invitation.survey_id, status)} | values,
            )
        except ConditionFailed:
            return None
        return _from_item(item)

    def listed(
        self, survey_id: str, statuses: tuple[str, ...], *, partner_id: str | None, before: str | None = None
    ) -> Iterator[Item]:
        """Invitations as the index holds them (`recentAt`, `attempts`, `status`), the newest first.

        `partner_id` None is everybody's.
        """
        values: Item = {":before": before or "~"}
        options: dict[str, Any] = {"index": "Recent", "forward": False, "limit": 100}
        if partner_id is not None:
            options["filter_expression"] = "partnerId = :partner"
            values[":partner"] = partner_id
        streams = [
            self.table.query_all(
                "recentKey = :key AND recentAt < :before",
                values | {":key": _key(survey_id, status)},
                **options,
            )
            for status in statuses
        ]
        return heapq.merge(*streams, key=lambda item: str(item["recentAt"]), reverse=True)

    def page(
        self,
        survey_id: str,
        statuses: tuple[str, ...],
        *,
        partner_id: str | None,
        before: str | None,
        limit: int,
    ) -> tuple[list[Invitation], str | None]:
        """One page, and where the next one begins."""
        rows = list(islice(self.listed(survey_id, statuses, partner_id=partner_id, before=before), limit + 1))
        found = (self.get(row["recentAt"].partition("#")[2]) for row in rows[:limit])
        return [each for each in found if each is not None], (
            rows[limit - 1]["recentAt"] if len(rows) > limit else None
        )

    def whom(self, rows: Sequence[Item]) -> list[Invitation]:
        """The invitations of listed rows without those whose person has opted out, in no order."""
        keys = [(f"INVITATION#{row['recentAt'].partition('#')[2]}", "INVITATION") for row in rows]
        found = [_from_item(item) for item in self.table.get_many(keys)]
        people = {_person_pk(each.email): "OPT_OUT" for each in found}
        gone = {item["pk"] for item in self.table.get_many(list(people.items()))}
        return [each for each in found if _person_pk(each.email) not in gone]

    def due(self, *, limit: int) -> Iterator[Invitation]:
        """Unanswered invitations that somebody has to look after now."""
        for shard in range(_SHARDS):
            page = self.table.query(
                "openKey = :key AND dueAt <= :now",
                {":key": f"invitation#{shard}", ":now": clock.timestamp()},
                index="Open",
                limit=limit,
            )
            for row in page.items:
                found = self.get(row["pk"].partition("#")[2])
                if found is not None and found.status in WAITING:
                    yield found

    # people -------------------------------------------------------------------------------------------

    def cooled_down(self, survey_id: str, email: str, cooldown: timedelta, *, but_for: str) -> bool:
        """Whether a person may be asked again; the invitation `but_for` itself does not count."""
        item = self.table.get(_cooldown_pk(survey_id, email), "COOLDOWN")
        if item is None or item["invitationId"] == but_for:
            return True
        return clock.parse(item["at"]) + cooldown <= clock.now()

    def asked(self, invitation: Invitation) -> None:
        """Remember that this person was asked."""
        self.table.put(
            {
                "pk": _cooldown_pk(invitation.survey_id, invitation.email),
                "sk": "COOLDOWN",
                "at": invitation.created_at,
                "invitationId": invitation.invitation_id,
                "expiresAt": int((clock.now() + timedelta(days=3650)).timestamp()),
            }
        )

    def opt_out(self, email: str) -> None:
        """This person gets no survey any more."""
        self.table.put({"pk": _person_pk(email), "sk": "OPT_OUT", "at": clock.timestamp()})

    def opt_in(self, email: str) -> None:
        """This person gets surveys again."""
        self.table.delete(_person_pk(email), "OPT_OUT")

    def has_opted_out(self, email: str) -> bool:
        """Whether this person wants no survey."""
        return self.table.get(_person_pk(email), "OPT_OUT") is not None


def _person_pk(email: str) -> str:
    return f"SURVEY_PERSON#{ids.derived('per', person(email))}"


def _cooldown_pk(survey_id: str, email: str) -> str:
    return f"SURVEY_PERSON#{ids.derived('per', person(email), survey_id)}"


def _reminded(invitation: Invitation, at: str) -> Invitation:
    return replace(invitation, reminders=invitation.reminders + 1, reminded_at=at)


def _from_item(item: Item) -> Invitation:
    return Invitation(
        invitation_id=item["invitationId"],
        survey_id=item["surveyId"],
        partner_id=item["partnerId"],
        email=item["email"],
        survey_url=item["surveyUrl"],
        status=item["status"],
        created_at=item["createdAt"],
        expires_at=item["expiresOn"],
        reminders=item["attempts"],
        first_name=item.get("firstName"),
        last_name=item.get("lastName"),
        customer_id=item.get("accountId"),
        transaction_id=item.get("transactionId"),
        reminded_at=item.get("remindedAt"),
        responded_at=item.get("respondedAt"),
        response_id=item.get("responseId"),
        delivery=item["delivery"],
        language=item.get("language"),
        reminded_by=item.get("remindedBy"),
        opt_out_token=item["optOutToken"],
    )


def expiry(survey: Survey, created: datetime) -> str:
    """When an invitation that is made now ends."""
    return clock.rfc3339(created + survey.lifetime)
