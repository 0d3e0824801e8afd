"""The routes of surveys: invitations, reminders, dumps, QuestionPro's webhook, the way out of mails."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.survey_api import dumps, hook, invitations, opt_out
from switchboard.api import Api

api = Api("surveys")
api.include(invitations.api, dumps.api, hook.api, opt_out.api)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
