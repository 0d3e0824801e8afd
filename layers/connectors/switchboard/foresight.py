"""What resubmitting an entry would do: each flow's next attempt, told instead of done.

A flow's function looks up what its work would look up, through the same connectors, and writes nothing; it
finishes the sentence "it would …", or raises what would refuse the work. Each look-up that a vendor is asked
counts for its budget and its breaker, like any call.
"""

from collections.abc import Callable

from switchboard import observability
from switchboard.errors import SwitchboardError
from switchboard.ledger import RESUBMITTABLE, Entry

NOT_LOOKED_UP = "be done again; not looked up, since this dry run's calls are used up"


def foresee(entry: Entry, *, live: bool = True) -> str:
    """What a resubmission of this entry would do, in a few words.

    Args:
        entry: as it stands.
        live: whether the CRM and the vendors may be asked.
    """
    if entry.status not in RESUBMITTABLE:
        return f"be skipped: it is {entry.status}"
    if not live:
        return NOT_LOOKED_UP
    try:
        return _FLOWS.get(entry.flow, _again)(entry)
    except SwitchboardError as error:
        if error.error.retryable:
            return f"wait: {error.code}: {error.detail}"
        return f"be refused: {error.code}: {error.detail}"
    except Exception:  # noqa: BLE001 - one entry that cannot be read must not hide the others
        observability.logger.exception("a look-up broke", ledger_id=entry.ledger_id, flow=entry.flow)
        return "be done again; the look-up broke"


def _again(entry: Entry) -> str:
    return "be done again"


def _post(entry: Entry) -> str:
    from switchboard.connectors import crm
    from switchboard.settings import store
    from switchboard.settings.social import SocialSettings

    post = entry.payload
    match = crm().find_customers_by_profile(post["community"], post["authorId"], key=entry.ledger_id)
    if len(match.customers) > 1:
        raise SwitchboardError("ambiguous-customer", f"{len(match.customers)} customers match.")
    if match.only is None:
        return "create the customer, and open a case"
    customer_id = match.only.customer_id
    if entry.result.get("candidates"):
        return f"link the case {entry.result['caseId']} to the customer {customer_id}"
    thread = entry.result.get("conversation") or post.get("parentId") or post["uniqueId"]
    window = store.current("social", SocialSettings).reopen_window
    case = crm().find_open_case(customer_id, thread, key=entry.ledger_id, active_within=window)
    if case is not None:
        return f"add the post to the case {case.case_id} of the customer {customer_id}"
    return f"open a case for the customer {customer_id}"


def _reply(entry: Entry) -> str:
    from switchboard import work
    from switchboard.connectors.sem import sem
    from switchboard.settings import store
    from switchboard.settings.social import SocialSettings

    post = work.ledger().get(entry.payload["postId"])
    if post is None:
        raise SwitchboardError("not-found", "The post of this answer is gone.")
    case_id = post.result.get("caseId")
    note = f"note it on the case {case_id}" if case_id else "wait for the post to become a case"
    how = store.current("social", SocialSettings).engagement
    if "sentAt" in entry.result or sem().has_reply(post.payload["uniqueId"], entry.ledger_id, how=how):
        return f"find the answer sent, and {note}"
    return f"send the answer, and {note}"


def _lead(entry: Entry) -> str:
    from switchboard import leads, meta_leads
    from switchboard.connectors import crm
    from switchboard.crm import LeadReader
    from switchboard.settings import store
    from switchboard.settings.leads import LeadSettings

    settings = store.current("leads", LeadSettings)
    source = entry.partner_id
    if "meta" in entry.payload:
        from switchboard.connectors.meta import meta

        notice = meta_leads.Notice(**entry.payload["meta"])
        found = meta().lead(notice.leadgen_id, version=settings.meta.graph_version)
        request, source = meta_leads.request_of(notice, found), meta_leads.SOURCE
    else:
        request = leads.LeadRequest.model_validate(entry.payload, strict=False)
    profiles = leads.authors(entry.partner_id, request.posts)
    lead = leads.new_lead(request, settings, source=source, profiles=profiles)
    reader = crm()
    if not isinstance(reader, LeadReader):
        return "create the lead"
    try:
        lead_id, customer_id = reader.look_up_lead(lead, key=entry.ledger_id)
    except SwitchboardError as error:
        if error.code == "duplicate-lead":
            return f"end as unchanged: the lead {error.extra['leadId']} is there already"
        raise
    if lead_id is not None:
        return f"find the lead {lead_id} created already"
    return (
        f"create the lead on the customer {customer_id}"
        if customer_id
        else "create the customer and the lead"
    )


def _member(entry: Entry) -> str:
    from switchboard.connectors import loyalty
    from switchboard.connectors.crowdtwist import holds, user_fields
    from switchboard.members import Member

    fields = user_fields(Member.model_validate(entry.payload, strict=False))
    user = loyalty().find(entry.entity)
    if user is None:
        return "create the member"
    if holds(user.fields, fields):
        return "leave the member unchanged: CrowdTwist has this data; CT Sync Status is written"
    return "update the member"


def _operation(entry: Entry) -> str:
    from switchboard import work
    from switchboard.charging.execution import foresee as operation
    from switchboard.connectors.ocsio import ocs
    from switchboard.settings import store
    from switchboard.settings.charging import ChargingSettings

    settings = store.current("charging", ChargingSettings)
    return operation(entry, ocs=ocs(), settings=settings, table=work.ledger().table)


def _invitation(entry: Entry) -> str:
    from switchboard.surveys.issue import invitations, request_of

    survey_id, request = request_of(entry)
    if invitations().get(entry.ledger_id) is not None:
        return "find the URL made already, and write it on the customer"
    if invitations().has_opted_out(request.email):
        raise SwitchboardError("opted-out")
    return f"have a personal URL of the survey {survey_id} made"


def _response(entry: Entry) -> str:
    from switchboard.surveys import responses

    found = responses.match(entry.payload["item"])
    if found.customer_id is not None:
        return f"write the response on the customer {found.customer_id}"
    return "wait for its customer" if found.hints else "end as unchanged: nothing says whose it is"


def _dump(entry: Entry) -> str:
    page = entry.result.get("page")
    return f"go on behind page {page}" if page else "begin the dump"


def _delivery(entry: Entry) -> str:
    from switchboard import work
    from switchboard.triggers import store
    from switchboard.triggers.deliveries import Deliveries

    delivery = Deliveries(work.ledger().table).get(entry.payload["deliveryId"])
    if delivery is None:
        raise SwitchboardError("not-found", "The delivery is no longer kept.")
    trigger = store.get(delivery.trigger_id)
    if trigger is None:
        return "be skipped: its trigger is gone"
    return "call the trigger's URL again" + (
        "" if trigger.status == "active" else ", although it is disabled"
    )


_FLOWS: dict[str, Callable[[Entry], str]] = {
    "social_post": _post,
    "social_reply": _reply,
    "lead": _lead,
    "member": _member,
    "charging": _operation,
    "survey_invitation": _invitation,
    "survey_response": _response,
    "survey_dump": _dump,
    "trigger_delivery": _delivery,
}
