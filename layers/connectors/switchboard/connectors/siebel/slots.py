"""Which Integration Id the contact of a social profile has, in the State table: one slot for each profile."""

from dataclasses import dataclass

from switchboard import ids
from switchboard.dynamo import ConditionFailed, Item, Table


@dataclass(frozen=True, slots=True)
class Slot:
    """`owner` is the Integration Id; `row_id` is set once the contact is there."""

    owner: str
    row_id: str | None = None


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots. Keys are digests, so no profile mixes with another and nothing personal is in them."""

    table: Table

    def take(self, community: str, author_id: str, owner: str) -> Slot:
        """The slot as it stands, or a new one of `owner`."""
        item: Item = {"pk": _pk(community, author_id), "sk": "SLOT", "integrationId": owner}
        try:
            self.table.put(item, condition="attribute_not_exists(pk)")
        except ConditionFailed as error:
            found = error.item or item
            return Slot(found["integrationId"], found.get("rowId"))
        return Slot(owner)

    def settle(self, community: str, author_id: str, owner: str, row_id: str) -> None:
        """Note that the owner's contact is there."""
        try:
            self.table.update(
                _pk(community, author_id),
                "SLOT",
                "SET rowId = :row",
                condition="integrationId = :owner",
                values={":row": row_id, ":owner": owner},
            )
        except ConditionFailed:
            return

    def release(self, community: str, author_id: str, owner: str) -> None:
        """Free the slot of a contact that was deleted, unless somebody has it by now."""
        try:
            self.table.delete(
                _pk(community, author_id),
                "SLOT",
                condition="integrationId = :owner AND attribute_exists(rowId)",
                values={":owner": owner},
            )
        except ConditionFailed:
            return


def _pk(community: str, author_id: str) -> str:
    return f"SIEBEL_PROFILE#{ids.derived('prf', community.casefold(), author_id)}"
