"""Where the built-in CRM keeps what: one table, strongly consistent reads by key.

    pk                    sk                            item
    CUSTOMER#<accountId>  CUSTOMER                      the customer
    CUSTOMER#<accountId>  CASE#<caseId>                 a case; `object` = "moved" where it stood before it
                                                        was linked to its customer (`movedTo`)
    CUSTOMER#<accountId>  FOLLOWUP#<caseId>#<followupId>
    CUSTOMER#<accountId>  TASK#<taskId>
    CUSTOMER#<accountId>  LEAD#<leadId>                 a lead; `object` = "lead"
    LEAD#<kind>#<digest>  LEAD                          slot: the one lead of an external id, e-mail or phone;
                                                        `object` = "link"
    CAMPAIGNS             <campaignId>                  a campaign; `object` = "campaign"
    MEMBER#<number>       MEMBER                        a loyalty member (`members`), indexed by `Changed` too
    PROFILE#<digest>      CREATED | CUSTOMER#<id>       link: a social profile to its customer
    EMAIL#<digest>        CUSTOMER#<id>                 link: an e-mail address, ignoring case
    PHONE#<digest>        CUSTOMER#<id>                 link: a phone number, ignoring its punctuation

A link carries the customer's name, so that a look-up is one query and nothing else. It is always written
in the transaction that writes the customer, from the customer's own fields, so it cannot go stale.
The value looked up stands in the key as a digest: no separator in it can make two values one, its length
does not matter, and no personal data gets into keys, logs and metrics.

`CREATED` is the slot of the customer that a post made: there is one for each profile, so of two posts at
once one makes the customer. Links that people add stand beside it.

The index `Lookup` lists customers, newest first: gsi1pk = `CUSTOMER#<shard>`, gsi1sk = `<createdAt>#<id>`.
The index `Changed` lists records and tombstones by their latest change: changed = `<shard>`, updatedAt.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from switchboard import ids
from switchboard.dynamo import Item

type CrmObject = Literal["customer", "case", "followup", "task"]
type Key = tuple[str, str]

SHARDS = 4
"""Partitions of `Lookup`, so that a burst of new customers heats no single one."""

MEMBER = "MEMBER"
"""The sort key of a loyalty member's record."""

_INTERNAL = frozenset({"pk", "sk", "gsi1pk", "gsi1sk", "searchText", "syncedRev", "changed"})
_SEARCHED = ("firstName", "lastName", "email", "company")
_PREFIXES: Mapping[CrmObject, str] = {"customer": "cus", "case": "cas", "followup": "fol", "task": "tsk"}


@dataclass(frozen=True, slots=True)
class RecordRef:
    """The ids that name one record; which of them are given says what it is."""

    account_id: str
    case_id: str | None = None
    followup_id: str | None = None
    task_id: str | None = None

    @property
    def object(self) -> CrmObject:
        """What the record is."""
        if self.task_id is not None:
            return "task"
        if self.followup_id is not None:
            return "followup"
        return "customer" if self.case_id is None else "case"

    @property
    def key(self) -> Key:
        """pk and sk."""
        match self.object:
            case "customer":
                sk = "CUSTOMER"
            case "case":
                sk = f"CASE#{self.case_id}"
            case "followup":
                sk = f"FOLLOWUP#{self.case_id}#{self.followup_id}"
            case "task":
                sk = f"TASK#{self.task_id}"
        return f"CUSTOMER#{self.account_id}", sk

    @property
    def ids(self) -> dict[str, str]:
        """The ids under their API names."""
        named = {
            "accountId": self.account_id,
            "caseId": self.case_id,
            "followupId": self.followup_id,
            "taskId": self.task_id,
        }
        return {name: value for name, value in named.items() if value is not None}

    @staticmethod
    def of(item: Mapping[str, Any]) -> "RecordRef":
        """The ref of a stored record, or of a CRM event's ids."""
        return RecordRef(item["accountId"], item.get("caseId"), item.get("followupId"), item.get("taskId"))


def new_id(crm_object: CrmObject, key: str | None) -> str:
    """The id of a record to create: always the same for one `key`, a fresh one without."""
    prefix = _PREFIXES[crm_object]
    return ids.fresh(prefix) if key is None else ids.derived(prefix, key)


def profile_pk(community: str, author_id: str) -> str:
    """The partition of a social profile; the community's case is ignored, the author's id is exact."""
    return f"PROFILE#{ids.derived('prf', community.casefold(), author_id)}"


def email_pk(email: str) -> str:
    """The partition of an e-mail address."""
    return f"EMAIL#{ids.derived('eml', email.strip().casefold())}"


def phone_pk(phone: str) -> str:
    """The partition of a phone number. The caller brings numbers into E.164; only punctuation is dropped."""
    return f"PHONE#{ids.derived('phn', ''.join(sign for sign in phone if sign.isdigit() or sign == '+'))}"


def lead_pk(kind: str, value: str) -> str:
    """The partition of the one lead that may have this external id, e-mail address or phone number."""
    return f"LEAD#{kind.upper()}#{ids.derived('led', value)}"


def links(customer: Item | None) -> dict[Key, Item]:
    """Every link item that this customer must have; none for a deleted customer."""
    if customer is None or "deletedAt" in customer:
        return {}
    account_id = customer["accountId"]
    sk = f"CUSTOMER#{account_id}"
    shown = {
        "object": "link",
        "accountId": account_id,
        "firstName": customer.get("firstName"),
        "lastName": customer["lastName"],
        "temporary": customer.get("temporary", False),
    }
    found: dict[Key, Item] = {}
    for profile in customer.get("profiles", ()):
        slot = "CREATED" if profile.get("origin") == "created" else sk
        found[profile_pk(profile["community"], profile["authorId"]), slot] = shown
    if customer.get("email"):
        found[email_pk(customer["email"]), sk] = shown
    if customer.get("phone"):
        found[phone_pk(customer["phone"]), sk] = shown
    return {key: item | {"pk": key[0], "sk": key[1]} for key, item in found.items()}


def shard_of(name: str) -> str:
    """Which of an index's partitions the record of an account, or a member number, is in."""
    return str(zlib.crc32(name.encode()) % SHARDS)


def indexed(item: Item) -> Item:
    """The item with the attributes that its indexes need, made from its own fields."""
    bare = {name: value for name, value in item.items() if name not in ("gsi1pk", "gsi1sk", "searchText")}
    shard = shard_of(item["accountId"])
    bare["changed"] = shard
    if item["object"] != "customer" or "deletedAt" in item:
        return bare
    return bare | {
        "gsi1pk": f"CUSTOMER#{shard}",
        "gsi1sk": f"{item['createdAt']}#{item['accountId']}",
        "searchText": " ".join(str(item[name]) for name in _SEARCHED if item.get(name)).casefold(),
    }


def public(item: Item) -> Item:
    """The record as the API shows it: without keys and index attributes."""
    return {name: value for name, value in item.items() if name not in _INTERNAL}
