"""Contacts, with the social profiles that name them: the CRM's customers.

Two posts of one unknown author at once may make one contact only, and Siebel knows no unique social
profile. So a slot in the State table says which Integration Id the contact of a profile has; whoever comes
second inserts that same one, and so meets it.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from switchboard import ids
from switchboard.connectors.siebel.rest import (
    BAD_REFERENCE,
    PREFIX,
    AlreadyThere,
    Rest,
    Row,
    equals,
    plain,
)
from switchboard.connectors.siebel.slots import Slots
from switchboard.crm import UNLINKED, Customer, CustomerMatch, SocialProfile
from switchboard.errors import VendorError
from switchboard.settings.siebel import SiebelSettings


@dataclass(frozen=True, slots=True)
class Contacts:
    """The verbs of contacts, and what the connector's other parts ask of them."""

    rest: Rest
    settings: SiebelSettings
    slots: Slots

    def find_by_profile(self, community: str, author_id: str, *, key: str) -> CustomerMatch:
        """One request for the profiles, and one more for each contact that carries it."""
        own = ids.derived(PREFIX, "customer", key)
        contacts = filter(None, map(self.get, self.carriers(community, author_id)))
        names = self.settings.contacts.fields
        return CustomerMatch(tuple(self.customer(row, created=row.get(names.key) == own) for row in contacts))

    def create_from_profile(self, profile: SocialProfile, *, key: str) -> Customer:
        """Two requests: the contact, then its profile. A repeat finds what was there already."""
        mine = ids.derived(PREFIX, "customer", key)
        while True:
            slot = self.slots.take(profile.community, profile.author_id, mine)
            if slot.row_id is None:
                row = self._ensure(profile, slot.owner)
                self.slots.settle(profile.community, profile.author_id, slot.owner, row["Id"])
                return self.customer(row, created=slot.owner == mine)
            known = self.get(slot.row_id)
            if known is not None:
                return self.customer(known, created=slot.owner == mine)
            if slot.owner == mine:
                raise VendorError("record-deleted")
            self.slots.release(profile.community, profile.author_id, slot.owner)

    def rename_temporary(self, customer_id: str, profile: SocialProfile) -> Customer:
        """Two requests, one when there is nothing to change."""
        row = self.get(customer_id)
        if row is None:
            raise VendorError("record-deleted")
        customer = self.customer(row)
        name = profile.author_name
        if not customer.temporary or customer.last_name == name:
            return customer
        names = self.settings.contacts.fields
        self.rest.update(self.settings.contacts, customer_id, {names.first_name: name, names.last_name: name})
        return Customer(customer_id, name, name, temporary=True)

    def carriers_of(self, profiles: Iterable[SocialProfile]) -> set[str]:
        """Row ids of the contacts that carry one of these profiles; one request for each profile."""
        return {row_id for each in profiles for row_id in self.carriers(each.community, each.author_id)}

    def carriers(self, community: str, author_id: str) -> list[str]:
        """Row ids of the contacts that carry a profile; one request."""
        profiles = self.settings.profiles
        names = profiles.fields
        author, place = plain(author_id), _community(community)
        spec = (
            f"{equals(profiles, names.author, author)} AND "
            f"{equals(profiles, names.community, place, ignore_case=True)}"
        )
        # Compared once more: how a search compares is this Siebel's affair.
        found = (
            row[names.contact_id]
            for row in self.rest.find(profiles, spec)
            if row.get(names.author) == author and row.get(names.community, "").casefold() == place
        )
        return list(dict.fromkeys(found))

    def get(self, row_id: str) -> Row | None:
        """A contact as Siebel has it; one request."""
        return self.rest.get(self.settings.contacts, row_id)

    def _ensure(self, profile: SocialProfile, integration_id: str) -> Row:
        contacts = self.settings.contacts
        names = contacts.fields
        fields = {
            names.key: integration_id,
            names.first_name: profile.author_name,
            names.last_name: profile.author_name,
        }
        try:
            row: Row = fields | {"Id": self.rest.insert(contacts, fields)}
        except AlreadyThere:
            row = self._by_key(contacts.fields.key, integration_id)
        self.add_profile(row["Id"], profile)
        return row

    def _by_key(self, field: str, integration_id: str) -> Row:
        contacts = self.settings.contacts
        for row in self.rest.find(contacts, equals(contacts, field, integration_id)):
            return row
        raise VendorError("conflict", "Siebel has the Integration Id, but shows no such contact.")

    def add_profile(self, contact_id: str, profile: SocialProfile) -> None:
        """One request; a profile that is there already stays as it is."""
        settings = self.settings
        names = settings.profiles.fields
        fields = {names.author: plain(profile.author_id), names.community: _stored(profile.community)}
        with suppress(AlreadyThere):
            self.rest.insert_child(settings.contacts, contact_id, settings.profiles, fields)

    def customer(self, row: Row, *, created: bool = False) -> Customer:
        """A contact as the port's customer."""
        names = self.settings.contacts.fields
        first, last = row.get(names.first_name) or None, row[names.last_name]
        # Siebel has no such flag: a contact of ours with one name twice is still called by the user name.
        temporary = first == last and str(row.get(names.key, "")).startswith(f"{PREFIX}_")
        return Customer(row["Id"], first, last, temporary=temporary, created=created)

    def gone(self, error: VendorError, customer_id: str) -> VendorError:
        """`record-deleted` when Siebel refused because the contact is not there, else the error."""
        refused = error.extra.get("sbl") == BAD_REFERENCE and customer_id != UNLINKED
        return VendorError("record-deleted") if refused and self.get(customer_id) is None else error


def _community(community: str) -> str:
    """A community as it is searched for and compared: case never counts."""
    return plain(community.casefold())


def _stored(community: str) -> str:
    """A community as it is written: as the network calls itself, where Siebel can hold and find that."""
    folded = community.casefold()
    return community if plain(community) == community and plain(folded) == folded else plain(folded)
