"""Leads of the built-in CRM: the duplicate check, the customer, and both in one transaction.

A lead takes a slot for each of its external id, e-mail address and phone number; the slot's key is the
value's digest, and it is written only where none stands. So of a hundred leads of one person at once, one is
written, and the others meet its slot.
"""

import json
from collections.abc import Iterator
from typing import Any

from switchboard import ids
from switchboard.connectors.builtin_crm.keys import (
    RecordRef,
    email_pk,
    indexed,
    lead_pk,
    links,
    new_id,
    phone_pk,
    profile_pk,
)
from switchboard.connectors.builtin_crm.records import ABSENT, LIVE, Records
from switchboard.crm import Lead, NewLead, SocialProfile
from switchboard.dynamo import Item, TransactionCancelled, Write, transact
from switchboard.errors import VendorError

_ATTEMPTS = 10


def create(records: Records, lead: NewLead, *, key: str) -> Lead:
    """The port's `create_lead`. Raises VendorError `conflict` when others always come first."""
    lead_id = ids.derived("lea", key)
    for _ in range(_ATTEMPTS):
        own = _standing(records, lead, lead_id)
        if own is not None:
            return own
        account_id, customer = _customer_writes(records, lead, key)
        try:
            transact([*_lead_writes(records, lead, lead_id, account_id), *customer])
        except TransactionCancelled:
            # Another lead, or a change of the customer, came first: look again.
            continue
        return Lead(lead_id, account_id, lead.assigned_to)
    raise VendorError("conflict", "Others keep changing this customer.")


def look_up(records: Records, lead: NewLead, *, key: str) -> tuple[str | None, str | None]:
    """The port's `look_up_lead`."""
    own = _standing(records, lead, ids.derived("lea", key))
    return (own.lead_id, own.customer_id) if own else (None, _match(records, lead))


def _identities(lead: NewLead) -> Iterator[tuple[str, str]]:
    """What makes a lead the same as another one, in the order in which it is asked."""
    known = {"externalId": lead.external_id, "email": lead.email_key or lead.email, "phone": lead.phone}
    for kind, value in known.items():
        if value is not None:
            yield kind, value.casefold() if kind == "email" else value


def _standing(records: Records, lead: NewLead, lead_id: str) -> Lead | None:
    """The lead that this very key has created; raises VendorError `duplicate-lead` for somebody else's."""
    for kind, value in _identities(lead):
        slot = records.table.get(lead_pk(kind, value), "LEAD")
        if slot is None:
            continue
        if slot["leadId"] != lead_id:
            raise VendorError("duplicate-lead", extra={"leadId": slot["leadId"], "matchedOn": kind})
        return Lead(lead_id, slot["accountId"], slot.get("assignedTo"))
    return None


def _lead_writes(records: Records, lead: NewLead, lead_id: str, account_id: str) -> Iterator[Write]:
    moment = records.moment()
    slots = [lead_pk(kind, value) for kind, value in _identities(lead)]
    fields: Item = {
        "firstName": lead.first_name,
        "lastName": lead.last_name,
        "email": lead.email,
        "phone": lead.phone,
        "company": lead.company,
        "country": lead.country,
        "externalId": lead.external_id,
        "campaignSourceId": lead.campaign_source_id,
        "assignedTo": lead.assigned_to,
        "form": dict(lead.form) or None,
        # As text: JSON has numbers that DynamoDB has not.
        "answers": json.dumps(dict(lead.answers)) if lead.answers else None,
        "consent": json.dumps(dict(lead.consent)) if lead.consent else None,
    }
    item = {name: value for name, value in fields.items() if value is not None} | {
        "pk": RecordRef(account_id).key[0],
        "sk": f"LEAD#{lead_id}",
        "object": "lead",
        "leadId": lead_id,
        "accountId": account_id,
        "slots": slots,
        "createdAt": moment,
        "updatedAt": moment,
        "rev": 1,
    }
    yield Write(records.table, put=item, condition=ABSENT)
    word: Item = {"object": "link", "leadId": lead_id, "accountId": account_id}
    if lead.assigned_to is not None:
        word["assignedTo"] = lead.assigned_to
    for pk in slots:
        yield Write(records.table, put=word | {"pk": pk, "sk": "LEAD"}, condition=ABSENT)


def _customer_writes(records: Records, lead: NewLead, key: str) -> tuple[str, list[Write]]:
    """Whose lead it is, and what is written of that customer."""
    account_id = _match(records, lead)
    if account_id is None:
        return _new_customer(records, lead, key)
    ref = RecordRef(account_id)
    item = records.table.get(*ref.key)
    if item is None or "rev" not in item or "deletedAt" in item:
        raise VendorError("conflict", "The customer was deleted meanwhile.")
    changed = item | _completion(item, lead) | _with_profiles(item, lead.profiles)
    changed = {name: value for name, value in changed.items() if value is not None}
    if changed == item:
        return account_id, [Write(records.table, key=ref.key, condition=LIVE)]
    changed = indexed(changed | {"updatedAt": records.moment(), "rev": item["rev"] + 1})
    return account_id, [_guarded(write, item) for write in records.replacing(item, changed)]


def _new_customer(records: Records, lead: NewLead, key: str) -> tuple[str, list[Write]]:
    ref = RecordRef(new_id("customer", key))
    fields = _contact(lead) | {"temporary": False} | _with_profiles({}, lead.profiles)
    item = records.stamped(ref, fields)
    written = [Write(records.table, put=item, condition=ABSENT)]
    return ref.account_id, written + [
        _guarded(Write(records.table, put=link), {}) for link in links(item).values()
    ]


def _guarded(write: Write, customer: Item) -> Write:
    """A profile's new slot is taken only when it is free: a post of the author may be making a customer."""
    link = write.put
    if link is None or link["sk"] != "CREATED":
        return write
    taken = (link["pk"], "CREATED") in links(customer or None)
    return write if taken else Write(write.table, put=link, condition=ABSENT)


def _match(records: Records, lead: NewLead) -> str | None:
    """The customer; raises VendorError `ambiguous-lead` when it could be one of several."""
    authors = {
        link["accountId"]
        for profile in lead.profiles
        for link in _carriers(records, profile_pk(profile.community, profile.author_id))
    }
    emails = {email for email in (lead.email, lead.email_key) if email is not None}
    contacts = {link["accountId"] for email in emails for link in _carriers(records, email_pk(email))}
    if not contacts and lead.phone is not None:
        contacts = {link["accountId"] for link in _carriers(records, phone_pk(lead.phone))}
    candidates = authors & contacts or authors | contacts
    if len(candidates) > 1:
        raise VendorError("ambiguous-lead", extra={"candidates": sorted(candidates)})
    return next(iter(candidates), None)


def _carriers(records: Records, pk: str) -> Iterator[Item]:
    return records.table.query_all("pk = :pk", {":pk": pk}, consistent=True)


def _contact(lead: NewLead) -> Item:
    fields: dict[str, Any] = {
        "firstName": lead.first_name,
        "lastName": lead.last_name,
        "email": lead.email,
        "phone": lead.phone,
        "company": lead.company,
        "country": lead.country,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _completion(item: Item, lead: NewLead) -> Item:
    """A temporary customer gets the lead's name and what else it lacks; a settled one stays as it is."""
    if not item.get("temporary"):
        return {}
    # None takes the user name away that stood for the first name.
    named = {"firstName": lead.first_name, "lastName": lead.last_name, "temporary": False}
    return {name: value for name, value in _contact(lead).items() if name not in item} | named


def _with_profiles(item: Item, profiles: tuple[SocialProfile, ...]) -> Item:
    """The customer's profiles with those of the lead's posts that it lacks."""
    held = list(item.get("profiles", ()))
    known = {(each["community"].casefold(), each["authorId"]) for each in held}
    for profile in profiles:
        name = (profile.community.casefold(), profile.author_id)
        if name not in known:
            known.add(name)
            held.append(
                {
                    "community": profile.community,
                    "authorId": profile.author_id,
                    "authorName": profile.author_name,
                    "origin": "created",
                }
                | ({} if profile.handle is None else {"handle": profile.handle})
            )
    return {"profiles": held} if held else {}
