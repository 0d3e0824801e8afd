"""GET and POST /hooks/facebook/leads: Meta's Lead Ads webhook.

Meta sends only the lead's id; the lead itself is fetched on the queue. Wire facts: Meta for Developers,
"Webhooks, Getting Started" (handshake, X-Hub-Signature-256) and "Webhooks for Lead Ads" (the leadgen field).
"""

import json
from typing import Annotated, Any

from pydantic import Field

from functions.lead_create.logic import is_signed, leads_in
from switchboard import meta_leads, queues
from switchboard.api import Answer, Api, Call
from switchboard.errors import SwitchboardError
from switchboard.models import ApiModel, QueryModel
from switchboard.secrets import connector_secret

api = Api("leads")


class Handshake(QueryModel):
    """What Meta asks when the webhook is set up."""

    mode: Annotated[str | None, Field(alias="hub.mode")] = None
    verify_token: Annotated[str | None, Field(alias="hub.verify_token")] = None
    challenge: Annotated[str | None, Field(alias="hub.challenge", max_length=1000)] = None


class Taken(ApiModel):
    """How many leads the call has told of."""

    received: int


@api.get("/hooks/facebook/leads", scope=None, answers={200: None})
def shake_hands(call: Call, query: Handshake) -> Answer:
    """Meta's handshake: the challenge is answered when the verify token is ours."""
    import hmac

    token = connector_secret("meta")["verifyToken"]
    given = (query.verify_token or "").encode()
    if query.mode != "subscribe" or query.challenge is None or not hmac.compare_digest(given, token.encode()):
        raise SwitchboardError("forbidden", "The verify token is not ours.")
    headers = {"X-Content-Type-Options": "nosniff"}
    return Answer(200, query.challenge, headers, content_type="text/plain; charset=utf-8")


@api.post("/hooks/facebook/leads", scope=None, answers={200: Taken})
def take_leads(call: Call) -> Answer:
    """Accept the leads that a signed call tells of; each is taken once, however often Meta tells of it."""
    secret = connector_secret("meta")["appSecret"]
    if not is_signed(call.raw_body, call.headers.get("x-hub-signature-256", ""), secret):
        raise SwitchboardError("unauthorized", "X-Hub-Signature-256 does not fit the body.")
    notices = leads_in(_document(call.raw_body))
    for notice in notices:
        accepted = meta_leads.accept(notice, correlation_id=call.correlation_id)
        if accepted.is_new:
            queues.offer(accepted.entry)
    return Answer(200, Taken(received=len(notices)))


def _document(raw_body: bytes) -> Any:
    try:
        return json.loads(raw_body)
    except (ValueError, RecursionError):
        raise SwitchboardError("not-json") from None
