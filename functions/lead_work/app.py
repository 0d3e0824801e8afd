"""Queue of leads: fetch what Meta has told of, and create what the CRM could not take at once."""

from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from switchboard import leads, work
from switchboard.dynamo import Item
from switchboard.leads import LeadRequest
from switchboard.ledger import Entry
from switchboard.work import Outcome


def do(entry: Entry, result: Item) -> Outcome:
    """Create one lead; `result` gets its ids."""
    if "meta" not in entry.payload:
        request = LeadRequest.model_validate(entry.payload, strict=False)
        return leads.create(entry, request, result, source=entry.partner_id)
    return _from_meta(entry, result)


def _from_meta(entry: Entry, result: Item) -> Outcome:
    from switchboard import meta_leads
    from switchboard.connectors.meta import meta
    from switchboard.settings import store
    from switchboard.settings.leads import LeadSettings

    notice = meta_leads.Notice(**entry.payload["meta"])
    version = store.current("leads", LeadSettings).meta.graph_version
    request = meta_leads.request_of(notice, meta().lead(notice.leadgen_id, version=version))
    return leads.create(entry, request, result, source=meta_leads.SOURCE)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS entry."""
    return work.run_batch(event, context, do)
