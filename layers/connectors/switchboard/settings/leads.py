"""`settings/leads`: what makes two leads the same, who gets them, and where Meta's come from (source 000)."""

from typing import Annotated

from pydantic import Field

from switchboard.models import ApiModel

type Term = Annotated[str, Field(min_length=1, max_length=200)]
type ObjectId = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
"""An id of Meta's Graph API; it stands in a URL's path."""


class LeadWhen(ApiModel):
    """What a lead must have for a rule to fit; what is left out fits every lead. Case never counts."""

    country: Term | None = None
    campaign_source_id: Term | None = None
    network: Term | None = None
    page_id: Term | None = None
    form_id: Term | None = None


class LeadAssignmentRule(ApiModel):
    """The first rule that fits names the person or queue that gets the lead."""

    when: LeadWhen = LeadWhen()
    assign_to: Term


class EmailMatching(ApiModel):
    """How e-mail addresses of leads are compared, beside ignoring case.

    Whether dots and tags (`jane.doe+shop@…`) matter is the mailbox provider's affair, so they count as they
    stand unless this says otherwise.
    """

    ignore_dots: bool = False
    ignore_tags: bool = False


class MetaSettings(ApiModel):
    """Meta Lead Ads: the version of the Graph API, and the forms that the backfill reads.

    A form that the webhook has told of once is read by itself; `formIds` adds others.
    """

    graph_version: Annotated[str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]{1,2}$")] = "v23.0"
    form_ids: Annotated[list[ObjectId], Field(max_length=200)] = []
    first_backfill_days: Annotated[
        int, Field(ge=0, le=90, description="How far the first run looks back; Meta keeps leads for 90 days.")
    ] = 7


class LeadSettings(ApiModel):
    """The area `leads`."""

    assignment_rules: Annotated[list[LeadAssignmentRule], Field(max_length=200)] = []
    email_matching: EmailMatching = EmailMatching()
    meta: MetaSettings = MetaSettings()
