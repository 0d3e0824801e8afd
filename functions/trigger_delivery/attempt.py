"""One call of a partner's URL: what goes out, and what is kept of the answer."""

from typing import TypedDict

from functions.trigger_delivery import logic
from switchboard import clock, egress, egress_client, observability, webhooks
from switchboard.egress_client import Answer, CallFailed
from switchboard.errors import SwitchboardError
from switchboard.triggers.deliveries import Attempt, Delivery
from switchboard.triggers.store import Trigger
from switchboard.vendor_failures import retry_after_seconds

CALL_SECONDS = 10.0
"""Look-up, connect, TLS, request and whole answer together."""

_KEPT_ANSWER = 2048
_MAX_ANSWER = 64 * 1024


class _Request(TypedDict, total=False):
    """What `egress_client` is to send."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def call(trigger: Trigger, delivery: Delivery) -> Attempt:
    """Call the URL once. Never raises for what the other side does."""
    at = clock.timestamp()
    watch = observability.Stopwatch()
    try:
        egress.check_url(trigger.url)
        answer = egress_client.client().call(
            **_request(trigger, delivery), seconds=CALL_SECONDS, max_bytes=_MAX_ANSWER
        )
    except SwitchboardError:
        return Attempt(at, watch.milliseconds, error_class="blocked")
    except CallFailed as failure:
        return Attempt(at, watch.milliseconds, error_class=failure.error_class)
    return _answered(at, watch.milliseconds, answer)


def _request(trigger: Trigger, delivery: Delivery) -> _Request:
    if trigger.format == "query":
        return {"method": trigger.method, "url": logic.query_url(trigger.url, delivery.event)}
    body = logic.webhook_body(delivery.event)
    signed = webhooks.headers(delivery.delivery_id, int(clock.now().timestamp()), body, trigger.keys())
    headers = signed | {"content-type": "application/json"}
    return {"method": "POST", "url": trigger.url, "body": body, "headers": headers}


def _answered(at: str, duration_ms: int, answer: Answer) -> Attempt:
    # Also of an answer that was not read whole the status counts: nobody has to read what came with it.
    failed = logic.error_class(answer.status)
    return Attempt(
        at=at,
        duration_ms=duration_ms,
        status_code=answer.status,
        error_class=failed,
        answer=answer.body[:_KEPT_ANSWER].decode(errors="replace") or None,
        retry_after=retry_after_seconds(answer.headers.get("retry-after"), clock.now().timestamp())
        if failed
        else None,
    )
