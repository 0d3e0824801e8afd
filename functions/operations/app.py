"""The operators' routes (ledger, settings, partners, documents), and every path that no other step has."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.operations import (
    audit,
    customers,
    documents,
    ledger,
    overview,
    partners,
    queues,
    resubmissions,
    settings,
)
from switchboard.api import Api
from switchboard.audit import audited

api = Api("operations")
# The resubmissions come before the ledger, whose /ledger/{ledgerId} would take their paths.
api.include(documents.api, audited(resubmissions.api), audited(ledger.api), audited(queues.api))
api.include(overview.api, audited(settings.api), audited(partners.api), audited(customers.api), audit.api)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
