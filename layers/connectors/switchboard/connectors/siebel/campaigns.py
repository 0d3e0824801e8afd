"""Campaigns in Siebel: listed by `SocialMediaService/GetCampaigns`, read one by one as records.

Documented (Siebel CRM Web Services Reference, "Get Campaigns"): `Campaign Name` is contained in the name,
`Start Date` and `End Date` bound the start, `Page Number` is required and counts from 1. INFERRED: the name
of the page size, and of the integration component within `MKTG Campaign IO`; so rows are told by their
Source Id, and no page is taken to have a certain length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from switchboard.connectors.siebel import rest
from switchboard.connectors.siebel.rest import Rest, Row
from switchboard.crm import Campaign, CampaignFilter, CampaignPage
from switchboard.errors import FieldError, VendorError
from switchboard.settings import siebel

_DATE = "%m/%d/%Y"
_PAGE = 100
_MAX_PAGES = 500


@dataclass(frozen=True, slots=True)
class Campaigns:
    """The campaign verbs."""

    rest: Rest
    names: siebel.Campaigns

    def find(self, wanted: CampaignFilter, *, limit: int, cursor: str | None) -> CampaignPage:
        """A page; its cursor is the place after it, `<Siebel's page>.<row>`."""
        page, row = _place(cursor)
        fitting = (
            (place, campaign) for place, campaign in self._from(wanted, page, row) if wanted.takes(campaign)
        )
        found = list(islice(fitting, limit + 1))
        items = tuple(campaign for _, campaign in found[:limit])
        return CampaignPage(items, found[limit][0] if len(found) > limit else None)

    def _from(self, wanted: CampaignFilter, page: int, row: int) -> Iterator[tuple[str, Campaign]]:
        before: list[str] = []
        for number in range(page, page + _MAX_PAGES):
            rows = list(_rows(self.rest.call(self.names.query, self._arguments(wanted, number)), self.names))
            ids = [each["Id"] for each in rows]
            if not rows:
                return
            if ids == before:
                raise VendorError("remote-unexpected", "siebel's pages of campaigns do not end.")
            before = ids
            for index, each in enumerate(rows):
                if number > page or index >= row:
                    yield f"{number}.{index}", self._campaign(each)
        raise VendorError("remote-unexpected", "siebel's pages of campaigns do not end.")

    def _arguments(self, wanted: CampaignFilter, number: int) -> dict[str, str]:
        asked = {"Page Number": str(number), self.names.page_size: str(_PAGE)}
        if wanted.name is not None:
            # What is a wildcard to Siebel is looked for by us alone.
            asked["Campaign Name"] = "" if any(sign in wanted.name for sign in '*?"\\') else wanted.name
        if wanted.started_from is not None:
            asked["Start Date"] = wanted.started_from.strftime(_DATE)
        if wanted.started_until is not None:
            asked["End Date"] = wanted.started_until.strftime(_DATE)
        return asked

    def get(self, campaign_id: str) -> Campaign:
        """One campaign; raises VendorError `not-found`."""
        row = self.rest.get(self.names, campaign_id)
        if row is None:
            raise VendorError("not-found", "The CRM has no such campaign.")
        return self._campaign(row)

    def _campaign(self, row: Row) -> Campaign:
        names = self.names.fields
        return Campaign(
            campaign_id=row["Id"],
            source_id=row.get(names.source_id) or row["Id"],
            name=row.get(names.name) or "",
            type=row.get(names.type) or None,
            status=row.get(names.status) or None,
            start_date=_day(row.get(names.start_date)),
            end_date=_day(row.get(names.end_date)),
        )


def _place(cursor: str | None) -> tuple[int, int]:
    if cursor is None:
        return 1, 0
    page, _, row = cursor.partition(".")
    if not (page.isdecimal() and row.isdecimal() and len(cursor) < 20 and int(page) > 0):
        raise VendorError("invalid", fields=(FieldError("/query/cursor", "not a cursor of this list"),))
    return int(page), int(row)


def _rows(value: Any, names: siebel.Campaigns) -> Iterator[Row]:
    """The campaigns anywhere in what came out, in order: one may stand alone where several are a list."""
    if isinstance(value, dict):
        if names.fields.source_id in value and rest.is_row_id(str(value.get("Id", ""))):
            yield value
        else:
            for held in value.values():
                yield from _rows(held, names)
    elif isinstance(value, list):
        for held in value:
            yield from _rows(held, names)


def _day(text: str | None) -> date | None:
    try:
        return datetime.strptime((text or "")[:10], _DATE).replace(tzinfo=UTC).date()
    except ValueError:
        return None
