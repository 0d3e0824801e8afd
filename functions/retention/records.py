"""Erasing a person in the built-in CRM: the record and all below it, and the loyalty members."""

from collections import Counter
from collections.abc import Iterator

from functions.retention.person import Person
from switchboard import work
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef, Records
from switchboard.connectors.builtin_crm.keys import MEMBER
from switchboard.connectors.builtin_crm.published import Published, mark_key
from switchboard.crm import UNLINKED, RecordReader
from switchboard.dynamo import Item
from switchboard.errors import VendorError
from switchboard.tombstones import response_name

_GONE = ("not-found", "record-deleted")


def learn_names(person: Person) -> None:
    """What the CRM says of the person; a record that is gone says nothing."""
    held = crm()
    if isinstance(held, BuiltinCrm):
        for item in _partition(held.records, person.customer_id):
            if item.get("object") in ("customer", "lead"):
                person.learn_contact(item)
            elif item.get("object") == "surveyResponse":
                person.responses.add(response_name(item["surveyId"], item["responseId"]))
    elif isinstance(held, RecordReader):
        try:
            person.learn_contact(held.get_record(person.customer_id))
        except VendorError as error:
            if error.code not in _GONE:
                raise


def learn_member(person: Person, item: Item) -> None:
    """The number of a member who has the person's address, or says so in what CrowdTwist has pushed."""
    if item.get("object") != "member":
        return
    facts = {name: held for name, held in item.items() if name not in ("pk", "sk")}
    if item["memberNumber"] in person.members or person.is_in(facts):
        person.members.add(item["memberNumber"])


def erase(person: Person) -> Counter[str]:
    """Delete what the built-in CRM has; tombstones of ids stay. Another CRM is left to its people."""
    held = crm()
    counts: Counter[str] = Counter()
    if not isinstance(held, BuiltinCrm):
        return counts
    table = held.records.table
    counts["records"] = sum("rev" in item for item in _partition(held.records, person.customer_id, live=True))
    refs = [RecordRef(person.customer_id), *(RecordRef(UNLINKED, case_id) for case_id in person.cases)]
    for ref in refs:
        try:
            held.records.delete(ref)
        except VendorError as error:
            if error.code not in _GONE:
                raise
    published = Published(work.ledger().table)
    for number in person.members:
        pk = f"MEMBER#{number}"
        published.forget(mark_key({"pk": pk, "sk": MEMBER}))
        if table.delete(pk, MEMBER) is not None:
            counts["members"] += 1
    return counts


def _partition(records: Records, customer_id: str, *, live: bool = False) -> Iterator[Item]:
    items = records.table.query_all("pk = :pk", {":pk": RecordRef(customer_id).key[0]}, consistent=True)
    return (item for item in items if not live or "deletedAt" not in item)
