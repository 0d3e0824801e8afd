"""/campaigns: find the CRM's campaigns, and link social campaigns to them."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field, HttpUrl, model_validator

from functions.campaign_query.logic import CampaignDate
from switchboard import cursors, ids, links, work
from switchboard.api import Answer, Api, Call
from switchboard.connectors import crm
from switchboard.crm import Campaign, CampaignFilter, CampaignKeeper, CampaignPage
from switchboard.dynamo import Item
from switchboard.errors import FieldError, SwitchboardError
from switchboard.ledger import Entry
from switchboard.models import ApiModel, PageOf, PageQuery
from switchboard.work import Outcome

api = Api("campaigns")

FLOW = "campaign_query"

type Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


class CampaignQuery(PageQuery):
    """Name contains (ignoring case); started on or after, and on or before."""

    name: str | None = None
    start_date: CampaignDate | None = None
    end_date: CampaignDate | None = None
    status: str | None = None


class CampaignRequest(ApiModel):
    """A campaign to make in the built-in CRM."""

    name: Text
    type: Text | None = None
    status: Literal["planned", "active", "paused", "completed", "cancelled"] | Text | None = None
    start_date: CampaignDate | None = None
    end_date: CampaignDate | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise SwitchboardError(
                "invalid", fields=(FieldError("/endDate", "the campaign ends before it starts"),)
            )
        return self


class CampaignState(ApiModel):
    """A campaign; `sourceId` is what a lead's `campaignSourceId` names it by."""

    campaign_id: str
    source_id: str
    name: str
    type: str | None = None
    status: str | None = None
    start_date: CampaignDate | None = None
    end_date: CampaignDate | None = None


class LinkRequest(ApiModel):
    """The social campaign that is linked, as people call it, and where it is."""

    name: Text
    url: HttpUrl | None = None


class LinkState(ApiModel):
    """A social campaign that is linked to a campaign of the CRM."""

    social_campaign_id: str
    name: str
    url: str | None = None


def _state(campaign: Campaign) -> CampaignState:
    return CampaignState(**asdict(campaign))


@api.get("/campaigns", scope="campaigns:read", answers={200: PageOf[CampaignState]})
def find_campaigns(call: Call, query: CampaignQuery) -> Answer:
    """The campaigns of the CRM that fit."""
    position = cursors.decode(query.cursor, r"[\w#.-]{1,200}")
    wanted = CampaignFilter(query.name or None, query.start_date, query.end_date, query.status or None)
    found: list[CampaignPage] = []

    def do(entry: Entry, result: Item) -> Outcome:
        found.append(crm().find_campaigns(wanted, limit=query.limit, cursor=position))
        result["found"] = len(found[0].items)
        return Outcome("synced")

    _perform(call, query.model_dump(mode="json", by_alias=True, exclude_none=True), do)
    [page] = found
    items = [_state(each) for each in page.items]
    return Answer(200, PageOf[CampaignState](items=items, next=cursors.encode(page.next)))


def _perform(call: Call, payload: dict[str, Any], do: work.Do) -> None:
    accepted = work.ledger().accept(
        partner_id=call.caller.partner_id,
        flow=FLOW,
        entity=ids.fresh("qry"),
        payload=payload,
        group=FLOW,
        correlation_id=call.correlation_id,
    )
    lease = timedelta(milliseconds=call.context.get_remaining_time_in_millis())
    work.perform_now(accepted.entry, do, lease=lease, repeated=False)


@api.post("/campaigns", scope="campaigns:write", answers={201: CampaignState})
def create_campaign(call: Call, body: CampaignRequest) -> Answer:
    """Make a campaign. Only the built-in CRM takes one; another CRM has people and a screen for that."""
    keeper = crm()
    if not isinstance(keeper, CampaignKeeper):
        raise SwitchboardError("conflict", "Campaigns of this CRM are made in the CRM itself.")
    asked = Campaign("", "", body.name, body.type, body.status, body.start_date, body.end_date)
    return Answer(201, _state(keeper.create_campaign(asked, key=call.work_id())))


@api.get("/campaigns/{campaignId}", scope="campaigns:read", answers={200: CampaignState})
def get_campaign(call: Call, campaign_id: str) -> Answer:
    """One campaign."""
    return Answer(200, _state(crm().get_campaign(campaign_id)))


@api.put(
    "/campaigns/{campaignId}/links/{socialCampaignId}",
    scope="campaigns:write",
    answers={201: LinkState, 200: LinkState},
)
def put_link(call: Call, campaign_id: str, social_campaign_id: str, body: LinkRequest) -> Answer:
    """Link a social campaign to a campaign of the CRM, or change what the link says."""
    campaign = crm().get_campaign(campaign_id)
    url = str(body.url) if body.url else None
    link = links.Link(campaign.campaign_id, social_campaign_id, campaign.source_id, body.name, url)
    is_new = links.put(link, linked_by=call.caller.partner_id)
    return Answer(201 if is_new else 200, _link_state(link))


@api.delete("/campaigns/{campaignId}/links/{socialCampaignId}", scope="campaigns:write", answers={204: None})
def delete_link(call: Call, campaign_id: str, social_campaign_id: str) -> Answer:
    """End a link."""
    links.delete(campaign_id, social_campaign_id)
    return Answer(204)


@api.get("/campaigns/{campaignId}/links", scope="campaigns:read", answers={200: PageOf[LinkState]})
def list_links(call: Call, campaign_id: str, query: PageQuery) -> Answer:
    """The social campaigns that are linked to a campaign."""
    after = cursors.decode(query.cursor, r".{1,300}")
    page = links.of_campaign(campaign_id, limit=query.limit, after=after)
    if not page.items and query.cursor is None:
        crm().get_campaign(campaign_id)  # 404 for a campaign that is not there
    items = [_link_state(link) for link in page.items]
    return Answer(200, PageOf[LinkState](items=items, next=cursors.encode(page.last)))


def _link_state(link: links.Link) -> LinkState:
    return LinkState(social_campaign_id=link.social_campaign_id, name=link.name, url=link.url)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
