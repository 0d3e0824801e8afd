"""Leads in Siebel: looked up as records, made by `SocialMediaService/CreateLeads`.

CreateLeads is documented (Siebel CRM Web Services Reference, "Create Leads"): `Lead IO` and `Mktg Social
Data IO` go in, `Success Flag` (Yes or No) and `Error Message` come out, "Duplicate Lead" for an attempted
duplicate; it checks duplicates itself and makes the contact when there is none. INFERRED: the names within
the two integration objects, and `Lead Id` among what comes out.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from switchboard.connectors.siebel.assignment import Assignment
from switchboard.connectors.siebel.contacts import Contacts
from switchboard.connectors.siebel.rest import Rest, Row, equals
from switchboard.crm import Lead, NewLead
from switchboard.errors import AnswerLost, FieldError, VendorError
from switchboard.settings.siebel import Component, SiebelSettings

_DUPLICATE = "Duplicate Lead"


@dataclass(frozen=True, slots=True)
class Leads:
    """The verbs of leads."""

    rest: Rest
    settings: SiebelSettings
    contacts: Contacts
    assignment: Assignment

    def create(self, lead: NewLead, *, integration_id: str) -> Lead:
        """The port's `create_lead`. Every step of it finds what an earlier attempt has done."""
        row = self._standing(lead, integration_id)
        if row is None:
            contact_id = self._match(lead)
            self._call(lead, integration_id, contact_id)
            row = self._standing(lead, integration_id)
        if row is None:
            raise VendorError("remote-unexpected", "Siebel made the lead, but does not show it.")
        names = self.settings.leads.fields
        contact_id = row.get(names.contact_id) or ""
        self._complete(contact_id, lead)
        owner = row.get(names.owner)
        if not owner and self.assignment.assign(self.settings.assignment.lead_object, row["Id"]):
            owner = (self.rest.get(self.settings.leads, row["Id"]) or row).get(names.owner)
        return Lead(row["Id"], contact_id, owner or None)

    def look_up(self, lead: NewLead, *, integration_id: str) -> tuple[str | None, str | None]:
        """The port's `look_up_lead`."""
        row = self._standing(lead, integration_id)
        if row is None:
            return None, self._match(lead)
        return row["Id"], row.get(self.settings.leads.fields.contact_id)

    def _standing(self, lead: NewLead, integration_id: str) -> Row | None:
        """The lead of this very key; raises `duplicate-lead` for another one of the same person."""
        leads = self.settings.leads
        names = leads.fields
        emails = {email.casefold() for email in (lead.email, lead.email_key) if email is not None}
        specs = [equals(leads, names.key, integration_id)]
        if lead.external_id is not None:
            specs.append(_asked(leads, names.external_id, lead.external_id, "externalId"))
        specs += [_asked(leads, names.email, email, "email") for email in sorted(emails)]
        if lead.phone is not None:
            specs.append(equals(leads, names.phone, lead.phone))
        rows = list(self.rest.find(leads, " OR ".join(specs)))
        for row in rows:
            if row.get(names.key) == integration_id:
                return row
        matches: tuple[tuple[str, Callable[[Row], bool]], ...] = (
            (
                "externalId",
                lambda row: lead.external_id is not None and row.get(names.external_id) == lead.external_id,
            ),
            ("email", lambda row: (row.get(names.email) or "").casefold() in emails),
            ("phone", lambda row: lead.phone is not None and row.get(names.phone) == lead.phone),
        )
        for matched_on, fits in matches:
            for row in rows:
                if fits(row):
                    raise VendorError("duplicate-lead", extra={"leadId": row["Id"], "matchedOn": matched_on})
        return None

    def _match(self, lead: NewLead) -> str | None:
        """The contact; raises VendorError `ambiguous-lead` when it could be one of several."""
        contacts = self.settings.contacts
        names = contacts.fields
        found: set[str] = set()
        emails = {email.casefold() for email in (lead.email, lead.email_key) if email is not None}
        for email in emails:
            spec = _asked(contacts, names.email, email, "email")
            found |= {row["Id"] for row in self.rest.find(contacts, spec)}
        if not found and lead.phone is not None:
            found = {row["Id"] for row in self.rest.find(contacts, equals(contacts, names.phone, lead.phone))}
        authors = self.contacts.carriers_of(lead.profiles)
        candidates = authors & found or authors | found
        if len(candidates) > 1:
            raise VendorError("ambiguous-lead", extra={"candidates": sorted(candidates)})
        return next(iter(candidates), None)

    def _call(self, lead: NewLead, integration_id: str, contact_id: str | None) -> None:
        """CreateLeads. A lost answer and "Duplicate Lead" are settled by who looks for the lead next."""
        try:
            out = self.rest.call(
                self.settings.leads.create, self._arguments(lead, integration_id, contact_id)
            )
        except AnswerLost:
            if self._standing(lead, integration_id) is None:
                raise
            return
        words = str(out.get("Error Message") or "")
        if str(out.get("Success Flag", "")).casefold() in ("yes", "y") or _DUPLICATE in words:
            return
        raise VendorError("remote-refused", f"siebel refused the lead: {words or 'without a word'}")

    def _arguments(self, lead: NewLead, integration_id: str, contact_id: str | None) -> dict[str, Any]:
        names = self.settings.leads.fields
        further = {"form": dict(lead.form), "answers": dict(lead.answers), "consent": dict(lead.consent)}
        comments = {name: held for name, held in further.items() if held}
        fields = {
            names.key: integration_id,
            names.external_id: lead.external_id,
            names.contact_id: contact_id,
            names.first_name: lead.first_name,
            names.last_name: lead.last_name,
            names.email: lead.email,
            names.phone: lead.phone,
            names.company: lead.company,
            names.country: lead.country,
            names.source_code: lead.campaign_source_id,
            names.owner: lead.assigned_to,
            names.comments: json.dumps(comments, ensure_ascii=False) if comments else None,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        arguments: dict[str, Any] = {"Lead IO": _message("Lead IO", "Lead", [given])}
        if lead.profiles:
            posts = [{"Author": each.author_id, "Community": each.community} for each in lead.profiles]
            arguments["Mktg Social Data IO"] = _message("Mktg Social Data IO", "Mktg Social Data", posts)
        return arguments

    def _complete(self, contact_id: str, lead: NewLead) -> None:
        """A temporary contact gets the lead's name and what else it lacks, and the author's profiles."""
        contacts = self.settings.contacts
        names = contacts.fields
        row = self.rest.get(contacts, contact_id)
        if row is None:
            return
        if self.contacts.customer(row).temporary:
            changes: dict[str, str | None] = {
                names.first_name: lead.first_name,
                names.last_name: lead.last_name,
            }
            lacking = {names.email: lead.email, names.phone: lead.phone}
            changes |= {name: value for name, value in lacking.items() if value and not row.get(name)}
            self.rest.update(contacts, contact_id, changes)
        for profile in lead.profiles:
            if contact_id not in self.contacts.carriers(profile.community, profile.author_id):
                self.contacts.add_profile(contact_id, profile)


def _asked(component: Component, name: str, value: str, field: str) -> str:
    """A search for what the caller has sent; what cannot be searched for is the fault of his `field`."""
    try:
        return equals(component, name, value, ignore_case=field == "email")
    except VendorError as error:
        raise VendorError(error.code, fields=(FieldError(f"/{field}", error.detail),)) from None


def _message(name: str, component: str, rows: list[dict[str, str]]) -> dict[str, Any]:
    """An integration object as a service's argument; the shape is that of the guide's examples."""
    return {
        "IntObjectName": name,
        "IntObjectFormat": "Siebel Hierarchical",
        f"ListOf{name}": {component: rows[0] if len(rows) == 1 else rows},
    }
