"""POST /leads: duplicate check, create the lead, route it; and Meta's webhook, whose leads are queued."""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.lead_create import hook
from switchboard import ids, leads, work
from switchboard.api import Answer, Api, Call
from switchboard.dynamo import Item
from switchboard.errors import SwitchboardError
from switchboard.leads import FLOW, LeadRequest
from switchboard.ledger import Entry
from switchboard.models import ApiModel
from switchboard.work import Outcome

api = Api("leads")
api.include(hook.api)


class LeadState(ApiModel):
    """A lead that was created, the customer whose it is, and who gets it."""

    lead_id: str
    customer_id: str
    status: str
    assigned_to: str | None = None
    ledger_id: str


@api.post("/leads", scope="leads:write", answers={201: LeadState})
def create_lead(call: Call, body: LeadRequest) -> Answer:
    """Create a lead, unless it is there already (409 `duplicate-lead` with `leadId` and `matchedOn`).

    When several customers match, it is 409 `ambiguous-lead` with `candidates`, and nothing is written.
    """
    leads.check(body)
    leads.authors(call.caller.partner_id, body.posts)
    accepted = work.ledger().accept(
        partner_id=call.caller.partner_id,
        flow=FLOW,
        entity=f"api:{call.work_id()}",
        payload=body.model_dump(mode="json", by_alias=True, exclude_none=True),
        group=ids.fresh("grp"),
        correlation_id=call.correlation_id,
    )

    def do(entry: Entry, result: Item) -> Outcome:
        return leads.create(entry, body, result, source=entry.partner_id)

    lease = timedelta(milliseconds=call.context.get_remaining_time_in_millis())
    return _answer(work.perform_now(accepted.entry, do, lease=lease, repeated=True))


def _answer(entry: Entry) -> Answer:
    result = entry.result
    if entry.status != "synced":
        ids_of_it = {name: result[name] for name in ("leadId", "matchedOn", "candidates") if name in result}
        raise SwitchboardError(entry.code or "conflict", extra=ids_of_it | {"ledgerId": entry.ledger_id})
    return Answer(
        201,
        LeadState(
            lead_id=result["leadId"],
            customer_id=result["customerId"],
            status="created",
            assigned_to=result.get("assignedTo"),
            ledger_id=entry.ledger_id,
        ),
    )


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
