"""POST /hooks/questionpro/{token}: a response came in.

The page on QuestionPro's webhook payload was not found, so the shape is UNVERIFIED: a response item as
`GET /surveys/{id}/responses` gives it, bare or inside `response`. The token in the path is the secret's.
"""

import hmac
from typing import Any

from pydantic import RootModel

from switchboard import queues, work
from switchboard.api import Answer, Api, Call, parse_body
from switchboard.errors import FieldError, SwitchboardError
from switchboard.models import ApiModel
from switchboard.secrets import connector_secret
from switchboard.surveys import responses
from switchboard.tombstones import Tombstones

api = Api("surveys")


class Received(ApiModel):
    """The response is taken."""

    status: str = "received"


class _Payload(RootModel[dict[str, Any]]):
    """Any JSON object."""


@api.post("/hooks/questionpro/{token}", scope=None, answers={200: Received})
def response_came(call: Call, token: str) -> Answer:
    """Enter the response; the same one again changes nothing."""
    _check(token)
    payload = parse_body(_Payload, call.raw_body, call.headers).root
    item = payload.get("response", payload)
    if not isinstance(item, dict):
        raise SwitchboardError("invalid", fields=(FieldError("/response", "a response item"),))
    responses.ids_of(item)
    if Tombstones(work.ledger().table).names_response(item):
        return Answer(200, Received())
    accepted = responses.enter(item, correlation_id=call.correlation_id)
    if accepted.is_new:
        queues.offer(accepted.entry)
    return Answer(200, Received())


def _check(token: str) -> None:
    try:
        expected = connector_secret("questionpro").get("hookToken")
    except SwitchboardError as error:
        if error.code != "not-configured":
            raise
        expected = None
    if not expected or not hmac.compare_digest(token.encode(), expected.encode()):
        raise SwitchboardError("not-found", "There is no such hook.")
