"""The plain verbs of the built-in CRM: create, get, list, update and delete one record.

Every write is conditional on the record's `rev`, which grows by one with each write and is its ETag.
A delete leaves a tombstone: the ids, `deletedAt`, and no personal data. So the table's stream tells all:

    INSERT                              create, but for `object` = "link", and for records with `movedFrom`:
                                        such a case was linked to its customer (edit), its followups follow
    MODIFY with a new `deletedAt`       delete
    MODIFY                              edit; a new followup changes only its case's activity (`ACTIVITY`)
    REMOVE, `object` "link" or "moved"  nothing
"""

import base64
import binascii
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from switchboard import clock
from switchboard.connectors.builtin_crm.keys import (
    SHARDS,
    CrmObject,
    RecordRef,
    email_pk,
    indexed,
    links,
    new_id,
    phone_pk,
    public,
)
from switchboard.crm import UNLINKED, RecordPage
from switchboard.dynamo import ConditionFailed, Item, Table, TransactionCancelled, Write, transact
from switchboard.errors import FieldError, VendorError

type Record = dict[str, Any]
"""A record under the API's field names, with its ids, `object`, `rev`, `createdAt` and `updatedAt`."""

MAX_PROFILES = 40
"""Social profiles of one customer; they are written with it in one transaction, which holds 100 items."""

ACTIVITY = frozenset({"lastActivityAt", "updatedAt", "rev"})
"""What a new followup changes in its case: by itself not worth a CRM event of the case."""

ABSENT = "attribute_not_exists(pk)"
LIVE = "attribute_exists(rev) AND attribute_not_exists(deletedAt)"
"""The record is there: tombstones carry `deletedAt`, links and moved cases have no `rev`."""

_ATTEMPTS = 10
_KEPT_IN_TOMBSTONE = (
    *("pk", "sk", "object", "accountId", "caseId", "followupId", "taskId"),
    *("createdAt", "rev", "movedFrom"),
)


def tombstone(item: Item, moment: str) -> Item:
    """What stays of a deleted record."""
    return {name: item[name] for name in _KEPT_IN_TOMBSTONE if name in item} | {"deletedAt": moment}


def present(item: Item | None) -> Item:
    """The record; raises VendorError `record-deleted` for a tombstone, `not-found` for nothing (both 404)."""
    if item is not None and "deletedAt" in item:
        raise VendorError("record-deleted")
    if item is None or "rev" not in item:
        raise VendorError("not-found", "The CRM has no such record.")
    return item


@dataclass(frozen=True, slots=True)
class Records:
    """Customers, cases, followups and tasks in one table. All times come from `now`."""

    table: Table
    now: Callable[[], datetime] = clock.now

    def moment(self) -> str:
        """Now, as the records hold it."""
        return clock.rfc3339(self.now())

    def stamped(self, ref: RecordRef, fields: Item) -> Item:
        """A new record's item; fields that are None are left out."""
        pk, sk = ref.key
        moment = self.moment()
        given = {name: value for name, value in fields.items() if value is not None}
        item = given | ref.ids | {"pk": pk, "sk": sk, "object": ref.object}
        return indexed(item | {"createdAt": moment, "updatedAt": moment, "rev": 1})

    def get(self, ref: RecordRef) -> Record:
        """The record; raises VendorError `not-found` or `record-deleted`. One request."""
        return public(present(self.table.get(*ref.key)))

    def create_customer(self, fields: Item, *, key: str | None = None) -> Record:
        """Create a customer; with a `key` that has created one, that one. One request."""
        ref = RecordRef(new_id("customer", key))
        item = self.stamped(ref, {"temporary": False} | fields)
        writes = [Write(self.table, put=link) for link in links(item).values()]
        return self.insert(item, *writes)

    def create_case(self, account_id: str, fields: Item, *, key: str | None = None) -> Record:
        """Open a case of a customer who is there, or of `UNLINKED`; with a `key` that has, that case.

        One request. Raises VendorError `not-found` or `record-deleted` when the customer is gone.
        """
        item = self.stamped(RecordRef(account_id, case_id=new_id("case", key)), {"status": "open"} | fields)
        return self.insert(item | {"lastActivityAt": item["createdAt"]}, *self._customer_is_live(account_id))

    def create_task(self, account_id: str, fields: Item, *, key: str | None = None) -> Record:
        """Create a task, under the same rules as a case."""
        item = self.stamped(RecordRef(account_id, task_id=new_id("task", key)), fields)
        return self.insert(item, *self._customer_is_live(account_id))

    def create_followup(
        self, account_id: str, case_id: str, fields: Item, *, key: str | None = None
    ) -> Record:
        """Add a followup to a case, open or closed; it counts as activity. One request."""
        ref = RecordRef(account_id, case_id, new_id("followup", key))
        item = self.stamped(ref, fields)
        return self.insert(item, self.activity(RecordRef(account_id, case_id), LIVE))

    def activity(self, case: RecordRef, condition: str, values: Item | None = None) -> Write:
        """The write that notes activity on a case, on a condition."""
        return Write(
            self.table,
            key=case.key,
            update="SET lastActivityAt = :moment, updatedAt = :moment ADD rev :one",
            condition=condition,
            names={"#status": "status"} if "#status" in condition else None,
            values={":moment": self.moment(), ":one": 1} | (values or {}),
        )

    def insert(self, item: Item, *others: Write) -> Record:
        """Write a new record together with `others`; when the record is there already, answer that one.

        Raises VendorError `record-deleted` or `not-found` for what a condition of `others` found.
        """
        try:
            if others:
                transact([Write(self.table, put=item, condition=ABSENT), *others])
            else:
                self.table.put(item, condition=ABSENT)
        except ConditionFailed as error:
            return self._standing(error.item)
        except TransactionCancelled as error:
            if 0 in error.failed:
                return self._standing(error.failed[0])
            [found, *_] = error.failed.values()
            present(found)
            raise VendorError("conflict", "Another record stands where this one belongs.") from None
        return public(item)

    def update(self, ref: RecordRef, changes: Item, *, expected_rev: int | None = None) -> Record:
        """Change the named fields; None removes one. Two requests.

        A customer who is given a name is no longer `temporary`, unless `changes` say so. Raises VendorError
        `not-found`, `record-deleted`, or `precondition-failed` when the rev is not `expected_rev`.
        """

        def change(item: Item) -> Item:
            named = ref.object == "customer" and changes.keys() & {"firstName", "lastName"}
            settled: Item = {"temporary": False} if named else {}
            return {name: value for name, value in (item | settled | changes).items() if value is not None}

        return public(self.rewrite(ref, change, expected_rev=expected_rev))

    def delete(self, ref: RecordRef, *, expected_rev: int | None = None) -> None:
        """Leave a tombstone of the record and of all that belongs to it.

        The customer goes first and with him every link, so from then on nothing finds him; a delete that
        was cut short is completed by its repeat, which raises `record-deleted` as any other would.
        """
        try:
            self.rewrite(ref, lambda item: tombstone(item, self.moment()), expected_rev=expected_rev)
        except VendorError as error:
            if error.code == "record-deleted":
                self.delete_parts(ref)
            raise
        self.delete_parts(ref)

    def rewrite(
        self,
        ref: RecordRef,
        change: Callable[[Item], Item],
        *,
        expected_rev: int | None = None,
        found: Item | None = None,
    ) -> Item:
        """Read, `change`, write unless someone else has written; then again with what he wrote.

        `change` gets the item and returns the new one; when it returns an equal one, nothing is written.
        `found` saves the read. Raises as `update` does, and `conflict` when others always come first.
        """
        found = found or self.table.get(*ref.key)
        for _ in range(_ATTEMPTS):
            item = present(found)
            if expected_rev is not None and item["rev"] != expected_rev:
                raise VendorError("precondition-failed")
            changed = change(item)
            if changed == item:
                return item
            changed = indexed(changed | {"updatedAt": self.moment(), "rev": item["rev"] + 1})
            try:
                self._replace(item, changed)
            except ConditionFailed as error:
                found = error.item
            else:
                return changed
        raise VendorError("conflict", "Others keep changing this record.")

    def customers(self, *, q: str | None = None, limit: int = 20, cursor: str | None = None) -> RecordPage:
        """Customers, newest first; `q` is looked for in name, e-mail and company, ignoring case.

        Read from an index: what was written within the last second may be missing. One query for each
        shard and page; `q` reads all customers up to `limit` matches.
        """
        values: Item = {":to": _decoded(cursor, "") if cursor else "~"}
        filter_expression = None
        if q:
            filter_expression = "contains(searchText, :q)"
            values[":q"] = q.casefold()
        shards = [
            self.table.query_all(
                "gsi1pk = :shard AND gsi1sk < :to",
                values | {":shard": f"CUSTOMER#{shard}"},
                index="Lookup",
                forward=False,
                limit=None if q else limit + 1,
                filter_expression=filter_expression,
            )
            for shard in range(SHARDS)
        ]
        merged = heapq.merge(*shards, key=lambda item: item["gsi1sk"], reverse=True)
        return _page(merged, limit, "gsi1sk")

    def changed_between(self, after: str, until: str) -> Iterator[Item]:
        """Keys, `rev` and `updatedAt` of what changed from a moment on up to another (RFC 3339), by the time.

        Tombstones too. Read from the index `Changed`: one query for each shard and page of 1 MB.
        """
        shards = [
            self.table.query_all(
                "changed = :shard AND updatedAt BETWEEN :after AND :until",
                {":shard": str(shard), ":after": after or "0", ":until": until},
                index="Changed",
            )
            for shard in range(SHARDS)
        ]
        return heapq.merge(*shards, key=lambda item: item["updatedAt"])

    def customers_of(self, *, email: str | None = None, phone: str | None = None) -> list[Record]:
        """Customers with this e-mail address, or this phone number in E.164.

        Strongly consistent. One request, and one more for each customer found.
        """
        pk = email_pk(email) if email is not None else phone_pk(phone or "")
        found = self.table.query_all("pk = :pk", {":pk": pk}, consistent=True)
        items = (self.table.get(*RecordRef(link["accountId"]).key) for link in found)
        return [public(item) for item in items if item is not None and "deletedAt" not in item]

    def parts(
        self,
        crm_object: CrmObject,
        account_id: str,
        case_id: str | None = None,
        *,
        limit: int = 20,
        cursor: str | None = None,
    ) -> RecordPage:
        """A customer's cases or tasks, or a case's followups, by id: of fresh ids the oldest first.

        Strongly consistent; one request, unless many are deleted. Raises VendorError `invalid` for a bad
        cursor. Whether the customer is there is not looked at.
        """
        prefix = f"FOLLOWUP#{case_id}#" if crm_object == "followup" else f"{crm_object.upper()}#"
        after = _decoded(cursor, prefix) if cursor else prefix
        items = self.table.query_all(
            "pk = :pk AND sk BETWEEN :from AND :to",
            {":pk": f"CUSTOMER#{account_id}", ":from": after, ":to": f"{prefix}~", ":object": crm_object},
            names={"#object": "object"},
            filter_expression="#object = :object AND attribute_not_exists(deletedAt)",
            limit=limit + 2,
            consistent=True,
        )
        return _page((item for item in items if item["sk"] != after), limit, "sk")

    def _standing(self, item: Item | None) -> Record:
        if item is not None and "movedTo" in item:
            return self.get(RecordRef(item["movedTo"], item["caseId"]))
        return public(present(item))

    def _customer_is_live(self, account_id: str) -> list[Write]:
        if account_id == UNLINKED:
            return []
        return [Write(self.table, key=RecordRef(account_id).key, condition=LIVE)]

    def replacing(self, item: Item, changed: Item) -> list[Write]:
        """The writes that put `changed` in the place of `item`; the first has the guard, then its links."""
        if len(changed.get("profiles", ())) > MAX_PROFILES:
            raise VendorError("invalid", f"A customer carries at most {MAX_PROFILES} social profiles.")
        before, after = (links(held) if item["object"] == "customer" else {} for held in (item, changed))
        return [
            Write(self.table, put=changed, condition="rev = :rev", values={":rev": item["rev"]}),
            *(Write(self.table, key=key, delete=True) for key in before.keys() - after.keys()),
            *(Write(self.table, put=link) for key, link in after.items() if before.get(key) != link),
        ]

    def _replace(self, item: Item, changed: Item) -> None:
        writes = self.replacing(item, changed)
        if len(writes) == 1:
            self.table.put(changed, condition=writes[0].condition, values=writes[0].values)
            return
        try:
            transact(writes)
        except TransactionCancelled as error:
            raise ConditionFailed(error.failed.get(0)) from None

    def delete_parts(self, ref: RecordRef) -> None:
        """Leave a tombstone of all that belongs to a record."""
        prefixes = {"customer": ("CASE#", "FOLLOWUP#", "TASK#"), "case": (f"FOLLOWUP#{ref.case_id}#",)}
        for prefix in prefixes.get(ref.object, ()):
            for item in self.table.query_all(
                "pk = :pk AND begins_with(sk, :prefix)",
                {":pk": ref.key[0], ":prefix": prefix},
                filter_expression=LIVE,
                consistent=True,
            ):
                self._delete_part(item)
        if ref.object == "customer":
            for lead in self.table.query_all(
                "pk = :pk AND begins_with(sk, :leads)",
                {":pk": ref.key[0], ":leads": "LEAD#"},
                consistent=True,
            ):
                self._delete_lead(lead)
            responses = "pk = :pk AND begins_with(sk, :prefix)"
            for item in self.table.query_all(responses, {":pk": ref.key[0], ":prefix": "SURVEYRESPONSE#"}):
                self.table.delete(item["pk"], item["sk"])

    def _delete_lead(self, lead: Item) -> None:
        # With its slots, so that the same person may become a lead again.
        slots = [Write(self.table, key=(pk, "LEAD"), delete=True) for pk in lead["slots"]]
        transact([Write(self.table, key=(lead["pk"], lead["sk"]), delete=True), *slots])

    def _delete_part(self, item: Item) -> None:
        try:
            self.rewrite(RecordRef.of(item), lambda part: tombstone(part, self.moment()), found=item)
        except VendorError as error:
            if error.code not in ("record-deleted", "not-found"):
                raise


def _page(items: Iterator[Item], limit: int, position: str) -> RecordPage:
    found = list(islice(items, limit + 1))
    more = len(found) > limit
    found = found[:limit]
    return RecordPage(
        [public(item) for item in found],
        base64.urlsafe_b64encode(found[-1][position].encode()).decode() if more else None,
    )


def _decoded(cursor: str, prefix: str) -> str:
    try:
        position = base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, UnicodeError):
        position = ""
    if not position or not position.startswith(prefix) or len(position) > 200:
        raise VendorError("invalid", fields=(FieldError("/cursor", "is not a cursor of this list"),))
    return position
