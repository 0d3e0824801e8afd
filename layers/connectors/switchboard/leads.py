"""A lead, as a form's partner sends it and as the steps pass it on (source 000).

`create` is the work itself: `lead_create` does it while the form waits, `lead_work` on the queue, for Meta's
leads and for what could not be done at once.
"""

from typing import Annotated, Any

from pydantic import Field

from switchboard import customers, work
from switchboard.connectors import crm
from switchboard.countries import Country
from switchboard.crm import NewLead, SocialProfile
from switchboard.dynamo import Item
from switchboard.errors import FieldError, SwitchboardError, VendorError
from switchboard.ledger import Entry, entry_id
from switchboard.matching import same
from switchboard.models import ApiModel
from switchboard.phones import e164
from switchboard.settings import store
from switchboard.settings.leads import EmailMatching, LeadAssignmentRule, LeadSettings, LeadWhen
from switchboard.work import Outcome

FLOW = "lead"

type Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
type Id = Annotated[str, Field(min_length=1, max_length=500)]
type Email = Annotated[
    str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]+\.[^@\s\x00-\x1f.]+$")
]


class Form(ApiModel):
    """Where the lead was given: the network, its page and its form."""

    network: Name | None = None
    page_id: Id | None = None
    form_id: Id | None = None


class PostRef(ApiModel):
    """A social post that the lead came from, as it was pushed to `/social/posts`."""

    community: Annotated[str, Field(min_length=1, max_length=200)]
    unique_id: Id


class LeadRequest(ApiModel):
    """`POST /leads`: a lead with its e-mail address, its phone number, or both.

    `phone` is E.164, or national with `country`. `externalId` is the sender's own id of the lead.
    """

    first_name: Name | None = None
    last_name: Name
    email: Email | None = None
    phone: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    company: Name | None = None
    country: Country | None = None
    external_id: Id | None = None
    campaign_source_id: Id | None = None
    form: Form = Form()
    answers: Annotated[dict[str, Any], Field(max_length=200)] = {}
    posts: Annotated[list[PostRef], Field(max_length=20)] = []
    consent: Annotated[dict[str, Any], Field(max_length=50)] = {}


def check(request: LeadRequest) -> None:
    """What concerns several fields; raises SwitchboardError `invalid`."""
    if request.email is None and request.phone is None:
        missing = "one of email and phone has to be there"
        raise SwitchboardError(
            "invalid", fields=(FieldError("/email", missing), FieldError("/phone", missing))
        )
    if request.phone is not None and e164(request.phone, request.country) is None:
        detail = "not a phone number: E.164, or national together with country"
        raise SwitchboardError("invalid", fields=(FieldError("/phone", detail),))


def email_key(email: str, matching: EmailMatching) -> str:
    """What an address is compared by: case never counts, dots and tags as configured."""
    local, _, domain = email.rpartition("@")
    if matching.ignore_tags:
        local = local.partition("+")[0] or local
    if matching.ignore_dots:
        local = local.replace(".", "")
    return f"{local}@{domain}".casefold()


def assignee(request: LeadRequest, rules: list[LeadAssignmentRule]) -> str | None:
    """Who gets the lead: the first rule that fits decides; None when none does."""
    return next((rule.assign_to for rule in rules if fits(rule.when, request)), None)


def fits(when: LeadWhen, request: LeadRequest) -> bool:
    """Whether a lead has all that a rule asks for."""
    asked = (
        (when.country, request.country),
        (when.campaign_source_id, request.campaign_source_id),
        (when.network, request.form.network),
        (when.page_id, request.form.page_id),
        (when.form_id, request.form.form_id),
    )
    return all(wanted is None or (given is not None and same(wanted, given)) for wanted, given in asked)


def new_lead(
    request: LeadRequest, settings: LeadSettings, *, source: str, profiles: tuple[SocialProfile, ...] = ()
) -> NewLead:
    """The lead as the CRM port takes it; `source` keeps two senders' external ids apart."""
    form = request.form.model_dump(by_alias=True, exclude_none=True)
    return NewLead(
        first_name=request.first_name,
        last_name=request.last_name,
        email=request.email,
        email_key=email_key(request.email, settings.email_matching) if request.email else None,
        phone=e164(request.phone, request.country) if request.phone else None,
        company=request.company,
        country=request.country,
        external_id=f"{source}:{request.external_id}" if request.external_id else None,
        campaign_source_id=request.campaign_source_id,
        assigned_to=assignee(request, settings.assignment_rules),
        form=form,
        answers=request.answers,
        consent=request.consent,
        profiles=profiles,
    )


def authors(partner_id: str, posts: list[PostRef]) -> tuple[SocialProfile, ...]:
    """The authors of posts that this partner has pushed; raises `invalid` for another one."""
    from switchboard import social

    found: dict[tuple[str, str], SocialProfile] = {}
    for number, ref in enumerate(posts):
        entity = social.post_entity(ref.community, ref.unique_id)
        entry = work.ledger().get(entry_id(partner_id, social.FLOW, entity))
        if entry is None or "authorId" not in entry.payload:
            detail = "no such post was pushed"
            raise SwitchboardError("invalid", fields=(FieldError(f"/posts/{number}/uniqueId", detail),))
        post = entry.payload
        profile = SocialProfile(
            post["community"],
            post["authorId"],
            post.get("authorName", post["authorId"]),  # the name of an old post is no longer kept
            post.get("authorHandle"),
        )
        found.setdefault((profile.community.casefold(), profile.author_id), profile)
    return tuple(found.values())


def create(entry: Entry, request: LeadRequest, result: Item, *, source: str) -> Outcome:
    """Create the lead; `result` gets what came of it, also for a duplicate and for several candidates."""
    settings = store.current("leads", LeadSettings)
    profiles = authors(entry.partner_id, request.posts)
    try:
        lead = crm().create_lead(
            new_lead(request, settings, source=source, profiles=profiles), key=entry.ledger_id
        )
    except VendorError as error:
        result.update(error.extra if error.code in ("duplicate-lead", "ambiguous-lead") else {})
        if error.code == "duplicate-lead":
            # Nobody has to do anything about it, so it is no failure of the work.
            customer_id = customers.by_email(request.email)
            return Outcome("unchanged", customer_id, error.code, error.detail)
        raise
    result.update(leadId=lead.lead_id, customerId=lead.customer_id, assignedTo=lead.assigned_to)
    return Outcome("synced", customer_id=lead.customer_id)
