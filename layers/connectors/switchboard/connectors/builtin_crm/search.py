"""Which customers a search means."""

from typing import Any

from switchboard import cursors
from switchboard.connectors.builtin_crm.keys import RecordRef, profile_pk
from switchboard.connectors.builtin_crm.records import Record, Records
from switchboard.crm import CustomerFilter, RecordPage

_SEARCHED = ("firstName", "lastName", "email", "company")


def customers(records: Records, wanted: CustomerFilter, *, limit: int, cursor: str | None) -> RecordPage:
    """E-mail, phone and social profile by their links, by id; anything else the newest first."""
    if wanted.email is None and wanted.phone is None and wanted.profile is None:
        return records.customers(q=wanted.text, limit=limit, cursor=cursor)
    after = cursors.decode(cursor, r"[^\x00-\x1f]{1,200}")
    found = sorted(
        (record for record in _candidates(records, wanted) if _fits(record, wanted)),
        key=lambda record: str(record["accountId"]),
    )
    found = [record for record in found if after is None or record["accountId"] > after]
    page = found[:limit]
    return RecordPage(page, cursors.encode(page[-1]["accountId"]) if len(found) > limit else None)


def _candidates(records: Records, wanted: CustomerFilter) -> list[Record]:
    if wanted.email is not None:
        return records.customers_of(email=wanted.email)
    if wanted.phone is not None:
        return records.customers_of(phone=wanted.phone)
    community, author_id = wanted.profile or ("", "")
    carriers = records.table.query_all("pk = :pk", {":pk": profile_pk(community, author_id)}, consistent=True)
    return [records.get(RecordRef(link["accountId"])) for link in carriers]


def _fits(record: dict[str, Any], wanted: CustomerFilter) -> bool:
    if wanted.email is not None and record.get("email", "").casefold() != wanted.email.strip().casefold():
        return False
    if wanted.phone is not None and record.get("phone") != wanted.phone:
        return False
    if wanted.profile is not None and not any(
        (profile["community"].casefold(), profile["authorId"])
        == (wanted.profile[0].casefold(), wanted.profile[1])
        for profile in record.get("profiles", ())
    ):
        return False
    text = " ".join(str(record.get(name, "")) for name in _SEARCHED)
    return wanted.text is None or wanted.text.casefold() in text.casefold()
