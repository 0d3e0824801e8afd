"""Links of social campaigns to campaigns of the CRM, in the Config table.

CAMPAIGN#<campaignId>               LINK#<socialCampaignId>    a campaign's links
SOCIAL_CAMPAIGN#<socialCampaignId>  CAMPAIGN#<campaignId>      the campaign that a lead's ad stands for
"""

import os
from dataclasses import dataclass

from switchboard import clock
from switchboard.dynamo import Item, Table, TransactionCancelled, Write, transact
from switchboard.errors import SwitchboardError


@dataclass(frozen=True, slots=True)
class Link:
    """One link. `source_id` is the CRM's id that a lead of this campaign carries."""

    campaign_id: str
    social_campaign_id: str
    source_id: str
    name: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class LinkPage:
    """Some links; `last` is the social campaign to go on after, None at the list's end."""

    items: list[Link]
    last: str | None


def _table() -> Table:
    return Table(os.environ["CONFIG_TABLE"])


def _keys(campaign_id: str, social_campaign_id: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (
        (f"CAMPAIGN#{campaign_id}", f"LINK#{social_campaign_id}"),
        (f"SOCIAL_CAMPAIGN#{social_campaign_id}", f"CAMPAIGN#{campaign_id}"),
    )


def put(link: Link, *, linked_by: str) -> bool:
    """Write a link, or write it anew; returns whether there was none."""
    item: Item = {
        "campaignId": link.campaign_id,
        "socialCampaignId": link.social_campaign_id,
        "sourceId": link.source_id,
        "name": link.name,
        "url": link.url,
        "linkedBy": linked_by,
        "updatedAt": clock.timestamp(),
    }
    first, second = (
        item | {"pk": pk, "sk": sk} for pk, sk in _keys(link.campaign_id, link.social_campaign_id)
    )
    try:
        transact(
            [
                Write(_table(), put=first, condition="attribute_not_exists(pk)"),
                Write(_table(), put=second),
            ]
        )
    except TransactionCancelled:
        transact([Write(_table(), put=first), Write(_table(), put=second)])
        return False
    return True


def delete(campaign_id: str, social_campaign_id: str) -> None:
    """End a link; raises SwitchboardError `not-found`."""
    first, second = _keys(campaign_id, social_campaign_id)
    try:
        transact(
            [
                Write(_table(), key=first, delete=True, condition="attribute_exists(pk)"),
                Write(_table(), key=second, delete=True),
            ]
        )
    except TransactionCancelled:
        raise SwitchboardError("not-found", "There is no such link.") from None


def of_campaign(campaign_id: str, *, limit: int, after: str | None) -> LinkPage:
    """A page of a campaign's links, by the social campaign's id."""
    pk = f"CAMPAIGN#{campaign_id}"
    page = _table().query(
        "pk = :pk AND begins_with(sk, :links)",
        {":pk": pk, ":links": "LINK#"},
        limit=limit,
        start={"pk": pk, "sk": f"LINK#{after}"} if after else None,
        consistent=True,
    )
    last = page.next_key["sk"].removeprefix("LINK#") if page.next_key else None
    return LinkPage([_link(item) for item in page.items], last)


def source_of(social_campaign_id: str) -> str | None:
    """The source id of the one campaign that a social campaign is linked to; None for none or several."""
    page = _table().query("pk = :pk", {":pk": f"SOCIAL_CAMPAIGN#{social_campaign_id}"}, limit=2)
    return page.items[0]["sourceId"] if len(page.items) == 1 else None


def _link(item: Item) -> Link:
    return Link(item["campaignId"], item["socialCampaignId"], item["sourceId"], item["name"], item.get("url"))
