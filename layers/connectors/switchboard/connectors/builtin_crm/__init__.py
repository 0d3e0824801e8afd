"""The built-in CRM: `CrmConnector` in one DynamoDB table, so that the bundle runs with no CRM at all.

`keys` says what the table holds, `records` has the plain verbs, `members` those of the loyalty members, this
module the ones of the port.
Requests in the usual case: find 1, create 1, open 1, append 1; everything else is told at its verb.

An id is derived from the caller's `key`, so a repeated write meets its own first one and is answered with
it. For cases that holds within one customer: whoever opens a case writes down for whom before he does.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from switchboard import clock
from switchboard.connectors.builtin_crm import campaigns, leads, search, surveys
from switchboard.connectors.builtin_crm.keys import RecordRef, links, new_id, profile_pk
from switchboard.connectors.builtin_crm.members import Members
from switchboard.connectors.builtin_crm.records import ABSENT, LIVE, Record, Records, present
from switchboard.crm import (
    UNLINKED,
    Campaign,
    CampaignFilter,
    CampaignPage,
    Case,
    Customer,
    CustomerFilter,
    CustomerMatch,
    Lead,
    MemberPush,
    MemberSync,
    NewCase,
    NewLead,
    RecordPage,
    SocialProfile,
    SurveyResponse,
)
from switchboard.dynamo import Item, Table, TransactionCancelled, Write, transact
from switchboard.errors import VendorError

__all__ = ["BuiltinCrm", "Record", "RecordPage", "RecordRef", "Records"]

_ATTEMPTS = 10
_OPEN_AND_ACTIVE = f"{LIVE} AND #status = :open AND lastActivityAt >= :since"


class BuiltinCrm:
    """The CRM port over one table.

    Args:
        table: the table, with the index `Lookup`.
        now: the clock; aware datetimes.
    """

    def __init__(self, table: Table, *, now: Callable[[], datetime] = clock.now) -> None:
        self.records = Records(table, now)
        self.members = Members(table, now)
        self._table = table
        self._now = now

    def get_record(
        self,
        account_id: str,
        *,
        case_id: str | None = None,
        followup_id: str | None = None,
        task_id: str | None = None,
    ) -> Record:
        """One request."""
        return self.records.get(RecordRef(account_id, case_id, followup_id, task_id))

    def find_customers(self, wanted: CustomerFilter, *, limit: int, cursor: str | None) -> RecordPage:
        """See `search.customers`: one request and one for each customer found, or those of a list."""
        return search.customers(self.records, wanted, limit=limit, cursor=cursor)

    def list_records(
        self,
        crm_object: Literal["case", "followup", "task"],
        account_id: str,
        case_id: str | None = None,
        *,
        limit: int,
        cursor: str | None,
    ) -> RecordPage:
        """By id: of fresh ids the oldest first. Two requests."""
        self.records.get(RecordRef(account_id, case_id))
        return self.records.parts(crm_object, account_id, case_id, limit=limit, cursor=cursor)

    def find_customers_by_profile(self, community: str, author_id: str, *, key: str) -> CustomerMatch:
        """One request: the links carry the names (see `keys`)."""
        own = new_id("customer", key)
        carriers = self._table.query_all(
            "pk = :pk", {":pk": profile_pk(community, author_id)}, consistent=True
        )
        return CustomerMatch(tuple(_customer(link, created=link["accountId"] == own) for link in carriers))

    def create_customer_from_profile(self, profile: SocialProfile, *, key: str) -> Customer:
        """One request. Raises VendorError `record-deleted` when this key's customer was deleted since."""
        fields = {
            "firstName": profile.author_name,
            "lastName": profile.author_name,
            "temporary": True,
            "profiles": [_profile(profile, "created")],
        }
        account_id = new_id("customer", key)
        item = self.records.stamped(RecordRef(account_id), fields)
        [slot] = links(item).values()
        try:
            transact(
                [
                    Write(self._table, put=item, condition=ABSENT),
                    Write(self._table, put=slot, condition=ABSENT),
                ]
            )
        except TransactionCancelled as error:
            if 0 in error.failed:
                return _customer(present(error.failed[0]), created=True)
            winner = error.failed[1]
            if winner is None:
                raise VendorError("conflict", "The profile was taken and set free again.") from None
            return _customer(winner)
        return _customer(item, created=True)

    def rename_temporary_customer(self, customer_id: str, profile: SocialProfile) -> Customer:
        """Two requests, one when there is nothing to change."""

        def rename(item: Item) -> Item:
            if not item.get("temporary"):
                return item
            same = (profile.community.casefold(), profile.author_id)
            carried = item.get("profiles", ())
            own = [held for held in carried if (held["community"].casefold(), held["authorId"]) == same]
            if any(held.get("asOf", "") > profile.as_of for held in own):
                return item
            present_name: Item = {"authorName": profile.author_name, "asOf": profile.as_of}
            if profile.handle is not None:
                present_name["handle"] = profile.handle
            profiles = [held | present_name if held in own else held for held in carried]
            name = profile.author_name
            return item | {"firstName": name, "lastName": name, "profiles": profiles}

        return _customer(self.records.rewrite(RecordRef(customer_id), rename))

    def link_profile(self, customer_id: str, profile: SocialProfile) -> Customer:
        """Add a social profile to a customer, as a person does; others who carry it keep it. Two requests."""

        def add(item: Item) -> Item:
            held = item.get("profiles", [])
            same = (profile.community.casefold(), profile.author_id)
            if any((each["community"].casefold(), each["authorId"]) == same for each in held):
                return item
            return item | {"profiles": [*held, _profile(profile, "linked")]}

        return _customer(self.records.rewrite(RecordRef(customer_id), add))

    def find_open_case(
        self, customer_id: str, conversation: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """The one with the latest activity. Reads all cases of the customer, one request for each MiB."""
        items = self._table.query_all(
            "pk = :pk AND begins_with(sk, :cases)",
            {
                ":pk": RecordRef(customer_id).key[0],
                ":cases": "CASE#",
                ":conversation": conversation,
                **self._open_since(active_within),
            },
            names={"#status": "status"},
            filter_expression=f"{_OPEN_AND_ACTIVE} AND conversation = :conversation",
            consistent=True,
        )
        found = max(
            items,
            key=lambda item: (item.get("openedBy") == key, item["lastActivityAt"], item["caseId"]),
            default=None,
        )
        return _case(found, created=found.get("openedBy") == key) if found else None

    def open_case(self, customer_id: str, case: NewCase, *, key: str) -> Case:
        """One request, which also makes sure that the customer has not been deleted meanwhile.

        Raises VendorError `record-deleted` or `not-found` when he has, or the case itself.
        """
        fields = {
            "subject": case.subject,
            "description": case.description,
            "channel": case.channel,
            "conversation": case.conversation,
            "assignedTo": case.assigned_to,
            "priority": case.priority,
            "candidates": list(case.candidates) or None,
            "openedBy": key,
        }
        return _case(self.records.create_case(customer_id, fields, key=key), created=True)

    def append_to_case(
        self, customer_id: str, case_id: str, body: str, *, key: str, active_within: timedelta
    ) -> Case | None:
        """One request, also for None and for a repeat; one more when the case has moved to its customer.

        A write answers no fields, so `assigned_to` is None unless this is a repeat: the caller has it from
        the case's opening.
        Raises VendorError `record-deleted` for a repeat on a case that was deleted since.
        """
        case = RecordRef(customer_id, case_id)
        followup = RecordRef(customer_id, case_id, new_id("followup", key))
        item = self.records.stamped(followup, {"body": body, "addedBy": key})
        activity = self.records.activity(case, _OPEN_AND_ACTIVE, self._open_since(active_within))
        try:
            transact([Write(self._table, put=item, condition=ABSENT), activity])
        except TransactionCancelled as error:
            standing = error.failed.get(1)
            if standing and "movedTo" in standing:
                return self.append_to_case(
                    standing["movedTo"], case_id, body, key=key, active_within=active_within
                )
            if 0 not in error.failed:
                return None
            return _case(present(standing or self._table.get(*case.key)))
        return _case({"accountId": customer_id, "caseId": case_id, "status": "open"})

    def note_on_case(self, customer_id: str, case_id: str, body: str, *, key: str) -> None:
        """One request; two more when the case has moved to its customer."""
        case = RecordRef(customer_id, case_id)
        try:
            self.records.create_followup(customer_id, case_id, {"body": body, "addedBy": key}, key=key)
        except VendorError:
            standing = self._table.get(*case.key)
            if standing is None or "movedTo" not in standing:
                raise
            self.note_on_case(standing["movedTo"], case_id, body, key=key)

    def create_lead(self, lead: NewLead, *, key: str) -> Lead:
        """See `leads.create`: at most seven requests, unless others come in between."""
        return leads.create(self.records, lead, key=key)

    def look_up_lead(self, lead: NewLead, *, key: str) -> tuple[str | None, str | None]:
        """At most seven requests."""
        return leads.look_up(self.records, lead, key=key)

    def create_campaign(self, campaign: Campaign, *, key: str) -> Campaign:
        """One request."""
        return campaigns.create(self._table, campaign, key=key)

    def find_campaigns(self, wanted: CampaignFilter, *, limit: int, cursor: str | None) -> CampaignPage:
        """By id. Reads all campaigns up to `limit` that fit, one request for each MiB."""
        return campaigns.find(self._table, wanted, limit=limit, cursor=cursor)

    def get_campaign(self, campaign_id: str) -> Campaign:
        """One request."""
        return campaigns.get(self._table, campaign_id)

    def link_case(self, case_id: str, customer_id: str) -> Case:
        """Four requests, one more for each followup; a repeat completes what was cut short.

        The case moves first and in one transaction, leaving word of where it went, which an append follows;
        then its followups, one by one. Raises VendorError `not-found`, `record-deleted` (also for the
        customer), or `conflict` when the case was linked to another customer.
        """
        moved = RecordRef(customer_id, case_id)
        self._move_case(case_id, moved)
        pk = RecordRef(UNLINKED).key[0]
        for item in self._table.query_all(
            "pk = :pk AND begins_with(sk, :followups)",
            {":pk": pk, ":followups": f"FOLLOWUP#{case_id}#"},
            consistent=True,
        ):
            self._move_followup(item, moved)
        return _case(self.records.get(moved))

    def write_member_sync(
        self, member_number: str, sync: MemberSync, *, profile: Mapping[str, Any] | None
    ) -> None:
        """One request, two where the data here is newer; a member that is not there is made."""
        self.members.write_sync(member_number, sync, profile)

    def write_member_push(self, member_number: str, push: MemberPush) -> None:
        """Two requests, one when there is nothing to change; a member that is not there is made."""
        self.members.write_push(member_number, push)

    def get_member(self, member_number: str) -> Mapping[str, Any] | None:
        """One request."""
        return self.members.get(member_number)

    def find_customers_by_email(self, email: str) -> tuple[str, ...]:
        """One request."""
        return surveys.customers_by_email(self._table, email)

    def note_survey_invitation(self, customer_id: str, survey_id: str, url: str, *, reminders: int) -> None:
        """Two requests, one when it stands there already; a customer who changes is a CRM event."""
        surveys.note_invitation(self.records, customer_id, survey_id, url, reminders)

    def upsert_survey_response(self, customer_id: str, response: SurveyResponse) -> None:
        """One request, which also makes sure that the customer has not been deleted."""
        surveys.upsert_response(self._table, customer_id, response)

    def survey_responses(self, customer_id: str) -> list[SurveyResponse]:
        """One request for each MiB."""
        return surveys.responses_of(self._table, customer_id)

    def _move_case(self, case_id: str, moved: RecordRef) -> None:
        unlinked = RecordRef(UNLINKED, case_id)
        for _ in range(_ATTEMPTS):
            item = self._table.get(*unlinked.key)
            if item is not None and "movedTo" in item:
                if item["movedTo"] != moved.account_id:
                    raise VendorError("conflict", "The case was linked to another customer.")
                return
            rev = present(item)["rev"]
            word = {"object": "moved", "caseId": case_id, "movedTo": moved.account_id}
            pk, sk = unlinked.key
            try:
                transact(
                    [
                        Write(self._table, put=self._moved(present(item), moved), condition=ABSENT),
                        Write(
                            self._table,
                            put=word | {"pk": pk, "sk": sk, "movedAt": self.records.moment()},
                            condition="rev = :rev",
                            values={":rev": rev},
                        ),
                        Write(self._table, key=RecordRef(moved.account_id).key, condition=LIVE),
                    ]
                )
            except TransactionCancelled as error:
                if 2 in error.failed:
                    present(error.failed[2])
                continue
            return
        raise VendorError("conflict", "Others keep changing this case.")

    def _move_followup(self, item: Item, case: RecordRef) -> None:
        old = (item["pk"], item["sk"])
        moved = RecordRef(case.account_id, case.case_id, item["followupId"])
        try:
            transact(
                [
                    Write(self._table, put=self._moved(item, moved), condition=ABSENT),
                    Write(self._table, key=old, delete=True),
                    Write(self._table, key=case.key, condition=LIVE),
                ]
            )
        except TransactionCancelled:
            self._table.delete(*old)  # it is there already, or its case has been deleted meanwhile

    def _moved(self, item: Item, ref: RecordRef) -> Item:
        pk, sk = ref.key
        place = ref.ids | {"pk": pk, "sk": sk, "movedFrom": UNLINKED}
        return item | place | {"updatedAt": self.records.moment(), "rev": item["rev"] + 1}

    def _open_since(self, active_within: timedelta) -> Item:
        return {":open": "open", ":since": clock.rfc3339(self._now() - active_within)}


def _profile(profile: SocialProfile, origin: str) -> Item:
    held = {
        "community": profile.community,
        "authorId": profile.author_id,
        "authorName": profile.author_name,
        "asOf": profile.as_of,
        "origin": origin,
    }
    return held if profile.handle is None else held | {"handle": profile.handle}


def _customer(item: Item, *, created: bool = False) -> Customer:
    """A customer out of its record, or out of a link to it."""
    return Customer(
        customer_id=item["accountId"],
        first_name=item.get("firstName"),
        last_name=item["lastName"],
        temporary=item.get("temporary", False),
        created=created,
    )


def _case(item: Item, *, created: bool = False) -> Case:
    return Case(
        customer_id=item["accountId"],
        case_id=item["caseId"],
        status=item["status"],
        assigned_to=item.get("assignedTo"),
        created=created,
    )
