"""The operators' routes (ledger, settings, partners, documents), and every path that no other step has."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.operations import documents, ledger, overview, partners, settings
from switchboard.api import Api

api = Api("operations")
api.include(documents.api, ledger.api, overview.api, settings.api, partners.api)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
