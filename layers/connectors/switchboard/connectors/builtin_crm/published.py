"""Which revisions of the CRM's records have been told as CRM events, so that what nobody told is found.

    pk                        sk                     item (State table)
    PUBLISHED#<accountId>     the record's own sk    `told`: "5" for all revisions up to 5, "5,7" for 7 too
    PUBLISHED#<digest>        MEMBER                 the same of a loyalty member, whose number is no key

The stream's reader notes what it has told, or passed over; `crm_sweep` compares. A record that moved to its
customer goes on under the account where it began, because its revisions go on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from switchboard import ids
from switchboard.connectors.builtin_crm.keys import MEMBER, Key
from switchboard.dynamo import ConditionFailed, Item, Table

OBJECTS = frozenset({"customer", "case", "followup", "task", "member"})


@dataclass(frozen=True, slots=True)
class Mark:
    """All revisions up to `through` have been told, and those of `ahead`."""

    through: int = 0
    ahead: frozenset[int] = frozenset()

    def missing(self, revision: int) -> list[int]:
        """The revisions up to this one that nobody told, ascending."""
        return [number for number in range(self.through + 1, revision + 1) if number not in self.ahead]

    def with_told(self, revisions: Iterable[int]) -> "Mark":
        """The mark when these have been told too."""
        ahead = {number for number in self.ahead.union(revisions) if number > self.through}
        through = self.through
        while through + 1 in ahead:
            through += 1
            ahead.discard(through)
        return Mark(through, frozenset(ahead))

    def __str__(self) -> str:
        return ",".join(map(str, (self.through, *sorted(self.ahead))))

    @staticmethod
    def of(item: Item | None) -> "Mark":
        """The mark that an item holds; of none that nothing was told."""
        through, *ahead = map(int, item["told"].split(",")) if item else (0,)
        return Mark(through, frozenset(ahead))


def event_id(pk: str, sk: str, revision: int) -> str:
    """The one id of the CRM event of a record's revision, whoever tells it."""
    return ids.derived("evt", pk, sk, str(revision))


def mark_key(record: Mapping[str, Any]) -> Key:
    """Where the mark of a stored record is."""
    if record["sk"] == MEMBER:
        return f"PUBLISHED#{ids.derived('mbr', record['pk'])}", MEMBER
    return f"PUBLISHED#{record.get('movedFrom', record['accountId'])}", record["sk"]


@dataclass(frozen=True, slots=True)
class Published:
    """The marks, in the State table.

    They stay as long as the records do, and hold nothing but numbers. A record's tombstone keeps its
    revisions going; of a member nothing stays, and one that is enrolled anew begins with revision 1.
    """

    table: Table

    def marks(self, keys: Iterable[Key]) -> dict[Key, Mark]:
        """The mark of each key; a request for each hundred."""
        wanted = list(dict.fromkeys(keys))
        found = {(item["pk"], item["sk"]): item for item in self.table.get_many(wanted)}
        return {key: Mark.of(found.get(key)) for key in wanted}

    def forget(self, key: Key) -> None:
        """Remove the mark of a record that is gone without a tombstone."""
        self.table.delete(*key)

    def note(self, key: Key, revisions: Iterable[int]) -> None:
        """Note that these revisions of a record have been told. One request when they come in order."""
        told = set(revisions)
        held: Item | None = {"told": str(Mark(min(told) - 1))} if min(told) > 1 else None
        while True:
            mark = Mark.of(held)
            changed = mark.with_told(told)
            if changed == mark:
                return
            try:
                self.table.put(
                    {"pk": key[0], "sk": key[1], "told": str(changed)},
                    condition="told = :held" if held else "attribute_not_exists(pk)",
                    values={":held": held["told"]} if held else None,
                )
            except ConditionFailed as error:
                held = error.item
            else:
                return
