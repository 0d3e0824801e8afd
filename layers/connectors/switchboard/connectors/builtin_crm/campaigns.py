"""Campaigns of the built-in CRM: all in one partition, since a company has hundreds of them, not millions."""

from datetime import date
from itertools import islice

from switchboard import clock, ids
from switchboard.connectors.builtin_crm.records import ABSENT
from switchboard.crm import Campaign, CampaignFilter, CampaignPage
from switchboard.dynamo import ConditionFailed, Item, Table
from switchboard.errors import FieldError, VendorError

_PK = "CAMPAIGNS"
_PREFIX = "cmp_"


def create(table: Table, campaign: Campaign, *, key: str) -> Campaign:
    """Write a campaign; with a `key` that has written one, that one."""
    item: Item = {
        "pk": _PK,
        "sk": ids.derived("cmp", key),
        "object": "campaign",
        "sourceId": ids.derived("src", key),
        "name": campaign.name,
        "type": campaign.type,
        "status": campaign.status,
        "startDate": campaign.start_date.isoformat() if campaign.start_date else None,
        "endDate": campaign.end_date.isoformat() if campaign.end_date else None,
        "createdAt": clock.timestamp(),
    }
    item = {name: value for name, value in item.items() if value is not None}
    try:
        table.put(item, condition=ABSENT)
    except ConditionFailed as error:
        item = error.item or item
    return _campaign(item)


def find(table: Table, wanted: CampaignFilter, *, limit: int, cursor: str | None) -> CampaignPage:
    """A page, by id."""
    if cursor is not None and not cursor.startswith(_PREFIX):
        raise VendorError("invalid", fields=(FieldError("/query/cursor", "not a cursor of this list"),))
    items = table.query_all(
        "pk = :pk AND sk > :after", {":pk": _PK, ":after": cursor or _PREFIX}, consistent=True
    )
    fitting = (campaign for campaign in map(_campaign, items) if wanted.takes(campaign))
    found = tuple(islice(fitting, limit + 1))
    more = len(found) > limit
    return CampaignPage(found[:limit], found[limit - 1].campaign_id if more else None)


def get(table: Table, campaign_id: str) -> Campaign:
    """One campaign; raises VendorError `not-found`."""
    item = table.get(_PK, campaign_id) if campaign_id.startswith(_PREFIX) else None
    if item is None:
        raise VendorError("not-found", "The CRM has no such campaign.")
    return _campaign(item)


def _campaign(item: Item) -> Campaign:
    start, end = item.get("startDate"), item.get("endDate")
    return Campaign(
        campaign_id=item["sk"],
        source_id=item["sourceId"],
        name=item["name"],
        type=item.get("type"),
        status=item.get("status"),
        start_date=date.fromisoformat(start) if start else None,
        end_date=date.fromisoformat(end) if end else None,
    )
